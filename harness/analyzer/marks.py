"""A bounded, even sample of single packets worth a dot on a plot."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.model import Mark

Int64Array = NDArray[np.int64]
MarkKind = Literal["reordered", "duplicate", "too_late", "corrupt"]

MAX_MARKS = 1000
"""Marks kept of each kind."""

_MIX = np.uint64(0x9E3779B97F4A7C15)


class MarkSample:
    """Keeps the packets whose receive time hashes lowest: even over time, and the same however the parts are cut.

    Attributes:
      n: packets seen.
    """

    __slots__ = ("_rows", "kind", "max_marks", "n")

    def __init__(self, kind: MarkKind, max_marks: int = MAX_MARKS) -> None:
        self.kind: MarkKind = kind
        self.max_marks = max_marks
        self.n = 0
        self._rows: Int64Array = np.empty((2, 0), np.int64)

    def add(self, rx_ns: Int64Array, numbers: Int64Array) -> None:
        """Offer packets: receive times and extended numbers, shape (n,) each."""
        if len(rx_ns):
            self.n += len(rx_ns)
            self._keep(np.concatenate((self._rows, np.stack((rx_ns, numbers))), axis=1))

    def merge(self, other: MarkSample, delta: int) -> None:
        """Offer the other's packets, their numbers moved by `delta`."""
        self.n += other.n
        self._keep(np.concatenate((self._rows, other._rows + np.array([[0], [delta]])), axis=1))

    def marks(self) -> list[Mark]:
        """Return the sample in time order."""
        order = np.lexsort((self._rows[1], self._rows[0]))
        return [Mark(kind=self.kind, rx_ns=rx, seq=seq) for rx, seq in self._rows[:, order].T.tolist()]

    def _keep(self, rows: Int64Array) -> None:
        if rows.shape[1] > self.max_marks:
            mixed = rows[0].astype(np.uint64) * _MIX
            mixed ^= mixed >> np.uint64(29)
            rows = rows[:, np.lexsort((rows[1], rows[0], mixed * _MIX))[: self.max_marks]]
        self._rows = rows
