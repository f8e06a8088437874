"""Byte offset of reordered packets: what a receiver stores while it waits for them (RFC 4737 4.4).

It is a sum over pairs, "all earlier packets with a larger number", and there may be n * n / 2 of those. The sum is
taken bit by bit of the packets' ranks instead: at each bit the packets with equal higher bits form a group, and in it
every packet with a 0 gets the bytes of the packets with a 1 before it. Each pair differs in exactly one highest bit,
so it is counted once; a level costs a few passes over arrays, and there are log2(n) levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.alignment import require_aligned
from harness.analyzer.reordering import ReorderedPackets


def byte_offsets(found: ReorderedPackets, sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return for each reordered packet the bytes that came earlier with larger numbers (RFC 4737 4.4).

    Args:
      found: k reordered packets.
      sizes: payload bytes of all arrivals, as given to `find_reordered`.

    Returns:
      Shape (k,), bytes.

    >>> from harness.analyzer.reordering import find_reordered
    >>> byte_offsets(find_reordered(np.array([1, 4, 2, 5, 3])), np.array([10, 20, 30, 40, 50]))
    array([20, 60])
    """
    return weight_overtaking(found.seq, sizes[found.arrival])[found.position]


def weight_overtaking(seq: NDArray[np.int64], weight: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return for each packet the total weight of the packets before it that have larger numbers.

    Args:
      seq: distinct numbers in arrival order, shape (n,).
      weight: of each packet, shape (n,).

    Returns:
      Shape (n,); 0 where none came before.

    Raises:
      AnalysisError: the arrays differ in length.

    >>> weight_overtaking(np.array([3, 1, 2]), np.array([10, 20, 30]))
    array([ 0, 10, 10])
    """
    require_aligned(seq=seq, weight=weight)
    result = np.zeros(len(seq), dtype=np.int64)
    if np.all(seq[1:] > seq[:-1]):
        return result
    rank = np.empty(len(seq), dtype=np.int64)
    rank[np.argsort(seq, kind="stable")] = np.arange(len(seq))
    # A packet that is in place, all smaller before and all larger after, takes part in no pair. Without those the
    # rest are a permutation again, and in most recordings a short one.
    is_end = np.maximum.accumulate(rank) == np.arange(len(seq))
    is_in_place = is_end & np.concatenate([[True], is_end[:-1]])
    moved = np.flatnonzero(~is_in_place)
    result[moved] = _by_bits(rank[moved] - np.cumsum(is_in_place)[moved], weight[moved].astype(np.int64))
    return result


def _by_bits(rank: NDArray[np.int64], weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weight overtaking each packet, for ranks that are a permutation of 0 .. n - 1."""
    n = len(rank)
    index = np.arange(n)
    order = rank  # ranks in the arrangement of the level: by higher bits, then by arrival
    total = np.zeros(n, dtype=np.int64)  # in the same arrangement, as is weight
    for bit in range((n - 1).bit_length() - 1, -1, -1):
        start = (order >> (bit + 1)) << (bit + 1)  # ranks are dense: a group starts at its smallest rank
        is_high = (order >> bit) & 1
        heavy = np.concatenate([[0], np.cumsum(weight * is_high)])
        total += (1 - is_high) * (heavy[index] - heavy[start])
        high = np.concatenate([[0], np.cumsum(is_high)])
        n_high = high[index] - high[start]
        target = start + np.where(is_high, (1 << bit) + n_high, index - start - n_high)
        order, weight, total = (_scattered(array, target) for array in (order, weight, total))
    return total[rank]


def _scattered(array: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the array with each element moved to its target index."""
    moved = np.empty_like(array)
    moved[target] = array
    return moved
