"""Limits: what a recording must keep to, in named sets, held against a Summary, and told to a build server.

`measures` what can be limited, `gaps` one measure that takes bounds, `profiles` named sets, `hold` the judgement,
`junit` the same as JUnit XML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of
from harness.limits.hold import hold, hold_each
from harness.limits.measures import MEASURES, Measure
from harness.limits.profiles import load_profile, profile_names, with_profile

if TYPE_CHECKING:
    from harness.limits.junit import junit_xml, write_junit

__getattr__, _ = names_of(__name__, {"junit": ("junit_xml", "write_junit")})  # nothing else needs XML

__all__ = [
    "MEASURES",
    "Measure",
    "hold",
    "hold_each",
    "junit_xml",
    "load_profile",
    "profile_names",
    "with_profile",
    "write_junit",
]
