"""One-to-group loss and delay: one sender, many receivers (RFC 5644 section 8).

A packet lost by all receivers points at the source side of the tree, one lost by some at a branch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import AnalysisError
from harness.model import UNDEFINED_NS


@dataclass(frozen=True, slots=True, eq=False)
class GroupStatistics:
    """RFC 5644 8.3 and 8.4 for r receivers and n packets.

    Attributes:
      loss_ratio: of each receiver, length r; None each without packets (8.4.1).
      comparative_loss_ratio: packets lost by each receiver per packet that anyone received, length r (8.4.2). Packets
        lost by all are among the lost, so it may exceed 1. None each when no one received any.
      mean_delay_ns: of each receiver over the packets that it received, length r; None when it received none (8.3.1).
      lost_by_all, lost_by_some: indexes of packets that nobody, and that some but not all, received, ascending.
    """

    loss_ratio: list[float | None]
    comparative_loss_ratio: list[float | None]
    mean_delay_ns: list[float | None]
    lost_by_all: NDArray[np.int64]
    lost_by_some: NDArray[np.int64]

    @property
    def group_loss_ratio(self) -> float | None:
        """Mean loss ratio of the receivers; None without packets or receivers."""
        return _mean(self.loss_ratio)

    @property
    def group_loss_ratio_range(self) -> float | None:
        """Largest minus smallest loss ratio of the receivers; None without packets or receivers."""
        return _range(self.loss_ratio)

    @property
    def group_mean_delay_ns(self) -> float | None:
        """Mean of the receivers' mean delays (8.3.2); None when no one received any packet."""
        return _mean(self.mean_delay_ns)

    @property
    def group_mean_delay_range_ns(self) -> float | None:
        """Largest minus smallest mean delay (8.3.3); None when no one received any packet."""
        return _range(self.mean_delay_ns)

    @property
    def group_mean_delay_max_ns(self) -> float | None:
        """Largest mean delay (8.3.4); None when no one received any packet."""
        return max(_defined(self.mean_delay_ns), default=None)


def _defined(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float | None]) -> float | None:
    defined = _defined(values)
    return sum(defined) / len(defined) if defined else None


def _range(values: list[float | None]) -> float | None:
    defined = _defined(values)
    return max(defined) - min(defined) if defined else None


def one_to_group(delay_ns: NDArray[np.int64]) -> GroupStatistics:
    """Return loss and delay of a group of receivers (RFC 5644 8.3, 8.4).

    Args:
      delay_ns: one-way delays, shape (receivers, packets), UNDEFINED_NS where the receiver did not get the packet.

    Raises:
      AnalysisError: the array is not two-dimensional.

    >>> one_to_group(np.array([[10, UNDEFINED_NS, UNDEFINED_NS], [20, UNDEFINED_NS, 22]])).loss_ratio
    [0.6666666666666666, 0.3333333333333333]
    """
    if delay_ns.ndim != 2:
        raise AnalysisError(f"group delays of shape {delay_ns.shape} are not receivers by packets")
    n_receivers, n_packets = delay_ns.shape
    is_lost = delay_ns == UNDEFINED_NS
    n_lost = is_lost.sum(axis=1).tolist()
    n_missing = is_lost.sum(axis=0)
    n_seen = int(np.count_nonzero(n_missing < n_receivers))
    # Summed apart from the undefined ones; a mean over all would overflow on their marker.
    sums = np.where(is_lost, 0, delay_ns).sum(axis=1).tolist()
    is_nowhere = (n_missing == n_receivers) & (n_receivers > 0)
    return GroupStatistics(
        loss_ratio=[lost / n_packets if n_packets else None for lost in n_lost],
        comparative_loss_ratio=[lost / n_seen if n_seen else None for lost in n_lost],
        mean_delay_ns=[
            total / (n_packets - lost) if lost < n_packets else None for total, lost in zip(sums, n_lost, strict=True)
        ],
        lost_by_all=np.flatnonzero(is_nowhere),
        lost_by_some=np.flatnonzero((n_missing > 0) & ~is_nowhere),
    )
