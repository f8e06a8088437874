from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.empirical import delay_statistics, edf, median, percentiles, rank_of
from harness.errors import UsageError
from harness.model import UNDEFINED_NS

SAMPLES = st.lists(st.integers(-20, 20), max_size=30)
PERCENTS = st.integers(0, 1000).map(lambda tenths: tenths / 10)
RFC2330 = np.array([-2, 7, 7, 4, 18, -5])


@settings(max_examples=100, deadline=None)
@given(SAMPLES, st.lists(st.integers(-25, 25)))
def test_edf_is_the_share_not_above(sample: list[int], xs: list[int]) -> None:
    found = edf(np.array(sample, dtype=np.int64), np.array(xs, dtype=np.int64))
    if not sample:
        assert found is None
    else:
        assert found is not None
        assert found.tolist() == [sum(value <= x for value in sample) / len(sample) for x in xs]


@settings(max_examples=150, deadline=None)
@given(SAMPLES, st.lists(PERCENTS, max_size=4), st.integers(0, 5))
def test_percentile_is_the_smallest_sample_with_enough_at_or_below(
    sample: list[int], percents: list[float], n_undefined: int
) -> None:
    n = len(sample) + n_undefined
    wanted: list[int | None] = []
    for percent in percents:
        enough = [
            x for x in sample if Fraction(sum(value <= x for value in sample), n) >= Fraction(round(percent * 10), 1000)
        ]
        wanted.append(min(enough, default=None))
    assert percentiles(np.array(sample, dtype=np.int64), percents, n_undefined) == wanted


@settings(max_examples=100, deadline=None)
@given(SAMPLES, st.integers(0, 5))
def test_median_is_the_mean_of_the_central_two(sample: list[int], n_undefined: int) -> None:
    ordered = [*sorted(map(float, sample)), *[float("inf")] * n_undefined]
    n = len(ordered)
    wanted = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else float("inf")
    found = median(np.array(sample, dtype=np.int64), n_undefined)
    assert found == (None if wanted == float("inf") else wanted)


def test_the_fifteenth_percentile_of_the_example_is_the_smallest_sample() -> None:
    assert percentiles(RFC2330, [15, 25, 50, 75, 100]) == [-5, -2, 4, 7, 18]


def test_a_percentage_is_taken_in_decimal() -> None:
    assert [rank_of(percent, 1000) for percent in (0.1, 29.0, 57.0, 99.9)] == [1, 290, 570, 999]


def test_a_percentile_outside_0_to_100_is_refused() -> None:
    with pytest.raises(UsageError, match="percentile 101 lies outside 0 to 100"):
        percentiles(RFC2330, [101])


def test_the_median_of_large_times_does_not_overflow() -> None:
    assert median(np.array([2**62, 2**62 + 2])) == float(2**62)


def test_delay_statistics_of_nothing_are_undefined() -> None:
    found = delay_statistics(np.array([], dtype=np.int64), [50], [10])
    assert (found.n, found.minimum_ns, found.median_ns, found.percentiles_ns, found.inverse) == (
        0, None, None, {50: None}, {10: None},
    )  # fmt: skip


def test_delay_statistics_of_one_packet_are_its_delay() -> None:
    found = delay_statistics(np.array([7]), [0, 100], [6, 7])
    assert (found.minimum_ns, found.median_ns) == (7, 7.0)
    assert found.percentiles_ns == {0: 7, 100: 7}
    assert found.inverse == {6: 0.0, 7: 1.0}


def test_delays_of_a_stream_that_was_lost_whole_are_infinite() -> None:
    found = delay_statistics(np.full(4, UNDEFINED_NS), [50], [10])
    assert (found.n, found.n_undefined, found.minimum_ns, found.median_ns) == (4, 4, None, None)
    assert found.percentiles_ns == {50: None}
    assert found.inverse == {10: 0.0}


def test_losing_the_slowest_packets_does_not_improve_a_percentile() -> None:
    delays = np.arange(100)
    lossy = np.where(delays >= 90, UNDEFINED_NS, delays)
    assert delay_statistics(delays, [50, 95]).percentiles_ns == {50: 49, 95: 94}
    assert delay_statistics(lossy, [50, 95]).percentiles_ns == {50: 49, 95: None}
    assert delay_statistics(lossy, thresholds_ns=[200]).inverse == {200: 0.9}
