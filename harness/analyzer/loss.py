"""Loss: which numbers of an expected range did not come, as loss periods (RFC 3357 4, RFC 7680 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.runs import RunSet

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LossPeriods:
    """Maximal runs of numbers that did not come.

    Attributes:
      first, last: first and last number of each, shape (k,), ascending; k = 0 when nothing was lost.
    """

    first: Int64Array
    last: Int64Array

    def __len__(self) -> int:
        return len(self.first)

    @property
    def lengths(self) -> Int64Array:
        """Numbers in each period, shape (k,)."""
        return self.last - self.first + 1

    @property
    def lost(self) -> int:
        """Numbers in all periods."""
        return int(self.lengths.sum())

    def count_below(self, numbers: Int64Array) -> Int64Array:
        """Return how many lost numbers lie below each of `numbers`, shape of `numbers`.

        >>> LossPeriods(np.array([2, 7]), np.array([4, 7])).count_below(np.array([2, 4, 6, 9])).tolist()
        [0, 2, 3, 4]
        """
        if not len(self):
            return np.zeros(len(numbers), np.int64)
        at = np.searchsorted(self.first, numbers) - 1
        place = np.maximum(at, 0)
        before = np.cumsum(self.lengths) - self.lengths
        inside = np.minimum(numbers - self.first[place], self.lengths[place])
        return np.where(at < 0, 0, before[place] + inside)

    def contain(self, numbers: Int64Array) -> NDArray[np.bool_]:
        """Return which of the numbers are lost ones, shape of `numbers`."""
        return self.count_below(numbers + 1) > self.count_below(numbers)


def losses_within(received: RunSet, low: int, high: int) -> LossPeriods:
    """Return the loss periods within low .. high - 1, numbers received beyond do not count.

    >>> runs = RunSet()
    >>> runs.add(np.array([2, 3, 6]), np.zeros(3, np.int64))
    >>> periods = losses_within(runs, 0, 9)
    >>> periods.first.tolist(), periods.last.tolist(), periods.lost
    ([0, 4, 7], [1, 5, 8], 6)
    """
    first = np.append(low, np.minimum(received.ends, high))
    last = np.append(received.starts - 1, high - 1)
    last = np.minimum(last, high - 1)
    is_gap = first <= last
    return LossPeriods(first[is_gap], last[is_gap])
