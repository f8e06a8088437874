"""One .zip for a bug report: the report in a tracker's form, figures, evidence, a slice of packets, checksums.

`build` from a run or a campaign (`campaigns`) to bytes; `material` the run's files, `around` the packets of its worst
window, `scenario_toml` the scenario again, `story`, `repeats` and `apple` what the report says, `render` and
`templates/` in which form; `reduce` what goes when it is too large, `archive` the zip file. With redaction, `redactor`
replaces names (`names`), addresses (`addresses`, `matches`) and frames (`frames`, `captures`) in every file of it.
"""

from harness.bundle.archive import LIMIT_BYTES, check_target, write_bundle
from harness.bundle.build import Bundle, make_bundle
from harness.bundle.mapping import MAPPING, write_mapping
from harness.bundle.redactor import Redactor
from harness.bundle.render import TEMPLATES, Template

__all__ = [
    "LIMIT_BYTES",
    "MAPPING",
    "TEMPLATES",
    "Bundle",
    "Redactor",
    "Template",
    "check_target",
    "make_bundle",
    "write_bundle",
    "write_mapping",
]
