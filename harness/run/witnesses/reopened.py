"""The reopened socket: while the receiver hears nothing, a new socket that joins, as a program's reopening would.

As long as another socket of the host is a member, the join sends no report and the closing no leave; both are the
kernel's way with a program that opens a second socket, too. Where the host has lost its membership without the receiver
knowing, it really joins, and the host hears for as long as it is open.
"""

from __future__ import annotations

import trio

from harness.errors import HarnessError
from harness.model import Membership
from harness.model.witness import WitnessSeries
from harness.net import open_receiver
from harness.run.receiving import Receiving
from harness.run.witnesses.counting import FlowCounts
from harness.run.witnesses.listening import BUFFER_BYTES, CAPACITY, Listening
from harness.run.witnesses.scene import MAX_GROUPS, TOO_MANY, Scene, multicast_of
from harness.run.witnesses.told import series_of
from harness.units import NS_PER_S

LEAST_SILENCE_NS, SILENT_INTERVALS = NS_PER_S, 5
LISTEN_S = 1.0
PERIOD_NS, LATER_PERIOD_NS = 2 * NS_PER_S, 30 * NS_PER_S
MANY, MOST_OPENINGS = 150, 1_000
"""After so many openings, five minutes of silence, they come seldom; and at last no more."""

_POLL_S = 0.1


class ReopenedSockets:
    """The reopened sockets of one receiver, of one multicast group at a time."""

    def __init__(self, scene: Scene, receiving: Receiving) -> None:
        self._scene, self._receiving = scene, receiving
        self._memberships = multicast_of(receiving)
        self._counts = {one: FlowCounts(scene.start_ns) for one in self._memberships[:MAX_GROUPS]}
        self._opened_ns: dict[Membership, list[int]] = {one: [] for one in self._counts}
        self._refused: dict[Membership, str] = {}
        self.n_dropped = 0

    def open(self) -> None:
        """Do nothing yet: there was no silence."""

    async def run(self) -> None:
        """Watch the receiver, and open a socket whenever it is silent."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(_POLL_S)
                now_ns = self._scene.recorder.clock.now_ns()
                for membership in self._counts:
                    if self._is_due(membership, now_ns) and self._is_silent(membership, now_ns):
                        self._opened_ns[membership].append(now_ns)
                        nursery.start_soon(self._reopen, membership)

    def _is_due(self, membership: Membership, now_ns: int) -> bool:
        opened_ns = self._opened_ns[membership]
        period_ns = PERIOD_NS if len(opened_ns) < MANY else LATER_PERIOD_NS
        return not opened_ns or (now_ns - opened_ns[-1] >= period_ns and len(opened_ns) < MOST_OPENINGS)

    def _is_silent(self, membership: Membership, now_ns: int) -> bool:
        """Whether the receiver is a member, should hear the group, and has not heard it for long."""
        receiving, scene = self._receiving, self._scene
        if scene.started_ns is None or not any(membership in socket.memberships for socket in receiving.sockets):
            return False
        infos = [
            info
            for info in scene.recorder.registry.streams.values()
            if info.receiver == receiving.plan.name and info.group == str(membership.group)
        ]
        ours = scene.sends(membership.group)
        going_on = [number for number in ours if number not in scene.over]
        if infos and all(info.number in scene.recorder.registry.ended for info in infos) and not going_on:
            return False
        if ours and not going_on:
            return False
        first_ns = min((scene.plan.streams[number].start_ns for number in going_on), default=0)
        since_ns = max(receiving.joined_ns or 0, scene.started_ns + first_ns, receiving.heard_ns(membership))
        interval_ns = max((info.interval_ns or 0 for info in infos), default=0)
        if not infos:
            interval_ns = max((scene.plan.streams[number].schedule.interval_ns for number in going_on), default=0)
        return now_ns - since_ns > max(LEAST_SILENCE_NS, SILENT_INTERVALS * interval_ns)

    async def _reopen(self, membership: Membership) -> None:
        try:
            (socket,) = open_receiver([membership], width=1, buffer_bytes=BUFFER_BYTES, capacity=CAPACITY)
        except HarnessError as exc:
            self._refused[membership] = str(exc)
            return
        self._refused.pop(membership, None)
        listening = Listening(socket, self._counts[membership], self._scene.recorder)
        try:
            with trio.move_on_after(LISTEN_S):
                await listening.run()
        finally:
            self.n_dropped += listening.close()

    def close(self) -> None:
        """Do nothing more: each socket is closed by the task that opened it."""

    def series(self, end_ns: int) -> list[WitnessSeries]:
        """Return a series for each source of each group; of a receiver that always heard there is nothing to tell."""
        found: list[WitnessSeries] = []
        for membership in self._memberships:
            base = WitnessSeries(
                kind="reopened-socket",
                receiver=self._receiving.plan.name,
                group=str(membership.group),
                start_ns=self._scene.start_ns,
                opened_ns=self._opened_ns.get(membership, []),
                missing=TOO_MANY if membership not in self._counts else self._refusal(membership),
            )
            flows = self._counts[membership].flows() if membership in self._counts else []
            found += series_of(base, [(flow.source, counts) for flow, counts in flows], end_ns)
        return found

    def _refusal(self, membership: Membership) -> str | None:
        """Return why no opening succeeded; None when one did, or none was tried."""
        return self._refused.get(membership) if not self._counts[membership].n_total else None
