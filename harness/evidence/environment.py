"""The snapshot for `environment.json`, and the part of it that may be taken often."""

from __future__ import annotations

import functools
import platform
import time
from typing import Any

from harness.evidence import system
from harness.evidence.launch import launch
from harness.evidence.probe import LIMIT_NS, Table, answer, answers, call
from harness.evidence.versions import versions

ENVIRONMENT_VERSION = 2


def _clock() -> dict[str, Any]:
    sync, error_bound_ns = system.clock_state()
    return {"sync": sync, "error_bound_ns": error_bound_ns}


PROBES: Table = {
    "versions": call(versions),
    "host": call(platform.node),
    "clock": call(_clock),
    **system.TABLE,
    "launch": call(launch),
}
"""Section of the snapshot, and who answers it: one question, or several by name."""


def environment(limit_ns: int = LIMIT_NS) -> dict[str, Any]:
    """Return a snapshot of the system as JSON values; never raises, and takes `limit_ns` at most.

    What cannot be found out stands as {"error": reason} in its place. It waits for tools and files, so an event loop
    calls it in a thread. On Linux it is that of the calling thread's network namespace.
    """
    taken_ns = time.time_ns()
    rows = {
        (section, name): functools.partial(ask, limit_ns)
        for section, questions in PROBES.items()
        for name, ask in (questions.items() if isinstance(questions, dict) else [("", questions)])
    }
    snapshot: dict[str, Any] = {"version": ENVIRONMENT_VERSION, "taken_ns": taken_ns}
    for (section, name), value in answers(rows, limit_ns).items():
        if name:
            snapshot.setdefault(section, {})[name] = value
        else:
            snapshot[section] = value
    return snapshot


@functools.cache
def _boot_id() -> str:
    """Return the boot's identity, asked once: on macOS it takes a process, and no program outlives its boot."""
    return system.boot_id()


def counters_only() -> dict[str, Any]:
    """Return the counters of a snapshot alone, with the boot that they belong to; for `risen`, and never raises.

    No process is started, so it may be called some times a second. What only a tool tells (nft, tc; on macOS and
    Windows all but the interfaces' counters) is not in it.
    """
    found: dict[str, Any] = {"version": ENVIRONMENT_VERSION, "taken_ns": time.time_ns()}
    found["boot"] = {"boot_id": _boot_id()}
    return found | {name: answer(functools.partial(ask, LIMIT_NS)) for name, ask in system.COUNTERS.items()}
