"""How long a busy receiver lets datagrams gather before it reads again.

A read costs nearly the same with 10 datagrams as with 500. Nothing that is measured depends on when it happens, since
the kernel stamps arrivals; what has to be kept is room in the socket's buffer for what comes meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from harness.net import Ticker
from harness.units import NS_PER_S

PAUSE_NS, LEAST_PAUSE_NS = 12_000_000, 1_000_000
"""A pause is this long at most; a shorter one than the least is not worth going to sleep for."""

SHARE = 3
"""A pause fills one part in so many of the receive buffer, at the highest rate of late."""

FADE = 0.95
"""What is left of a rate at the next read: streams come in bursts, and between them little is read."""

BUSY_ROWS = 32
"""A read with fewer rows is of a slow stream."""

ENOUGH, ENOUGH_RUNS = 3600, 256
"""Datagrams, or runs of them, that gather at most: the more, the less each waking up costs one of them, until what has
gathered no longer fits into a processor's cache."""

ENOUGH_BYTES = 2_800_000
"""Of large datagrams fewer fit: what has gathered takes this much at most, by the kernel's accounting."""

_SILENCE_NS = 2 * PAUSE_NS
"""After so long without a read, what was read says nothing of the rate at which more will come."""

_LONGER = 2
"""A pause is so many times as long as the one before at most, from the least on: a stream that begins is soon quicker
than its first datagrams let expect."""

DATAGRAM_BYTES = 2304
"""What one datagram takes of a receive buffer by the kernel's accounting, up to the MTU of Ethernet, until measured."""

_LEAST_DATAGRAM_BYTES = 256
_MOST_WAITED = 4
"""Of what a read took, one part in so many is taken to have waited at least: streams come in bursts."""

_LOOK_EACH = 8
"""Pauses to one look at what a datagram takes: a system call, and a stream's packets are of one size."""


class Gathering:
    """Decides for one socket.

    Args:
      buffer_bytes: its receive buffer as granted.
      queued_bytes: returns how much of the buffer is taken; None where the system does not say.
      now_ns: when the reading begins, on any clock.
      enough: datagrams that a pause is for, at most. A run counts as one, here and in what follows.

    >>> gathering = Gathering(8_000_000, lambda: None, 0)
    >>> [gathering.pause_ns(200, False, ms * 1_000_000) for ms in range(1, 5)]
    [1000000, 2000000, 4000000, 5787037]
    >>> gathering.pause_ns(3, False, 5_000_000)
    0
    """

    def __init__(
        self, buffer_bytes: int, queued_bytes: Callable[[], int | None], now_ns: int, *, enough: int = ENOUGH
    ) -> None:
        self._enough = enough
        self._buffer_bytes, self._queued_bytes, self._last_ns = buffer_bytes, queued_bytes, now_ns
        self._waiting_bytes: int | None = None
        self._looked_ns = 0
        self._n_pauses = self._n_rows = 0
        self._datagram_bytes = float(DATAGRAM_BYTES)
        self._per_ns = 0.0
        self._most_ns = LEAST_PAUSE_NS

    def before_read(self, now_ns: int) -> None:
        """Look now and then what has gathered; call it after a pause."""
        if self._n_pauses % _LOOK_EACH == 0:
            self._waiting_bytes, self._looked_ns = self._queued_bytes(), now_ns
        self._n_pauses += 1

    def pause_ns(self, n_rows: int, is_full: bool, now_ns: int) -> int:
        """Return how long to let datagrams gather before the next read, in ns; 0 to read at once.

        A socket with a small buffer is read at once, and so is a slow stream.

        Args:
          n_rows: datagrams of the read that was.
          is_full: whether it took as many as one can.
          now_ns: when it was over.
        """
        elapsed_ns = now_ns - self._last_ns
        if self._waiting_bytes and n_rows and not is_full:
            part = (self._looked_ns - self._last_ns) / max(elapsed_ns, 1)  # what came while it went on was read as well
            n_waited = max((self._n_rows + n_rows) * part - self._n_rows, n_rows / _MOST_WAITED)
            found_bytes = max(self._waiting_bytes / n_waited, _LEAST_DATAGRAM_BYTES)
            self._datagram_bytes = max(found_bytes, (found_bytes + self._datagram_bytes) / 2)
        self._waiting_bytes = None
        self._n_rows += n_rows
        is_slow = False
        if elapsed_ns >= LEAST_PAUSE_NS or not self._per_ns:  # a shorter time says nothing of a rate
            is_slow = self._n_rows < BUSY_ROWS or elapsed_ns > _SILENCE_NS
            self._per_ns = max(self._n_rows / max(elapsed_ns, 1), self._per_ns * FADE)
            if elapsed_ns > _SILENCE_NS:
                self._per_ns, self._most_ns = 0.0, LEAST_PAUSE_NS  # the next read tells more
            self._last_ns, self._n_rows = now_ns, 0
        if is_full or is_slow:
            return 0
        room = min(min(self._buffer_bytes / SHARE, ENOUGH_BYTES) / self._datagram_bytes, self._enough)
        pause = min(self._most_ns, int(room / self._per_ns)) if self._per_ns else 0
        if pause < LEAST_PAUSE_NS:
            return 0
        self._most_ns = min(PAUSE_NS, _LONGER * pause)
        return pause


class Rest:
    """Waits out the pauses of one socket, by a timer that is made for the first of them: most sockets never have one.

    The event loop's own sleep takes half as much of the processor again as a timer does.
    """

    def __init__(self) -> None:
        self._ticker: Ticker | None = None

    async def wait(self, pause_ns: int) -> None:
        """Wait for so long; always a checkpoint."""
        try:
            self._ticker = self._ticker or Ticker()
        except OSError:  # no more files may be opened
            await trio.sleep(pause_ns / NS_PER_S)
        else:
            await self._ticker.wait_until(time.monotonic_ns() + pause_ns)

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._ticker is not None:
            self._ticker.close()
