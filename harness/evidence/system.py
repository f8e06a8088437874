"""The platform's own way of telling, chosen once. Every platform module offers the names below."""

from __future__ import annotations

import sys

if sys.platform == "darwin":
    from harness.evidence import _darwin as _platform
elif sys.platform == "win32":
    from harness.evidence import _windows as _platform
else:
    from harness.evidence import _linux as _platform

COUNTERS = _platform.COUNTERS
TABLE = _platform.TABLE
boot_id = _platform.boot_id
clock_state = _platform.clock_state
launch_hints = _platform.launch_hints
system_name = _platform.system_name
uptime_ns = _platform.uptime_ns

__all__ = ["COUNTERS", "TABLE", "boot_id", "clock_state", "launch_hints", "system_name", "uptime_ns"]
