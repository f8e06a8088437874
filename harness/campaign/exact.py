"""Exact statistics of few boots: bounds of a rate, a test of many groups, and how many boots a claim needs.

Pure functions of plain numbers. No normal approximation: overnight there are tens of boots, not thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.compare.statistics import fisher_exact
from harness.errors import AnalysisError

MOST_STATES = 400_000
"""Partial tables that the exact test keeps at a time; beyond, it gives up instead of guessing."""

MOST_BOOTS = 1_000
"""Boots of each value up to which the power is reckoned."""

_SAME = 1 + 1e-7
"""Probabilities within this factor are the same, as in `harness.compare.statistics`."""


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact bounds of a rate of which k of n were seen (Clopper and Pearson 1934).

    Raises:
      AnalysisError: n below 1, or k outside 0 .. n.

    >>> [round(bound, 4) for bound in clopper_pearson(7, 20)]
    [0.1539, 0.5922]
    >>> [round(bound, 4) for bound in clopper_pearson(0, 20)]
    [0.0, 0.1684]
    """
    if n < 1 or not 0 <= k <= n:
        raise AnalysisError(f"{k} of {n} is no rate")
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else _solve(lambda p: _at_least(k, n, p) - tail)
    high = 1.0 if k == n else _solve(lambda p: tail - (1 - _at_least(k + 1, n, p)))
    return low, high


def _at_least(k: int, n: int, p: float) -> float:
    """Return the probability of k or more successes in n trials."""
    if p <= 0 or p >= 1:
        return float(k <= 0 if p <= 0 else k <= n)
    return float(np.exp(_log_binomials(n, p)[k:]).sum())


def _log_binomials(n: int, p: float) -> NDArray[np.float64]:
    """Return the logs of the probabilities of 0 .. n successes, shape (n + 1,)."""
    j = np.arange(n + 1, dtype=np.float64)
    return _log_choices(n) + j * math.log(p) + (n - j) * math.log1p(-p)


def _log_choices(n: int) -> NDArray[np.float64]:
    """Return log C(n, j) for j = 0 .. n, shape (n + 1,)."""
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1, dtype=np.float64)))))
    result: NDArray[np.float64] = factorials[n] - factorials - factorials[::-1]
    return result


def _solve(rising: Callable[[float], float]) -> float:
    """Return where a rising function of 0 .. 1 crosses 0, to the last bit that matters."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def fisher_groups(successes: Sequence[int], sizes: Sequence[int]) -> float:
    """Return the p-value of the exact test that all groups have one rate (Freeman and Halton 1951).

    It sums the probabilities of all 2 x k tables with these margins that are no likelier than the one observed; with
    two groups it is Fisher's two-sided test.

    Args:
      successes: of each group.
      sizes: of each group; groups without a member do not matter.

    Raises:
      AnalysisError: a count below 0 or above its group's size, or more tables than can be counted exactly.

    >>> round(fisher_groups([7, 0], [20, 20]), 6)
    0.008316
    >>> round(fisher_groups([3, 0, 1], [4, 4, 4]), 6)
    0.2
    """
    groups = [(k, n) for k, n in zip(successes, sizes, strict=True) if n]
    if any(not 0 <= k <= n for k, n in groups) or any(n < 0 for n in sizes):
        raise AnalysisError(f"{list(successes)} of {list(sizes)} cannot be tested")
    if len(groups) < 2:
        return 1.0
    if len(groups) == 2:
        (a, n_a), (b, n_b) = groups
        return fisher_exact(a, n_a - a, b, n_b - b)
    return _freeman_halton(groups)


def _freeman_halton(groups: list[tuple[int, int]]) -> float:
    """Sum over all tables, group by group, in whole numbers.

    A table weighs the product of C(n, k) over its groups. Partial tables with one number of successes left and one
    weight share their fate, so they are kept once with their number. One is done with as soon as all of its completions
    are known to be no likelier than what was observed, or all of them likelier.
    """
    groups = sorted(groups, key=lambda group: -group[1])
    observed = math.prod(math.comb(n, k) for k, n in groups)
    n_left = sum(n for _, n in groups)
    limit = observed + observed // 10_000_000  # for comparison with programs that round
    states: dict[tuple[int, int], int] = {(sum(k for k, _ in groups), 1): 1}
    total = math.comb(n_left, sum(k for k, _ in groups))
    counted = 0
    for place, (_, n) in enumerate(groups):
        n_left -= n
        following: dict[tuple[int, int], int] = {}
        rest = [size for _, size in groups[place + 1 :]]
        bounds: dict[int, tuple[int, int]] = {}
        for (left, weight), number in states.items():
            for k in range(max(0, left - n_left), min(n, left) + 1):
                now = weight * math.comb(n, k)
                after = left - k
                if after not in bounds:
                    bounds[after] = _extremes(rest, after)
                least, most = bounds[after]
                if now * most <= limit:  # every completion is no likelier than the observed table
                    counted += number * now * math.comb(n_left, after)
                elif now * least <= limit:
                    key = (after, now)
                    following[key] = following.get(key, 0) + number
            if len(following) > MOST_STATES:
                raise AnalysisError("too many tables for the exact test; compare fewer values")
        states = following
    return min(1.0, counted / total)


def _extremes(sizes: list[int], k: int) -> tuple[int, int]:
    """Return bounds of the product of C(n, k_i) over groups whose k_i add up to k: no table is outside them.

    The largest product is found by taking each success where it gains most: the gain of one more falls with each. It
    is 1 at least, and with a group that is neither empty nor full at least that group's size.
    """
    if not sizes:
        return 1, 1
    taken = [0] * len(sizes)
    for _ in range(k):
        best = max(
            (place for place in range(len(sizes)) if taken[place] < sizes[place]),
            key=lambda place: (sizes[place] - taken[place]) / (taken[place] + 1),
        )
        taken[best] += 1
    most = math.prod(math.comb(n, j) for n, j in zip(sizes, taken, strict=True))
    return 1 if k in _filled(sizes) else min(sizes), most


def _filled(sizes: list[int]) -> set[int]:
    """Return the numbers that whole groups can add up to: there a product of 1 is possible."""
    sums = {0}
    for n in sizes:
        sums |= {known + n for known in sums}
    return sums


def power(p_a: float, p_b: float, n: int, alpha: float = 0.05) -> float:
    """Return the probability that Fisher's test of n boots each finds two rates different; exact.

    >>> round(power(0.35, 0.0, 20), 3)
    0.882
    """
    weights_a, weights_b = _weights(n, p_a), _weights(n, p_b)
    choices = _log_choices(n)
    found = 0.0
    for both in range(2 * n + 1):
        low, high = max(0, both - n), min(n, both)
        a = np.arange(low, high + 1)
        mass = weights_a[a] * weights_b[both - a]
        if not mass.any():
            continue
        logs = choices[a] + choices[both - a]
        chances = np.exp(logs - logs.max())
        chances /= chances.sum()
        order = np.sort(chances)
        sums = np.cumsum(order)
        p_values = sums[np.searchsorted(order, chances * _SAME, side="right") - 1]
        found += float(mass[p_values <= alpha].sum())
    return found


def _weights(n: int, p: float) -> NDArray[np.float64]:
    if p <= 0 or p >= 1:
        sure = np.zeros(n + 1)
        sure[0 if p <= 0 else n] = 1.0
        return sure
    weights: NDArray[np.float64] = np.exp(_log_binomials(n, p))
    weights[weights < 1e-12] = 0.0
    return weights


def boots_needed(p_a: float, p_b: float, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """Return how many boots of each of two values show the difference of their rates with the power wanted.

    The power of an exact test does not rise with every single boot; this is the least number found by halving.

    Returns:
      Boots of each value; None for equal rates, or beyond MOST_BOOTS.

    >>> boots_needed(0.35, 0.0)
    18
    """
    if p_a == p_b:
        return None
    high = 4
    while power(p_a, p_b, high, alpha) < wanted:
        high *= 2
        if high > MOST_BOOTS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(p_a, p_b, middle, alpha) >= wanted else (middle, high)
    return high


def boots_to_bound(rate: float, confidence: float = 0.95) -> int:
    """Return how many boots without the fault bound its rate below `rate`; the exact rule of three.

    >>> boots_to_bound(0.05), boots_to_bound(0.01)
    (59, 299)
    """
    if not 0 < rate < 1:
        raise AnalysisError(f"a rate of {rate} cannot be bounded")
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate))
