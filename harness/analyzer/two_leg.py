"""Two copies of one stream over two paths, merged into one without a seam (SMPTE ST 2022-7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.alignment import require_aligned
from harness.analyzer.duplication import is_first_copy
from harness.errors import AnalysisError

CLASS_WINDOWS_NS = {"A": 10_000_000, "B": 50_000_000, "C": 450_000_000, "D": 150_000}
"""Path differential that a receiver of each class makes up for: low, moderate and high skew, and ultra-low skew."""

_MAX_SPAN = 1 << 28
"""Numbers that are laid out at once: a day at 3 kpps; beyond it stands a wrong sequence width, not a recording."""


@dataclass(frozen=True, slots=True, eq=False)
class TwoLegs:
    """What two legs make together; numbers are extended sequence numbers, ascending.

    Attributes:
      n_expected: packets from the first to the last number.
      lost_a, lost_b: numbers missing on either leg.
      lost_both: numbers on neither, which a receiver with any buffer still loses.
      both: numbers on both legs, shape (k,).
      skew_ns: receive time on b minus that on a of those, shape (k,).
    """

    n_expected: int
    lost_a: NDArray[np.int64]
    lost_b: NDArray[np.int64]
    lost_both: NDArray[np.int64]
    both: NDArray[np.int64]
    skew_ns: NDArray[np.int64]

    @property
    def max_skew_ns(self) -> int | None:
        """Largest skew, whichever leg is ahead; None when no packet came on both."""
        return int(np.abs(self.skew_ns).max()) if len(self.skew_ns) else None

    def beyond(self, window_ns: int) -> NDArray[np.int64]:
        """Return the numbers whose skew is strictly greater than a receiver's window."""
        return self.both[np.abs(self.skew_ns) > window_ns]

    @property
    def receiver_classes(self) -> list[str]:
        """Classes of receiver whose window holds every skew seen; [] also when no packet came on both legs."""
        largest = self.max_skew_ns
        if largest is None:
            return []
        return [name for name, window_ns in CLASS_WINDOWS_NS.items() if largest <= window_ns]


def merge_legs(
    seq_a: NDArray[np.int64],
    rx_a_ns: NDArray[np.int64],
    seq_b: NDArray[np.int64],
    rx_b_ns: NDArray[np.int64],
    first_seq: int | None = None,
    last_seq: int | None = None,
) -> TwoLegs:
    """Merge two copies of one stream (SMPTE ST 2022-7).

    Args:
      seq_a: extended sequence numbers in arrival order on leg a, shape (n,); the first copy counts.
      rx_a_ns: their receive times, shape (n,).
      seq_b: the same of leg b, shape (m,), on one common numbering with a.
      rx_b_ns: their receive times by the same clock, shape (m,).
      first_seq: number of the first packet sent; None: the lowest received on either leg.
      last_seq: number of the last packet sent; None: the highest received on either leg.

    Raises:
      AnalysisError: arrays of a leg differ in length, a number lies outside first_seq to last_seq, or those are more
        than 2**28 packets apart.

    >>> legs = merge_legs(np.array([1, 2, 4]), np.array([0, 10, 30]), np.array([1, 4]), np.array([4, 45]))
    >>> legs.lost_both, legs.max_skew_ns
    (array([3]), 15)
    """
    require_aligned(seq_a=seq_a, rx_a_ns=rx_a_ns)
    require_aligned(seq_b=seq_b, rx_b_ns=rx_b_ns)
    ends = [int(end) for seq in (seq_a, seq_b) if len(seq) for end in (seq.min(), seq.max())]
    if not ends and (first_seq is None or last_seq is None):
        none = np.zeros(0, dtype=np.int64)
        return TwoLegs(0, none, none, none, none, none)
    first = min(ends) if first_seq is None else first_seq
    last = max(ends) if last_seq is None else last_seq
    if ends and not first <= min(ends) <= max(ends) <= last:
        raise AnalysisError(f"packets {min(ends)} .. {max(ends)} arrived, but {first} .. {last} were sent")
    if last - first >= _MAX_SPAN:
        raise AnalysisError(
            f"packets {first} .. {last} are more than {_MAX_SPAN}; check the width of the sequence number"
        )
    rx_a, is_lost_a = _placed(seq_a, rx_a_ns, first, last)
    rx_b, is_lost_b = _placed(seq_b, rx_b_ns, first, last)
    both = np.flatnonzero(~is_lost_a & ~is_lost_b)
    return TwoLegs(
        n_expected=len(rx_a),
        lost_a=first + np.flatnonzero(is_lost_a),
        lost_b=first + np.flatnonzero(is_lost_b),
        lost_both=first + np.flatnonzero(is_lost_a & is_lost_b),
        both=first + both,
        skew_ns=rx_b[both] - rx_a[both],
    )


def _placed(
    seq: NDArray[np.int64], rx_ns: NDArray[np.int64], first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return receive times by number and which numbers are missing, both of shape (last - first + 1,)."""
    times = np.zeros(max(0, last - first + 1), dtype=np.int64)
    is_lost = np.ones(len(times), dtype=bool)
    counted = is_first_copy(seq)
    times[seq[counted] - first] = rx_ns[counted]
    is_lost[seq[counted] - first] = False
    return times, is_lost
