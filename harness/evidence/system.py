"""The platform's own way of telling, chosen once. Every platform module offers the names below."""

from __future__ import annotations

import sys

if sys.platform == "darwin":
    from harness.evidence import _darwin as _platform
elif sys.platform == "win32":
    from harness.evidence import _windows as _platform
else:
    from harness.evidence import _linux as _platform

system_name = _platform.system_name
boot_id = _platform.boot_id
uptime_ns = _platform.uptime_ns
clock_state = _platform.clock_state
routes = _platform.routes
memberships = _platform.memberships
settings = _platform.settings
counters = _platform.counters
launch_hints = _platform.launch_hints

__all__ = [
    "boot_id",
    "clock_state",
    "counters",
    "launch_hints",
    "memberships",
    "routes",
    "settings",
    "system_name",
    "uptime_ns",
]
