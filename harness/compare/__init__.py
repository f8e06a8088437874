"""Recordings side by side: which streams belong together, what differs, and whether that is more than chance.

`sources` opens what can be compared, `matching` finds what belongs together, `figures` sets it side by side, `shared`
tells losses by all from losses by some, `events` counts what is independent in losses, `statistics` holds the tests,
`findings` applies them and says it in words, `timeline` brings all to one axis, `build` does it all, `render` writes it
down.
"""

from harness.compare.build import compare
from harness.compare.render import format_comparison, write_comparison
from harness.compare.sources import Subject, names_of, open_subject

__all__ = ["Subject", "compare", "format_comparison", "names_of", "open_subject", "write_comparison"]
