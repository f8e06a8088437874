"""Counting what was sent, where it is not logged packet by packet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sketch import Sketch
from harness.model import Distribution, SentCount

FOLD_VALUES, FOLD_ARRAYS = 16_384, 1_024
"""So many values, or arrays of them, wait for the distribution at most: one by one they cost many times as much."""


MOST_VALUES = 64
"""Of a longer batch, which left at one time while its packets were due one after the other, so many parts are counted,
each with the middle of its lateness: packet by packet it would take a fifth of the sender's time."""

_PLACES = np.arange(MOST_VALUES + 1)

Int64Array = NDArray[np.int64]


class SentCounter:
    """Counts the packets of one stream from a number on.

    >>> counter = SentCounter(5)
    >>> counter.add(2, 7, np.array([100, 300]))
    >>> count = counter.count()
    >>> count.first_seq, count.end_seq, count.sent, count.lateness.mean_ns
    (5, 7, 2, 200.0)
    """

    def __init__(self, first_seq: int) -> None:
        self._first_seq = self._end_seq = first_seq
        self._n_sent = 0
        self._lateness = Sketch()
        self._unfolded: list[tuple[Int64Array, Int64Array]] = []
        self._n_unfolded = 0

    @property
    def beginning(self) -> SentCount:
        """What stands in the manifest until the stream is over."""
        return SentCount(first_seq=self._first_seq)

    def add(
        self, n_sent: int, end_seq: int, lateness_ns: Int64Array | None = None, n_each: Int64Array | None = None
    ) -> None:
        """Count packets that left, of those with numbers below `end_seq`.

        Args:
          n_sent: how many left.
          end_seq: the number after the last one that left or was refused.
          lateness_ns: from due to sent, shape (k,); None for packets that are never late.
          n_each: for how many of them each stands, shape (k,); None: for one.
        """
        self._n_sent, self._end_seq = self._n_sent + n_sent, max(self._end_seq, end_seq)
        if lateness_ns is None:
            return
        self._unfolded.append((lateness_ns, np.ones(len(lateness_ns), np.int64) if n_each is None else n_each))
        self._n_unfolded += len(lateness_ns)
        if self._n_unfolded >= FOLD_VALUES or len(self._unfolded) >= FOLD_ARRAYS:
            self._fold()

    def count(self) -> SentCount:
        """Return what was counted."""
        self._fold()
        lateness: Distribution = self._lateness.distribution()
        return SentCount(first_seq=self._first_seq, end_seq=self._end_seq, sent=self._n_sent, lateness=lateness)

    def _fold(self) -> None:
        if self._unfolded:
            values, n_each = (np.concatenate(column) for column in zip(*self._unfolded, strict=True))
            self._lateness.add_repeated(values, n_each)
            self._unfolded, self._n_unfolded = [], 0


def in_parts(values: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return values that stand for all of these, in their order, and for how many each; shape (k,), k <= MOST_VALUES.

    >>> [part.tolist() for part in in_parts(np.arange(2))]
    [[0, 1], [1, 1]]
    >>> [part[:3].tolist() for part in in_parts(np.arange(0, 1000, 5))]
    [[5, 20, 35], [3, 3, 3]]
    """
    n = len(values)
    if n <= MOST_VALUES:
        return values, np.ones(n, np.int64)
    edges = _PLACES * n // MOST_VALUES
    first, last = edges[:-1], edges[1:] - 1
    return (values[first] + values[last]) // 2, edges[1:] - first
