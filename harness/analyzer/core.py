"""The accumulators of one stream, fed in arrival order: everything that a summary is made from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.arrivals import Arrivals
from harness.analyzer.jitter import Jitter
from harness.analyzer.marks import MarkSample
from harness.analyzer.passive import Spacings
from harness.analyzer.reception import Reception
from harness.analyzer.runs import RunSet
from harness.analyzer.series import BinnedSeries
from harness.analyzer.sketch import Sketch
from harness.analyzer.trains import RisingTrains
from harness.model import UNDEFINED_NS, PacketArray, Parameters, StreamInfo, TrainArray, expand_trains

Int64Array = NDArray[np.int64]


class Core(Reception):
    """What is known of one stream after the packets fed so far.

    Attributes:
      joint: of a later part, where the numbering stood after its first packets.
      n_unsynchronised: merges at which a part could not be fitted to the one before it exactly.
    """

    def __init__(self, info: StreamInfo, parameters: Parameters) -> None:
        self.joint: tuple[int, tuple[int, int]] | None = None
        self.arrivals = Arrivals(parameters.horizon)
        ticks_bits = info.clock_bits if info.clock_rate else None
        self.spacings = Spacings(ticks_bits)
        self.jitter = Jitter(info.clock_rate, info.clock_bits)
        super().__init__(info, parameters)  # last: it starts the counts, those of the above as well

    def restart_counts(self) -> None:
        """Count from zero, but keep what later packets are judged against: numbers seen, recent and last packets."""
        super().restart_counts()
        self.n_unsynchronised = 0
        self.n_negative = 0
        self.delay = Sketch()
        self.series = BinnedSeries()
        self.reordered = MarkSample("reordered")
        self.duplicates = MarkSample("duplicate")
        self.too_late = MarkSample("too_late")
        self.corrupt = MarkSample("corrupt")
        self.arrivals.restart_counts()
        self.spacings.restart_counts()
        self.jitter.restart_counts()
        self.extender.n_undecidable = self.extender.n_resolved = self.extender.n_unresolved = 0

    def append(self, later: Core) -> None:
        """Add what `later` counted since its own `restart_counts`, which stood where this core stands now."""
        delta = 0
        if self.extender.highest is not None and later.joint is not None:
            delta = self.extender.last - later.joint[0]
            self.n_unsynchronised += later.joint[1] != self.extender.lag
        for name in ("n_copies", "n_bare", "n_corrupt", "n_misdelivered", "n_unusable", "n_unsynchronised"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self.n_negative += later.n_negative
        self.received.merge(later.received, delta)
        self.late.merge(later.late, delta)
        self.arrivals.append(later.arrivals, delta)
        self.spacings.append(later.spacings, delta)
        self.jitter.append(later.jitter)
        self.delay.merge(later.delay)
        self.series.merge(later.series, delta)
        for ours, theirs in zip(self.samples(), later.samples(), strict=True):
            ours.merge(theirs, delta)
        self.extender.append(later.extender, delta)
        self.first_ns = later.first_ns if self.first_ns is None else self.first_ns
        self.last_ns = later.last_ns if later.last_ns is not None else self.last_ns

    def begin_body(self) -> None:
        """Count from zero, and remember where in the numbering that was."""
        self.joint = (self.extender.last, self.extender.lag) if self.is_numbered else None
        self.context = (self.received, self.late)
        self.received, self.late = RunSet(), RunSet()
        self.restart_counts()

    def samples(self) -> tuple[MarkSample, ...]:
        """Return the samples of single packets, one for each kind."""
        return self.reordered, self.duplicates, self.too_late, self.corrupt

    def _accumulate(
        self,
        numbers: Int64Array | None,
        rx_ns: Int64Array,
        tx: Int64Array,
        delay: Int64Array | None,
        is_sent: NDArray[np.bool_] | None,
        *,
        is_rising: bool = False,
    ) -> None:
        """Take first copies within Tmax, in arrival order, into everything that is computed from those."""
        if not len(rx_ns):
            return
        if delay is None:
            delay = np.full(len(rx_ns), UNDEFINED_NS)
        else:
            known = delay if is_sent is None else delay[is_sent]
            self.delay.add(known)
            self.n_negative += int(np.count_nonzero(known < 0))
        if delay is not None and is_sent is not None and not self.info.clock_rate:
            delay = np.where(is_sent, delay, UNDEFINED_NS)
        if numbers is not None:
            late = self.arrivals.add(numbers, rx_ns, delay, is_rising=is_rising)
            if len(late):
                self.reordered.add(rx_ns[late], numbers[late])
        self.series.add(rx_ns, numbers, delay, UNDEFINED_NS)
        is_stamped = is_sent is None or bool(is_sent.all())
        if is_stamped:
            self.jitter.add(rx_ns, tx)
        elif is_sent is not None:
            self.jitter.add(rx_ns[is_sent], tx[is_sent])
        if self.info.first_due_ns is None or numbers is None:
            self.spacings.add(rx_ns, numbers, tx if self.info.clock_rate else None)

    def feed_trains(self, trains: TrainArray) -> None:
        """Take TRAIN_DTYPE records of this stream, shape (k,), in arrival order, as `feed` takes their packets."""
        if self.info.first_due_ns is None:  # each silence may be one of the longest, those within trains too
            self.feed(expand_trains(trains))
        else:
            super().feed_trains(trains)

    def _accumulate_trains(self, trains: RisingTrains) -> None:
        self.delay.add_repeated(trains.delay_ns, trains.n_each)
        if trains.shortest_ns < 0:
            self.n_negative += int(trains.n_each[trains.delay_ns < 0].sum())
        self.arrivals.add_trains(trains)
        self.series.add_trains(trains)
        self.jitter.add_trains(trains)

    def _note_late(self, rx_ns: Int64Array, numbers: Int64Array) -> None:
        self.too_late.add(rx_ns, numbers)

    def _note_copies(self, rx_ns: Int64Array, numbers: Int64Array) -> None:
        self.duplicates.add(rx_ns, numbers)

    def _note_corrupt(
        self, rows: PacketArray, is_corrupt: NDArray[np.bool_], numbers: Int64Array, before: int | None
    ) -> None:
        """Mark corrupt packets at the number that they claim, as near the highest before them as it gets."""
        at = np.flatnonzero(is_corrupt & (rows["seq"] >= 0))
        if not len(at):
            return
        claimed, rx_ns = rows["seq"][at], rows["rx_ns"][at]
        good_before = np.cumsum(~is_corrupt)[at]
        tops = np.maximum.accumulate(np.append(-1 if before is None else before, numbers))[good_before]
        nearest = claimed if self.extender.modulus is None else tops + self.extender.wrap(claimed - tops)
        is_first = (good_before == 0) & (before is None)
        self.corrupt.add(rx_ns, np.where(is_first, claimed, nearest))
