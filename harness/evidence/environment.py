"""The snapshot for `environment.json`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

from harness.evidence import system
from harness.evidence.interfaces import interfaces
from harness.evidence.launch import launch
from harness.evidence.probe import LIMIT_NS, answers
from harness.evidence.versions import versions

ENVIRONMENT_VERSION = 1


def _boot() -> dict[str, Any]:
    return {"boot_id": system.boot_id(), "uptime_ns": system.uptime_ns()}


def _clock() -> dict[str, Any]:
    sync, error_bound_ns = system.clock_state()
    return {"sync": sync, "error_bound_ns": error_bound_ns}


PROBES: dict[str, Callable[[], Any]] = {
    "versions": versions,
    "host": platform.node,
    "boot": _boot,
    "clock": _clock,
    "interfaces": interfaces,
    "routes": system.routes,
    "memberships": system.memberships,
    "settings": system.settings,
    "counters": system.counters,
    "launch": launch,
}
"""Key of the snapshot, and who answers it with a JSON value."""


def environment(limit_ns: int = LIMIT_NS) -> dict[str, Any]:
    """Return a snapshot of the system as JSON values; never raises, and takes `limit_ns` at most.

    What cannot be found out stands as {"error": reason} in its place. It waits for tools and files, so an event loop
    calls it in a thread.
    """
    return {"version": ENVIRONMENT_VERSION, "taken_ns": time.time_ns(), **answers(PROBES, limit_ns)}
