"""Many datagrams a system call: recvmmsg into arrays that are prepared once (Linux).

The headers, vectors, addresses and control messages that the kernel reads and writes are numpy arrays; there is no
Python object per packet, and ctypes releases the interpreter lock during the call.

The first bytes of each datagram, which hold the header of nearly every protocol, stand side by side, apart from the
rest: reading a number from each of thousands then touches as many lines of memory, and not as many pages.
"""

from __future__ import annotations

import socket

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import FRONT_BYTES, Alike, Datagrams
from harness.net._heads import Heads
from harness.net._options import RxSource
from harness.net._slots import spaced_rows

AT_ONCE = 1920
"""Datagrams of one system call at most: of more, the first would have left the processor's cache at its end."""


class BatchReader:
    """Reads a socket by recvmmsg.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most datagrams of one `read`.
      stamps: whose were asked for.

    Attributes:
      is_full: whether the last system call took as many as it could.
      n_gathered: datagrams that the next `read` will return, whatever it reads.
    """

    path, offload = "batch", False

    def __init__(self, sock: socket.socket, *, width: int, capacity: int, stamps: RxSource = "kernel") -> None:
        self.is_full, self.n_gathered = False, 0
        self._front = np.zeros((capacity, min(width, FRONT_BYTES)), np.uint8)
        self._rows = spaced_rows(capacity, width)
        parts = [self._front, self._rows[:, FRONT_BYTES:]] if width > FRONT_BYTES else [self._front]
        self._heads = Heads(sock, parts, has_more=stamps == "hardware")

    @property
    def last_drops(self) -> int | None:
        """The socket's drop counter as it stood when the last datagram read was queued; None before any drop."""
        return self._heads.parser.last_drops

    @property
    def hardware_ns(self) -> NDArray[np.int64]:
        """When the datagrams last read came by the card's own clock, 0 where it says nothing."""
        return self._heads.parser.hardware_ns

    @property
    def can_gather(self) -> bool:
        """Whether there is room for one system call more than that of the next `read`."""
        return len(self._front) - self.n_gathered >= 2 * AT_ONCE

    def gather(self) -> int:
        """Read what waits in the socket, keep it for the next `read`, and return how many that was. Never blocks."""
        n_rows = min(AT_ONCE, len(self._front) - self.n_gathered)
        n_read = self._heads.receive(self.n_gathered, n_rows)
        self.is_full = n_read == n_rows
        self.n_gathered += n_read
        return n_read

    def read(self) -> Alike | Datagrams | None:
        """Return what was gathered and what waits in the socket, at most `capacity`; None for nothing. Never blocks."""
        self.gather()
        n_read, self.n_gathered = self.n_gathered, 0
        if not n_read:
            return None
        heads, front, rows = self._heads, self._front[:n_read], self._rows[:n_read]
        if (arrivals_ns := heads.take_alike(n_read)) is not None:  # nearly always
            return Alike(front, rows, heads.like, arrivals_ns)
        kept = heads.fill(n_read)
        rows[:, :FRONT_BYTES] = front
        return Datagrams(rows, kept, heads.meta[:n_read])
