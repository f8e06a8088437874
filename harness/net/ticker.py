"""Waking at absolute times, far more precisely than the event loop's own sleep, which is good to a millisecond.

A timer of the kernel that counts as a readable file (timerfd on Linux, a kqueue of its own on macOS) is awaited like a
socket; elsewhere a thread sleeps. Which one is chosen once, behind one interface.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol

import trio

from harness.net._alarms import KqueueAlarm, ThreadAlarm, TimerfdAlarm


class Alarm(Protocol):
    """Something that rings once at a time of the monotonic clock."""

    def arm(self, monotonic_ns: int) -> None:
        """Ring at this time; an earlier setting is forgotten."""

    async def wait(self) -> None:
        """Return when it rings, or now and then without cause."""

    def close(self) -> None:
        """Free what it holds; a waiting task gets ClosedResourceError."""


_ALARMS: dict[str, Callable[[], Alarm]] = {"linux": TimerfdAlarm, "darwin": KqueueAlarm}
_make_alarm: Callable[[], Alarm] = _ALARMS.get(sys.platform, ThreadAlarm)


class Ticker:
    """Absolute deadlines on the monotonic clock; one task at a time waits.

    Args:
      alarm: what rings; None takes this system's best.
    """

    def __init__(self, alarm: Alarm | None = None) -> None:
        self._alarm = _make_alarm() if alarm is None else alarm
        self._is_closed = False

    async def wait_until(self, monotonic_ns: int) -> int:
        """Wait until the monotonic clock shows this time, and return what it shows then; always a checkpoint.

        A time that has passed returns at once, so that a late sender catches up.

        Raises:
          trio.ClosedResourceError: the ticker is, or becomes, closed.
        """
        if self._is_closed:
            raise trio.ClosedResourceError
        now_ns = time.monotonic_ns()
        if now_ns >= monotonic_ns:
            await trio.lowlevel.checkpoint()
            return time.monotonic_ns()
        while now_ns < monotonic_ns:
            self._alarm.arm(monotonic_ns)
            await self._alarm.wait()
            now_ns = time.monotonic_ns()
        return now_ns

    def close(self) -> None:
        """Free the timer. Again: does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._alarm.close()

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
