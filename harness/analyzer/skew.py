"""Clock skew between sender and receiver from one-way delays (Moon, Skelly and Towsley's linear program).

The line under all delays that lies as high as possible in sum is the clock's drift, what stands above it is queueing.
With sum(d - a t - b) to be least, the line must be highest at the mean of t: it carries the edge of the lower convex
hull over that mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.alignment import require_aligned
from harness.analyzer.sketch import exact_sum

_MAX_PASSES = 64
"""Passes of vectorised thinning; what the last one leaves goes through the exact hull all the same."""


@dataclass(frozen=True, slots=True)
class Skew:
    """The line d = intercept + skew * (t - origin) under all delays.

    Attributes:
      skew: exact, ns of delay per ns of sending time; positive: the receiver's clock runs fast.
      origin_ns: sending time of a packet on the line.
      intercept_ns: that packet's delay.
    """

    skew: Fraction
    origin_ns: int
    intercept_ns: int

    @property
    def ppm(self) -> float:
        """The skew in parts per million."""
        return float(self.skew * 1_000_000)

    def residual_ns(self, tx_ns: NDArray[np.int64], delay_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the delays above the line: PDV corrected for skew, shape (n,), at least 0 but for rounding."""
        return (delay_ns - self.intercept_ns) - float(self.skew) * (tx_ns - self.origin_ns)


def skew(tx_ns: NDArray[np.int64], delay_ns: NDArray[np.int64]) -> Skew | None:
    """Return the line under the delays that minimises sum(d - a t - b) with a t + b <= d.

    Args:
      tx_ns: sending times, shape (n,), any order.
      delay_ns: one-way delays of the same packets, defined ones only, shape (n,).

    Returns:
      None with fewer than two different sending times. A vertex right at the mean leaves a choice of two edges; the
      earlier one is taken.

    Raises:
      AnalysisError: the arrays differ in length.

    >>> found = skew(np.array([0, 1_000_000, 2_000_000]), np.array([500, 900, 600]))
    >>> found.ppm, found.residual_ns(np.array([1_000_000]), np.array([900]))
    (50.0, array([350.]))
    """
    require_aligned(tx_ns=tx_ns, delay_ns=delay_ns)
    order = np.lexsort((delay_ns, tx_ns))
    t, d = tx_ns[order], delay_ns[order]
    is_first = np.diff(t, prepend=t[:1] - 1) > 0  # of equal times only the least delay can lie on the hull
    hull = _lower_hull(*_thinned(t[is_first], d[is_first]))
    if len(hull) < 2:
        return None
    total = exact_sum(t - t[0])
    right = next(i for i in range(1, len(hull)) if (hull[i][0] - hull[0][0]) * len(t) >= total)
    (t0, d0), (t1, d1) = hull[right - 1], hull[right]
    return Skew(Fraction(d1 - d0, t1 - t0), t0, d0)


def _thinned(t: NDArray[np.int64], d: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the points without most of those that lie above the chord of their neighbours, in a few passes.

    Products of nanoseconds exceed 64 bits, so floats decide, and only where they are sure: the hull stays exact.
    """
    for _ in range(_MAX_PASSES):
        dt = (t[2:] - t[:-2]).astype(np.float64)
        height = (d[1:-1] - d[:-2]) * dt
        chord = (d[2:] - d[:-2]).astype(np.float64) * (t[1:-1] - t[:-2])
        margin = 8 * np.finfo(np.float64).eps * (np.abs(height) + np.abs(chord))
        is_kept = np.ones(len(t), dtype=bool)
        is_kept[1:-1] = height - chord <= margin
        if is_kept.all():
            break
        t, d = t[is_kept], d[is_kept]
    return t, d


def _lower_hull(t: NDArray[np.int64], d: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the vertices of the lower convex hull, left to right, in exact integers (Andrew's monotone chain)."""
    hull: list[tuple[int, int]] = []
    for point in zip(t.tolist(), d.tolist(), strict=True):
        while len(hull) >= 2:
            (t0, d0), (t1, d1) = hull[-2:]
            if (d1 - d0) * (point[0] - t0) < (point[1] - d0) * (t1 - t0):
                break
            hull.pop()
        hull.append(point)
    return hull
