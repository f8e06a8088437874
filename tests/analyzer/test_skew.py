from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.skew import skew
from harness.errors import AnalysisError

POINTS = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), max_size=16)
FAR = st.lists(st.tuples(st.integers(0, 2**56), st.integers(-(2**40), 2**40)), max_size=10)


def least_sum(points: list[tuple[int, int]]) -> Fraction | None:
    """The objective of the linear program, over all lines through two points that stay below the others."""
    sums = []
    for (t0, d0), (t1, d1) in combinations(points, 2):
        if t0 == t1:
            continue
        slope = Fraction(d1 - d0, t1 - t0)
        above = [d - d0 - slope * (t - t0) for t, d in points]
        if min(above) >= 0:
            sums.append(sum(above, Fraction(0)))
    return min(sums, default=None)


@settings(max_examples=200, deadline=None)
@given(POINTS | FAR)
def test_the_line_is_below_all_and_least_in_sum(points: list[tuple[int, int]]) -> None:
    tx_ns = np.array([t for t, _ in points], dtype=np.int64)
    delay_ns = np.array([d for _, d in points], dtype=np.int64)
    found = skew(tx_ns, delay_ns)
    wanted = least_sum(points)
    if found is None:
        assert wanted is None
        return
    above = [d - found.intercept_ns - found.skew * (t - found.origin_ns) for t, d in points]
    assert min(above) == 0
    assert sum(above) == wanted


@settings(max_examples=100, deadline=None)
@given(POINTS)
def test_the_hull_is_found_without_thinning_too(points: list[tuple[int, int]]) -> None:
    tx_ns = np.array([t for t, _ in points], dtype=np.int64)
    delay_ns = np.array([d for _, d in points], dtype=np.int64)
    thinned = skew(tx_ns, delay_ns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.analyzer.skew._MAX_PASSES", 0)
        assert skew(tx_ns, delay_ns) == thinned


def test_queueing_does_not_move_a_drift_of_50_ppm() -> None:
    rng = np.random.default_rng(11)
    tx_ns = 1_700_000_000_000_000_000 + np.arange(50_000) * 20_000_000
    queueing = (rng.exponential(2e6, len(tx_ns)) * (rng.random(len(tx_ns)) < 0.9)).astype(np.int64)
    drift = (tx_ns - tx_ns[0]) // 20_000
    found = skew(tx_ns, 5_000_000 + drift + queueing)
    assert found is not None
    assert found.ppm == pytest.approx(50)
    assert np.abs(found.residual_ns(tx_ns, 5_000_000 + drift + queueing) - queueing).max() < 1


def test_a_valley_of_delays_is_all_hull_and_still_found() -> None:
    tx_ns = np.arange(-300, 301) * 1000
    found = skew(tx_ns, (np.arange(-300, 301)) ** 2)
    assert found is not None
    assert found.skew == Fraction(-1, 1000)


def test_the_earlier_edge_wins_at_a_vertex_right_at_the_mean() -> None:
    found = skew(np.array([0, 10, 20]), np.array([5, 0, 5]))
    assert found is not None
    assert found.skew == Fraction(-1, 2)


@pytest.mark.parametrize("tx_ns", [[], [7], [7, 7, 7]])
def test_fewer_than_two_sending_times_have_no_skew(tx_ns: list[int]) -> None:
    assert skew(np.array(tx_ns, dtype=np.int64), np.zeros(len(tx_ns), dtype=np.int64)) is None


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"tx_ns \(2,\), delay_ns \(1,\)"):
        skew(np.array([1, 2]), np.array([3]))
