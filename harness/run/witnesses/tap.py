"""The tap of a run: UDP of its groups counted as it passes the interfaces, IGMP and MLD kept whole in a file.

Receivers are told what came in, senders what went out. Both by whichever interface: a stream on the wrong one shows.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import msgspec
import numpy as np
import trio

from harness.capture.blocks import PcapngFile, copy_rows, packet_blocks
from harness.capture.interface import Interface
from harness.errors import InterfaceError, StorageError
from harness.model import Endpoint, parse_address
from harness.model.witness import WitnessSeries
from harness.net import list_interfaces
from harness.net.tap import Tap, TapFrame, open_tap
from harness.run.witnesses.counting import BinCounts, Flow, FlowCounts
from harness.run.witnesses.scene import MAX_PPS, RATE_WINDOW_NS, Scene
from harness.run.witnesses.told import series_of
from harness.units import NS_PER_S

POLL_S = 0.05
MAX_FILE_BYTES = 64 << 20
MAX_INTERFACES = 64


class TapWitness:
    """Listens on all interfaces for the receivers and senders of a run.

    Args:
      scene: the run.
      path: of the file for IGMP and MLD; it is made with the first message.
    """

    n_dropped = 0

    def __init__(self, scene: Scene, path: Path) -> None:
        self._scene, self._path = scene, path
        plan = scene.plan
        self._receivers = [one for one in plan.receivers if "tap" in one.witnesses]
        self._streams = [stream for stream in plan.streams if plan.is_sender_tapped and not stream.offload]
        pinned = [joined.interface for one in self._receivers for joined in one.memberships]
        pinned += [stream.interface for stream in self._streams]
        self._kept_of = None if None in pinned else {name for name in pinned if name is not None}
        self._loopbacks = {interface.name for interface in list_interfaces() if interface.is_loopback}
        self._tap: Tap | None = None
        self._missing: str | None = None
        self._incoming, self._outgoing = FlowCounts(scene.start_ns), FlowCounts(scene.start_ns)
        self._names: dict[int, str] = {}
        self._thinned_ns: int | None = None
        self._n_window, self._window_ns = 0, scene.start_ns
        self._n_lost = 0
        self._file: PcapngFile | None = None
        self._numbers: dict[tuple[str, int], int] = {}
        self._n_bytes = 0

    def open(self) -> None:
        """Begin to listen; a refusal stands in the series."""
        flows = {joined.group for one in self._receivers for joined in one.memberships}
        flows |= {stream.group for stream in self._streams}
        try:
            self._tap = open_tap(sorted(flows, key=str))
        except InterfaceError as exc:
            self._missing = str(exc)

    async def run(self) -> None:
        """Look at what came, until cancelled."""
        while self._tap is not None:
            await trio.sleep(POLL_S)
            self._poll()

    def _poll(self) -> None:
        assert self._tap is not None
        clock = self._scene.recorder.clock
        batch = self._tap.read()
        if batch is not None:
            batch.meta["rx_ns"] = clock.to_run_time(batch.meta["rx_ns"])
            for index in np.unique(batch.meta["ifindex"]).tolist():
                self._name_of(index)  # while it is there
            self._incoming.add(batch.meta[~batch.is_outgoing])
            self._outgoing.add(batch.meta[batch.is_outgoing])
            self._n_window += len(batch.meta)
        now_ns = clock.now_ns()
        if now_ns - self._window_ns >= RATE_WINDOW_NS:
            if self._n_window * NS_PER_S > MAX_PPS * (now_ns - self._window_ns) and self._thinned_ns is None:
                self._thinned_ns = now_ns
                self._n_lost += self._tap.drops()
                self._tap.stop_counting()
                self._scene.note(f"the tap takes IGMP and MLD alone from here on: more than {MAX_PPS:,} pps")
            self._n_window, self._window_ns = 0, now_ns
        frames = [frame for frame in self._tap.read_frames() if self._is_kept(frame)]
        if frames:
            try:
                self._keep(frames)
            except StorageError:  # the disk is full, which the recording itself will say
                self._n_bytes = MAX_FILE_BYTES

    def _name_of(self, index: int) -> str:
        if index not in self._names:
            try:
                self._names[index] = socket.if_indextoname(index)
            except OSError:
                self._names[index] = f"ifindex {index}"
        return self._names[index]

    def _is_kept(self, frame: TapFrame) -> bool:
        """Whether a membership message passed an interface that a receiver or a sender is concerned with.

        On loopback nobody asks, and what the host tells itself there means nothing.
        """
        is_concerned = self._kept_of is None or frame.interface in self._kept_of
        return is_concerned and frame.interface not in self._loopbacks

    def _keep(self, frames: list[TapFrame]) -> None:
        """Append membership messages to the file; it stays within its bound."""
        if self._n_bytes >= MAX_FILE_BYTES:
            return
        if self._file is None:
            self._file = PcapngFile(self._path, "IGMP and MLD as seen on the wire during the run", is_growing=True)
        for frame in frames:
            key = (frame.interface, frame.link_type)
            if key not in self._numbers and len(self._numbers) < MAX_INTERFACES:
                self._numbers[key] = len(self._numbers)
                self._file.add_interface(Interface(frame.interface, frame.link_type, 0))
        kept = [frame for frame in frames if (frame.interface, frame.link_type) in self._numbers]
        stamps = self._scene.recorder.clock.to_run_time(np.array([frame.rx_ns for frame in kept], np.int64))
        sizes = np.array([len(frame.data) for frame in kept], np.int64)
        numbers = np.array([self._numbers[frame.interface, frame.link_type] for frame in kept], np.int64)
        out, at = packet_blocks(stamps, numbers, sizes, sizes)
        data = np.frombuffer(b"".join(frame.data for frame in kept), np.uint8)
        copy_rows(out, at, data, np.cumsum(sizes) - sizes, sizes)
        self._file.write(out)
        self._n_bytes += len(out)
        if self._n_bytes >= MAX_FILE_BYTES:
            self._scene.note(f"IGMP and MLD are no longer kept: {self._path.name} has reached its bound")

    def close(self) -> None:
        """Take what still waits, close the file, and say what was lost on the way."""
        if self._tap is None:
            return
        self._poll()
        self._n_lost += self._tap.drops()
        self._tap.close()
        self._tap = None
        if self._file is not None:
            with contextlib.suppress(StorageError), self._file:
                pass
        n_untold = self._incoming.n_untold + self._outgoing.n_untold
        if self._n_lost:
            self._scene.note(f"the tap missed {self._n_lost:,} frames: its buffer was full")
        if n_untold:
            self._scene.note(f"the tap saw {n_untold:,} packets of further sources, which it does not tell apart")

    def series(self, end_ns: int) -> list[WitnessSeries]:
        """Return a series for each group, interface and source; at least one for each group."""
        until_ns = self._thinned_ns or end_ns
        found: list[WitnessSeries] = []
        for one in self._receivers:
            for joined in one.memberships:
                base = WitnessSeries(kind="tap", receiver=one.name, group=str(joined.group), interface="")
                found += self._of_group(base, self._incoming, joined.group, joined.interface, until_ns)
        for group, interface in {stream.group: stream.interface for stream in self._streams}.items():
            base = WitnessSeries(kind="tap", group=str(group), interface="", direction="out")
            found += self._of_group(base, self._outgoing, group, interface, until_ns)
        return found

    def _of_group(
        self, base: WitnessSeries, counts: FlowCounts, group: Endpoint, expected: str | None, until_ns: int
    ) -> list[WitnessSeries]:
        """Return the series of one group: by interface, the expected one first, even when nothing passed there."""
        by_interface: dict[str, list[tuple[str, BinCounts]]] = {expected: []} if expected else {}
        for flow, counted in counts.flows():
            if _is_to(flow, group):
                by_interface.setdefault(self._name_of(flow.ifindex), []).append((flow.source, counted))
        found: list[WitnessSeries] = []
        for interface, heard in (by_interface or {"": []}).items():
            named = msgspec.structs.replace(
                base, interface=interface, start_ns=self._scene.start_ns, missing=self._missing
            )
            found += series_of(named, heard, until_ns)
        return found


def _is_to(flow: Flow, group: Endpoint) -> bool:
    wanted = str(group.address).partition("%")[0]
    return (
        flow.port == group.port and bool(flow.destination) and parse_address(flow.destination) == parse_address(wanted)
    )
