"""The sockets of a receiver that are slow each and busy together: they are read in rounds, not datagram by datagram.

To wake up for a datagram costs many times what the datagram does, and so does looking at a few. A socket that is busy
alone lets some gather (`harness.run.gathering`); of many, none may be. Nothing that is measured depends on when they
are read, since the kernel stamps arrivals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.model import Alike, Batch, Datagrams, Runs, join_records
from harness.run.gathering import BUSY_ROWS, DATAGRAM_BYTES, FADE, LEAST_PAUSE_NS, PAUSE_NS, SHARE
from harness.units import NS_PER_S

ROUND_NS, LEAST_ROUND_NS = 200_000_000, 5_000_000
"""A round takes so long, and twice as long passes at most until a datagram is on record; a shorter one than the least
gains little."""

BUSY_PPS, OVER_NS = 500, 1_000_000_000
"""Datagrams a second of all sockets from which on they are read in rounds, and the time of which that is told: some
rounds', since what comes in one is read in the next."""

ENOUGH_ROWS = 1024
"""Datagrams that wait to be looked at together, at most."""

LARGE_ROWS = 4
"""A batch of so many that are alike is looked at quickly by itself."""

_FEW_BYTES = 512
"""Datagrams up to this size are kept in rows as long; the header of any format fits."""


class Rounds:
    """Tells of one receiver whether its sockets are busy together, and keeps their small batches until there are some.

    Args:
      take: looks at a batch.
    """

    def __init__(self, take: Callable[[Batch], None]) -> None:
        self._take = take
        self._since_ns = self._n_rows = 0
        self._is_busy = False
        self._waiting: list[Datagrams] = []
        self._n_waiting = self._waiting_since_ns = 0

    def is_busy_after(self, n_rows: int, now_ns: int) -> bool:
        """Return whether they are, after a read of one of them, told in datagrams."""
        self._n_rows += n_rows
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns >= OVER_NS:
            self._is_busy = self._n_rows * NS_PER_S >= BUSY_PPS * elapsed_ns
            self._since_ns, self._n_rows = now_ns, 0
        return self._is_busy

    def add(self, batch: Batch, now_ns: int) -> None:
        """Take a copy of a batch behind those that wait, and look at all of them when they are enough or old.

        Whoever adds looks again after a round at the latest, and calls `flush` when nothing more came.
        """
        if isinstance(batch, Runs) or (isinstance(batch, Alike) and len(batch) >= LARGE_ROWS):
            self.flush()
            self._take(batch)
            return
        if not self._waiting:
            self._waiting_since_ns = now_ns
        data, kept = batch.data, batch.kept
        width = data.shape[1] if int(kept.max()) > _FEW_BYTES else _FEW_BYTES
        self._waiting.append(Datagrams(data[:, :width].copy(), kept.copy(), batch.meta.copy()))
        self._n_waiting += len(batch)
        if self._n_waiting >= ENOUGH_ROWS or now_ns - self._waiting_since_ns >= ROUND_NS:
            self.flush()

    def flush(self) -> None:
        """Look at what waits."""
        if self._waiting:
            parts, self._waiting, self._n_waiting = self._waiting, [], 0
            self._take(_together(parts))


class Turn:
    """Decides for one socket how long it may wait for its next read.

    Args:
      rounds: of its receiver.
      buffer_bytes: its receive buffer as granted.

    >>> rounds = Rounds(print)
    >>> turn = Turn(rounds, 212_992)
    >>> [turn.pause_ns(20, 64, 10**9 + ms * 1_000_000) for ms in range(0, 1081, 30)][-4:]
    [0, 46222222, 46222222, 46222222]
    """

    def __init__(self, rounds: Rounds, buffer_bytes: int) -> None:
        self._rounds, self._buffer_bytes = rounds, buffer_bytes
        self._datagram_bytes = DATAGRAM_BYTES
        self._last_ns: int | None = None
        self._n_rows = 0
        self._per_ns = 0.0

    def pause_ns(self, n_rows: int, size: int, now_ns: int) -> int:
        """Return how long to wait before the next read, in ns; 0: until something comes.

        As much time as fills a part of the buffer, at the highest rate of late. A socket that would be busy alone waits
        no longer than one that is, so that its own pauses can take over.

        Args:
          n_rows: datagrams of the read that was.
          size: bytes of one of them.
          now_ns: when it was over.
        """
        is_busy = self._rounds.is_busy_after(n_rows, now_ns)
        self._datagram_bytes = max(self._datagram_bytes, 2 * size)
        if self._last_ns is None:
            self._last_ns = now_ns
            return 0
        self._n_rows += n_rows
        elapsed_ns = now_ns - self._last_ns
        if elapsed_ns >= LEAST_PAUSE_NS:  # a shorter time says nothing of a rate
            self._per_ns = max(self._n_rows / elapsed_ns, self._per_ns * FADE)
            self._last_ns, self._n_rows = now_ns, 0
        if not is_busy or not self._per_ns:
            return 0
        most_ns = PAUSE_NS if self._per_ns * PAUSE_NS >= BUSY_ROWS else ROUND_NS
        pause_ns = min(most_ns, int(self._buffer_bytes / SHARE / self._datagram_bytes / self._per_ns))
        return pause_ns if pause_ns >= LEAST_ROUND_NS else 0


def _together(parts: list[Datagrams]) -> Datagrams:
    """Return batches as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    data = np.zeros((sum(map(len, parts)), max(part.data.shape[1] for part in parts)), np.uint8)
    place = 0
    for part in parts:
        data[place : place + len(part), : part.data.shape[1]] = part.data
        place += len(part)
    kept, meta = np.concatenate([part.kept for part in parts]), join_records([part.meta for part in parts])
    return Datagrams(data, kept, meta)
