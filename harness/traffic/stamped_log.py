"""A sender's log whose times wait for the kernel's stamps, which come after the packets have left, or never.

Rows leave in the order in which they came: each once its stamp is there, or once it has waited long enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.model import SENT_DTYPE, PacketArray, SentFlag

PATIENCE_NS = 200_000_000
"""How long a row waits for its stamp: longer than packets lie in the queue of an interface."""

CAPACITY = 1 << 16
"""Rows that wait at most; beyond that the oldest leave without their stamps."""

EARLY_NS = 1_000_000
"""A stamp that is older than its packet by more than this is of another packet."""


class StampedLog:
    """The log of one stream.

    Args:
      capacity, patience_ns: the bounds on waiting.

    Attributes:
      n_stamped, n_missing: packets sent whose rows left with the kernel's stamp, and without.
    """

    def __init__(self, *, capacity: int = CAPACITY, patience_ns: int = PATIENCE_NS) -> None:
        self._capacity, self._patience_ns = capacity, patience_ns
        self._rows = np.zeros(2 * capacity, SENT_DTYPE)
        self._numbers = np.zeros(2 * capacity, np.int64)
        self._is_waiting = np.zeros(2 * capacity, np.bool_)
        self._start = self._end = 0
        self.n_stamped = self.n_missing = 0

    def __len__(self) -> int:
        return self._end - self._start

    def add(self, rows: PacketArray, first_number: int) -> None:
        """Add rows of packets that were handed to the kernel, the first of them as datagram `first_number`.

        Call `release` after each: at most `capacity` rows find room before it is.

        Args:
          rows: SENT_DTYPE, shape (n,), n <= capacity; times are this program's.
          first_number: above all numbers before.
        """
        if self._end + len(rows) > len(self._rows):
            here, n = slice(self._start, self._end), len(self)
            for column in (self._rows, self._numbers, self._is_waiting):
                column[:n] = column[here].copy()
            self._start, self._end = 0, n
        new = slice(self._end, self._end + len(rows))
        self._rows[new] = rows
        self._numbers[new] = np.arange(first_number, first_number + len(rows))
        self._is_waiting[new] = rows["errno"] == 0
        self._end += len(rows)

    def stamp(self, numbers: NDArray[np.int64], tx_ns: NDArray[np.int64]) -> None:
        """Take stamps by the numbers of their datagrams, shapes (n,); those of no waiting row are passed over."""
        here = slice(self._start, self._end)
        place = np.searchsorted(self._numbers[here], numbers)
        is_inside = place < len(self)
        place, numbers, tx_ns = place[is_inside] + self._start, numbers[is_inside], tx_ns[is_inside]
        is_good = (self._numbers[place] == numbers) & self._is_waiting[place]
        is_good &= tx_ns >= self._rows["tx_ns"][place] - EARLY_NS
        place = place[is_good]
        self._rows["tx_ns"][place] = tx_ns[is_good]
        self._rows["flags"][place] |= int(SentFlag.KERNEL_STAMP)
        self._is_waiting[place] = False

    def release(self, now_ns: int | None) -> PacketArray:
        """Return the rows that need wait no longer, shape (n,); a copy.

        Args:
          now_ns: the time, on the time line of the rows; None ends all waiting.
        """
        here = slice(self._start, self._end)
        n = len(self)
        if now_ns is not None:
            still = self._is_waiting[here] & (self._rows["tx_ns"][here] > now_ns - self._patience_ns)
            n = max(int(still.argmax()) if still.any() else n, n - self._capacity)
        leaving = slice(self._start, self._start + n)
        rows = self._rows[leaving].copy()
        n_missing = int(np.count_nonzero(self._is_waiting[leaving]))
        self.n_missing += n_missing
        self.n_stamped += int(np.count_nonzero(rows["errno"] == 0)) - n_missing
        self._start += n
        return rows
