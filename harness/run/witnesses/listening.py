"""A socket whose datagrams are counted and not kept, read seldom: what it costs must not show in the run."""

from __future__ import annotations

import time

import trio

from harness.errors import InterfaceError
from harness.model import Batch, PacketFlag
from harness.net import ReceiverSocket
from harness.run.recorder import Recorder
from harness.run.witnesses.counting import FlowCounts
from harness.run.witnesses.scene import MAX_PPS, RATE_WINDOW_NS
from harness.units import NS_PER_S

PAUSE_NS = 20_000_000
BUFFER_BYTES = 8_000_000
"""Asked for; what is granted decides how long the socket may be left alone."""

CAPACITY = 1024
"""Datagrams read at a time at most."""

MAX_ERRORS = 100
MAX_FINAL_BATCHES = 1_000
_DATAGRAM_BYTES = 2304
"""What one datagram takes of a receive buffer by the kernel's accounting, up to the MTU of Ethernet."""


class Listening:
    """Counts what comes to a socket that others hand over.

    Attributes:
      is_too_fast: it gave up, since more than MAX_PPS came.
      ended_ns: when it gave up; None while it has not.
    """

    def __init__(self, socket: ReceiverSocket, counts: FlowCounts, recorder: Recorder) -> None:
        self.socket, self.counts, self._recorder = socket, counts, recorder
        self.is_too_fast = False
        self.ended_ns: int | None = None

    async def run(self) -> None:
        """Count until cancelled, or until it is too much."""
        n_errors, n_window, window_ns = 0, 0, time.monotonic_ns()
        last_ns = window_ns
        while n_errors < MAX_ERRORS:
            try:
                datagrams = await self.socket.receive()
            except trio.ClosedResourceError:
                return
            except InterfaceError:  # the kernel refuses a read; the next may work
                n_errors += 1
                await trio.sleep(0.01)
                continue
            n_errors = 0
            n_rows, now_ns = len(datagrams), time.monotonic_ns()
            self._count(datagrams)
            n_window += n_rows
            if now_ns - window_ns >= RATE_WINDOW_NS:
                if n_window * NS_PER_S > MAX_PPS * (now_ns - window_ns):
                    self.is_too_fast = True
                    self.ended_ns = self._recorder.clock.now_ns()
                    return
                n_window, window_ns = 0, now_ns
            fills_in_ns = (now_ns - last_ns) * self.socket.buffer_granted // (_DATAGRAM_BYTES * max(1, n_rows))
            last_ns = now_ns
            if n_rows < CAPACITY:  # else there may be more
                await trio.sleep(min(PAUSE_NS, fills_in_ns // 3) / NS_PER_S)

    def _count(self, datagrams: Batch) -> None:
        meta = datagrams.meta
        is_meant = meta["flags"] & PacketFlag.MISDELIVERED == 0
        meta["rx_ns"] = self._recorder.clock.to_run_time(meta["rx_ns"])
        self.counts.add(meta if is_meant.all() else meta[is_meant])

    def close(self) -> int:
        """Count what still waits, close, and return how many datagrams the socket's buffer lost."""
        if not self.socket.is_closed and not self.is_too_fast:
            for _ in range(MAX_FINAL_BATCHES):
                try:
                    datagrams = self.socket.receive_nowait()
                except InterfaceError:
                    break
                if datagrams is None:
                    break
                self._count(datagrams)
        self.socket.close()
        return self.socket.drops() or 0
