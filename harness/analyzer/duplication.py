"""Duplicated packets (RFC 5560), and which copy of a packet counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def is_first_copy(seq: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which arrivals are the first copy of their packet (RFC 4737 3.6: later copies are never analysed).

    Args:
      seq: extended sequence numbers in arrival order, shape (n,).

    Returns:
      Shape (n,), all True without duplicates.

    >>> is_first_copy(np.array([1, 3, 1, 2, 3]))
    array([ True,  True, False,  True, False])
    """
    mask = np.ones(len(seq), dtype=bool)
    if np.all(seq[1:] > seq[:-1]):  # nearly every recording, and without a sort
        return mask
    # A stable sort keeps copies in arrival order, and is linear on arrivals that are nearly sorted.
    order = np.argsort(seq, kind="stable")
    ordered = seq[order]
    mask[order[1:][ordered[1:] == ordered[:-1]]] = False
    return mask


def copies(seq: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many copies of each packet arrived (RFC 5560 section 2, arrival count of the packets received).

    Args:
      seq: extended sequence numbers, shape (n,), any order.

    Returns:
      Distinct sequence numbers, ascending, shape (k,), and copies of each, shape (k,), at least 1.
    """
    numbers, counts = np.unique(seq, return_counts=True)
    return numbers, counts


@dataclass(frozen=True, slots=True)
class Duplication:
    """RFC 5560 section 5 of one stream; a lost packet is in neither denominator.

    Attributes:
      n_received: packets received at least once.
      n_additional: copies beyond the first.
      n_replicated: packets received more than once.
    """

    n_received: int
    n_additional: int
    n_replicated: int

    @property
    def fraction(self) -> float | None:
        """Additional copies per packet received (RFC 5560 5.1), may exceed 1; None when nothing was received."""
        return self.n_additional / self.n_received if self.n_received else None

    @property
    def replicated_rate(self) -> float | None:
        """Share of packets received that came more than once (RFC 5560 5.2); None when nothing was received."""
        return self.n_replicated / self.n_received if self.n_received else None


def duplication(seq: NDArray[np.int64]) -> Duplication:
    """Return the duplication of a stream (RFC 5560).

    Args:
      seq: extended sequence numbers that arrived, shape (n,), any order.

    >>> found = duplication(np.array([1, 1, 1, 2]))
    >>> found.fraction, found.replicated_rate
    (1.0, 0.5)
    """
    _, counts = copies(seq)
    return Duplication(len(counts), len(seq) - len(counts), int(np.count_nonzero(counts > 1)))
