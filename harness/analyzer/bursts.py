"""Bursts and gaps of losses by RFC 3611 4.7.2, from its definition.

A loss belongs to a burst when fewer than Gmin packets in a row were received between it and another loss. A burst has
at least two losses, starts and ends with one. Before the first and after the last packet all is taken as received.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LossGroups:
    """Loss periods grouped where fewer than Gmin packets lie between them; g groups.

    Attributes:
      group: the group of each loss period, shape (k,), ascending.
      first, last: first and last lost number of each group, shape (g,).
      lost: losses of each group, shape (g,); a group with one loss is no burst.
    """

    group: Int64Array
    first: Int64Array
    last: Int64Array
    lost: Int64Array

    @property
    def is_burst(self) -> NDArray[np.bool_]:
        """Which groups are bursts, shape (g,)."""
        return self.lost > 1


def loss_groups(first: Int64Array, last: Int64Array, gmin: int) -> LossGroups:
    """Group loss periods into bursts and isolated losses (RFC 3611 4.7.2).

    Args:
      first: first number of each loss period, shape (k,), ascending; k = 0 when nothing was lost.
      last: last number of each, shape (k,).
      gmin: packets received in a row that end a burst.

    >>> groups = loss_groups(np.array([4, 10, 40]), np.array([5, 10, 40]), gmin=16)
    >>> groups.first.tolist(), groups.last.tolist(), groups.lost.tolist()
    ([4, 40], [10, 40], [3, 1])
    """
    if not len(first):
        none = np.zeros(0, np.int64)
        return LossGroups(none, none, none, none)
    opens = np.append(True, first[1:] - last[:-1] - 1 >= gmin)
    at = np.flatnonzero(opens)
    end = np.append(at[1:], len(first)) - 1
    return LossGroups(np.cumsum(opens) - 1, first[at], last[end], np.add.reduceat(last - first + 1, at))


@dataclass(frozen=True, slots=True)
class BurstGap:
    """The burst and gap metrics of RFC 3611 4.7.2 over n packets; a mean or density of nothing is None.

    Attributes:
      bursts: first and last packet and losses of each, shape (b, 3).
      gaps: first and last packet of each, shape (c, 2).
      isolated: losses outside bursts.
    """

    bursts: Int64Array
    gaps: Int64Array
    isolated: Int64Array

    @property
    def burst_density(self) -> float | None:
        """Losses in bursts over packets in bursts."""
        return _ratio(int(self.bursts[:, 2].sum()), self._packets(self.bursts))

    @property
    def gap_density(self) -> float | None:
        """Losses in gaps over packets in gaps."""
        return _ratio(len(self.isolated), self._packets(self.gaps))

    def mean_burst_ns(self, interval_ns: int) -> float | None:
        """Return the mean duration of a burst at a packet interval."""
        return _ratio(self._packets(self.bursts) * interval_ns, len(self.bursts))

    def mean_gap_ns(self, interval_ns: int) -> float | None:
        """Return the mean duration of a gap at a packet interval."""
        return _ratio(self._packets(self.gaps) * interval_ns, len(self.gaps))

    @staticmethod
    def _packets(spans: Int64Array) -> int:
        return int((spans[:, 1] - spans[:, 0] + 1).sum())


def burst_gap(is_lost: NDArray[np.bool_], gmin: int) -> BurstGap:
    """Return bursts and gaps of a stream in sequence order (RFC 3611 4.7.2).

    Args:
      is_lost: whether each packet was lost or discarded, shape (n,).
      gmin: packets received in a row that end a burst.
    """
    lost = np.flatnonzero(is_lost)
    groups = loss_groups(lost, lost, gmin)
    burst = groups.is_burst
    bursts = np.stack((groups.first[burst], groups.last[burst], groups.lost[burst]), axis=1)
    starts, ends = np.append(0, bursts[:, 1] + 1), np.append(bursts[:, 0] - 1, len(is_lost) - 1)
    gaps = np.stack((starts, ends), axis=1)
    return BurstGap(bursts, gaps[starts <= ends], groups.first[~burst])


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
