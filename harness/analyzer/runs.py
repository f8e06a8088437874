"""The set of numbers received, as runs: exact however late a packet comes, small as long as few are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

MAX_RUNS = 1 << 20
"""Runs kept for a stream (32 MiB); beyond, the older half is closed: its losses stay counted, no longer placed."""


class RunSet:
    """A set of integers as sorted, disjoint, not touching runs start..end - 1, each with the times of its two ends.

    Attributes:
      n_closed_lost, n_closed_periods, longest_closed: what lay between runs that were closed for want of room.

    >>> runs = RunSet()
    >>> runs.add(np.array([1, 2, 5]), np.array([10, 20, 50]))
    >>> runs.add(np.array([3]), np.array([30]))
    >>> runs.starts.tolist(), runs.ends.tolist(), runs.start_ns.tolist(), runs.end_ns.tolist(), runs.n
    ([1, 5], [4, 6], [10, 50], [30, 50], 4)
    """

    __slots__ = ("_data", "_size", "longest_closed", "max_runs", "n", "n_closed_lost", "n_closed_periods")

    def __init__(self, max_runs: int = MAX_RUNS) -> None:
        self._data: Int64Array = np.empty((4, 4), np.int64)
        self._size = 0
        self.max_runs = max_runs
        self.n = 0
        self.n_closed_lost = self.n_closed_periods = self.longest_closed = 0

    @property
    def starts(self) -> Int64Array:
        """First number of each run, shape (k,)."""
        return self._data[0, : self._size]

    @property
    def ends(self) -> Int64Array:
        """Number after the last of each run, shape (k,)."""
        return self._data[1, : self._size]

    @property
    def start_ns(self) -> Int64Array:
        """Time of each run's first number, shape (k,)."""
        return self._data[2, : self._size]

    @property
    def end_ns(self) -> Int64Array:
        """Time of each run's last number, shape (k,)."""
        return self._data[3, : self._size]

    def __len__(self) -> int:
        return self._size

    def contains(self, values: Int64Array) -> NDArray[np.bool_]:
        """Return which of the values are in the set, shape of `values`."""
        if not self._size:
            return np.zeros(len(values), np.bool_)
        at = np.searchsorted(self.starts, values, side="right") - 1
        found: NDArray[np.bool_] = (at >= 0) & (values < self.ends[np.maximum(at, 0)])
        return found

    def add(self, values: Int64Array, t_ns: Int64Array) -> None:
        """Add values, shape (n,), ascending, none of them in the set yet, with their times, shape (n,)."""
        if not len(values):
            return
        if values[-1] - values[0] == len(values) - 1:
            self.add_run(int(values[0]), int(values[-1]), int(t_ns[0]), int(t_ns[-1]))
            return
        breaks = np.flatnonzero(np.diff(values) != 1)
        first, last = np.append(0, breaks + 1), np.append(breaks, len(values) - 1)
        self.add_runs(np.stack((values[first], values[last] + 1, t_ns[first], t_ns[last])))

    def add_run(self, first: int, last: int, first_ns: int, last_ns: int) -> None:
        """Add the numbers first .. last, none of them in the set yet, with the times of the two."""
        self.n += last + 1 - first
        if self._size and self._data[1, self._size - 1] == first:
            self._data[1, self._size - 1] = last + 1
            self._data[3, self._size - 1] = last_ns
        else:
            self._insert(np.array([[first], [last + 1], [first_ns], [last_ns]]))

    def add_runs(self, runs: Int64Array) -> None:
        """Add runs, none of whose numbers are in the set yet: shape (4, k), k > 0, ascending, as the set holds them."""
        self.n += int((runs[1] - runs[0]).sum())
        self._insert(runs)

    def merge(self, other: RunSet, delta: int) -> None:
        """Add the other set, moved by `delta`; the two may overlap."""
        moved = other._data[:, : other._size].copy()
        moved[:2] += delta
        if len(moved[0]):
            self._insert(moved)
        self.n_closed_lost += other.n_closed_lost
        self.n_closed_periods += other.n_closed_periods
        self.longest_closed = max(self.longest_closed, other.longest_closed)
        self.n = int((self.ends - self.starts).sum()) - self.n_closed_lost

    def count_from(self, number: int) -> int:
        """Return how many numbers of the set are `number` or above."""
        return int(np.maximum(self.ends - np.maximum(self.starts, number), 0).sum())

    def gaps(self) -> tuple[Int64Array, Int64Array]:
        """Return the first and the last number of each gap between two runs, shape (k,) each."""
        return self.ends[:-1].copy(), self.starts[1:] - 1

    def _insert(self, runs: Int64Array) -> None:
        keep = int(np.searchsorted(self.ends, runs[0, 0]))
        if keep == self._size - 1 and self._data[1, keep] == runs[0, 0]:  # they go on where the last run ends
            runs[0::2, 0] = self._data[0::2, keep]
        elif keep < self._size:
            runs = _united(np.concatenate((self._data[:, keep : self._size], runs), axis=1))
        size = keep + runs.shape[1]
        if size > self._data.shape[1]:
            grown = np.empty((4, max(size, 2 * self._data.shape[1])), np.int64)
            grown[:, :keep] = self._data[:, :keep]
            self._data = grown
        self._data[:, keep:size] = runs
        self._size = size
        if size > self.max_runs:
            self._close_older_half()

    def _close_older_half(self) -> None:
        half = self._size // 2
        lengths = self._data[0, 1:half] - self._data[1, : half - 1]
        self.n_closed_lost += int(lengths.sum())
        self.n_closed_periods += len(lengths)
        self.longest_closed = max(self.longest_closed, int(lengths.max()))
        joined = self._data[:, [0]]
        joined[1], joined[3] = self._data[1, half - 1], self._data[3, half - 1]
        self._data = np.concatenate((joined, self._data[:, half : self._size]), axis=1)
        self._size = self._data.shape[1]


def _united(runs: Int64Array) -> Int64Array:
    """Return runs in order, those that touch or overlap made one; shape (4, k) to (4, j)."""
    runs = runs[:, np.argsort(runs[0], kind="stable")]
    reach = np.maximum.accumulate(runs[1])
    opens = np.append(True, runs[0, 1:] > reach[:-1])
    first = np.flatnonzero(opens)
    last = np.append(first[1:] - 1, runs.shape[1] - 1)
    holder = np.maximum.accumulate(np.where(runs[1] == reach, np.arange(runs.shape[1]), 0))[last]
    return np.stack((runs[0, first], reach[last], runs[2, first], runs[3, holder]))
