"""Empirical distributions (RFC 2330 11.3) and statistics of one-way delay (RFC 7679 section 5).

An undefined delay, a lost packet's, is no sample to be left out: it stands at +infinity, so that losing the slowest
packets cannot improve a percentile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.model import UNDEFINED_NS


def edf(sample: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return the empirical distribution function F(x) = share of the sample that is <= x (RFC 2330 11.3).

    Args:
      sample: shape (n,), any order.
      x: where to evaluate, shape (m,).

    Returns:
      Shape (m,), from 0 to 1; None for the empty sample, which has no distribution.

    >>> edf(np.array([-2, 7, 7, 4, 18, -5]), np.array([-5, 7])).round(3)
    array([0.167, 0.833])
    """
    if not len(sample):
        return None
    return np.searchsorted(np.sort(sample), x, side="right") / len(sample)


def rank_of(percent: float, n: int) -> int:
    """Return which of n ordered samples is the percentile: the smallest 1-based k with k / n >= percent / 100.

    The percentage is taken as it is written, in decimal, so that 55 % of 20 is the 11th and not, by a rounding error
    in binary, the 12th. 0 % is the first.

    Raises:
      UsageError: the percentage lies outside 0 to 100.

    >>> rank_of(15, 6), rank_of(55, 20), rank_of(99.9, 1000)
    (1, 11, 999)
    """
    if not 0 <= percent <= 100:
        raise UsageError(f"percentile {percent} lies outside 0 to 100")
    return max(1, math.ceil(Fraction(str(percent)) * n / 100))


def percentiles(sample: NDArray[Any], percents: Sequence[float], n_undefined: int = 0) -> list[Any]:
    """Return percentiles, each the smallest sample x with F(x) >= percent (RFC 2330 11.3), never interpolated.

    Args:
      sample: the defined values, shape (n,), any order.
      percents: from 0 to 100, each.
      n_undefined: further samples that stand at +infinity (RFC 7679 5.1).

    Returns:
      As many as `percents`: a number of the sample's type, or None where that is the empty sample's or infinite.

    Raises:
      UsageError: a percentage lies outside 0 to 100.

    >>> percentiles(np.array([100, 110, 90, 500]), [50, 90], n_undefined=1)
    [110, None]
    """
    n = len(sample)
    ranks = [rank_of(percent, n + n_undefined) for percent in percents]
    defined = sorted({rank - 1 for rank in ranks if rank <= n})
    ordered = np.partition(sample, defined) if defined else sample
    return [ordered[rank - 1].item() if rank <= n else None for rank in ranks]


def median(sample: NDArray[Any], n_undefined: int = 0) -> float | None:
    """Return the median (RFC 2330 11.3): the central sample, or for an even number the mean of the two central ones.

    Args:
      sample: the defined values, shape (n,), any order.
      n_undefined: further samples that stand at +infinity (RFC 7679 5.2).

    Returns:
      None for the empty sample, and where a central sample is infinite.

    >>> median(np.array([-2, 7, 7, 4, 18, -5])), median(np.array([4, 5]), n_undefined=2)
    (5.5, None)
    """
    n = len(sample) + n_undefined
    if n == 0 or n // 2 >= len(sample):
        return None
    lower, upper = (n - 1) // 2, n // 2
    ordered = np.partition(sample, [lower, upper])
    low, high = ordered[lower].item(), ordered[upper].item()
    return float(low + (high - low) / 2)


@dataclass(frozen=True, slots=True)
class DelayStatistics:
    """RFC 7679 section 5 of one sample of delays.

    Attributes:
      n: packets of the sample, the undefined ones too.
      n_undefined: packets without a delay.
      minimum_ns: RFC 7679 5.3; None when no delay is defined.
      median_ns: RFC 7679 5.2.
      percentiles_ns: RFC 7679 5.1 by percentage; None where infinite.
      inverse: RFC 7679 5.4 by threshold in ns, share of all packets with a delay <= threshold; None without packets.
    """

    n: int
    n_undefined: int
    minimum_ns: int | None
    median_ns: float | None
    percentiles_ns: dict[float, int | None]
    inverse: dict[int, float | None]


def delay_statistics(
    delay_ns: NDArray[np.int64], percents: Sequence[float] = (), thresholds_ns: Sequence[int] = ()
) -> DelayStatistics:
    """Return the statistics of one-way delay (RFC 7679 section 5); undefined counts as +infinity.

    Args:
      delay_ns: shape (n,), UNDEFINED_NS where the packet was lost; may be negative where clocks differ.
      percents: percentages of the percentiles wanted.
      thresholds_ns: thresholds of the inverse percentiles wanted.

    Raises:
      UsageError: a percentage lies outside 0 to 100.

    >>> delay_statistics(np.array([100, UNDEFINED_NS, 90]), [50]).percentiles_ns
    {50: 100}
    """
    defined = delay_ns[delay_ns != UNDEFINED_NS]
    n, n_undefined = len(delay_ns), len(delay_ns) - len(defined)
    return DelayStatistics(
        n=n,
        n_undefined=n_undefined,
        minimum_ns=int(defined.min()) if len(defined) else None,
        median_ns=median(defined, n_undefined),
        percentiles_ns=dict(zip(percents, percentiles(defined, percents, n_undefined), strict=True)),
        inverse={t: int(np.count_nonzero(defined <= t)) / n if n else None for t in thresholds_ns},
    )
