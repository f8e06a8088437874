"""One system call a datagram: what every platform can do. Same interface and same results as `batch_linux`."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import DATAGRAM_DTYPE, Datagrams
from harness.model.packets import PacketFlag
from harness.net._options import NOT_IMPLIED, Arrival, packed
from harness.net.platform import PLATFORM
from harness.net.ready import PlainRows, ReadyRows

LARGEST_DATAGRAM = 65_535
AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK)
PENDING = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EINTR)
"""Errors of an earlier datagram, or of none: reading goes on."""


class PortableReader:
    """Reads a socket one datagram at a time.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most datagrams of one `read`.
    """

    path = "portable"
    offload = False
    can_gather, n_gathered = False, 0

    def __init__(self, sock: socket.socket, *, width: int, capacity: int) -> None:
        self._sock = sock
        self._port = sock.getsockname()[1]
        self._data = np.empty((capacity, width), np.uint8)
        self._rows = [row.data for row in self._data]
        self._overflow = memoryview(bytearray(LARGEST_DATAGRAM))
        self._kept = np.zeros(capacity, np.int64)
        self._meta = np.zeros(capacity, DATAGRAM_DTYPE)
        self.hardware_ns = np.zeros(capacity, np.int64)
        self.last_drops: int | None = None
        self.is_full = False
        self._implied = NOT_IMPLIED

    def imply(self, arrival: Arrival) -> None:
        """Take it for what datagrams read from now on do not tell of destination and interface."""
        self._implied = arrival

    def keep_fronts(self, _is_enough: bool) -> None:
        """Keep all bytes in any case."""

    def gather(self) -> int:
        """Keep nothing: what is read is looked at one by one in any case."""
        return 0

    def read(self) -> Datagrams | None:
        """Return what waits in the socket, at most `capacity`; None when nothing does. Never blocks."""
        width = self._data.shape[1]
        n_read = 0
        for _ in self._rows:
            try:
                size, messages, source = PLATFORM.read_one(self._sock, self._rows[n_read], self._overflow)
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in PENDING:
                    continue
                raise
            found = PLATFORM.decode(messages)
            flags = PacketFlag.TRUNCATED if size > width else PacketFlag(0)
            if found.rx_ns is None:
                flags |= PacketFlag.USER_STAMP
            if found.drops is not None:
                self.last_drops = found.drops
            self._kept[n_read] = min(size, width)
            self.hardware_ns[n_read] = found.hardware_ns or 0
            self._meta[n_read] = (
                np.frombuffer(packed(source[0]), np.uint8),
                np.frombuffer(found.destination or self._implied.destination, np.uint8),
                source[1],
                self._port,
                found.ifindex or self._implied.ifindex,
                time.time_ns() if found.rx_ns is None else found.rx_ns,
                size,
                found.ttl,
                int(flags),
                0,
            )
            n_read += 1
        self.is_full = n_read == len(self._rows)
        if not n_read:
            return None
        return Datagrams(self._data[:n_read], self._kept[:n_read], self._meta[:n_read])


class PortableWriter:
    """Sends one datagram a call.

    Args:
      sock: non-blocking.
      destination: None for a connected socket.
      address: `destination` as the socket module takes it.
    """

    path = "portable"
    offload = False
    next_number = 0  # there are no transmit stamps on this path

    def __init__(self, sock: socket.socket, destination: tuple[str | int, ...] | None) -> None:
        self._sock, self._destination = sock, destination

    def one(self, row: NDArray[np.uint8]) -> Callable[[], int]:
        """Return what sends this row as it then stands, shape (1, size), and returns the errno, 0 where it went out."""
        return lambda: int(self.send(row)[0])

    def front_bytes(self, size: int) -> int:
        """Return `size`: each row goes out as it stands."""
        return size

    def ready(
        self, fronts: NDArray[np.uint8], rest: NDArray[np.uint8], _find_source: Callable[[], str | None]
    ) -> ReadyRows:
        """Return what sends the fronts, which are whole rows, as they then stand; `rest` is empty."""
        if len(rest):
            raise ValueError("rows that go out one by one are whole ones")
        return PlainRows(fronts, self.send)

    def rehearsal(self, _open_scratch: Callable[[], socket.socket], _size: int) -> Callable[[], bool]:
        """Return what does nothing: the socket module has no way that ends before the datagram is sent."""
        return lambda: False

    def run_length(self, _size: int) -> int:
        """Return 1: each row goes out by itself."""
        return 1

    def send(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send each row; return the errno of each: 0 where it went out, EAGAIN from where the socket is full."""
        results = np.zeros(len(data), np.uint16)
        for number, row in enumerate(np.ascontiguousarray(data)):
            try:
                if self._destination is None:
                    self._sock.send(row)
                else:
                    self._sock.sendto(row, self._destination)
            except OSError as exc:
                if exc.errno in AGAIN:
                    results[number:] = errno.EAGAIN
                    break
                results[number] = exc.errno or errno.EIO
        return results
