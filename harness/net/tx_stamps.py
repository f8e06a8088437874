"""Transmit stamps of the kernel, read from a socket's error queue (Linux).

The kernel stamps a datagram as it passes it to the interface and puts the stamp on the error queue of its socket, by
number. Newer kernels (6.13) take the number with the datagram; older ones count by themselves, and miscount where a
send is refused: then their count is begun anew at the datagram that comes next, and what was on its way is given up.

Stamps lie in the queue beside the errors that IP_RECVERR puts there. The queue is as long as the socket's *receive*
buffer; what does not fit is never heard of, so the stamp of a datagram may stay out.
"""

from __future__ import annotations

import errno
import socket

import numpy as np
from numpy.typing import NDArray

from harness.net import _libc
from harness.net._control import walk
from harness.net._linux import (
    IP_RECVERR,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_RECVERR,
    MSG_ERRQUEUE,
    SO_TIMESTAMPING,
    SOL_SOCKET,
    STAMPING_OPT_ID,
    STAMPING_OPT_TSONLY,
    STAMPING_SOFTWARE,
    STAMPING_TX_SOFTWARE,
)
from harness.net._options import set_option
from harness.net._slots import addresses
from harness.net.platform import PLATFORM

Int64Array = NDArray[np.int64]

SCM_TS_OPT_ID = 81
ID_CONTROL = np.dtype([("length", np.uintp), ("level", np.int32), ("kind", np.int32), ("id", np.uint32)], align=True)
"""The control message that gives a datagram its number."""

BATCH = 256
MOST_BATCHES = 16
"""Batches read at a time: a queue that fills as fast as it is emptied must not keep the sender."""

MOST_KEPT = 1 << 16
"""Stamps kept for the owner to take; further ones are dropped."""

QUEUE_BYTES = 4 << 20
"""Room asked for in the queue; a stamp takes about 800 bytes of it."""

_CONTROL_BYTES = 256
_WANTED = STAMPING_TX_SOFTWARE | STAMPING_SOFTWARE | STAMPING_OPT_TSONLY
_ORIGIN_STAMP = 4
_NONE = np.zeros(0, np.int64)


class TxStamps:
    """The transmit stamps of one socket.

    The owner numbers its datagrams, and tells before and after each system call which ones it hands over.

    Args:
      sock: a UDP socket from which nothing was sent yet.
      numbers_given: whether numbers go with the datagrams; None finds out whether the kernel takes them.

    Attributes:
      is_numbering: whether numbers go with the datagrams.

    Raises:
      SocketOptionError: the kernel gives no transmit stamps.
    """

    def __init__(self, sock: socket.socket, *, numbers_given: bool | None = None) -> None:
        self._sock = sock
        PLATFORM.set_receive_buffer(sock, QUEUE_BYTES)
        self._begin()
        self.is_numbering = _takes_numbers(sock.family) if numbers_given is None else numbers_given
        self._control = np.zeros((BATCH, _CONTROL_BYTES), np.uint8)
        self._words = self._control.view(np.uint32)
        self._headers = np.zeros(BATCH, _libc.MMSGHDR)
        header = self._headers["header"]
        header["control"] = addresses(self._control)
        self._control_lengths = header["control_length"]
        self._first, self._n_counted, self._is_sure = 0, 0, True  # the kernel's 0 is our _first; datagrams since
        self._kept: list[tuple[Int64Array, Int64Array]] = []
        self._n_kept = 0

    def before(self, number: int) -> None:
        """Prepare for handing over datagrams that are numbered from `number` on, ascending."""
        if not self.is_numbering and (not self._is_sure or self._first + self._n_counted != number):
            self.collect()
            self._begin()
            self._first, self._n_counted, self._is_sure = number, 0, True

    def after(self, number: int, n_asked: int, n_taken: int) -> None:
        """Note that of `n_asked` datagrams from `number` on the kernel took the first `n_taken`."""
        if self.is_numbering:
            self._n_counted = number + n_taken
        else:
            self._n_counted += n_taken
            self._is_sure = n_taken == n_asked

    def collect(self) -> None:
        """Read what is in the queue and keep the stamps; what else is in it, errors of ICMP, is thrown away."""
        for _ in range(MOST_BATCHES):
            self._control_lengths[:] = _CONTROL_BYTES
            n_read, _ = _libc.recvmmsg(
                self._sock.fileno(), self._headers.ctypes.data, BATCH, int(MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            )
            if n_read > 0:
                self._keep(*self._stamps(n_read))
            if n_read < BATCH:
                return

    def take(self) -> tuple[Int64Array, Int64Array]:
        """Return numbers and realtime stamps of datagrams whose stamps came since the last call, shapes (n,)."""
        self.collect()
        if not self._kept:
            return _NONE, _NONE
        numbers, stamps_ns = zip(*self._kept, strict=True)
        self._kept, self._n_kept = [], 0
        return np.concatenate(numbers), np.concatenate(stamps_ns)

    def _begin(self) -> None:
        """Have the kernel count from 0."""
        for flags in (_WANTED, _WANTED | STAMPING_OPT_ID):
            set_option(
                self._sock, SOL_SOCKET, SO_TIMESTAMPING, flags, "SO_TIMESTAMPING", remedy="send without --tx-stamps"
            )

    def _keep(self, numbers: Int64Array, stamps_ns: Int64Array) -> None:
        if len(numbers) and self._n_kept + len(numbers) <= MOST_KEPT:
            self._kept.append((numbers, stamps_ns))
            self._n_kept += len(numbers)

    def _stamps(self, n_read: int) -> tuple[Int64Array, Int64Array]:
        """Return numbers and stamps among the first rows of the control messages."""
        lengths, is_open = self._control_lengths[:n_read], np.ones(n_read, np.bool_)
        numbers, stamps = [_NONE], [_NONE]
        for _ in range(n_read):
            row = int(is_open.argmax())
            if not is_open[row]:
                break
            layout = walk(self._control[row, : int(lengths[row])].tobytes())
            is_mine = is_open & (lengths == layout.length)
            is_mine &= ~layout.strange_bits(self._control[:n_read].view(np.uint64)).any(axis=1)
            rows = np.flatnonzero(is_mine)
            is_open[rows] = False
            at = layout.offsets.get((SOL_SOCKET, SO_TIMESTAMPING))
            error = layout.offsets.get((IPPROTO_IP, IP_RECVERR), layout.offsets.get((IPPROTO_IPV6, IPV6_RECVERR)))
            if at is None or error is None:
                continue
            rows = rows[self._control[rows, error + 4] == _ORIGIN_STAMP]
            back = np.uint32(self._n_counted & 0xFFFF_FFFF) - self._words[rows, error // 4 + 3]
            number = self._first + self._n_counted - back.astype(np.int64)
            is_known = (back > 0) & (number >= self._first)
            time_ns = np.ascontiguousarray(self._control[rows, at : at + 16]).view(np.int64)
            numbers.append(number[is_known])
            stamps.append((time_ns[:, 0] * 1_000_000_000 + time_ns[:, 1])[is_known])
        return np.concatenate(numbers), np.concatenate(stamps)


def _takes_numbers(version: socket.AddressFamily) -> bool:
    """Find out whether the kernel takes a datagram's number with it, by a send that goes nowhere in either case.

    Control messages are read before route and size are judged: an unknown one is EINVAL, and a datagram of this size is
    refused for it.
    """
    host = "127.0.0.1" if version == socket.AF_INET else "::1"
    with socket.socket(version, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        number = (SOL_SOCKET, SCM_TS_OPT_ID, bytes(4))
        try:
            sock.setsockopt(SOL_SOCKET, SO_TIMESTAMPING, _WANTED | STAMPING_OPT_ID)
            sock.sendmsg([bytes(65_530)], [number], 0, (host, 9))
        except OSError as exc:
            return exc.errno != errno.EINVAL
    return True
