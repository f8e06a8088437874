"""What changes about the network of this host while a run is on, as events of the run."""

from __future__ import annotations

import numpy as np

from harness.evidence.monitor import watch_changes
from harness.model.evidence_change import ObservedChange
from harness.run.recorder import Recorder

MAX_EVENTS = 200
_KINDS = {"link": "link", "address": "address", "route": "route", "rule": "route"}
"""Kinds of changes that are events of their own. What a host joins is an event already, and a bridge's own tables are
read by whoever reads the switch."""

_NOTES = ("overrun", "unwatched")


class ChangeLog:
    """Takes changes into the events of a run, so many at most."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._n_events = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        await watch_changes(self.take)

    def take(self, change: ObservedChange) -> None:
        """Make an event of a change that concerns links, addresses and routes."""
        kind = "note" if change.kind in _NOTES else _KINDS.get(change.kind)
        if kind is None or self._n_events > MAX_EVENTS:
            return
        self._n_events += 1
        if self._n_events > MAX_EVENTS:
            self._recorder.event("note", f"more than {MAX_EVENTS} changes of the network: the rest is left out")
            return
        at_ns = self._recorder.clock.to_run_time(np.array([change.t_realtime_ns], np.int64))
        self._recorder.event(kind, change.text, t_ns=int(at_ns[0]))
