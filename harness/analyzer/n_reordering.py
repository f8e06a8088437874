"""n-reordering (RFC 4737 5.3): a packet overtaken by all of the n packets right before it.

It matters to a receiver that reacts after n packets out of order, such as TCP with its three duplicate ACKs. Unlike
the rest of RFC 4737 it looks at all arrivals, duplicates included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError

_ROWS = 1 << 20
"""Arrivals treated at once: bounds the memory for the tables of minima."""


def n_reordering(seq: NDArray[np.int64], n_max: int = 100) -> NDArray[np.int64]:
    """Return for every arrival the largest n for which it is n-reordered (RFC 4737 5.3, definition 2).

    Args:
      seq: extended sequence numbers in arrival order, shape (l,), duplicates included.
      n_max: how far to look back.

    Returns:
      Shape (l,), from 0 (not reordered right before) to n_max.

    Raises:
      UsageError: n_max is below 1.

    >>> n_reordering(np.array([1, 2, 4, 5, 6, 3, 7]))
    array([0, 0, 0, 0, 0, 3, 0])
    """
    if n_max < 1:
        raise UsageError(f"n-reordering looks back n_max = {n_max} packets; at least 1 is needed")
    depth = np.zeros(len(seq), dtype=np.int64)
    for start in range(0, len(seq), _ROWS):
        first = max(0, start - n_max)
        depth[start : start + _ROWS] = _depth(seq[first : start + _ROWS], n_max)[start - first :]
    return depth


def _depth(seq: NDArray[np.int64], n_max: int) -> NDArray[np.int64]:
    """Return the depths within one chunk, by descending through minima over windows of powers of two."""
    minima = [seq]  # minima[k][i] is the minimum of the 2**k arrivals from i on
    while len(minima) < n_max.bit_length() and len(minima[-1]) > 1 << (len(minima) - 1):
        half = 1 << (len(minima) - 1)
        minima.append(np.minimum(minima[-1][:-half], minima[-1][half:]))
    depth = np.zeros(len(seq), dtype=np.int64)
    late = np.flatnonzero(seq[1:] < seq[:-1]) + 1
    reach = late.copy()  # everything from here up to the packet has a larger number
    for level in range(len(minima) - 1, -1, -1):
        step = 1 << level
        is_larger = (reach >= step) & (minima[level][np.maximum(reach - step, 0)] > seq[late])
        reach = np.where(is_larger, reach - step, reach)
    depth[late] = np.minimum(late - reach, n_max)
    return depth


def n_reordering_degree(depth: NDArray[np.int64]) -> dict[int, float]:
    """Return the degree of n-reordering, m / l, for every n that occurs (RFC 4737 5.3).

    Args:
      depth: from `n_reordering`, shape (l,).

    Returns:
      {n: share of arrivals that are n-reordered}; a packet that is n-reordered is so for every smaller n too.
      {} when no packet is, or none arrived.

    >>> n_reordering_degree(np.array([0, 0, 2, 1]))
    {1: 0.5, 2: 0.25}
    """
    counts = np.bincount(depth)
    at_least = np.cumsum(counts[::-1])[::-1]
    return {n: int(at_least[n]) / len(depth) for n in range(1, len(counts))}
