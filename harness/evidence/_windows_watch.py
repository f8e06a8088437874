"""Changes on Windows: the state once a second, compared with the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import trio

from harness.evidence._windows import parse_routes
from harness.evidence.difference import difference
from harness.evidence.interfaces import portable_interfaces
from harness.evidence.probe import answer, tool
from harness.model.evidence_change import ObservedChange, ObservedKind
from harness.units import NS_PER_S

_INTERVAL_S = 1.0
_ROUTES_LIMIT_NS = 2 * NS_PER_S
_KINDS: dict[str, ObservedKind] = {"interface": "link", "address": "address", "route": "route"}


def state() -> dict[str, Any]:
    """Return interfaces and routes in the form of a snapshot; it waits for a tool."""
    routes = tool("route", "print", parse=parse_routes)
    return {
        "interfaces": answer(portable_interfaces),
        "routes": {"print": answer(lambda: routes(_ROUTES_LIMIT_NS))},
    }


def changes(before: dict[str, Any], after: dict[str, Any], now_ns: int) -> list[ObservedChange]:
    """Return what differs between two states, as of now."""
    return [
        ObservedChange(
            t_realtime_ns=now_ns,
            kind=_KINDS[change.kind],
            subject=change.subject if change.kind == "interface" else change.subject.rpartition(" on ")[2],
            text=change.text,
        )
        for change in difference(before, after)
        if change.kind in _KINDS
    ]


async def watch(
    report: Callable[[ObservedChange], None],
    started: Callable[[], None],
    ask: Callable[[], dict[str, Any]] = state,
    interval_s: float = _INTERVAL_S,
) -> None:
    """Report changes until cancelled; see `harness.evidence.monitor.watch_changes`."""
    last = await trio.to_thread.run_sync(ask)
    started()
    while True:
        await trio.sleep(interval_s)
        now = await trio.to_thread.run_sync(ask)
        for change in changes(last, now, time.time_ns()):
            report(change)
        last = now
