"""Waking at absolute times, by each of the three alarms."""

import os
import select
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import trio

from harness.net._alarms import KqueueAlarm, ThreadAlarm, TimerfdAlarm
from harness.net.ticker import Alarm, Ticker

MS = 1_000_000


class FakeKqueue:
    """A kqueue that knows one timer, made of a timerfd."""

    def __init__(self) -> None:
        self.timer = TimerfdAlarm()
        self.asked: list[tuple[int, ...]] = []
        self.is_closed = False

    def fileno(self) -> int:
        return self.timer._fd

    def control(self, changes: list[SimpleNamespace] | None, _max_events: int, _timeout: float) -> list[object]:
        for change in changes or []:
            self.asked.append(change.given[:4])
            self.timer.arm(time.monotonic_ns() + change.given[4])
        return []

    def close(self) -> None:
        self.is_closed = True
        self.timer.close()


def make_event(*given: int) -> SimpleNamespace:
    return SimpleNamespace(given=given)


def kqueue_alarm() -> Alarm:
    return KqueueAlarm(FakeKqueue(), make_event)


all_alarms = pytest.mark.parametrize("make_alarm", [TimerfdAlarm, kqueue_alarm, ThreadAlarm])
MakeAlarm = Callable[[], Alarm]


@all_alarms
async def test_it_never_wakes_early_and_keeps_the_beat(make_alarm: MakeAlarm) -> None:
    with Ticker(make_alarm()) as ticker:
        deadline = time.monotonic_ns() + 2 * MS
        late = []
        for _ in range(50):
            now = await ticker.wait_until(deadline)
            assert now >= deadline
            assert now <= time.monotonic_ns()
            late.append(now - deadline)
            deadline += MS
        assert sorted(late)[25] < 5 * MS


@all_alarms
async def test_a_passed_deadline_returns_at_once_and_is_a_checkpoint(make_alarm: MakeAlarm) -> None:
    with Ticker(make_alarm()) as ticker:
        for deadline in (0, -5, time.monotonic_ns()):
            with trio.testing.assert_checkpoints():
                assert await ticker.wait_until(deadline) >= deadline


@all_alarms
async def test_cancelling_leaves_the_ticker_usable(make_alarm: MakeAlarm) -> None:
    with Ticker(make_alarm()) as ticker:
        with trio.move_on_after(0.005) as waiting:
            await ticker.wait_until(time.monotonic_ns() + 3_600_000 * MS)
        assert waiting.cancelled_caught
        with trio.move_on_after(0) as waiting:
            await ticker.wait_until(0)
        assert waiting.cancelled_caught
        soon = time.monotonic_ns() + 2 * MS
        assert soon <= await ticker.wait_until(soon) < soon + 1000 * MS


@all_alarms
async def test_closing_wakes_the_waiter(make_alarm: MakeAlarm) -> None:
    ticker = Ticker(make_alarm())

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ticker.wait_until(time.monotonic_ns() + 3_600_000 * MS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ticker.close()
        ticker.close()
    with pytest.raises(trio.ClosedResourceError):
        await ticker.wait_until(0)


@all_alarms
def test_it_can_be_closed_outside_of_the_event_loop(make_alarm: MakeAlarm) -> None:
    n_before = len(os.listdir("/proc/self/fd"))
    Ticker(make_alarm()).close()
    assert len(os.listdir("/proc/self/fd")) == n_before


def test_a_thread_outlives_the_event_loop_that_it_was_to_call() -> None:
    ticker = Ticker(ThreadAlarm())

    async def main() -> None:
        with trio.move_on_after(0.001):
            await ticker.wait_until(time.monotonic_ns() + 30 * MS)

    trio.run(main)
    time.sleep(0.05)
    ticker.close()


async def test_kqueue_is_asked_for_a_one_shot_timer_of_nanoseconds() -> None:
    queue = FakeKqueue()
    with Ticker(KqueueAlarm(queue, make_event)) as ticker:
        await ticker.wait_until(time.monotonic_ns() + MS)
    filter_timer, add_oneshot, nanoseconds_critical = -7, 0x1 | 0x10, 0x4 | 0x20
    assert queue.asked == [(1, filter_timer, add_oneshot, nanoseconds_critical)]
    assert queue.is_closed


def test_the_system_chooses_the_timerfd_here() -> None:
    with Ticker() as ticker:
        assert isinstance(ticker._alarm, TimerfdAlarm)


def test_a_system_without_timers_left_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def timerfd_create(self, *_: int) -> int:
            return -1

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Libc())
    with pytest.raises(OSError, match="timerfd_create"):
        TimerfdAlarm()
    assert not hasattr(select, "kqueue")
