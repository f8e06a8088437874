"""What needs the packets that came just before: reordering (RFC 4737) and IPDV in sending order (RFC 5481 4.1).

The last `horizon` packets are remembered, exactly that many, so that the figures do not depend on how the packets were
cut into chunks. A packet that reaches farther back is counted, and its extent is a bound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sketch import Sketch
from harness.analyzer.trains import RisingTrains
from harness.model import UNDEFINED_NS, Reordering

Int64Array = NDArray[np.int64]

_NUMBER, _TOP, _RX, _DELAY = range(4)


class Arrivals:
    """First copies in arrival order.

    Attributes:
      n: packets so far.
      top: the highest number so far, NextExp - 1 of RFC 4737; None before the first.
      ipdv: D(k) - D(k - 1) of successive numbers that both came and have a delay.
    """

    __slots__ = (
        "_extent_max", "_extent_sum", "_horizon", "_known", "_late_time_max", "_newest",
        "ipdv", "n", "n_beyond", "n_reordered", "top",
    )  # fmt: skip

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._known: Int64Array = np.empty((4, 0), np.int64)
        self._newest: RisingTrains | None = None  # they hold the last packets, if anybody asks for those
        self.top: int | None = None
        self.restart_counts()

    def restart_counts(self) -> None:
        """Count from zero, with the memory kept."""
        self.n = self.n_reordered = self.n_beyond = 0
        self._extent_sum = self._extent_max = 0
        self._late_time_max: int | None = None
        self.ipdv = Sketch()

    def add(self, numbers: Int64Array, rx_ns: Int64Array, delay_ns: Int64Array, *, is_rising: bool) -> Int64Array:
        """Take first copies in arrival order, shape (n,) each, and return the positions of the reordered ones.

        Args:
          numbers: extended numbers.
          rx_ns: receive times.
          delay_ns: one-way delays, UNDEFINED_NS where there is none.
          is_rising: the numbers rise strictly, and all above `top`.
        """
        if not len(numbers):
            return np.zeros(0, np.int64)
        if is_rising:
            tops, reordered = numbers, np.zeros(0, np.int64)
            self._add_ipdv_rising(numbers, delay_ns)
        else:
            start = numbers[0] - 1 if self.top is None else self.top
            tops = np.maximum.accumulate(np.concatenate(([start], numbers)))[1:]
            reordered = np.flatnonzero(numbers < tops)
            known = self._recent.shape[1]
            everything = np.concatenate((self._recent, np.stack((numbers, tops, rx_ns, delay_ns))), axis=1)
            self._add_reordered(everything, known + reordered)
            self._add_ipdv(everything, known)
        self._remember(np.stack([part[-self._horizon :] for part in (numbers, tops, rx_ns, delay_ns)]))
        self.top = int(tops[-1])
        self.n += len(numbers)
        return reordered

    def add_trains(self, trains: RisingTrains) -> None:
        """Take trains of first copies in arrival order, above `top`: the delay varies from one to the next only."""
        k, before = len(trains.first), None
        if self.top is not None and self.top + 1 == trains.first[0]:
            before = self.delay_of(self.top) if self._newest is None else int(self._newest.delay_ns[-1])
        change_ns, n_each = np.empty(k + 1, np.int64), np.empty(k + 1, np.int64)
        change_ns[0], n_each[0] = 0, trains.n - k
        change_ns[1], n_each[1] = (0, 0) if before is None else (int(trains.delay_ns[0]) - before, 1)
        change_ns[2:], n_each[2:] = trains.change_ns, trains.missing == 0
        if int(n_each.min()) == 0:
            is_pair = n_each > 0
            change_ns, n_each = change_ns[is_pair], n_each[is_pair]
        self.ipdv.add_repeated(change_ns, n_each)
        if trains.n >= self._horizon:
            self._newest = trains
        else:
            number, rx_ns, delay_ns = trains.newest(self._horizon)
            self._remember(np.stack((number, number, rx_ns, delay_ns)))
        self.top = int(trains.end[-1]) - 1
        self.n += trains.n

    def append(self, later: Arrivals, delta: int) -> None:
        """Add the counts of the packets that followed, their numbers moved by `delta`."""
        recent = later._recent[:, later._recent.shape[1] - min(later.n, later._recent.shape[1]) :].copy()
        recent[:2] += delta
        self._remember(recent)
        if later.top is not None:
            self.top = later.top + delta if self.top is None else max(self.top, later.top + delta)
        self.n += later.n
        self.n_reordered += later.n_reordered
        self.n_beyond += later.n_beyond
        self._extent_sum += later._extent_sum
        self._extent_max = max(self._extent_max, later._extent_max)
        if later._late_time_max is not None:
            self._note_late_time(later._late_time_max)
        self.ipdv.merge(later.ipdv)

    def delay_of(self, number: int) -> int | None:
        """Return the delay of a number among the packets remembered; None when it is not there or undefined."""
        at = np.flatnonzero(self._recent[_NUMBER] == number)
        delay = int(self._recent[_DELAY, at[0]]) if len(at) else UNDEFINED_NS
        return None if delay == UNDEFINED_NS else delay

    def reordering(self) -> Reordering:
        """Return the figures for the summary (RFC 4737 3.3, 4.1-4.3)."""
        count = self.n_reordered
        return Reordering(
            reordered=count,
            ratio=count / self.n if self.n else None,
            extent_max=self._extent_max if count else None,
            extent_mean=self._extent_sum / count if count else None,
            late_time_max_ns=self._late_time_max,
            beyond_horizon=self.n_beyond,
        )

    @property
    def _recent(self) -> Int64Array:
        """The last packets, at most the horizon: shape (4, n)."""
        if self._newest is not None:
            number, rx_ns, delay_ns = self._newest.newest(self._horizon)
            self._known, self._newest = np.stack((number, number, rx_ns, delay_ns)), None
        return self._known

    def _remember(self, newest: Int64Array) -> None:
        missing = self._horizon - newest.shape[1]
        kept = self._recent[:, -missing:] if missing > 0 else self._recent[:, :0]
        self._known = np.concatenate((kept, newest), axis=1)

    def _add_reordered(self, everything: Int64Array, late: Int64Array) -> None:
        """Count the reordered packets at the positions `late`: the extent reaches to the first larger number."""
        if not len(late):
            return
        cause = np.searchsorted(everything[_TOP], everything[_NUMBER, late], side="right")
        extent = np.minimum(late - cause, self._horizon)
        late_time = everything[_RX, late] - everything[_RX, late - extent]
        self.n_reordered += len(late)
        self.n_beyond += int(np.count_nonzero(extent == self._horizon))
        self._extent_sum += int(extent.sum())
        self._extent_max = max(self._extent_max, int(extent.max()))
        self._note_late_time(int(late_time.max()))

    def _note_late_time(self, late_time: int) -> None:
        self._late_time_max = late_time if self._late_time_max is None else max(late_time, self._late_time_max)

    def _add_ipdv(self, everything: Int64Array, known: int) -> None:
        """Pair successive numbers at most the horizon apart, each pair when its later arrival comes."""
        order = np.argsort(everything[_NUMBER], kind="stable")
        number, delay = everything[_NUMBER, order], everything[_DELAY, order]
        apart = np.diff(order)
        is_pair = (
            (np.diff(number) == 1)
            & (np.maximum(order[1:], order[:-1]) >= known)
            & (np.abs(apart) <= self._horizon)
            & (delay[1:] != UNDEFINED_NS)
            & (delay[:-1] != UNDEFINED_NS)
        )
        self.ipdv.add(np.diff(delay)[is_pair])

    def _add_ipdv_rising(self, number: Int64Array, delay: Int64Array) -> None:
        lowest = int(delay.min())
        if lowest == UNDEFINED_NS and int(delay.max()) == UNDEFINED_NS:
            return
        before = self.delay_of(int(number[0]) - 1) if self.n or self._recent.shape[1] else None
        if before is not None and int(delay[0]) != UNDEFINED_NS:
            self.ipdv.add(delay[:1] - before)
        steps = np.diff(delay)
        is_pair = np.diff(number) == 1
        if lowest == UNDEFINED_NS:
            is_pair &= (delay[1:] != UNDEFINED_NS) & (delay[:-1] != UNDEFINED_NS)
        self.ipdv.add(steps if is_pair.all() else steps[is_pair])
