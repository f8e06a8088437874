"""Losses of one stream at several receivers, packet by packet: lost by all, lost by some (RFC 5644 8.3, 8.4).

What each received comes as runs of numbers. Between two edges of anybody's runs nothing changes, so the packets are
counted in stretches, and a hundred million of them cost no more than their losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.model import StreamSummary
from harness.model.comparison import SharedLoss

Int64Array = NDArray[np.int64]

_PREDOMINANT = 0.9
"""Share of the packets lost from which on one side is said to be where they went."""


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """What one receiver got of a stream.

    Attributes:
      starts, ends: runs of numbers received, start .. end - 1, shape (k,), ascending, apart from each other.
      start_ns: when the first packet of each run was sent, or where that is unknown received, shape (k,).
      modulus: how many numbers there are on the wire before they wrap; None when they never do.
    """

    starts: Int64Array
    ends: Int64Array
    start_ns: Int64Array
    modulus: int | None = None

    def moved(self, delta: int) -> Received:
        """Return the same with all numbers moved."""
        return Received(self.starts + delta, self.ends + delta, self.start_ns, self.modulus)


NOTHING = Received(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
"""What a receiver has that heard nothing."""


def due_range(stream: StreamSummary, received: Received, delta: int = 0) -> tuple[int, int] | None:
    """Return first number and end of what a receiver should have got: what it got, and its windows and bursts around.

    A head or tail that is missing and too short for a window does not count. None where nothing was numbered.
    """
    firsts = [received.starts[0] - delta] if len(received.starts) else []
    lasts = [received.ends[-1] - delta] if len(received.ends) else []
    gaps = [(window.first_seq, window.last_seq) for window in stream.windows]
    for first, last in [*gaps, *((item.first_seq, item.last_seq) for item in stream.thinning)]:
        if first is not None and last is not None:
            firsts.append(first)
            lasts.append(last + 1)
    return (int(min(firsts)) + delta, int(max(lasts)) + delta) if firsts else None


def alignment(reference: Received, other: Received, interval_ns: int | None) -> int | None:
    """Return what to add to the other's numbers so that equal ones are equal packets; None when that cannot be told.

    Numbers that wrap are extended from where each receiver began to listen. The times tell how many times they had
    wrapped by then, if half the range lasts at least a second, the most that two clocks are trusted to differ here.
    """
    modulus = reference.modulus
    if modulus is None:
        return 0
    if not len(reference.starts) or not len(other.starts) or not interval_ns or modulus // 2 * interval_ns < 10**9:
        return None
    at = int(np.argmin(np.abs(reference.start_ns - other.start_ns[0])))
    apart = (int(other.start_ns[0]) - int(reference.start_ns[at])) / interval_ns
    here = int(reference.starts[at]) + apart
    return modulus * round((here - int(other.starts[0])) / modulus)


def shared_loss(members: list[int], received: Sequence[Received], due: Sequence[tuple[int, int]]) -> SharedLoss | None:
    """Return losses by all and by some over the numbers that all receivers should have got; None without any.

    Args:
      members: what to call the receivers in the result.
      received: of each receiver, numbers aligned.
      due: of each receiver, see `due_range`.
    """
    low, high = max(start for start, _ in due), min(end for _, end in due)
    if high <= low:
        return None
    edges = np.unique(np.concatenate([[low, high], *(np.concatenate((each.starts, each.ends)) for each in received)]))
    edges = edges[(edges >= low) & (edges <= high)]
    lengths = np.diff(edges)
    is_lost = np.stack([~_contains(each, edges[:-1]) for each in received])
    n_missing = is_lost.sum(axis=0)
    by_all, by_some = n_missing == len(received), (n_missing > 0) & (n_missing < len(received))
    lost = [int(lengths[mask].sum()) for mask in is_lost]
    only = [mask & (n_missing == 1) & by_some for mask in is_lost]
    packets, seen = high - low, high - low - int(lengths[by_all].sum())
    n_all, n_some = int(lengths[by_all].sum()), int(lengths[by_some].sum())
    return SharedLoss(
        members=members,
        packets=packets,
        lost=lost,
        lost_only=[int(lengths[mask].sum()) for mask in only],
        runs_only=[_runs(mask[~by_all]) for mask in only],
        loss_ratio=[n / packets for n in lost],
        comparative_loss_ratio=[n / seen if seen else None for n in lost],
        lost_by_all=n_all,
        lost_by_some=n_some,
        points_at=_points_at(n_all, n_some),
    )


def _runs(is_set: NDArray[np.bool_]) -> int:
    """Return how many runs of consecutive true values there are; packets that nobody received do not end one."""
    return int(np.count_nonzero(np.diff(is_set.astype(np.int8), prepend=0) == 1))


def _contains(received: Received, numbers: Int64Array) -> NDArray[np.bool_]:
    if not len(received.starts):
        return np.zeros(len(numbers), np.bool_)
    at = np.searchsorted(received.starts, numbers, side="right") - 1
    inside: NDArray[np.bool_] = (at >= 0) & (numbers < received.ends[np.maximum(at, 0)])
    return inside


def _points_at(n_all: int, n_some: int) -> Literal["source", "branch", "both", "none"]:
    """Return where the losses point: lost by all at the source side, lost by some at a branch."""
    total = n_all + n_some
    if not total:
        return "none"
    if n_all >= _PREDOMINANT * total:
        return "source"
    return "branch" if n_some >= _PREDOMINANT * total else "both"
