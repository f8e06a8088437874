"""The second socket: another socket for the same group, port and interface, open all the time.

On Linux it joins nothing: a membership of its own would keep the host a member when the receiver leaves or reopens, and
change what is measured. Elsewhere it has to join.
"""

from __future__ import annotations

import trio

from harness.errors import HarnessError
from harness.model import Membership
from harness.model.witness import WitnessSeries
from harness.net.opening import open_overhearing
from harness.run.receiving import Receiving
from harness.run.witnesses.counting import FlowCounts
from harness.run.witnesses.listening import BUFFER_BYTES, CAPACITY, Listening
from harness.run.witnesses.scene import MAX_GROUPS, MAX_PPS, TOO_MANY, Scene, multicast_of
from harness.run.witnesses.told import series_of

NEVER_STARTED = "the receiver never started"


class SecondSockets:
    """The second sockets of one receiver, one for each of its multicast groups."""

    def __init__(self, scene: Scene, receiving: Receiving) -> None:
        self._scene, self._receiving = scene, receiving
        self._memberships = multicast_of(receiving)
        self._listening: dict[Membership, Listening] = {}
        self._missing: dict[Membership, str] = dict.fromkeys(self._memberships[:MAX_GROUPS], NEVER_STARTED)
        self._missing |= dict.fromkeys(self._memberships[MAX_GROUPS:], TOO_MANY)
        self.n_dropped = 0

    def open(self) -> None:
        """Open the sockets if the receiver has joined already."""
        if self._receiving.joined_ns is None or self._listening:
            return
        for membership in self._memberships[:MAX_GROUPS]:
            try:
                socket = open_overhearing(membership, buffer_bytes=BUFFER_BYTES, capacity=CAPACITY)
            except HarnessError as exc:
                self._missing[membership] = str(exc)
                continue
            del self._missing[membership]
            counts = FlowCounts(self._scene.start_ns)
            self._listening[membership] = Listening(socket, counts, self._scene.recorder)

    async def run(self) -> None:
        """Count, from the receiver's start on."""
        await self._receiving.has_joined.wait()
        self.open()
        async with trio.open_nursery() as nursery:
            for membership, listening in self._listening.items():
                nursery.start_soon(self._listen, membership, listening)

    async def _listen(self, membership: Membership, listening: Listening) -> None:
        await listening.run()
        if listening.is_too_fast:
            self.n_dropped += listening.close()
            text = f"the second socket for {membership.group} ends here: more than {MAX_PPS:,} pps"
            self._scene.note(text, self._receiving.plan.name)

    def close(self) -> None:
        """Count what waits and close."""
        for listening in self._listening.values():
            if not listening.socket.is_closed:
                self.n_dropped += listening.close()

    def series(self, end_ns: int) -> list[WitnessSeries]:
        """Return a series for each source of each group."""
        found: list[WitnessSeries] = []
        for membership in self._memberships:
            base = WitnessSeries(
                kind="second-socket",
                receiver=self._receiving.plan.name,
                group=str(membership.group),
                start_ns=self._scene.start_ns,
                missing=self._missing.get(membership),
            )
            listening = self._listening.get(membership)
            flows = listening.counts.flows() if listening is not None else []
            until_ns = (listening.ended_ns if listening is not None else None) or end_ns
            found += series_of(base, [(flow.source, counts) for flow, counts in flows], until_ns)
        return found
