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


class BatchReader:
    """Reads a socket by recvmmsg.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most datagrams of one `read`.
      stamps: whose were asked for.
    """

    path, offload = "batch", False

    def __init__(self, sock: socket.socket, *, width: int, capacity: int, stamps: RxSource = "kernel") -> None:
        self.is_full = False
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

    def read(self) -> Alike | Datagrams | None:
        """Return what waits in the socket, at most `capacity`; None when nothing does. Never blocks."""
        heads, capacity = self._heads, len(self._front)
        n_read = heads.receive()
        self.is_full = n_read == capacity
        if not n_read:
            return None
        front, rows = self._front[:n_read], self._rows[:n_read]
        if (arrivals_ns := heads.take_alike(n_read)) is not None:  # nearly always
            return Alike(front, rows, heads.like, arrivals_ns)
        kept = heads.fill(n_read)
        rows[:, :FRONT_BYTES] = front
        return Datagrams(rows, kept, heads.meta[:n_read])
