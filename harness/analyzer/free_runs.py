"""Free runs: how many packets in order lie before each reordered one (RFC 4737 4.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def run_lengths(is_reordered: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Return the runs of packets in order, each ended by a reordered packet (RFC 4737 4.6).

    Args:
      is_reordered: of first copies in arrival order, shape (n,).

    Returns:
      Lengths, shape (k,) for k reordered packets, 0 between two of them that are neighbours; and the length of the
      trailing run, which no reordered packet ends and which is therefore no run.

    >>> run_lengths(np.array([0, 0, 1, 1, 0], dtype=bool))
    (array([2, 0]), 1)
    """
    ends = np.flatnonzero(is_reordered)
    lengths = np.diff(ends, prepend=-1) - 1
    return lengths, len(is_reordered) - len(ends) - int(lengths.sum())


def run_counter(is_reordered: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the run counter after each packet: packets in order since the last reordered one (RFC 4737 4.6).

    Args:
      is_reordered: of first copies in arrival order, shape (n,).

    Returns:
      Shape (n,); 0 at a reordered packet.

    >>> run_counter(np.array([0, 0, 1, 1, 0], dtype=bool))
    array([1, 2, 0, 0, 1])
    """
    position = np.arange(len(is_reordered))
    return position - np.maximum.accumulate(np.where(is_reordered, position, -1))


@dataclass(frozen=True, slots=True)
class FreeRuns:
    """The counters of RFC 4737 4.6.2 and what 4.6.4 makes of them.

    Attributes:
      n_runs: runs, one for each reordered packet (x).
      n_in_order: packets in order, those of the trailing run too (a).
      n_packets: packets (p = x + a).
      sum_of_squares: of the run lengths (q).
    """

    n_runs: int
    n_in_order: int
    n_packets: int
    sum_of_squares: int

    @property
    def average(self) -> float | None:
        """Packets in order per run, a / x; None without a reordered packet."""
        return self.n_in_order / self.n_runs if self.n_runs else None

    @property
    def q_over_a(self) -> float | None:
        """Mean run length as a packet in order sees it, q / a; None without a packet in order."""
        return self.sum_of_squares / self.n_in_order if self.n_in_order else None

    @property
    def variation(self) -> float | None:
        """Ratio of q / a to a / x: 1 for equal runs, more the more they differ; None where either is."""
        average, q_over_a = self.average, self.q_over_a
        return q_over_a / average if average and q_over_a is not None else None


def free_runs(lengths: NDArray[np.int64], trailing: int = 0) -> FreeRuns:
    """Return the counters over run lengths (RFC 4737 4.6.2).

    Args:
      lengths: of runs ended by a reordered packet each, shape (k,).
      trailing: packets in order after the last reordered one; they count as in order but are no run.

    >>> free_runs(np.array([11, 11, 11])).variation
    1.0
    """
    n_in_order = int(lengths.sum()) + trailing
    return FreeRuns(len(lengths), n_in_order, n_in_order + len(lengths), int(np.dot(lengths, lengths)))
