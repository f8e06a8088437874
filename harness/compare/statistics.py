"""Exact tests of differences between counts, bounds for the distance of two distributions, and Holm's correction.

Pure functions of plain numbers. Two-sided p-values sum the probabilities of all outcomes that are no likelier than the
one observed, equal ones within a rounding error included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import AnalysisError

_SAME = 1 + 1e-7
"""Probabilities within this factor are the same."""


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Return the two-sided p-value of Fisher's exact test for the table [[a, b], [c, d]].

    Raises:
      AnalysisError: a negative count.

    >>> round(fisher_exact(3, 1, 1, 3), 6)
    0.485714
    >>> fisher_exact(0, 10, 0, 30)
    1.0
    """
    if min(a, b, c, d) < 0:
        raise AnalysisError(f"counts [[{a}, {b}], [{c}, {d}]] of a test are negative")
    first, events, total = a + b, a + c, a + b + c + d
    low, high = max(0, first + events - total), min(first, events)
    k = np.arange(low, high, dtype=np.float64)
    steps = np.log((events - k) * (first - k)) - np.log((k + 1) * (total - events - first + k + 1))
    return _no_likelier(steps, a - low)


def binomial_exact(k: int, n: int, p: float = 0.5) -> float:
    """Return the two-sided p-value of k successes in n trials of probability p; 1.0 without a trial.

    Raises:
      AnalysisError: k outside 0 .. n, or p not between 0 and 1.

    >>> binomial_exact(0, 5)
    0.0625
    """
    if not 0 <= k <= n or not 0 < p < 1:
        raise AnalysisError(f"{k} successes in {n} trials of probability {p} cannot be tested")
    j = np.arange(n, dtype=np.float64)
    return _no_likelier(np.log((n - j) / (j + 1)) + math.log(p / (1 - p)), k)


def _no_likelier(steps: NDArray[np.float64], observed: int) -> float:
    """Return the share of all outcomes no likelier than the observed one, given logs of ratios of neighbours."""
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(logs - logs.max())
    chosen = weights[logs <= logs[observed] + math.log(_SAME)]
    return min(1.0, float(chosen.sum() / weights.sum()))


def rate_test(events_a: int, exposure_a: float, events_b: int, exposure_b: float) -> float:
    """Return the two-sided p-value that events come at one rate in both (Poisson, conditional on their sum).

    Args:
      events_a: count of the one.
      exposure_a: for how long that one was watched, above 0, in any unit.
      events_b: count of the other.
      exposure_b: for how long the other was watched, in the same unit.

    >>> rate_test(0, 10.0, 5, 10.0)
    0.0625
    """
    return binomial_exact(events_a, events_a + events_b, exposure_a / (exposure_a + exposure_b))


def ks_bounds(
    edges_a: Sequence[float], counts_a: Sequence[int], edges_b: Sequence[float], counts_b: Sequence[int]
) -> tuple[float, float]:
    """Return the least and the most that the Kolmogorov-Smirnov distance of two binned samples can be.

    A histogram tells its distribution function exactly at its edges and bounds it between them.

    Args:
      edges_a: of the one, rising, one more than there are counts.
      counts_a: of the one, not all of them 0.
      edges_b: of the other.
      counts_b: of the other.

    >>> ks_bounds([0, 1, 2], [1, 1], [0, 1, 2], [0, 2])
    (0.5, 1.0)
    """
    points = np.union1d(np.asarray(edges_a, np.float64), np.asarray(edges_b, np.float64))
    low_a, high_a = _distribution_at(points, edges_a, counts_a)
    low_b, high_b = _distribution_at(points, edges_b, counts_b)
    least = max(0.0, float((low_a - high_b).max()), float((low_b - high_a).max()))
    most = max(float((high_a[1:] - low_b[:-1]).max()), float((high_b[1:] - low_a[:-1]).max()), least)
    return least, min(1.0, most)


def _distribution_at(
    points: NDArray[np.float64], edges: Sequence[float], counts: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper bounds of a binned sample's distribution function, shape of `points` each."""
    own = np.asarray(edges, np.float64)
    share = np.concatenate(([0.0], np.cumsum(counts) / np.sum(counts)))
    below = np.clip(np.searchsorted(own, points, side="right") - 1, 0, len(own) - 1)
    above = np.clip(np.searchsorted(own, points, side="left"), 0, len(own) - 1)
    low = np.where(points < own[0], 0.0, share[below])
    high = np.where(points > own[-1], 1.0, share[above])
    return low, high


def ks_p_value(distance: float, n_a: float, n_b: float) -> float:
    """Return the asymptotic p-value of a two-sample Kolmogorov-Smirnov distance, by Stephens' approximation.

    >>> ks_p_value(0.0, 50, 50), round(ks_p_value(0.3, 50, 50), 3)
    (1.0, 0.017)
    """
    size = math.sqrt(n_a * n_b / (n_a + n_b))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:  # the series below converges slowly there, and the value is 1 to twelve digits
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, math.fsum(terms)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, place in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = reached
    return adjusted
