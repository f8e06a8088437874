"""The parts that the fold is made of, each alone: what is exact, what is bounded, and that parts add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.bursts import burst_gap, loss_groups
from harness.analyzer.jitter import Jitter
from harness.analyzer.loss import LossPeriods
from harness.analyzer.marks import MarkSample
from harness.analyzer.passive import Spacings
from harness.analyzer.runs import RunSet
from harness.analyzer.series import BinnedSeries
from harness.analyzer.sketch import RELATIVE_ERROR, Sketch, exact_sum
from harness.model import UNDEFINED_NS

MS = 1_000_000
values = st.integers(-(2**61), 2**61) | st.integers(-300, 300)


@given(st.lists(values, min_size=1, max_size=60), st.integers(0, 60))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_sketch_is_exact_but_for_its_percentiles(samples: list[int], cut: int) -> None:
    first, later = Sketch(), Sketch()
    first.add(np.array(samples[:cut], np.int64))
    later.add(np.array(samples[cut:], np.int64))
    first.merge(later)
    assert (first.n, first.total) == (len(samples), sum(samples))
    assert (first.minimum, first.maximum) == (min(samples), max(samples))
    ranked = sorted(samples)
    for percent in ("0.1", "25", "50", "75", "100"):
        want = ranked[max(0, -(-len(ranked) * round(float(percent) * 10) // 1000) - 1)]
        assert first.percentile(percent) == pytest.approx(want, rel=RELATIVE_ERROR, abs=1e-9)
    found = first.distribution()
    inside = [
        sum(low <= x < high for x in samples) for low, high in zip(found.edges_ns, found.edges_ns[1:], strict=False)
    ]
    if min(samples) >= 0 and max(samples) < 2**53:  # buckets of negative values are closed above, not below
        assert found.counts == inside
    assert sum(found.counts) == len(samples)


def test_small_times_and_equal_times_are_exact() -> None:
    sketch = Sketch()
    sketch.add(np.array([0, 7, 7, 255, 1_000_003, 1_000_003, 1_000_003]))
    assert [sketch.percentile(p) for p in ("10", "40", "50", "90")] == [0.0, 7.0, 255.0, 1_000_003.0]


def test_sums_pass_64_bits() -> None:
    assert exact_sum(np.full(10, 2**61)) == 10 * 2**61
    assert exact_sum(np.full(10, -(2**61))) == -10 * 2**61
    assert exact_sum(np.zeros(0, np.int64)) == 0


def test_an_empty_distribution_has_no_figures() -> None:
    found = Sketch().distribution()
    assert (found.n, found.minimum_ns, found.mean_ns, found.percentiles_ns, found.counts) == (0, None, None, {}, [])


def test_a_sketch_stays_small() -> None:
    sketch = Sketch()
    rng = np.random.default_rng(1)
    sketch.add((10 ** rng.uniform(0, 18, 100_000)).astype(np.int64))
    assert len(sketch._counts) <= 63 * 256
    assert len(sketch.distribution().counts) <= 128


@given(st.lists(st.sets(st.integers(0, 80), max_size=30), max_size=6), st.integers(0, 6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_runs_are_the_set_of_what_was_added(parts: list[set[int]], cut: int) -> None:
    whole: set[int] = set()
    sets = [RunSet(), RunSet()]
    seen: list[set[int]] = [set(), set()]
    for index, part in enumerate(parts):
        side = int(index >= cut)
        new = np.array(sorted(part - seen[side]), np.int64)
        sets[side].add(new, new * 10)
        seen[side] |= part
        whole |= part
    sets[0].merge(sets[1], 0)
    runs = sets[0]
    assert [k for a, b in zip(runs.starts, runs.ends, strict=True) for k in range(a, b)] == sorted(whole)
    assert runs.n == len(whole)
    assert (runs.start_ns == runs.starts * 10).all()
    assert (runs.end_ns == (runs.ends - 1) * 10).all()
    assert (runs.starts[1:] > runs.ends[:-1]).all()
    asked = np.arange(-1, 83)
    assert runs.contains(asked).tolist() == [k in whole for k in asked.tolist()]
    assert [runs.count_from(k) for k in range(82)] == [sum(x >= k for x in whole) for k in range(82)]


def test_too_many_runs_close_the_older_half_but_lose_no_count() -> None:
    runs = RunSet(max_runs=8)
    for start in range(0, 60, 3):
        runs.add(np.array([start, start + 1]), np.array([start, start + 1]))
    assert len(runs) <= 8
    first, last = runs.gaps()
    assert runs.n == 40
    assert int((last - first + 1).sum()) + runs.n_closed_lost == 19
    assert len(first) + runs.n_closed_periods == 19
    assert runs.longest_closed == 1
    later = RunSet(max_runs=8)
    later.merge(runs, 100)
    assert (later.n, later.n_closed_lost) == (40, runs.n_closed_lost)


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 1000), st.integers(-5, 5)), min_size=1, max_size=40),
       st.integers(0, 40))  # fmt: skip
@settings(max_examples=100, deadline=None, derandomize=True)
def test_bins_stay_bounded_and_add_up(packets: list[tuple[int, int, int]], cut: int) -> None:
    table = np.array(packets, np.int64)
    series = [BinnedSeries(16), BinnedSeries(16)]
    for part, rows in zip(series, (table[:cut], table[cut:]), strict=True):
        for row in rows:
            part.add(row[:1], row[1:2], row[2:], UNDEFINED_NS)
    series[0].merge(series[1], 0)
    whole = BinnedSeries(16)
    whole.add(table[:, 0], table[:, 1], table[:, 2], UNDEFINED_NS)
    assert (whole.level, whole.low) == (series[0].level, series[0].low)
    assert (whole.table == series[0].table).all()
    assert len(whole) <= 16
    assert whole.table[0].sum() == len(packets)


def test_marks_are_a_bounded_sample_that_does_not_depend_on_the_cut() -> None:
    rx_ns, seq = np.arange(5000) * 1000, np.arange(5000)
    whole, first, later = (MarkSample("duplicate", 100) for _ in range(3))
    whole.add(rx_ns, seq)
    first.add(rx_ns[:1234], seq[:1234])
    later.add(rx_ns[1234:], seq[1234:] - 7)
    first.merge(later, 7)
    assert whole.marks() == first.marks()
    assert (len(whole.marks()), whole.n, first.n) == (100, 5000, 5000)
    in_thirds = np.histogram([mark.rx_ns for mark in whole.marks()], 3, (0, 5_000_000))[0]
    assert in_thirds.min() > 15


def test_more_silences_than_are_kept_keep_the_longest() -> None:
    spacings = Spacings(max_silences=4)
    rx_ns = np.cumsum([0, 10, 500, 10, 400, 10, 300, 10, 200, 10, 100, 10, 600, 10, 350])
    for at in rx_ns:
        spacings.add(np.array([at]), None, None)
    silences, is_full = spacings.silences(50)
    assert is_full
    assert (silences[:, 1] - silences[:, 0]).tolist() == [500, 400, 600, 350]
    assert spacings.interval_ns(None) == 10


def test_a_media_clock_beats_the_arrivals_for_the_interval_and_wraps() -> None:
    spacings = Spacings(clock_bits=32)
    ticks = (2**32 - 480 + 240 * np.arange(10)) % 2**32
    spacings.add(np.arange(10) * 5 * MS + np.array([0, 3] * 5) * MS, np.arange(10), ticks)
    assert spacings.interval_ns(48_000) == 5 * MS


def test_a_clock_that_stands_still_within_a_frame_leaves_the_arrivals() -> None:
    spacings = Spacings(clock_bits=32)
    spacings.add(np.arange(10) * 5 * MS, np.arange(10), np.arange(10) // 5 * 3000)
    assert spacings.interval_ns(90_000) == 5 * MS


def test_jitter_over_the_wrap_of_the_media_clock_is_small() -> None:
    jitter = Jitter(8000)
    jitter.add(np.arange(4) * 20 * MS, (2**32 - 320 + 160 * np.arange(4)) % 2**32)
    assert (jitter.n, jitter.value) == (3, 0.0)


def test_jitter_of_fewer_than_two_packets_is_undefined() -> None:
    jitter = Jitter()
    jitter.add(np.array([5]), np.array([1]))
    assert jitter.n == 0


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 18))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_bursts_are_those_of_the_definition(is_lost: list[bool], gmin: int) -> None:
    padded = [False] * gmin + is_lost + [False] * gmin
    isolated = [
        k
        for k, lost in enumerate(is_lost)
        if lost and not any(padded[k : k + gmin]) and not any(padded[k + gmin + 1 : k + 2 * gmin + 1])
    ]
    found = burst_gap(np.array(is_lost, bool), gmin)
    assert found.isolated.tolist() == isolated
    lost_in_bursts = [k for a, b, _ in found.bursts.tolist() for k in range(a, b + 1) if is_lost[k]]
    assert lost_in_bursts == [k for k, lost in enumerate(is_lost) if lost and k not in isolated]
    assert int(found.bursts[:, 2].sum()) == len(lost_in_bursts)
    covered = [k for spans in (found.bursts[:, :2], found.gaps) for a, b in spans.tolist() for k in range(a, b + 1)]
    assert sorted(covered) == list(range(len(is_lost)))


def test_no_loss_has_no_bursts_and_no_density() -> None:
    none = np.zeros(0, np.int64)
    assert len(loss_groups(none, none, 16).lost) == 0
    found = burst_gap(np.zeros(0, bool), 16)
    assert (found.burst_density, found.gap_density, found.mean_burst_ns(1), found.mean_gap_ns(1)) == (None,) * 4


def test_losses_are_counted_below_any_number() -> None:
    periods = LossPeriods(np.array([2, 7]), np.array([4, 7]))
    lost = [2, 3, 4, 7]
    asked = np.arange(10)
    assert periods.count_below(asked).tolist() == [sum(x < k for x in lost) for k in range(10)]
    assert periods.contain(asked).tolist() == [k in lost for k in range(10)]
    empty = LossPeriods(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert empty.lost == 0
    assert not empty.contain(asked).any()


@pytest.mark.parametrize("value", [0, 48, -7, 2**50])
def test_a_sketch_of_equal_values_is_that_of_the_same_values_one_by_one(value: int) -> None:
    at_once, singly = Sketch(), Sketch()
    at_once.add(np.full(9, value))
    for other in (value, *[value] * 8):
        singly.add(np.array([other]))
    both = [(s.n, s.total, s.minimum, s.maximum, s.percentile("50"), s.distribution()) for s in (at_once, singly)]
    assert both[0] == both[1]
    assert both[0][:5] == (9, 9 * value, value, value, value)
    mixed, apart = Sketch(), Sketch()
    mixed.add(np.array([value] * 9 + [5]))
    apart.add(np.full(9, value))
    apart.add(np.array([5]))
    assert mixed.distribution() == apart.distribution()
