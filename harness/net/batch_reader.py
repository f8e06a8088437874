"""Many datagrams a system call: recvmmsg into arrays that are prepared once (Linux).

The headers, vectors, addresses and control messages that the kernel reads and writes are numpy arrays; there is no
Python object per packet, and ctypes releases the interpreter lock during the call.

The first bytes of each datagram, which hold the header of nearly every protocol, stand side by side, apart from the
rest: reading a number from each of thousands then touches as many lines of memory, and not as many pages.
"""

from __future__ import annotations

import socket

import numpy as np

from harness.model.datagrams import FRONT_BYTES, Alike, Datagrams
from harness.net._heads import Heads, HeadsReader
from harness.net._options import RxSource
from harness.net._slots import spaced_rows

AT_ONCE = 3840
"""Datagrams of one system call at most: of many more, the first would have left the processor's cache at its end."""

GATHERED_BYTES = 1 << 20
"""Bytes beside the first of each datagram that are gathered at most, for the same reason."""

_LARGE_BYTES = 1024
"""Datagrams from this size on find the memory for what is gathered of them made; of smaller ones it is hardly less."""


class BatchReader(HeadsReader):
    """Reads a socket by recvmmsg.

    What is alike can be gathered from several system calls and be looked at together: headers and control messages
    have told all they tell by then and are used again, which keeps them in the cache.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most datagrams of one `read`.
      stamps: whose were asked for.
    """

    offload = False

    def __init__(self, sock: socket.socket, *, width: int, capacity: int, stamps: RxSource = "kernel") -> None:
        self._n_alike = 0
        self._odd = slice(0, 0)  # rows of a read that is not like the gathered ones, and comes after them
        self._is_full = False
        self._front = np.zeros((capacity, min(width, FRONT_BYTES)), np.uint8)
        self._rows = spaced_rows(capacity, width)
        if capacity > AT_ONCE:  # for one stream, whose first reads would else wait 10 ms for the system to make pages
            self._rows[: AT_ONCE + GATHERED_BYTES // _LARGE_BYTES, 0] = 0
        self._arrivals_ns = np.zeros(capacity, np.int64)
        parts = [self._front, self._rows[:, FRONT_BYTES:]] if width > FRONT_BYTES else [self._front]
        self._n_parts = len(parts)
        self._at_once = min(capacity, AT_ONCE)
        self._heads = Heads(sock, self._at_once, parts, has_more=stamps == "hardware")

    @property
    def n_gathered(self) -> int:
        """Datagrams that were taken out of the socket, for the next `read` or two."""
        return self._n_alike + self._odd.stop - self._odd.start

    @property
    def is_full(self) -> bool:
        """Whether the last system call took as many as it could, or a `read` has left something for the next."""
        return self._is_full or self._odd.stop > 0

    @property
    def can_gather(self) -> bool:
        """Whether there is room for one system call more than that of the next `read`."""
        has_room = len(self._front) - self._n_alike >= 2 * AT_ONCE and not self._odd.stop
        n_beside = min(int(self._heads.like["size"][0]), self._heads.kept_bytes) - FRONT_BYTES
        return has_room and self._n_alike * max(0, n_beside) < GATHERED_BYTES

    def keep_fronts(self, is_enough: bool) -> None:
        """Keep, from the next read on, only the first bytes of each datagram, or again as many as it was made for."""
        if not self.n_gathered:
            self._heads.use_parts(1 if is_enough else self._n_parts)

    def gather(self) -> int:
        """Read what waits in the socket, keep it for `read`, and return how many datagrams that was. Never blocks."""
        first = self._n_alike
        n_rows = min(self._at_once, len(self._front) - first)
        if self._odd.stop or not n_rows:
            return 0
        n_read = self._heads.receive(first, n_rows)
        self._is_full = n_read == n_rows
        rows = slice(first, first + n_read)
        if n_read and (arrivals_ns := self._heads.take_alike(n_read)) is not None:  # nearly always
            self._arrivals_ns[rows] = arrivals_ns
            self._n_alike += n_read
        elif n_read:
            self._odd = rows
        return n_read

    def read(self) -> Alike | Datagrams | None:
        """Return what was gathered and what waits in the socket, at most `capacity`; None for nothing. Never blocks.

        What is not like the gathered is left for the next `read`.
        """
        self.gather()
        if self._n_alike:
            rows, self._n_alike = slice(0, self._n_alike), 0
            n_kept = self._heads.kept_bytes
            return Alike(self._front[rows], self._rows[rows], self._heads.like, self._arrivals_ns[rows], n_kept)
        rows, self._odd = self._odd, slice(0, 0)
        n_rows = rows.stop - rows.start
        if not n_rows:
            return None
        kept, data = self._heads.fill(n_rows), self._rows[rows]
        data[:, :FRONT_BYTES] = self._front[rows]
        return Datagrams(data, kept, self._heads.meta[:n_rows])
