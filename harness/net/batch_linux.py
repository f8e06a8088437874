"""Many datagrams a system call: sendmmsg over arrays that are prepared once (Linux).

The headers, vectors and addresses that the kernel reads are numpy arrays; there is no Python object per packet, and
ctypes releases the interpreter lock during the call.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.net import _libc
from harness.net._libc import CMSG_HEADER_BYTES
from harness.net._linux import SOL_SOCKET, SOL_UDP, UDP_CORK, UDP_SEGMENT
from harness.net._messages import MAX_INTERRUPTIONS, send_messages
from harness.net._slots import addresses
from harness.net.batch_portable import AGAIN, LARGEST_DATAGRAM
from harness.net.ready import ReadyRows
from harness.net.ready_linux import NO_OFFLOAD, ReadyBatch, front_bytes
from harness.net.tx_stamps import ID_CONTROL, SCM_TS_OPT_ID, TxStamps

_SOCKADDR_IN6_BYTES = 28

_MAX_SEGMENTS = 64
"""Datagrams in one UDP_SEGMENT send; kernels before 6.x allow no more."""

_SEND_FLAGS = int(socket.MSG_DONTWAIT)

_REHEARSED_BYTES = 1_400
"""Of a datagram at most so many are copied in a rehearsal: it is to fit into one buffer of the kernel."""

_TOO_MANY_BYTES = 65_535
"""More than a datagram that has begun has room for, and the most that a call may bring."""


class BatchWriter:
    """Sends by sendmmsg.

    Args:
      sock: non-blocking.
      destination: a packed sockaddr; None for a connected socket.
      offload: hand runs of equal datagrams to the kernel as one buffer (UDP_SEGMENT).
      stamps: takes transmit stamps, of datagrams as numbered by `next_number`; not with offload.

    Attributes:
      next_number: with `stamps`, number of the first datagram of the next `send`; each row has one, whatever becomes of
        it.
    """

    path = "batch"

    def __init__(
        self, sock: socket.socket, destination: bytes | None, *, offload: bool = False, stamps: TxStamps | None = None
    ) -> None:
        self._sock = sock
        self._name = np.frombuffer(destination or bytes(_SOCKADDR_IN6_BYTES), np.uint8).copy()
        self._name_length = len(destination) if destination else 0
        self._name_address = self._name.ctypes.data
        self.offload = offload
        self._stamps = stamps
        self.next_number = 0
        self._segment = 0
        self._resize(64)

    def _resize(self, capacity: int) -> None:
        self._iov = np.zeros(capacity, _libc.IOVEC)
        self._headers = np.zeros(capacity, _libc.MMSGHDR)
        self._address = self._headers.ctypes.data
        self._bases, self._lengths = self._iov["base"], self._iov["length"]
        self._steps = np.arange(capacity, dtype=np.uintp)
        self._laid_out = (0, 0, 0, 0, 0)
        header = self._headers["header"]
        header["name"] = self._name.ctypes.data if self._name_length else 0
        header["name_length"] = self._name_length
        header["iov"] = addresses(self._iov)
        header["iov_length"] = 1
        if self._stamps is not None and self._stamps.is_numbering:
            self._numbers = np.zeros(capacity, ID_CONTROL)
            self._numbers["length"] = CMSG_HEADER_BYTES + 4
            self._numbers["level"], self._numbers["kind"] = SOL_SOCKET, SCM_TS_OPT_ID
            self._ids = self._numbers["id"]
            header["control"], header["control_length"] = addresses(self._numbers), ID_CONTROL.itemsize

    def one(self, row: NDArray[np.uint8]) -> Callable[[], int]:
        """Return what sends this row as it then stands, shape (1, size), and returns the errno, 0 where it went out.

        All arguments of the system call are worked out beforehand; the row must be contiguous and stay alive.
        """
        fileno, name = self._sock.fileno, self._name_address if self._name_length else None
        datagram = _libc.datagram(row.ctypes.data, row.shape[1], _SEND_FLAGS, name, self._name_length)

        def send() -> int:
            number = _libc.sendto(fileno(), datagram)
            for _ in range(MAX_INTERRUPTIONS if number == errno.EINTR else 0):
                number = _libc.sendto(fileno(), datagram)
                if number != errno.EINTR:
                    break
            return errno.EAGAIN if number in AGAIN else number

        return send

    def front_bytes(self, size: int) -> int:
        """Return how many bytes of rows of a size `ready` wants of each, where the rest of all of them is the same."""
        return front_bytes(size, offload=self.offload)

    def ready(
        self, fronts: NDArray[np.uint8], rest: NDArray[np.uint8], find_source: Callable[[], str | None]
    ) -> ReadyRows:
        """Return what sends rows as they then stand: each of the fronts, and the rest behind it.

        Not with transmit stamps.
        """
        run = self.run_length(fronts.shape[1])
        if run > 1 and not self._set_segment(fronts.shape[1]):
            run = 1
        name = self._name.tobytes() if self._name_length else None
        return ReadyBatch(self._sock, name, find_source, fronts, rest, run, self.send)

    def rehearsal(self, open_scratch: Callable[[], socket.socket], size: int) -> Callable[[], bool]:
        """Return what walks the way of `one` up to a finished datagram, drops that, and returns whether it is refused.

        A corked socket's datagram waits for more of it. When what follows is more than a datagram holds the kernel
        drops the whole, without a count in any of its tables.

        Args:
          open_scratch: returns a socket like that of this writer, connected if that is, which must stay open.
          size: of the datagrams in bytes.

        Raises:
          OSError: the kernel does not cork.
        """
        scratch = open_scratch()
        scratch.setsockopt(SOL_UDP, UDP_CORK, 1)
        content = np.zeros(_TOO_MANY_BYTES, np.uint8)
        name, length = self._name_address if self._name_length else None, self._name_length
        begun = _libc.datagram(content.ctypes.data, min(size, _REHEARSED_BYTES), _SEND_FLAGS, name, length)
        rest = _libc.datagram(content.ctypes.data, len(content), _SEND_FLAGS, name, length)
        fileno = scratch.fileno

        def rehearse(_alive: NDArray[np.uint8] = content) -> bool:
            fd = fileno()
            return _libc.sendto(fd, begun) != 0 or _libc.sendto(fd, rest) != errno.EMSGSIZE

        return rehearse

    def run_length(self, size: int) -> int:
        """Return how many rows of a size go out as one buffer, 1 without offload."""
        return min(_MAX_SEGMENTS, (LARGEST_DATAGRAM - 48) // size) if self.offload and size else 1

    def send(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send each row; return the errno of each: 0 where it went out, EAGAIN from where the socket is full."""
        results = np.zeros(len(data), np.uint16)
        n_rows, size = data.shape
        if data.strides[1] != 1 and size > 1:
            data = np.ascontiguousarray(data)
        if n_rows > 1:
            run = self.run_length(size)
            if run > 1 and self._set_segment(size):
                self._send_runs(np.ascontiguousarray(data), run, results)
                return results
        if size > self._segment > 0:  # set for shorter rows before: the kernel would cut these to that length
            self._set_segment(0)
        self._send_messages(data.ctypes.data, n_rows, size, size, data.strides[0], 1, results)
        return results

    def _set_segment(self, size: int) -> bool:
        if size != self._segment:
            try:
                self._sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
            except OSError:
                self.offload = False
                return False
            self._segment = size
        return True

    def _send_runs(self, data: NDArray[np.uint8], run: int, results: NDArray[np.uint16]) -> None:
        n_rows, size = data.shape
        n_messages, address = -(-n_rows // run), data.ctypes.data
        last = (n_rows - (n_messages - 1) * run) * size
        self._send_messages(address, n_messages, run * size, last, run * size, run, results)
        if results[0] in NO_OFFLOAD:
            self.offload = False
            self._sock.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
            self._segment = 0
            results[:] = 0
            self._send_messages(address, n_rows, size, size, size, 1, results)

    def _send_messages(
        self,
        base: int,
        n_messages: int,
        length: int,
        last_length: int,
        stride: int,
        run: int,
        results: NDArray[np.uint16],
    ) -> None:
        """Send messages at base, base + stride, ..., each of `run` rows, and enter the errno of every row.

        They have `length` bytes each, but for the last. A stream sends from the same place nearly all the time.
        """
        if n_messages > len(self._headers):
            self._resize(n_messages)
        layout = (base, n_messages, length, last_length, stride)
        if layout != self._laid_out:
            np.multiply(self._steps[:n_messages], np.uintp(stride), out=self._bases[:n_messages])
            self._bases[:n_messages] += np.uintp(base)
            self._lengths[:n_messages] = length
            self._lengths[n_messages - 1 : n_messages] = last_length
            self._laid_out = layout
        stamps, base_number = self._stamps, self.next_number
        self.next_number += n_messages
        if stamps is not None and stamps.is_numbering:
            self._ids[:n_messages] = (base_number + self._steps[:n_messages]) & np.uintp(0xFFFF_FFFF)
        send_messages(self._sock.fileno(), self._address, results, run=run, stamps=stamps, base_number=base_number)
