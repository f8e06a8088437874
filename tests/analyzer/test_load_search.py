"""The search for the highest load without loss: RFC 2544, MLRsearch, RFC 9097."""

import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.mlrsearch import Goal, MlrSearch, Trial, classify, conditional_throughput
from harness.analyzer.rate_adjust import RateAdjuster, RateAdjustParameters
from harness.analyzer.search import Bisection, FrameLossSweep, ThroughputSearch, frame_loss_rate
from harness.errors import UsageError

S = 10**9


def run(search: ThroughputSearch | FrameLossSweep | MlrSearch, loss_at: Callable[[float], float]) -> list[float]:
    loads: list[float] = []
    for _ in range(10_000):
        load = search.next_load()
        if load is None:
            return loads
        assert search.next_load() == load, "asking does not advance the search"
        loads.append(load)
        search.record(loss_at(load))
    raise AssertionError("the search does not end")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100), st.integers(1, 1000), st.integers(0, 1200), st.integers(1, 50))
def test_throughput_lies_within_the_resolution_below_the_capacity(
    lowest: int, width: int, capacity: int, resolution: int
) -> None:
    highest = lowest + width
    search = ThroughputSearch(lowest, highest, resolution)
    loads = run(search, lambda load: max(0.0, 1 - capacity / load) if load else 0.0)
    assert len(loads) <= 2 + max(0, math.ceil(math.log2(width / resolution)))
    assert [trial.load for trial in search.trials] == loads
    if capacity >= highest:
        assert (search.throughput, search.upper_bound, loads) == (highest, None, [highest])
    elif capacity < lowest:
        assert (search.throughput, search.upper_bound, loads) == (None, lowest, [highest, lowest])
    else:
        assert search.throughput is not None
        assert search.upper_bound is not None
        assert search.throughput <= capacity < search.upper_bound <= search.throughput + resolution


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_search_ends_on_a_path_that_makes_no_sense(random: Random) -> None:
    run(ThroughputSearch(0, 1000, 1e-300), lambda _: random.choice([0.0, 1.0]))


def test_tolerated_loss_passes_and_more_does_not() -> None:
    strict, lenient = ThroughputSearch(0, 100, 10), ThroughputSearch(0, 100, 10, loss_tolerance=0.01)
    strict.record(0.01)
    lenient.record(0.01)
    assert (strict.throughput, lenient.throughput) == (None, 100)


def test_a_search_that_is_over_takes_no_more_results() -> None:
    search = ThroughputSearch(0, 100, 10)
    search.record(0.0)
    with pytest.raises(UsageError, match="the search is over"):
        search.record(0.0)
    assert len(search.trials) == 1


def test_a_result_that_is_no_ratio_is_refused_and_changes_nothing() -> None:
    search = ThroughputSearch(0, 100, 10)
    with pytest.raises(UsageError, match=r"loss ratio 1\.5"):
        search.record(1.5)
    with pytest.raises(UsageError, match="loss ratio nan"):
        search.record(math.nan)
    assert (search.next_load(), search.trials) == (100, [])


@pytest.mark.parametrize(("lowest", "highest", "resolution"), [(5, 5, 1), (-1, 5, 1), (0, 5, 0), (0, math.inf, 1)])
def test_bounds_that_cannot_be_searched_are_refused(lowest: float, highest: float, resolution: float) -> None:
    with pytest.raises(UsageError, match=r"do not ascend|never ends"):
        Bisection(lowest, highest, resolution)


def test_a_sweep_ends_after_two_clean_trials_in_a_row() -> None:
    sweep = FrameLossSweep(1000)
    assert run(sweep, lambda load: max(0.0, 1 - 750 / load)) == [1000, 900, 800, 700, 600]
    assert [frame_loss_rate(100, round(100 * (1 - trial.loss_ratio))) for trial in sweep.trials] == [25, 17, 6, 0, 0]


def test_a_sweep_over_a_clean_path_takes_two_trials() -> None:
    assert run(FrameLossSweep(1000), lambda _: 0.0) == [1000, 900]


def test_a_sweep_over_a_dead_path_ends_before_zero() -> None:
    assert run(FrameLossSweep(100), lambda _: 1.0) == [100, 90, 80, 70, 60, 50, 40, 30, 20, 10]


def test_a_step_beyond_ten_percent_is_refused() -> None:
    with pytest.raises(UsageError, match="steps of 20"):
        FrameLossSweep(100, 20)


def test_frame_loss_of_nothing_sent_is_undefined() -> None:
    assert frame_loss_rate(0, 0) is None
    assert frame_loss_rate(10, 0) == 100.0


TRIALS = st.lists(
    st.builds(Trial, st.sampled_from([1 * S, 2 * S, 60 * S]), st.sampled_from([0.0, 0.01]), st.integers(1, 40)),
    max_size=5,
)
GOALS = st.builds(
    Goal, st.just(2 * S), st.sampled_from([10 * S, 60 * S]), st.just(0.0), st.sampled_from([0.0, 0.2, 0.5])
)


@settings(max_examples=150, deadline=None)
@given(GOALS, TRIALS)
def test_a_verdict_is_one_that_missing_full_length_trials_cannot_change(goal: Goal, trials: list[Trial]) -> None:
    found = classify(goal, trials)
    missing_ns = math.ceil(found.missing_ns)
    futures = [[], [(missing_ns, 0.0)], [(missing_ns, 1.0)]] if missing_ns >= goal.final_trial_ns else [[]]
    bounds = {classify(goal, [*trials, *(Trial(*future) for future in added)]).bound for added in futures}
    if found.bound != "undecided":
        assert bounds == {found.bound}
    elif len(futures) == 3:
        assert bounds == {"undecided", "lower", "upper"}
    assert 0 <= found.optimistic_exceed_ratio <= found.pessimistic_exceed_ratio <= 1


@settings(max_examples=150, deadline=None)
@given(GOALS, TRIALS)
def test_conditional_throughput_is_a_quantile_second_by_second(goal: Goal, trials: list[Trial]) -> None:
    seconds = sorted(
        trial.loss_ratio
        for trial in trials
        if trial.duration_ns >= goal.final_trial_ns
        for _ in range(trial.n * trial.duration_ns // S)
    )
    found = conditional_throughput(goal, trials, 1000)
    if not seconds:
        assert found is None
        return
    seconds += [1.0] * (goal.duration_sum_ns // S - len(seconds))
    needed = math.ceil(len(seconds) * round((1 - goal.exceed_ratio) * 10) / 10 - 1e-9)
    assert found == pytest.approx(1000 * (1 - seconds[needed - 1]))


def test_no_trial_decides_nothing() -> None:
    found = classify(Goal(S, 10 * S), [])
    assert (found.bound, found.missing_ns, found.optimistic_exceed_ratio) == ("undecided", 10 * S, 0.0)


def test_one_bad_trial_ends_a_load_when_no_loss_is_granted() -> None:
    search = MlrSearch(Goal(S, 20 * S), lowest=0, highest=100, resolution=50)
    search.record(0.001)
    assert search.next_load() == 0


def test_an_exceed_ratio_forgives_some_trials() -> None:
    search = MlrSearch(Goal(S, 10 * S, exceed_ratio=0.5), lowest=1, highest=100, resolution=50)
    for loss in [0.1, 0.0] * 4 + [0.0]:
        search.record(loss)
    assert (search.lower_bound, search.throughput) == (100, 100)


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 1200), st.sampled_from([0.0, 0.2, 0.5]))
def test_mlrsearch_brackets_the_capacity(capacity: float, exceed: float) -> None:
    search = MlrSearch(Goal(S, 10 * S, exceed_ratio=exceed), lowest=0, highest=1000, resolution=10)
    run(search, lambda load: 0.1 if load > capacity else 0.0)
    assert all(len(trials) <= 10 for trials in search.trials.values())
    if capacity >= 1000:
        assert (search.throughput, search.upper_bound) == (1000, None)
    else:
        assert search.lower_bound is not None
        assert search.upper_bound is not None
        assert search.lower_bound <= capacity < search.upper_bound <= search.lower_bound + 10
        assert search.throughput == search.lower_bound
    with pytest.raises(UsageError, match="the search is over"):
        search.record(0.0)


def test_a_path_that_always_loses_has_no_throughput() -> None:
    search = MlrSearch(Goal(S, 3 * S), lowest=10, highest=100, resolution=10)
    run(search, lambda _: 1.0)
    assert (search.throughput, search.lower_bound, search.upper_bound) == (None, None, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Goal(0, S), "durations 0"),
        (lambda: Goal(S, S, exceed_ratio=1.0), "exceed ratio 1.0"),
        (lambda: Goal(S, S, loss_ratio=-0.1), "goal loss ratio -0.1"),
        (lambda: Trial(S, 2.0), "trial loss ratio 2.0"),
        (lambda: Trial(S, 0.0, n=0), "0 trials"),
        (lambda: Trial(0, 0.0), "1 trials of 0 ns"),
        (lambda: RateAdjuster(2000), "row 2000"),
        (lambda: RateAdjustParameters(low_delay_ns=2, high_delay_ns=1), "low delay 2 ns"),
        (lambda: RateAdjustParameters(fast_step=0), "at least 1 each"),
    ],
)
def test_impossible_goals_trials_and_thresholds_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_single_delay_threshold_is_allowed() -> None:
    adjuster = RateAdjuster(5, RateAdjustParameters(low_delay_ns=7, high_delay_ns=7))
    assert [adjuster.update(0, delay_ns) for delay_ns in (7, 8, 6)] == [5, 4, 14]


def printed_adjustments(feedback: list[tuple[int, int]], index: int, high_speed: int, n_rates: int) -> list[int]:
    """The pseudo-code of RFC 9097 Appendix A; a row past the table's end is its last."""
    slow_count, rows = 0, []
    for errors, delay_ms in feedback:
        if errors <= 10 and delay_ms < 30:
            if index < high_speed and slow_count < 3:
                index += 10
                slow_count = 0
            elif index < n_rates - 1:
                index += 1
        elif errors > 10 or delay_ms > 90:
            slow_count += 1
            if index < high_speed and slow_count == 3:
                index = index - 30 if index > 30 else 0
            elif index > 0:
                index -= 1
        index = min(index, n_rates - 1)
        rows.append(index)
    return rows


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 10, 11, 50]), st.sampled_from([5, 29, 30, 90, 91])), max_size=40),
    st.integers(0, 69),
    st.sampled_from([20, 50, 70]),
)
def test_rate_adjustment_follows_the_pseudo_code(feedback: list[tuple[int, int]], index: int, high_speed: int) -> None:
    adjuster = RateAdjuster(index, RateAdjustParameters(high_speed_index=high_speed, n_rates=70))
    found = [adjuster.update(errors, delay_ms * 1_000_000) for errors, delay_ms in feedback]
    assert found == printed_adjustments(feedback, index, high_speed, 70)
