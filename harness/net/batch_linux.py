"""Many datagrams a system call: recvmmsg and sendmmsg over arrays that are prepared once (Linux).

The headers, vectors, addresses and control messages that the kernel reads and writes are numpy arrays; there is no
Python object per packet, and ctypes releases the interpreter lock during the call.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import DATAGRAM_DTYPE, FLOW_BYTES, Alike, Batch, Datagrams, Runs
from harness.model.packets import PacketFlag
from harness.net import _libc
from harness.net._control import ControlParser
from harness.net._libc import CMSG_HEADER_BYTES
from harness.net._linux import SOL_SOCKET, SOL_UDP, UDP_GRO, UDP_SEGMENT
from harness.net._options import RxSource, set_option
from harness.net._slots import ALL_CONTROL_BYTES, CONTROL_BYTES, Slots, addresses, spaced_rows
from harness.net.batch_portable import AGAIN, LARGEST_DATAGRAM, PENDING
from harness.net.tx_stamps import ID_CONTROL, SCM_TS_OPT_ID, TxStamps

SOCKADDR_IN_BYTES, SOCKADDR_IN6_BYTES = 16, 28

_TRUNCATED, _USER_STAMP = np.uint8(PacketFlag.TRUNCATED), np.uint8(PacketFlag.USER_STAMP)
_MAX_SEGMENTS = 64
"""Datagrams in one UDP_SEGMENT send; kernels before 6.x allow no more."""
GRO_BUFFERS = 256
_LEAST_ALIKE = 16
"""Rows of a read that is learned; of fewer, looking at them costs little."""

_RX_WORD = FLOW_BYTES // 8
"""The time of arrival follows the flow in a record."""
_SEND_FLAGS = int(socket.MSG_DONTWAIT)
_PROBE_FLAGS = _SEND_FLAGS | 0x10 | 0x800
"""MSG_PROBE | MSG_CONFIRM: the kernel heeds the former, of an empty datagram, only with the latter."""

_MAX_INTERRUPTIONS = 1000
_RECEIVE_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_TRUNC)
"""MSG_TRUNC: report the true length of a datagram of which only the first bytes are kept."""


class BatchReader:
    """Reads a socket by recvmmsg.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most datagrams of one `read`; with `offload` most buffers, each of which holds many datagrams.
      offload: let the kernel hand over runs of equal datagrams as one buffer (UDP_GRO).
      stamps: whose were asked for.
    """

    path = "batch"

    def __init__(
        self, sock: socket.socket, *, width: int, capacity: int, offload: bool = False, stamps: RxSource = "kernel"
    ) -> None:
        self._sock = sock
        self._port = sock.getsockname()[1]
        self._width = width
        self.is_full = False
        self.offload = offload
        if offload:
            set_option(sock, SOL_UDP, UDP_GRO, 1, "UDP_GRO", remedy="receive without --offload on this kernel")
            capacity, width = min(capacity, GRO_BUFFERS), LARGEST_DATAGRAM
        self._data = spaced_rows(capacity, width)
        if offload:  # else the first read has the pages made, while at that rate the socket's buffer overflows
            self._data[:] = 0
        is_v4 = sock.family == socket.AF_INET
        has_more = offload or stamps == "hardware"
        self._slots = slots = Slots(
            self._data,
            SOCKADDR_IN_BYTES if is_v4 else SOCKADDR_IN6_BYTES,
            ALL_CONTROL_BYTES if has_more else CONTROL_BYTES,
        )
        self._kept = np.zeros(capacity, np.int64)
        self._meta = np.zeros(capacity, DATAGRAM_DTYPE)
        self._meta["destination_port"] = self._port
        self._parser = ControlParser(slots.control, self._meta)
        self._like = self._meta[:1].copy()
        self._flat = np.empty(0, np.uint8)
        # Views of the columns, made once: taking them costs as much as what is done with them.
        self._sizes, self._flags, self._rx_ns = self._meta["size"], self._meta["flags"], self._meta["rx_ns"]
        self._source_ports, self._name_ports = self._meta["source_port"], slots.names[:, 2:4].view(">u2")[:, 0]
        if is_v4:
            self._meta["source"][:, 10:12] = 0xFF
            self._sources, self._name_addresses = self._meta["source"][:, 12:], slots.names[:, 4:8]
        else:
            self._sources, self._name_addresses = self._meta["source"], slots.names[:, 8:24]

    @property
    def last_drops(self) -> int | None:
        """The socket's drop counter as it stood when the last datagram read was queued; None before any drop."""
        return self._parser.last_drops

    @property
    def hardware_ns(self) -> NDArray[np.int64]:
        """When the datagrams last read came by the card's own clock, 0 where it says nothing; not with offload."""
        return self._parser.hardware_ns

    def read(self) -> Batch | None:
        """Return what waits in the socket, at most `capacity`; None when nothing does. Never blocks."""
        slots, self.is_full = self._slots, False
        n_read, number = _libc.recvmmsg(self._sock.fileno(), slots.address, len(self._meta), _RECEIVE_FLAGS)
        if n_read <= 0:
            if number in AGAIN or number in PENDING or n_read == 0:
                return None
            raise OSError(number, "recvmmsg")
        self.is_full = n_read == len(self._meta)
        if not self.offload and (arrivals_ns := slots.take_alike(n_read)) is not None:  # nearly always
            return Alike(self._data[:n_read], self._like.copy(), arrivals_ns)
        rows = slice(0, n_read)
        parser, kept, flags = self._parser, self._kept[rows], self._flags[rows]
        parser.parse(slots.control_lengths[rows])
        sizes = slots.lengths[rows]
        np.minimum(sizes, self._data.shape[1], out=kept, casting="unsafe")
        np.multiply(sizes > kept, _TRUNCATED, out=flags)
        self._sizes[rows] = sizes
        self._sources[rows] = self._name_addresses[rows]
        self._source_ports[rows] = self._name_ports[rows]
        if not parser.is_stamped:
            is_bare = ~parser.has_stamp[rows]
            self._rx_ns[rows][is_bare] = time.time_ns()
            flags[is_bare] |= _USER_STAMP
        if self.offload:
            slots.clear(n_read)
            return self._runs(n_read)
        self._learn(n_read)
        slots.clear(n_read)
        return Datagrams(self._data[rows], kept, self._meta[rows])

    def _learn(self, n_read: int) -> None:
        """Compare the next reads with this one, if it is of datagrams that differ in time alone."""
        stamp_offset = self._parser.stamp_offset
        if n_read < _LEAST_ALIKE or stamp_offset is None or self._flags[:n_read].any():
            return
        self._like[:] = self._meta[:1]
        self._like["rx_ns"] = 0
        words, like = (meta.view(np.uint64).reshape(len(meta), -1) for meta in (self._meta[:n_read], self._like))
        is_alike = words == like
        is_alike[:, _RX_WORD] = True
        if is_alike.all():
            self._slots.learn(stamp_offset)

    def _runs(self, n_read: int) -> Runs:
        """Return the datagrams inside the first `n_read` buffers; a run's last one may be shorter.

        Runs of the segment that is the batch's widest stand in rows as wide as it, and are copied whole: of the 64 KiB
        that a buffer may fill, usually 4 are filled, and rows side by side are what all that follows is quick with.
        """
        sizes, heads = self._kept[:n_read], self._meta[:n_read]
        segments = np.where(self._parser.segment[:n_read] > 0, self._parser.segment[:n_read], np.maximum(sizes, 1))
        counts = np.maximum(-(-sizes // segments), 1)
        tails = sizes - (counts - 1) * segments
        heads["size"] = segments
        width = min(int(segments.max()), self._width)
        ends = np.cumsum(counts)
        n_rows = int(ends[-1])
        if len(self._flat) < n_rows * width:
            self._flat = np.empty(2 * n_rows * width, np.uint8)
        flat = self._flat[: n_rows * width]
        rows = flat.reshape(n_rows, width)
        if (segments == width).all() and (sizes == sizes[0]).all() and tails[0] == width:  # nearly always
            flat.reshape(n_read, -1)[:] = self._data[:n_read, : int(sizes[0])]
            return Runs(rows, heads, counts, tails)
        columns = (ends - counts, counts, segments, sizes)
        for buffer, first, count, segment, size in zip(self._data, *(one.tolist() for one in columns), strict=False):
            if segment == width:
                flat[first * width : first * width + size] = buffer[:size]
                continue
            own, last = min(segment, width), (count - 1) * segment
            rows[first : first + count - 1, :own] = buffer[:last].reshape(count - 1, segment)[:, :own]
            rows[first + count - 1, : min(size - last, own)] = buffer[last : last + min(size - last, own)]
        return Runs(rows, heads, counts, tails)


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
        self._name = np.frombuffer(destination or bytes(SOCKADDR_IN6_BYTES), np.uint8).copy()
        self._name_length = len(destination) if destination else 0
        self._name_address = self._name.ctypes.data
        self.offload = offload
        self._stamps = stamps
        self._nothing = _libc.datagram(None, 0, _PROBE_FLAGS, self._name_address, self._name_length)
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
            for _ in range(_MAX_INTERRUPTIONS if number == errno.EINTR else 0):
                number = _libc.sendto(fileno(), datagram)
                if number != errno.EINTR:
                    break
            return errno.EAGAIN if number in AGAIN else number

        return send

    def rehearse(self) -> bool:
        """Walk the way of `one` up to where the datagram would be made; return whether the kernel refuses even that.

        To a group that is the look-up of route and source address (MSG_PROBE): nothing is sent. To a single host it
        would confirm to the kernel that the neighbour is there, which it has to find out by itself: so the way ends
        where there is no such descriptor.
        """
        if not self._name_length:
            _libc.sendto(-1, self._nothing)
            return False
        return _libc.sendto(self._sock.fileno(), self._nothing) != 0

    def send(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send each row; return the errno of each: 0 where it went out, EAGAIN from where the socket is full."""
        results = np.zeros(len(data), np.uint16)
        n_rows, size = data.shape
        if data.strides[1] != 1 and size > 1:
            data = np.ascontiguousarray(data)
        if self.offload and size and n_rows > 1:
            run = min(_MAX_SEGMENTS, (LARGEST_DATAGRAM - 48) // size)
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
        refused = int(results[0])
        if refused in (errno.EINVAL, errno.EMSGSIZE, errno.EIO):  # larger than the MTU, or no checksum offload
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

        They have `length` bytes each, but for the last. A stream at full rate sends from the same place all the time.

        sendmmsg stops at the first refusal and tells its errno only when that message is the first of a call: so the
        call is repeated from there, the refused message is noted and passed over.
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
        first, n_interrupted = 0, 0
        fd = self._sock.fileno()
        while first < n_messages:
            if stamps is not None:
                stamps.before(base_number + first)
            n_sent, number = _libc.sendmmsg(
                fd, self._address + first * _libc.MMSGHDR.itemsize, n_messages - first, socket.MSG_DONTWAIT
            )
            if stamps is not None:
                stamps.after(base_number + first, n_messages - first, max(n_sent, 0))
            if n_sent > 0:
                first += n_sent
            elif number == errno.EINTR and n_interrupted < _MAX_INTERRUPTIONS:
                n_interrupted += 1
            elif number in AGAIN:
                results[first * run :] = errno.EAGAIN
                return
            else:
                results[first * run : (first + 1) * run] = number
                first += 1
