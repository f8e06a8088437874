"""A lone stream meets its due times, learns how late the system wakes it, and lets the event loop have its turn."""

import itertools
import time

import pytest
import trio
import trio.testing

from harness.net import Pace, Ticker
from harness.net.pace import (
    FIRST_MARGIN_NS,
    LATE_ROUNDS_NS,
    LEAST_MARGIN_NS,
    MOST_ROUNDS,
    PRECISE_NS,
    PRECISE_YIELD_NS,
    ROUND_EVERY,
    ROUND_NS,
    WHOLE_NS,
    YIELD_NS,
)

MS = 1_000_000


class Simulated:
    """A clock that goes on by 100 ns at each look, and a ticker that wakes as late as it is told."""

    def __init__(self, late_ns: list[int]) -> None:
        self.now_ns, self.late_ns, self.n_waits = 0, itertools.cycle(late_ns), 0

    def monotonic(self) -> int:
        self.now_ns += 100
        return self.now_ns

    async def wait_until(self, monotonic_ns: int) -> int:
        await trio.lowlevel.checkpoint()
        self.n_waits += 1
        self.now_ns = max(self.now_ns, monotonic_ns) + next(self.late_ns)
        return self.now_ns


def make(simulated: Simulated, interval_ns: int, n_cpus: int = 2, *, is_precise: bool = False) -> Pace:
    return Pace(simulated, interval_ns, is_precise=is_precise, n_cpus=n_cpus, monotonic=simulated.monotonic)  # type: ignore[arg-type] # a ticker as far as it is used


async def lateness(simulated: Simulated, pace: Pace, interval_ns: int, n: int) -> list[int]:
    found = []
    for k in range(1, n + 1):
        await pace.approach(k * interval_ns)
        pace.watch(k * interval_ns)
        found.append(simulated.now_ns - k * interval_ns)
    return found


async def test_due_times_are_never_early_and_met_once_the_lateness_is_known() -> None:
    simulated = Simulated([60_000] * 30 + [400_000])
    pace = make(simulated, MS)
    late = await lateness(simulated, pace, MS, 1000)
    assert min(late) >= 0
    assert max(late[100:]) <= 100
    assert pace.margin_ns == 410_000


async def test_the_margin_falls_to_what_is_needed_and_no_further() -> None:
    simulated = Simulated([80_000, 81_000])
    pace = make(simulated, MS)
    assert pace.margin_ns == FIRST_MARGIN_NS
    await lateness(simulated, pace, MS, 64)
    assert pace.margin_ns == 91_000
    simulated = Simulated([1_000])
    pace = make(simulated, MS)
    await lateness(simulated, pace, MS, 64)
    assert pace.margin_ns == LEAST_MARGIN_NS


async def test_never_more_than_half_of_an_interval_is_watched() -> None:
    simulated = Simulated([900_000])
    pace = make(simulated, MS)
    await lateness(simulated, pace, MS, 64)
    assert pace.margin_ns == MS // 2


async def test_short_intervals_are_watched_throughout_and_the_loop_has_its_turn() -> None:
    simulated = Simulated([0])
    pace = make(simulated, WHOLE_NS)
    n = 10 * YIELD_NS // WHOLE_NS
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        late = await lateness(simulated, pace, WHOLE_NS, n)
        nursery.cancel_scope.cancel()
    assert simulated.n_waits == 0
    assert max(late) <= 100
    assert turns >= 5


async def test_a_precise_stream_is_watched_throughout_or_for_the_last_milliseconds() -> None:
    simulated = Simulated([4_000_000])  # as late as no other margin allows for
    pace = make(simulated, MS, n_cpus=1, is_precise=True)
    late = await lateness(simulated, pace, MS, 200)
    assert (simulated.n_waits, max(late) <= 100) == (0, True)
    pace = make(simulated, 50 * MS, is_precise=True)
    simulated.now_ns = 0
    late = await lateness(simulated, pace, 50 * MS, 10)
    assert (simulated.n_waits, max(late) <= 100, pace.margin_ns) == (10, True, PRECISE_NS)


async def test_span_lasts_to_the_next_turn_and_is_nothing_where_there_is_time_to_sleep() -> None:
    simulated = Simulated([0])
    pace = make(simulated, MS, is_precise=True)
    assert pace.span_ns == pytest.approx(PRECISE_YIELD_NS, abs=1000)
    simulated.now_ns += PRECISE_YIELD_NS
    assert pace.span_ns == ROUND_EVERY * MS
    assert make(Simulated([0]), PRECISE_NS + 1, is_precise=True).span_ns == 0
    assert make(Simulated([0]), MS).span_ns == 0


async def test_turn_lasts_until_what_goes_from_task_to_task_is_done() -> None:
    simulated = Simulated([0])
    pace = make(simulated, MS, is_precise=True)
    events = [trio.Event() for _ in range(MOST_ROUNDS - 3)]

    async def hand_on(k: int) -> None:
        await events[k].wait()
        events[k + 1].set()

    async with trio.open_nursery() as nursery:
        for k in range(len(events) - 1):
            nursery.start_soon(hand_on, k)
        await trio.testing.wait_all_tasks_blocked()
        simulated.now_ns += PRECISE_YIELD_NS
        events[0].set()
        for _ in range(MOST_ROUNDS):
            await pace.approach(simulated.now_ns)
        assert events[-1].is_set()
        assert pace.span_ns > PRECISE_YIELD_NS // 2


class SlowRounds(trio.abc.Instrument):
    """Makes each round of the event loop last so long."""

    def __init__(self, simulated: Simulated, lasts_ns: int) -> None:
        self.simulated, self.lasts_ns = simulated, lasts_ns

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - Trio's interface
        self.simulated.now_ns += self.lasts_ns


@pytest.mark.parametrize(
    ("interval_ns", "lasts_ns", "is_split"),
    [(MS, 800_000, True), (MS, 60_000, False), (100_000, 250_000, False), (100_000, 70_000, True), (MS, 5 * MS, True)],
)
async def test_rounds_follow_each_other_while_there_is_time_or_none_at_all(
    interval_ns: int, lasts_ns: int, is_split: bool
) -> None:
    simulated = Simulated([0])
    pace = make(simulated, interval_ns, is_precise=True)

    async def go_on() -> None:
        for _ in range(4):
            await trio.lowlevel.checkpoint()

    simulated.now_ns += PRECISE_YIELD_NS
    instrument, n = SlowRounds(simulated, lasts_ns), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        trio.lowlevel.add_instrument(instrument)
        while pace.span_ns < PRECISE_YIELD_NS // 2:
            due_ns = simulated.now_ns + interval_ns
            await pace.approach(due_ns)
            n += 1
            is_over = pace.span_ns > PRECISE_YIELD_NS // 2
            left_ns = due_ns - simulated.now_ns
            assert is_over or 0 < left_ns < min(ROUND_NS, interval_ns // 2) or lasts_ns > LATE_ROUNDS_NS
        trio.lowlevel.remove_instrument(instrument)
    assert (n > 4, n == 1) == (is_split, not is_split)


async def test_a_single_processor_is_left_to_others() -> None:
    assert make(Simulated([0]), 100_000, n_cpus=1).margin_ns == LEAST_MARGIN_NS
    assert make(Simulated([0]), MS, n_cpus=1).margin_ns == LEAST_MARGIN_NS


async def test_a_stream_that_is_behind_can_be_cancelled() -> None:
    simulated = Simulated([0])
    pace = make(simulated, WHOLE_NS)
    simulated.now_ns = 10**12
    with trio.move_on_after(0) as scope:
        for _ in range(2 * YIELD_NS // 100):
            await pace.approach(0)
    assert scope.cancelled_caught


@pytest.mark.parametrize("interval_ns", [100_000, 2 * MS])
async def test_real_time_is_never_early(interval_ns: int) -> None:
    with Ticker() as ticker:
        pace = Pace(ticker, interval_ns)
        start_ns = time.monotonic_ns()
        for k in range(20):
            await pace.approach(start_ns + k * interval_ns)
            pace.watch(start_ns + k * interval_ns)
            assert time.monotonic_ns() >= start_ns + k * interval_ns
