"""The unicast twin: beside a multicast stream, the same sender's packets to the receiver's own address.

Few of them: as often as the stream's own, 20 a second at most; of the same size, TTL and DSCP, so that only the
destination is another. They are no probes, no stream of the run, and in no log: what counts is whether they arrive.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import trio

from harness.errors import BindError, HarnessError
from harness.model import Endpoint, Membership
from harness.model.witness import WitnessSeries
from harness.net import ReceiverSocket, SenderSocket, list_interfaces, open_receiver, open_sender
from harness.run.attendance import FIRST_PORT, N_PORTS, TwinPlan
from harness.run.plan import StreamPlan
from harness.run.witnesses.counting import FlowCounts
from harness.run.witnesses.listening import CAPACITY, Listening
from harness.run.witnesses.scene import Scene
from harness.run.witnesses.told import series_of
from harness.units import NS_PER_S

LEAST_INTERVAL_NS = 50_000_000
_TRIES = 8
_TEXT = b"multicast-harness unicast twin "


class Twins:
    """All ends of unicast twins that are on this host."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._listening: dict[TwinPlan, Listening] = {}
        self._missing: dict[TwinPlan, str] = {}
        self._address: dict[TwinPlan, Endpoint] = {}
        self._senders: list[tuple[StreamPlan, SenderSocket]] = []
        self.n_dropped = 0

    def open(self) -> None:
        """Open the receiving ends, and then the sending ones."""
        twins = self._scene.plan.twins
        for twin in twins:
            try:
                self._open(twin)
            except HarnessError as exc:
                self._missing[twin] = str(exc)
        own = {str(entry.address) for interface in list_interfaces() for entry in interface.addresses}
        for twin in twins:
            if (address := self._address.get(twin)) is None:
                continue
            for number in twin.streams:
                stream = self._scene.plan.streams[number]
                try:
                    self._senders.append((stream, _sender(stream, address, own)))
                except HarnessError as exc:
                    self._missing.setdefault(twin, str(exc))

    def _open(self, twin: TwinPlan) -> None:
        """Note where a twin goes to, and listen there if that is here."""
        if twin.address is None:
            return
        if not twin.is_received:
            self._address[twin] = twin.address
            return
        socket, self._address[twin] = _receiver(twin.address)
        self._listening[twin] = Listening(socket, FlowCounts(self._scene.start_ns), self._scene.recorder)

    async def run(self) -> None:
        """Send and count until cancelled."""
        async with trio.open_nursery() as nursery:
            for listening in self._listening.values():
                nursery.start_soon(listening.run)
            for stream, socket in self._senders:
                nursery.start_soon(self._send, stream, socket)

    async def _send(self, stream: StreamPlan, socket: SenderSocket) -> None:
        """Send from the start of a stream to its end; what is refused is not sent, and not heard."""
        text = np.frombuffer(_TEXT * (stream.size // len(_TEXT) + 1), np.uint8)[: stream.size]
        payload = text.reshape(1, stream.size).copy()
        interval_s = max(LEAST_INTERVAL_NS, stream.schedule.interval_ns) / NS_PER_S
        scene = self._scene
        assert scene.started_ns is not None
        wait_ns = scene.started_ns + stream.start_ns - scene.recorder.clock.now_ns()
        await trio.sleep(max(0, wait_ns) / NS_PER_S)
        while stream.number not in scene.over:
            socket.send_nowait(payload)
            await trio.sleep(interval_s)

    def close(self) -> None:
        """Count what waits, and close."""
        for listening in self._listening.values():
            self.n_dropped += listening.close()
        for _, socket in self._senders:
            socket.close()

    def series(self, end_ns: int) -> list[WitnessSeries]:
        """Return a series for each receiver's group whose twin ends here."""
        found: list[WitnessSeries] = []
        for twin in self._scene.plan.twins:
            if not twin.is_received:
                continue
            base = WitnessSeries(
                kind="unicast-twin",
                receiver=twin.receiver,
                group=twin.group,
                start_ns=self._scene.start_ns,
                missing=twin.missing or self._missing.get(twin),
            )
            flows = self._listening[twin].counts.flows() if twin in self._listening else []
            found += series_of(base, [(flow.source, counts) for flow, counts in flows], end_ns)
        return found


def _receiver(address: Endpoint) -> tuple[ReceiverSocket, Endpoint]:
    """Return a socket at an address, on its port or, for port 0, on one that is free; and where it is."""
    ports: Sequence[int] = [address.port]
    if not address.port:
        ports = [FIRST_PORT + random.randrange(N_PORTS) for _ in range(_TRIES)]
    for port in ports[:-1]:
        try:
            return _receiver_at(Endpoint(address.address, port))
        except BindError:
            continue
    return _receiver_at(Endpoint(address.address, ports[-1]))


def _receiver_at(address: Endpoint) -> tuple[ReceiverSocket, Endpoint]:
    (socket,) = open_receiver([Membership(address)], width=1, capacity=CAPACITY)
    return socket, address


def _sender(stream: StreamPlan, address: Endpoint, own: set[str]) -> SenderSocket:
    """Return a socket that sends as the stream's does; to this host's own address by no interface at all."""
    is_own = str(address.address).partition("%")[0] in own
    return open_sender(
        address,
        interface=None if is_own else stream.interface,
        ttl=max(1, stream.ttl),
        dscp=stream.dscp,
    )
