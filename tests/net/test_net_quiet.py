"""A precise stream is due where the machine's ticks do not meet it, now and a second later."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.net.quiet import HORIZON_NS, quiet_phase_ns

US, MS = 1_000, 1_000_000


class Interrupted:
    """A clock that goes on by 100 ns at each look, and by more where a tick takes the processor.

    Args:
      ticks: for each, its period and when it first comes, in ns, how long it takes, and by how much it drifts in ppm.
    """

    def __init__(self, ticks: list[tuple[int, int, int, float]]) -> None:
        self.now_ns, self.ticks = 10**12, ticks
        self.next_ns = [float(10**12 + first_ns) for _, first_ns, _, _ in ticks]

    def __call__(self) -> int:
        self.now_ns += 100
        for place, (period_ns, _, lasts_ns, ppm) in enumerate(self.ticks):
            if self.now_ns >= self.next_ns[place]:
                self.now_ns += lasts_ns
                self.next_ns[place] += period_ns * (1 + ppm / 1e6)
        return self.now_ns

    def distance_ns(self, phase_ns: int, interval_ns: int, later_ns: int) -> float:
        """Return how far a due time in this phase is from what a tick takes, so much later; negative for within."""
        distances = []
        for period_ns, first_ns, lasts_ns, ppm in self.ticks:
            for number in range(max(1, interval_ns // period_ns)):
                start_ns = first_ns + number * period_ns + ppm * later_ns / 1e6
                after_ns = (phase_ns - start_ns) % interval_ns
                distances.append(
                    after_ns - lasts_ns if after_ns < lasts_ns else min(after_ns - lasts_ns, interval_ns - after_ns)
                )
        return min(distances)


@settings(max_examples=15, deadline=None)
@given(
    interval_ns=st.sampled_from([100 * US, 125 * US, 250 * US, MS, 2 * MS]),
    first_us=st.integers(0, 999),
    other_us=st.integers(0, 999),
    ppm=st.floats(-25, 25),
)
def test_due_times_keep_clear_of_the_ticks_for_a_second(
    interval_ns: int, first_us: int, other_us: int, ppm: float
) -> None:
    other_us = first_us + 23 if other_us % 2 else first_us - 23
    clock = Interrupted([(MS, first_us * US, 9 * US, ppm), (4 * MS, other_us * US, 12 * US, ppm)])
    phase_ns = quiet_phase_ns(interval_ns, monotonic=clock)
    assert phase_ns is not None
    assert 0 <= phase_ns < interval_ns
    for later_ns in (0, HORIZON_NS // 2, HORIZON_NS):
        assert clock.distance_ns(phase_ns, interval_ns, later_ns) > 5 * US


@pytest.mark.parametrize("interval_ns", [333 * US, 7 * US, 1_000_003])
def test_intervals_that_meet_every_phase_are_left_alone(interval_ns: int) -> None:
    assert quiet_phase_ns(interval_ns, monotonic=Interrupted([(MS, 0, 9 * US, 0.0)])) is None


def test_without_interruptions_any_time_is_as_good() -> None:
    assert quiet_phase_ns(100 * US, monotonic=Interrupted([])) is None


def test_where_it_is_loud_throughout_there_is_no_choice() -> None:
    assert quiet_phase_ns(100 * US, monotonic=Interrupted([(20 * US, 0, 19_950, 0.0)])) is None


def test_the_machine_s_own_clock_is_watched_for_as_long_as_asked() -> None:
    phase_ns = quiet_phase_ns(MS, 5 * MS)
    assert phase_ns is None or 0 <= phase_ns < MS
