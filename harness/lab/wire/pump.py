"""The wire at work: reads both ends, asks `Faults`, writes, logs; and is told by its controller when to start and stop.

One thread without an event loop, because at 100,000 frames a second each microsecond is a tenth of the time.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence

import msgspec

from harness.lab.wire.cap import DEFAULT_CAP_PPS, RateCap, burst_of
from harness.lab.wire.ends import OpenEnd
from harness.lab.wire.faults import Faults, Sent
from harness.lab.wire.plan import Plan
from harness.lab.wire.records import BACKWARD, FORWARD, DirectionLedger, Ledger
from harness.lab.wire.truth import Start, TruthWriter
from harness.units import NS_PER_S

BATCH = 64
"""Frames read from one end before the other has its turn."""

WATCH_NS = 100_000_000
"""How long the wire sleeps at most, so that it notices the end of its parent."""

DRAIN_S = 3.0
"""How long frames are still carried when the wire is told to stop; what then waits is counted."""


def queue_of(cap_pps: float) -> int:
    """Return how many frames may wait at an end: twice what the cap lets through at once."""
    return max(1_000, 2 * burst_of(cap_pps))


class Pump:
    """Carries frames between two ends until told to stop.

    Args:
      ends: first and second.
      plan: the faults.
      cap_pps: frames per second that may pass; None carries as many as it can, for measuring.
      truth: where records go; None keeps none.
      limit_pps: what was measured, for the ledger.
    """

    def __init__(
        self,
        ends: tuple[OpenEnd, OpenEnd],
        plan: Plan,
        cap_pps: float | None,
        truth: TruthWriter | None = None,
        limit_pps: float | None = None,
    ) -> None:
        self._ends = ends
        self._faults = Faults(plan, RateCap(cap_pps) if cap_pps is not None else None)
        self._truth = truth
        self._cap_pps, self._limit_pps = cap_pps or 0.0, limit_pps
        self._start: Start | None = None
        self.is_over = False

    def start(self, at_realtime_ns: int | None = None, at_monotonic_ns: int | None = None) -> Start:
        """Begin the timeline of the faults, at a time of either clock or now; return it on both."""
        offset_ns = _offset_ns()
        if at_monotonic_ns is None:
            at_monotonic_ns = time.monotonic_ns() if at_realtime_ns is None else at_realtime_ns - offset_ns
        self._faults.start(at_monotonic_ns)
        self._start = Start(realtime_ns=at_monotonic_ns + offset_ns, monotonic_ns=at_monotonic_ns)
        if self._truth is not None:
            self._log()
            self._truth.started(self._start)
        return self._start

    def run(self, watched: int | None = None, watch: Callable[[], None] = lambda: None) -> None:
        """Carry frames until `is_over`.

        Args:
          watched: a descriptor that wakes the wire when it can be read.
          watch: called when it can, and every tenth of a second.
        """
        fds = [end.fd for end in self._ends] + ([watched] if watched is not None else [])
        next_watch_ns = 0
        while not self.is_over:
            now_ns = time.monotonic_ns()
            wake_ns = min(next_watch_ns, self._faults.next_due_ns or next_watch_ns)
            readable, _, _ = select.select(fds, (), (), max(0, wake_ns - now_ns) / NS_PER_S)
            self.turn()
            if watched in readable or time.monotonic_ns() >= next_watch_ns:
                watch()
                self._write_log()
                next_watch_ns = time.monotonic_ns() + WATCH_NS

    def turn(self) -> int:
        """Carry what waits, up to a batch from each end, and release what is due; return how many were read."""
        n_read = 0
        clock, offer = time.monotonic_ns, self._faults.offer
        for direction in (FORWARD, BACKWARD):
            read, write = self._ends[direction].read, self._ends[1 - direction].write
            for _ in range(BATCH):
                frame = read()
                if frame is None:
                    break
                n_read += 1
                for sent in offer(direction, frame, clock()):
                    if sent.direction != direction:
                        self._send(sent)
                    elif number := write(sent.data):
                        self._faults.refused(sent, number, clock())
        if self._faults.next_due_ns is not None:
            self._send_all(self._faults.due(clock()))
        if self._faults.is_logged:
            self._log()
        return n_read

    def finish(self) -> Ledger:
        """Read what still waits, give up what is held, and write the ledger; the ends stay open."""
        deadline = time.monotonic() + DRAIN_S
        while self.turn() and time.monotonic() < deadline:
            pass
        self._give_up()
        self._faults.finish(time.monotonic_ns())
        ledger = self.ledger()
        ledger.end_monotonic_ns = time.monotonic_ns()
        ledger.end_realtime_ns = ledger.end_monotonic_ns + _offset_ns()
        if self._truth is not None:
            self._log()
            self._truth.close(ledger)
        return ledger

    def ledger(self) -> Ledger:
        """Return the account as it stands."""
        for direction, counts in enumerate(self._faults.counts):
            near, far = self._ends[direction], self._ends[1 - direction]
            counts.n_queue_drops, counts.n_far_drops = near.queue_drops(), far.far_drops()
            counts.n_completed = near.n_completed
        forward, backward = self._faults.counts
        return Ledger(
            forward=_copy(forward),
            backward=_copy(backward),
            cap_pps=self._cap_pps,
            limit_pps=self._limit_pps,
            start_realtime_ns=self._start.realtime_ns if self._start else None,
            start_monotonic_ns=self._start.monotonic_ns if self._start else None,
        )

    def _give_up(self) -> None:
        """Count what still waits, up to what the queues hold: who goes on sending is not waited for."""
        for direction in (FORWARD, BACKWARD):
            for _ in range(2 * queue_of(self._cap_pps or DEFAULT_CAP_PPS)):
                frame = self._ends[direction].read()
                if frame is None:
                    break
                self._faults.give_up(direction, frame, time.monotonic_ns())

    def _send(self, sent: Sent) -> None:
        if number := self._ends[1 - sent.direction].write(sent.data):
            self._faults.refused(sent, number, time.monotonic_ns())

    def _send_all(self, frames: Sequence[Sent]) -> None:
        for sent in frames:
            self._send(sent)

    def _log(self) -> None:
        records = self._faults.take_records()
        if self._truth is not None:
            self._truth.records(records, _offset_ns())

    def _write_log(self) -> None:
        if self._truth is not None:
            self._truth.flush()


def _copy(counts: DirectionLedger) -> DirectionLedger:
    return msgspec.structs.replace(counts, n_dropped=dict(counts.n_dropped))


def _offset_ns() -> int:
    """Return realtime minus monotonic, now."""
    before = time.monotonic_ns()
    realtime = time.time_ns()
    return realtime - (before + time.monotonic_ns()) // 2
