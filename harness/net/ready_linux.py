"""Rows that stand ready for sendmmsg: everything that the kernel reads is laid out once (Linux)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.model.datagrams import FRONT_BYTES
from harness.net import _libc
from harness.net._messages import send_messages
from harness.net._slots import addresses
from harness.net.ready import PlainRows

NO_OFFLOAD = (errno.EINVAL, errno.EMSGSIZE, errno.EIO)
"""What the kernel says to a run that is larger than the MTU allows, or when checksums cannot be left to it."""

SHARED_FROM = 256
"""Rows of this size on are sent from two places, their fronts and the rest: that takes longer for small ones."""

_NOBODY = struct.pack("=H14x", socket.AF_UNSPEC)
"""The sockaddr that a socket is connected to in order to be so no longer."""


class ReadyBatch:
    """Rows of one socket, each its own front and a rest that all of them share, or runs of whole rows.

    The kernel reads the shared rest from the processor's cache, where rows of their own would each come from memory.

    Args:
      sock: non-blocking; bound to a port by its number and to no address, or else `hold_route` would lose it.
      name: the destination's packed sockaddr; None for a connected socket, whose route is held by the kernel.
      find_source: returns the source address that the destination's route has at that moment, None without one; it may
        raise HarnessError. None for a connected socket.
      fronts: shape (n, k), uint8; they are sent as they then stand. Contiguous, with runs altogether.
      rest: what follows each of them, shape (m,), uint8; empty with runs.
      run: rows that go to the kernel as one buffer; the socket is set to cut them (UDP_SEGMENT).
      send_plain: sends rows and returns the errno of each, for when the kernel does not cut runs after all.

    Attributes:
      address: of the headers, as sendmmsg wants it.
    """

    def __init__(
        self,
        sock: socket.socket,
        name: bytes | None,
        find_source: Callable[[], str | None] | None,
        fronts: NDArray[np.uint8],
        rest: NDArray[np.uint8],
        run: int,
        send_plain: Callable[[NDArray[np.uint8]], NDArray[np.uint16]] | None = None,
    ) -> None:
        self._sock, self._name, self._rows, self._rest = sock, name, fronts, rest
        self._run, self._send_plain = run, send_plain
        self._find_source = find_source
        self._held_source: str | None = None
        self._plain: PlainRows | None = None
        firsts, self._full = fronts[::run], run * fronts.shape[1]
        self._iov = np.zeros((len(firsts), 2 if len(rest) else 1), _libc.IOVEC)
        self._lengths = self._iov["length"][:, 0]
        self._iov["base"][:, 0], self._lengths[:] = addresses(firsts), self._full
        if len(rest):
            self._iov["base"][:, 1], self._iov["length"][:, 1] = rest.ctypes.data, len(rest)
        self._headers = np.zeros(len(firsts), _libc.MMSGHDR)
        self._header = self._headers["header"]
        self._header["iov"], self._header["iov_length"] = addresses(self._iov), self._iov.shape[1]
        self.address: int = self._headers.ctypes.data
        self._packed = np.frombuffer(name or b"", np.uint8)
        self._set_name()

    def send(self, n_rows: int) -> NDArray[np.uint16] | None:
        """Send the first rows; return None where all went out, else the errno of each."""
        if self._plain is not None:
            return self._plain.send(n_rows)
        run = self._run
        n_messages, n_left = (n_rows, 0) if run == 1 else divmod(n_rows, run)
        if n_left:
            self._lengths[n_messages] = n_left * self._rows.shape[1]
            n_messages += 1
        n_sent, _ = _libc.sendmmsg(self._sock.fileno(), self.address, n_messages, socket.MSG_DONTWAIT)
        results = None
        if n_sent != n_messages:
            results = np.zeros(n_rows, np.uint16)
            send_messages(self._sock.fileno(), self.address, results, run=run, first=max(n_sent, 0))
        if n_left:
            self._lengths[n_messages - 1] = self._full
        if run > 1 and results is not None and results[0] in NO_OFFLOAD and self._send_plain is not None:
            self._plain = PlainRows(self._rows, self._send_plain)
            return self._plain.send(n_rows)
        return results if results is not None and np.count_nonzero(results) else None

    def hold_route(self) -> bool:
        """Connect the socket to the destination, anew if the source address is another now; return whether it could be.

        The address is chosen by the same rules as for a datagram of a socket that is not connected. A connected socket
        numbers its datagrams by itself (IPv4 identification), which is most of the gain. It also has a hash of its own,
        by which queues and paths are chosen on the way: so it is not connected anew without need.
        """
        if self._name is None or self._find_source is None:
            return False
        try:
            source = self._find_source()
        except HarnessError:  # the interface is gone, or no more files may be opened
            source = None
        if source != self._held_source:
            fd = self._sock.fileno()
            if self._held_source is not None:
                _libc.connect(fd, _NOBODY)
            is_held = source is not None and not _libc.connect(fd, self._name)
            self._held_source = source if is_held else None
            self._set_name()
        return self._held_source is not None

    def _set_name(self) -> None:
        has_name = len(self._packed) > 0 and self._held_source is None
        self._header["name"] = self._packed.ctypes.data if has_name else 0
        self._header["name_length"] = len(self._packed) if has_name else 0


def front_bytes(size: int, *, offload: bool) -> int:
    """Return how many bytes of rows of a size are to stand in the fronts; all with runs."""
    return FRONT_BYTES if size >= SHARED_FROM and not offload else size
