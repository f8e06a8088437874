"""The run's time line, under clocks that step, slew and are read late."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import UNDEFINED_NS
from harness.net.clock import RunClock

MS = 1_000_000
START = 1_700_000_000_000_000_000


class Clocks:
    """A realtime and a monotonic clock that stand still until they are moved; each reading takes `reading_ns`."""

    def __init__(self) -> None:
        self.real, self.mono, self.reading_ns = START, 5_000 * MS, 0

    def realtime(self) -> int:
        self.pass_ns(self.reading_ns)
        return self.real

    def monotonic(self) -> int:
        self.pass_ns(self.reading_ns)
        return self.mono

    def pass_ns(self, ns: int) -> None:
        self.real += ns
        self.mono += ns

    def step(self, ns: int) -> None:
        self.real += ns


def make() -> tuple[Clocks, RunClock]:
    clocks = Clocks()
    return clocks, RunClock(clocks.realtime, clocks.monotonic)


def test_the_line_starts_at_realtime_and_goes_on_by_the_monotonic_clock() -> None:
    clocks, clock = make()
    assert clock.now_ns() == clock.start_realtime_ns == START
    clocks.pass_ns(7 * MS)
    clocks.step(-3_600_000 * MS)
    assert clock.now_ns() == START + 7 * MS
    assert clock.from_monotonic(clocks.mono) == START + 7 * MS
    assert clock.to_monotonic(START + 7 * MS) == clocks.mono


@pytest.mark.parametrize("step_ns", [2 * MS, -2 * MS, 3_600_000 * MS, -3_600_000 * MS])
def test_a_step_is_told_once(step_ns: int) -> None:
    clocks, clock = make()
    assert clock.check_step() == 0
    clocks.pass_ns(1000 * MS)
    clocks.step(step_ns)
    clock.to_run_time(np.array([clocks.real]))  # who notices it does not matter
    assert clock.check_step() == step_ns
    assert clock.check_step() == 0
    assert clock.realtime_offset_ns == step_ns


def test_two_steps_between_two_looks_add_up() -> None:
    clocks, clock = make()
    clocks.step(5 * MS)
    clock.to_run_time(np.array([clocks.real]))
    clocks.step(-2 * MS)
    assert clock.check_step() == 3 * MS


def test_less_than_a_millisecond_is_no_step_but_is_followed() -> None:
    clocks, clock = make()
    for _ in range(20):
        clocks.pass_ns(1000 * MS)
        clocks.step(MS // 2)
        assert clock.check_step() == 0
    assert clock.realtime_offset_ns == 10 * MS
    assert clock.to_run_time(np.array([clocks.real])).tolist() == [clock.now_ns()]


def test_slow_readings_are_not_taken_for_a_step() -> None:
    clocks, clock = make()
    clocks.reading_ns = 3 * MS
    assert clock.check_step() == 0


def test_without_a_step_stamps_pass_unchanged_and_the_undefined_stays() -> None:
    clocks, clock = make()
    clocks.pass_ns(50 * MS)
    stamps = np.array([START, UNDEFINED_NS, START + 50 * MS])
    assert clock.to_run_time(stamps).tolist() == stamps.tolist()
    clocks.step(7 * MS)
    assert clock.to_run_time(np.array([UNDEFINED_NS])).tolist() == [UNDEFINED_NS]
    assert clock.to_run_time(np.zeros(0, np.int64)).tolist() == []


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.integers(-7_200_000, 7_200_000).filter(lambda ms: abs(ms) > 250), min_size=1, max_size=4),
    gaps=st.lists(st.integers(1, 40), min_size=3, max_size=12),
    is_checked=st.booleans(),
)
def test_a_batch_around_steps_is_put_where_it_belongs(steps: list[int], gaps: list[int], is_checked: bool) -> None:
    clocks, clock = make()
    for step_ms in steps:
        stamps, truth = [], []
        for position, gap in enumerate(gaps):
            if position == len(gaps) // 2:
                clocks.step(step_ms * MS)
            clocks.pass_ns(gap * MS // 4)
            stamps.append(clocks.real)
            truth.append(clock.from_monotonic(clocks.mono))
        clocks.pass_ns(MS)
        if is_checked:
            assert clock.check_step() == step_ms * MS
        assert clock.to_run_time(np.array(stamps)).tolist() == truth
        clocks.pass_ns(1000 * MS)
        clock.check_step()


def test_old_stamps_after_several_steps_keep_their_own_offset() -> None:
    clocks, clock = make()
    stamps, truth = [], []
    for _ in range(3):
        clocks.pass_ns(2000 * MS)
        stamps.append(clocks.real)
        truth.append(clock.from_monotonic(clocks.mono))
        clock.check_step()
        clocks.step(600_000 * MS)
        clock.check_step()
    assert clock.to_run_time(np.array(stamps)).tolist() == truth


def test_the_real_clocks_agree_with_themselves() -> None:
    clock = RunClock()
    assert abs(clock.now_ns() - time.time_ns()) < 50 * MS
    assert clock.check_step() == 0
    stamp = time.time_ns()
    assert abs(int(clock.to_run_time(np.array([stamp]))[0]) - stamp) < MS
