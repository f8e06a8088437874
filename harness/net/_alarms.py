"""The three alarms behind `Ticker`."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
import time
from typing import Any

import trio

CLOCK_MONOTONIC = 1
TFD_TIMER_ABSTIME = 1
TFD_NONBLOCK, TFD_CLOEXEC = 0o4000, 0o2000000
KQ_FILTER_TIMER, KQ_EV_ADD, KQ_EV_ONESHOT = -7, 0x1, 0x10
KQ_NOTE_NSECONDS, KQ_NOTE_CRITICAL = 0x4, 0x20

_ITIMERSPEC = struct.Struct("@llll")
_NS = 1_000_000_000


class TimerfdAlarm:
    """A timerfd set to an absolute time (Linux); Python 3.11 does not offer it, so it goes through the C library."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = int(self._libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def arm(self, monotonic_ns: int) -> None:
        """Set the timer; zero would switch it off, hence one nanosecond at least."""
        setting = _ITIMERSPEC.pack(0, 0, *divmod(max(monotonic_ns, 1), _NS))
        if self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, setting, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    async def wait(self) -> None:
        """Wait for the timer to ring. Setting it again resets it, so that nothing need be read."""
        await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        """Close the timer."""
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)


class KqueueAlarm:
    """A one-shot timer in a kqueue of its own (macOS), which is itself a file to wait for.

    Args:
      queue: a kqueue; None makes one.
      event: makes a kevent; None takes the system's.
    """

    def __init__(self, queue: Any = None, event: Any = None) -> None:
        self._queue = getattr(select, "kqueue")() if queue is None else queue  # noqa: B009 (absent where not macOS)
        self._event = getattr(select, "kevent") if event is None else event  # noqa: B009 (absent where not macOS)

    def arm(self, monotonic_ns: int) -> None:
        """Set the timer to what is left; NOTE_CRITICAL keeps the system from grouping it with others."""
        left_ns = max(monotonic_ns - time.monotonic_ns(), 1)
        flags = KQ_NOTE_NSECONDS | KQ_NOTE_CRITICAL
        event = self._event(1, KQ_FILTER_TIMER, KQ_EV_ADD | KQ_EV_ONESHOT, flags, left_ns)
        self._queue.control([event], 0, 0)

    async def wait(self) -> None:
        """Wait for the timer to ring, and take the event out of the queue."""
        await trio.lowlevel.wait_readable(self._queue.fileno())
        self._queue.control(None, 1, 0)

    def close(self) -> None:
        """Close the queue."""
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._queue.fileno())
        self._queue.close()


class ThreadAlarm:
    """A thread that sleeps until the time and then calls into the event loop (any system).

    It waits on a condition for all but the last moments, so that it can be called off, and sleeps through those: on
    Windows only `time.sleep` is precise.
    """

    _LAST_MOMENTS_NS = 20_000_000

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._deadline_ns: int | None = None
        self._is_closed = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._rung = trio.Event()
        self._thread = threading.Thread(target=self._run, name="harness-ticker", daemon=True)
        self._thread.start()

    def arm(self, monotonic_ns: int) -> None:
        """Tell the thread the time."""
        self._rung = trio.Event()
        with self._condition:
            self._token = trio.lowlevel.current_trio_token()
            self._deadline_ns = monotonic_ns
            self._condition.notify()

    async def wait(self) -> None:
        """Wait for the thread's call."""
        await self._rung.wait()
        if self._is_closed:
            raise trio.ClosedResourceError

    def close(self) -> None:
        """End the thread, which takes 20 ms at most; a waiting task gets ClosedResourceError."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        if trio.lowlevel.in_trio_run():
            self._rung.set()
        self._thread.join()

    def _run(self) -> None:
        with self._condition:
            while not self._is_closed:
                deadline_ns = self._deadline_ns
                left_ns = None if deadline_ns is None else deadline_ns - time.monotonic_ns()
                if left_ns is None or left_ns > self._LAST_MOMENTS_NS:
                    self._condition.wait(None if left_ns is None else (left_ns - self._LAST_MOMENTS_NS) / _NS)
                    continue
                self._condition.release()
                try:
                    time.sleep(max(left_ns, 0) / _NS)
                finally:
                    self._condition.acquire()
                if self._deadline_ns == deadline_ns and self._token is not None:
                    self._deadline_ns = None
                    self._ring(self._token)

    def _ring(self, token: trio.lowlevel.TrioToken) -> None:
        rung = self._rung
        try:
            token.run_sync_soon(rung.set)
        except trio.RunFinishedError:  # nobody is left to hear it
            return
