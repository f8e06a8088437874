"""Counts over time in bins whose width doubles as the stream grows, so that memory stays bounded and parts add up.

Bins lie on one grid for all streams and parts: bin i covers [i * 2**level, (i + 1) * 2**level) ns since 1970. Doubling
the width joins bins two by two, which gives the same counts whenever it is done.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.trains import RisingTrains

Int64Array = NDArray[np.int64]

MAX_BINS = 1024
_FINEST = 20  # 2**20 ns is about a millisecond
_MAXIMUM = np.iinfo(np.int64).max
_MINIMUM = np.iinfo(np.int64).min

_COUNT, _FIRST, _LAST, _SHORTEST, _LONGEST = range(5)
_EMPTY = (0, _MAXIMUM, _MINIMUM, _MAXIMUM, _MINIMUM)


class BinnedSeries:
    """Per bin: packets, lowest and highest number, shortest and longest delay.

    Attributes:
      level: the width of a bin is 2**level ns.
      low: the number of the first bin on the grid.
      table: shape (5, bins): count, lowest, highest number, shortest, longest delay; an empty bin has count 0, and
        the largest integer as a minimum, the smallest as a maximum.
    """

    __slots__ = ("level", "low", "max_bins", "table")

    def __init__(self, max_bins: int = MAX_BINS) -> None:
        self.max_bins = max_bins
        self.level = _FINEST
        self.low = 0
        self.table: Int64Array = _empty(0)

    def __len__(self) -> int:
        return int(self.table.shape[1])

    def add(self, rx_ns: Int64Array, numbers: Int64Array | None, delay_ns: Int64Array, undefined: int) -> None:
        """Count packets, shape (n,) each; `numbers` None for unnumbered ones, a delay may be `undefined`."""
        if not len(rx_ns):
            return
        self._cover(int(rx_ns.min()), int(rx_ns.max()))
        bins = rx_ns >> self.level
        step = np.diff(bins)
        if (step < 0).any():
            order = np.argsort(bins, kind="stable")
            bins, delay_ns, step = bins[order], delay_ns[order], np.diff(bins[order])
            numbers = None if numbers is None else numbers[order]
        first = np.append(0, np.flatnonzero(step) + 1)
        place = bins[first] - self.low
        self.table[_COUNT, place] += np.diff(np.append(first, len(bins)))
        if numbers is not None:
            self._extremes(_FIRST, place, numbers, numbers, first)
        if int(delay_ns.max()) != undefined:
            shortest = delay_ns
            if int(delay_ns.min()) == undefined:
                shortest = np.where(delay_ns == undefined, _MAXIMUM, delay_ns)
            self._extremes(_SHORTEST, place, shortest, delay_ns, first)

    def add_trains(self, trains: RisingTrains) -> None:
        """Count the packets of trains."""
        rx_ns, low, high, delay_ns, n_each = trains.rx_ns, trains.first, trains.end - 1, trains.delay_ns, trains.n_each
        start_ns, end_ns = int(rx_ns.min()), int(rx_ns.max())
        self._cover(start_ns, end_ns)
        if start_ns >> self.level == end_ns >> self.level:
            cell = self.table[:, (start_ns >> self.level) - self.low]
            cell[_COUNT] += trains.n
            for row, lowest, highest in (
                (_FIRST, int(low[0]), int(high[-1])),
                (_SHORTEST, trains.shortest_ns, trains.longest_ns),
            ):
                cell[row], cell[row + 1] = min(int(cell[row]), lowest), max(int(cell[row + 1]), highest)
            return
        bins = rx_ns >> self.level
        step = np.diff(bins)
        if len(step) and int(step.min()) < 0:
            order = np.argsort(bins, kind="stable")
            bins, low, high, delay_ns, n_each = (column[order] for column in (bins, low, high, delay_ns, n_each))
            step = np.diff(bins)
        first = np.append(0, np.flatnonzero(step) + 1)
        place = bins[first] - self.low
        self.table[_COUNT, place] += np.add.reduceat(n_each, first)
        self._extremes(_FIRST, place, low, high, first)
        self._extremes(_SHORTEST, place, delay_ns, delay_ns, first)

    def merge(self, other: BinnedSeries, delta: int) -> None:
        """Add the other's counts, its numbers moved by `delta`."""
        if not len(other):
            return
        self._cover(other.low << other.level, ((other.low + len(other)) << other.level) - 1)
        moved = BinnedSeries(self.max_bins)
        moved.level, moved.low, moved.table = other.level, other.low, other.table.copy()
        is_numbered = moved.table[_FIRST] != _MAXIMUM
        moved.table[_FIRST : _LAST + 1, is_numbered] += delta
        moved.coarsen(self.level)
        theirs = moved.table
        ours = self.table[:, moved.low - self.low : moved.low - self.low + len(moved)]
        ours[_COUNT] += theirs[_COUNT]
        for row in (_FIRST, _SHORTEST):
            np.minimum(ours[row], theirs[row], out=ours[row])
            np.maximum(ours[row + 1], theirs[row + 1], out=ours[row + 1])

    def coarsen(self, level: int) -> None:
        """Widen the bins to 2**level ns."""
        if level <= self.level or not len(self):
            self.level = max(level, self.level)
            return
        step = level - self.level
        group = (np.arange(self.low, self.low + len(self)) >> step) - (self.low >> step)
        first = np.append(0, np.flatnonzero(np.diff(group)) + 1)
        table = _empty(int(group[-1]) + 1)
        table[_COUNT] = np.add.reduceat(self.table[_COUNT], first)
        for row in (_FIRST, _SHORTEST):
            table[row] = np.minimum.reduceat(self.table[row], first)
            table[row + 1] = np.maximum.reduceat(self.table[row + 1], first)
        self.low, self.level, self.table = self.low >> step, level, table

    def padded(self, low: int, bins: int) -> Int64Array:
        """Return the table over the bins low .. low + bins - 1, which hold all of it; shape (5, bins)."""
        table = _empty(bins)
        table[:, self.low - low : self.low - low + len(self)] = self.table
        return table

    def _extremes(self, row: int, place: Int64Array, low: Int64Array, high: Int64Array, first: Int64Array) -> None:
        self.table[row, place] = np.minimum(self.table[row, place], np.minimum.reduceat(low, first))
        self.table[row + 1, place] = np.maximum(self.table[row + 1, place], np.maximum.reduceat(high, first))

    def _cover(self, start_ns: int, end_ns: int) -> None:
        """Make room for times start_ns .. end_ns, wider bins if there would be too many."""
        first, last = start_ns, end_ns
        if len(self):
            first = min(first, self.low << self.level)
            last = max(last, ((self.low + len(self)) << self.level) - 1)
        level = fitting_level(first, last, self.max_bins, self.level)
        self.coarsen(level)
        low, high = min(start_ns, first) >> level, max(end_ns, last) >> level
        if not len(self):
            self.low, self.table = low, _empty(high - low + 1)
            return
        before, after = self.low - low, high - (self.low + len(self) - 1)
        if before > 0 or after > 0:
            self.table = np.concatenate((_empty(max(before, 0)), self.table, _empty(max(after, 0))), axis=1)
            self.low = min(low, self.low)


def fitting_level(start_ns: int, end_ns: int, max_bins: int, level: int = _FINEST) -> int:
    """Return the narrowest level, not below `level`, at which start_ns .. end_ns lie within `max_bins` bins."""
    while (end_ns >> level) - (start_ns >> level) >= max_bins:
        level += 1
    return level


def _empty(bins: int) -> Int64Array:
    return np.repeat(np.array(_EMPTY, np.int64)[:, None], bins, axis=1)
