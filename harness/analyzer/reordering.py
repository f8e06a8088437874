"""Reordered packets and by how much (RFC 4737 sections 3 and 4).

A packet is reordered when a larger number came before it: s < NextExp, where NextExp is one more than the largest
number so far and never decreases. What it is late against is always the *earliest* packet with a larger number. That
packet was the first to lift the running maximum above s, so a binary search in the running maxima finds it.

Section 4.6 is in free_runs, section 5.3 in n_reordering, section 4.4 in byte_offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.duplication import is_first_copy
from harness.errors import AnalysisError


@dataclass(frozen=True, slots=True, eq=False)
class ReorderedPackets:
    """Which packets of a stream were reordered. Positions are 0-based among the n first copies, in arrival order.

    Attributes:
      seq: sequence numbers of the first copies, shape (n,).
      arrival: index of each first copy in the arrays given, shape (n,), for looking up its time and size.
      next_exp: NextExp when the packet arrived, shape (n,) (RFC 4737 3.3).
      position: where the reordered packets stand, ascending, shape (k,).
      cause: position of the earliest packet with a larger number, for each reordered one, shape (k,).
    """

    seq: NDArray[np.int64]
    arrival: NDArray[np.int64]
    next_exp: NDArray[np.int64]
    position: NDArray[np.int64]
    cause: NDArray[np.int64]

    @property
    def is_reordered(self) -> NDArray[np.bool_]:
        """Type-P-Reordered (RFC 4737 3.3) of every first copy, shape (n,)."""
        return self.seq < self.next_exp

    @property
    def ratio(self) -> float | None:
        """Reordered packets per packet received (RFC 4737 4.1); None when nothing was received."""
        return len(self.position) / len(self.seq) if len(self.seq) else None

    @property
    def extent(self) -> NDArray[np.int64]:
        """Reordering extent of each reordered packet in packets, at least 1, shape (k,) (RFC 4737 4.2)."""
        return self.position - self.cause


def find_reordered(seq: NDArray[np.int64], first_expected: int | None = None) -> ReorderedPackets:
    """Return the reordered packets of a stream (RFC 4737 3.3, 4.2).

    Args:
      seq: extended sequence numbers in arrival order, shape (n,); copies after the first are left out.
      first_expected: number of the first packet sent; None: the first that arrived.

    Raises:
      AnalysisError: a number lies below `first_expected`.

    >>> found = find_reordered(np.array([1, 2, 3, 7, 8, 9, 4, 5, 6]))
    >>> found.seq[found.position], found.extent, found.ratio
    (array([4, 5, 6]), array([3, 4, 5]), 0.3333333333333333)
    """
    arrival = np.flatnonzero(is_first_copy(seq))
    first = seq[arrival].astype(np.int64)
    if first_expected is not None and len(first) and first.min() < first_expected:
        raise AnalysisError(f"packet {first.min()} arrived, but the first expected is {first_expected}")
    largest = np.maximum.accumulate(first)
    next_exp = np.empty_like(first)
    next_exp[1:] = largest[:-1] + 1
    next_exp[:1] = first[:1] if first_expected is None else first_expected
    position = np.flatnonzero(first < next_exp)
    cause = np.searchsorted(largest, first[position], side="right")
    return ReorderedPackets(first, arrival, next_exp, position, cause)


def late_times(found: ReorderedPackets, rx_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how long after its cause each reordered packet arrived (RFC 4737 4.3).

    Args:
      found: k reordered packets.
      rx_ns: receive times in ns of all arrivals, as given to `find_reordered`.

    Returns:
      Shape (k,), ns.
    """
    times = rx_ns[found.arrival]
    return times[found.position] - times[found.cause]


def sequence_discontinuities(found: ReorderedPackets) -> NDArray[np.int64]:
    """Return where numbers were skipped, s > NextExp (RFC 4737 3.4).

    Returns:
      Shape (m, 2): position, and size, the numbers skipped (s - NextExp).

    >>> sequence_discontinuities(find_reordered(np.array([1, 2, 5, 3])))
    array([[2, 2]])
    """
    position = np.flatnonzero(found.seq > found.next_exp)
    return np.column_stack([position, found.seq[position] - found.next_exp[position]])


def reordering_discontinuities(found: ReorderedPackets) -> NDArray[np.int64]:
    """Return where numbers were skipped that came later after all: the causes of reordering (RFC 4737 4.5).

    Returns:
      Shape (m,): positions, ascending, each once.
    """
    return np.unique(found.cause)


def reordering_gaps(found: ReorderedPackets) -> NDArray[np.int64]:
    """Return the gap before each reordering discontinuity but the first, in packets (RFC 4737 4.5.2).

    Returns:
      Shape (m - 1,) for m discontinuities; empty with fewer than two.

    >>> reordering_gaps(find_reordered(np.array([1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 12, 13, 11])))
    array([7])
    """
    return np.diff(reordering_discontinuities(found))


def reordering_gap_times(found: ReorderedPackets, rx_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the time between successive reordering discontinuities (RFC 4737 4.5.2, GapTime).

    Args:
      found: the reordered packets.
      rx_ns: receive times in ns of all arrivals, as given to `find_reordered`.

    Returns:
      Shape (m - 1,) for m discontinuities, ns; empty with fewer than two.
    """
    return np.diff(rx_ns[found.arrival][reordering_discontinuities(found)])


def extent_histogram(found: ReorderedPackets) -> dict[int, int]:
    """Return how many packets were reordered by each extent; {} when none was (RFC 4737 4.2)."""
    extents, counts = np.unique(found.extent, return_counts=True)
    return dict(zip(extents.tolist(), counts.tolist(), strict=True))
