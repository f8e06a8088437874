"""The tests of a comparison against scipy, against enumeration, and at their edges."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analyzer.sketch import Sketch
from harness.compare.statistics import binomial_exact, fisher_exact, holm, ks_bounds, ks_p_value, rate_test
from harness.errors import AnalysisError

COUNT = st.integers(0, 40)


@settings(max_examples=300, deadline=None)
@given(COUNT, COUNT, COUNT, COUNT)
def test_fisher_is_scipys(a: int, b: int, c: int, d: int) -> None:
    assert fisher_exact(a, b, c, d) == pytest.approx(stats.fisher_exact([[a, b], [c, d]]).pvalue, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_fisher_is_the_sum_over_all_tables(a: int, b: int, c: int, d: int) -> None:
    """An oracle in fractions: every table of these margins, by its hypergeometric probability."""
    first, events, total = a + b, a + c, a + b + c + d

    def probability(k: int) -> Fraction:
        return Fraction(math.comb(events, k) * math.comb(total - events, first - k), math.comb(total, first))

    tables = range(max(0, first + events - total), min(first, events) + 1)
    exact = sum(p for p in map(probability, tables) if p <= probability(a))
    assert fisher_exact(a, b, c, d) == pytest.approx(float(exact), rel=1e-9)


def test_fisher_holds_for_a_hundred_million_packets() -> None:
    table = [[3_000, 100_000_000], [3_300, 100_000_000]]
    expected = stats.fisher_exact(table).pvalue
    assert fisher_exact(3_000, 100_000_000, 3_300, 100_000_000) == pytest.approx(expected, rel=1e-6)
    assert fisher_exact(0, 10**8, 10**5, 10**8) < 1e-300
    assert fisher_exact(50_000, 10**8, 50_000, 10**8) == pytest.approx(1.0)


@pytest.mark.parametrize("table", [(0, 0, 0, 0), (0, 5, 0, 9), (5, 0, 9, 0), (0, 0, 3, 4)])
def test_a_table_without_a_choice_proves_nothing(table: tuple[int, int, int, int]) -> None:
    assert fisher_exact(*table) == 1.0


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(AnalysisError):
        fisher_exact(-1, 2, 3, 4)
    for k, n, p in ((3, 2, 0.5), (-1, 2, 0.5), (1, 2, 0.0), (1, 2, 1.0)):
        with pytest.raises(AnalysisError):
            binomial_exact(k, n, p)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_binomial_is_scipys(k: int, rest: int, p: float) -> None:
    if k + rest:
        expected = stats.binomtest(k, k + rest, p).pvalue
        assert binomial_exact(k, k + rest, p) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_no_trial_proves_nothing_and_many_do() -> None:
    assert binomial_exact(0, 0) == 1.0
    assert binomial_exact(500_000, 1_001_000) == pytest.approx(stats.binomtest(500_000, 1_001_000).pvalue, rel=1e-4)


def test_rates_count_by_the_time_watched() -> None:
    assert rate_test(2, 10.0, 2, 10.0) == 1.0
    assert rate_test(1, 1.0, 9, 9.0) == 1.0
    assert rate_test(0, 5.0, 0, 5.0) == 1.0
    assert rate_test(0, 60.0, 20, 60.0) == pytest.approx(2 * 0.5**20)


def histogram(values: list[int]) -> tuple[list[float], list[int]]:
    sketch = Sketch()
    sketch.add(np.array(values, np.int64))
    found = sketch.distribution()
    return found.edges_ns, found.counts


SAMPLE = st.lists(st.integers(1, 10**7), min_size=2, max_size=80)


@settings(max_examples=200, deadline=None)
@given(SAMPLE, SAMPLE, st.integers(-(10**6), 10**6))
def test_the_histograms_bound_the_distance_of_the_samples(a: list[int], b: list[int], shift: int) -> None:
    exact = stats.ks_2samp(np.array(a), np.array(b) + shift, method="asymp").statistic
    edges, counts = histogram(b)
    low, high = ks_bounds(*histogram(a), [edge + shift for edge in edges], counts)
    assert 0 <= low <= exact + 1e-12
    assert exact <= high + 1e-12
    assert high <= 1


def test_the_same_histogram_is_at_no_proven_distance_and_disjoint_ones_are_at_one() -> None:
    edges, counts = histogram(list(range(1_000, 9_000, 7)))
    assert ks_bounds(edges, counts, edges, counts)[0] == 0
    assert ks_bounds([0, 1], [5], [2, 3], [5]) == (1.0, 1.0)


@pytest.mark.parametrize(("n_a", "n_b"), [(20, 30), (100, 80), (900, 1_000)])
def test_the_p_value_is_near_the_exact_one(n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(5)
    for shift in (0.0, 0.2, 0.5):
        a, b = rng.normal(size=n_a), rng.normal(shift, size=n_b)
        exact = stats.ks_2samp(a, b, method="exact")
        assert ks_p_value(exact.statistic, n_a, n_b) == pytest.approx(exact.pvalue, rel=0.35, abs=0.02)


def test_no_distance_is_no_difference() -> None:
    assert ks_p_value(0.0, 1_000, 1_000) == 1.0
    assert ks_p_value(1.0, 1_000, 1_000) < 1e-200


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_by_the_definition(p_values: list[float]) -> None:
    """Oracle: the k-th smallest is (m - k) p, never less than one before it, at most 1."""
    order = np.argsort(p_values, kind="stable")
    steps = [min(1.0, (len(p_values) - k) * p_values[i]) for k, i in enumerate(order)]
    running = np.maximum.accumulate(steps) if steps else np.zeros(0)
    expected = {int(i): float(p) for i, p in zip(order, running, strict=True)}
    assert holm(p_values) == pytest.approx([expected[i] for i in range(len(p_values))])
