"""Where a run's records go: into the store, and through the live fold that the status line is read from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import trio

from harness.analyzer import Fold
from harness.model import PACKET_DTYPE, Counters, Event, PacketArray, Parameters
from harness.net import RunClock
from harness.store import RunWriter
from harness.traffic import StreamRegistry

FOLD_ROWS = 16_384
"""Rows that wait for the live fold at most: folding many at once costs a small part of folding them batch by batch."""

_PLAIN = np.dtype((np.void, PACKET_DTYPE.itemsize))
"""A record as plain bytes: numpy copies structures field by field, 25 times as slowly."""

POLL_S = 0.2
"""How often the writer is asked to write; it does once a second, and when its buffers are half full."""


class Recorder:
    """Takes packets, sender's records and events of one run.

    Attributes:
      registry: numbers the streams that are heard.
      is_counting: packets are no longer recorded one by one.
      counters: reads the receivers' running totals.
      n_received, n_sent, n_refused: packets so far.
    """

    counters: Callable[[], Counters] = Counters

    def __init__(self, writer: RunWriter, clock: RunClock, parameters: Parameters | None = None) -> None:
        self.writer, self.clock = writer, clock
        self.registry = StreamRegistry()
        self._fold = Fold(parameters or Parameters(), is_first=True)
        self._unfolded: list[PacketArray] = []
        self._n_unfolded = 0
        self.is_counting = False
        self.n_received = self.n_sent = self.n_refused = 0

    @property
    def fold(self) -> Fold:
        """The live analysis: for the status line, and for the summary of a run whose packets are only counted."""
        self._fold_waiting()
        return self._fold

    def _fold_waiting(self) -> None:
        if self._unfolded:
            rows, self._unfolded, self._n_unfolded = self._unfolded, [], 0
            self._fold.update(np.concatenate(rows).view(PACKET_DTYPE))

    def packets(self, records: PacketArray) -> None:
        """Take records of packets received; their streams stand in the registry already. It keeps the array."""
        for info in self.registry.take_fresh():
            if info.sent is None:
                self.event("stream", f"stream {info.number}: {info.label}", receiver=info.receiver)
            else:
                self.event("end_of_stream", f"stream {info.number}: {info.sent} sent", receiver=info.receiver)
            self.writer.add_stream(info)
            self._fold.add_stream(info)
        if not self.is_counting and self.writer.is_behind:
            self.count_only("the disk takes packets more slowly than they come")
        if not self.is_counting:
            self.writer.append_packets(records)
        self.n_received += len(records)
        self._unfolded.append(records.view(_PLAIN))
        self._n_unfolded += len(records)
        if self._n_unfolded >= FOLD_ROWS:
            self._fold_waiting()

    def count_only(self, why: str) -> None:
        """From now on count packets and their windows, through the same fold, and record them no longer one by one."""
        self.is_counting = True
        self.writer.amend(counted_from_ns=self.clock.now_ns())
        self.event("note", f"packets are counted from here on, not recorded one by one: {why}")

    def sent(self, records: PacketArray) -> None:
        """Take records of a sender's log."""
        self.writer.append_sent(records)
        refused = int((records["errno"] != 0).sum())
        self.n_refused += refused
        self.n_sent += len(records) - refused

    def count_sent(self, n_sent: int, n_refused: int) -> None:
        """Count packets of a sender whose log is not kept."""
        self.n_sent += n_sent
        self.n_refused += n_refused

    def event(self, kind: str, text: str, *, receiver: str = "", t_ns: int | None = None) -> None:
        """Take something that happened, now or at `t_ns` of the run's time line."""
        now_ns = self.clock.now_ns()
        self.writer.event(
            Event(
                t_ns=now_ns if t_ns is None else t_ns,
                kind=kind,
                text=text,
                receiver=receiver,
                monotonic_ns=self.clock.to_monotonic(now_ns),
            )
        )

    async def keep_flushing(self) -> None:
        """Write and sync about once a second until cancelled."""
        while True:
            await trio.sleep(POLL_S)
            if self.writer.is_due:  # else it would start a thread to find out
                await self.flush()

    async def flush(self) -> None:
        """Write and sync now, in a thread, so that a slow disk does not stop the traffic.

        Raises:
          StorageError: the disk is full or gone; what fitted stays readable.
        """
        self.writer.set_counters(self.counters())
        await trio.to_thread.run_sync(self.writer.flush)
