"""Where a run's records go: into the store and a tally for the status line, or into a fold where they are counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import trio

from harness.analyzer import Fold, StreamView, Tally
from harness.model import (
    TRAIN_DTYPE,
    Counters,
    Event,
    PacketArray,
    Parameters,
    StreamInfo,
    TrainArray,
    expand_trains,
    join_records,
)
from harness.net import RunClock
from harness.store import RunWriter
from harness.traffic import StreamRegistry
from harness.units import NS_PER_S

FOLD_ROWS = 16_384
"""Rows that wait for the fold at most: folding many at once costs a small part of folding them batch by batch."""

FOLD_TRAINS = 4_096
"""Trains that wait for it at most: 262,144 packets, if they are as long as receive offload makes them."""

POLL_S = 0.2
"""How often the writer is asked to write; it does once a second, and when its buffers are half full."""


class Recorder:
    """Takes packets, sender's records and events of one run.

    Attributes:
      registry: numbers the streams that are heard.
      counters: reads the receivers' running totals.
      n_received, n_sent, n_refused: packets so far.
      n_recorded: packets received that went to the writer one by one.
      is_counting_sent: the disk does not keep up with the senders' log: what leaves is to be counted, not logged.
      news: happens when a stream is new or has told its end, and when `tell_news` is called; then another takes its
        place.
    """

    counters: Callable[[], Counters] = Counters

    def __init__(self, writer: RunWriter, clock: RunClock, parameters: Parameters | None = None) -> None:
        self.writer, self.clock = writer, clock
        self.registry = StreamRegistry()
        self._parameters = parameters or Parameters()
        self._tally: Tally | None = Tally(self._parameters)
        self._fold: Fold | None = None
        self._unfolded: list[PacketArray | TrainArray] = []  # of the one kind or the other
        self._n_unfolded = 0
        self.n_received = self.n_sent = self.n_refused = self.n_recorded = 0
        self.is_counting_sent = False
        self.news, self._is_written_to = trio.Event(), trio.Event()

    @property
    def is_counting(self) -> bool:
        """Whether packets are no longer recorded one by one."""
        return self._fold is not None

    @property
    def counted(self) -> Fold | None:
        """The analysis of the packets that were not recorded one by one; None while there are none.

        It begins the recording when no packet was recorded; else it is the part that follows what is on the disk.
        """
        self._fold_waiting()
        return self._fold

    def view(self) -> list[StreamView]:
        """Return the live figures of all streams heard, of packets recorded and counted alike."""
        if self._tally is not None:
            return self._tally.view()
        return self.counted.view() if self.counted is not None else []

    def _fold_waiting(self) -> None:
        if self._fold is None or not self._unfolded:
            return
        rows, self._unfolded, self._n_unfolded = self._unfolded, [], 0
        together = join_records(rows)
        if together.dtype == TRAIN_DTYPE:
            self._fold.update_trains(together)
        else:
            self._fold.update(together)

    def packets(self, records: PacketArray) -> None:
        """Take records of packets received; their streams stand in the registry already. It keeps the array."""
        self._admit()
        self.n_received += len(records)
        if self._tally is not None:
            self._tally.update(records)
        if self._fold is None:
            self.n_recorded += len(records)
            self.writer.append_packets(records)
        else:
            self._let_wait(records, FOLD_ROWS)

    def trains(self, trains: TrainArray) -> None:
        """Take trains of packets received, as `packets` takes those; what is recorded, is so packet by packet."""
        self._admit()
        if self._fold is None:
            self.packets(expand_trains(trains))
            return
        self.n_received += int(trains["count"].sum())
        if self._tally is not None:
            self._tally.update_trains(trains)
        self._let_wait(trains, FOLD_TRAINS)

    def _admit(self) -> None:
        """Make known the streams that are new, and see whether the disk keeps up."""
        self._is_written_to.set()
        fresh = self.registry.take_fresh()
        for info in fresh:
            if info.sent is None:
                self.event("stream", f"stream {info.number}: {info.label}", receiver=info.receiver)
            else:
                self.event("end_of_stream", f"stream {info.number}: {info.sent} sent", receiver=info.receiver)
            self._add_stream(info)
        if fresh:
            self.tell_news()
        if not self.is_counting and self.writer.is_behind:
            self.count_only("the disk takes packets more slowly than they come")

    def _let_wait(self, rows: PacketArray | TrainArray, most: int) -> None:
        """Let packets or trains wait for the fold, behind what waits already; fold them when they are enough."""
        if self._unfolded and self._unfolded[0].dtype != rows.dtype:
            self._fold_waiting()
        self._unfolded.append(rows)
        self._n_unfolded += len(rows)
        if self._n_unfolded >= most:
            self._fold_waiting()

    def _add_stream(self, info: StreamInfo) -> None:
        self.writer.add_stream(info)
        if self._tally is not None:
            self._tally.add_stream(info)
        if self._fold is not None:
            self._fold_waiting()
            self._fold.add_stream(info)

    def count_only(self, why: str) -> None:
        """From now on count packets and their windows, with all figures, and record them no longer one by one."""
        if self._fold is None:
            is_first = not self.n_recorded
            self._fold = Fold(self._parameters, is_first=is_first)
            for info in self.registry.streams.values():
                self._fold.add_stream(info)
            if is_first:  # then the fold has every packet, and the tally has nothing to add
                self._tally = None
        self.writer.amend(counted_from_ns=self.clock.now_ns())
        self.event("note", f"packets are counted from here on, not recorded one by one: {why}")

    def sent(self, records: PacketArray, n_refused: int | None = None) -> None:
        """Take records of a sender's log, of which so many were refused; None: they are counted."""
        self._is_written_to.set()
        self.writer.append_sent(records)
        if not self.is_counting_sent and self.writer.is_sent_behind:
            self.is_counting_sent = True
            why = "the disk takes the log more slowly than it grows"
            self.event("note", f"packets sent are counted from here on, not logged one by one: {why}")
        n_refused = int(np.count_nonzero(records["errno"])) if n_refused is None else n_refused
        self.count_sent(len(records) - n_refused, n_refused)

    def count_sent(self, n_sent: int, n_refused: int) -> None:
        """Count packets of a sender, whether logged or not."""
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
        """Write and sync about once a second until cancelled; while nothing comes, wake up no more often than that."""
        while True:
            with trio.move_on_after(self.writer.due_in_ns / NS_PER_S):
                await self._is_written_to.wait()
            self._is_written_to = trio.Event()
            await trio.sleep(POLL_S)
            if not self.writer.due_in_ns:  # else it would start a thread to find out
                await self.flush()

    def tell_news(self) -> None:
        """Let whoever waits for news look."""
        self.news.set()
        self.news = trio.Event()

    async def flush(self) -> None:
        """Write and sync now, in a thread, so that a slow disk does not stop the traffic.

        Raises:
          StorageError: the disk is full or gone; what fitted stays readable.
        """
        self.writer.set_counters(self.counters())
        await trio.to_thread.run_sync(self.writer.flush)
