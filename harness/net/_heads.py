"""The records of what recvmmsg has read, filled from its headers and slots (Linux)."""

from __future__ import annotations

import socket
import time

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import DATAGRAM_DTYPE, FLOW_BYTES
from harness.model.packets import PacketArray, PacketFlag
from harness.net import _libc
from harness.net._control import ControlParser
from harness.net._options import Arrival
from harness.net._slots import (
    ALL_CONTROL_BYTES,
    CONTROL_BYTES_IPV4,
    CONTROL_BYTES_IPV6,
    NAME_BYTES_IPV4,
    NAME_BYTES_IPV6,
    Slots,
)
from harness.net.batch_portable import AGAIN, PENDING

_SOCKADDR_IN_BYTES, _SOCKADDR_IN6_BYTES = 16, 28
_TRUNCATED, _USER_STAMP = np.uint8(PacketFlag.TRUNCATED), np.uint8(PacketFlag.USER_STAMP)
_LEAST_ALIKE = 16
"""Rows of a read that is learned at once. Of fewer, the second in a row that says the same is: what comes by turns from
several would else be learned anew each time, and compared in vain."""

_RX_WORD = FLOW_BYTES // 8
"""The time of arrival follows the flow in a record."""
_RECEIVE_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_TRUNC)
"""MSG_TRUNC: report the true length of a datagram of which only the first bytes are kept."""


class Heads:
    """Reads a socket by recvmmsg, and says what it read beside the payload.

    Args:
      sock: non-blocking, with the control messages already asked for.
      capacity: most datagrams, or buffers of them, read at a time.
      parts: where the bytes of a datagram go, as for `Slots`, shape (`capacity` or more, width of the part) each.
      has_more: control messages of the network card or of runs were asked for, too.

    Attributes:
      meta: a record for each row, shape (capacity,), DATAGRAM_DTYPE, as `fill` left them.
      like: the one record of rows that `take_alike` took, shape (1,), but for its time; another array after each read
        that taught something, to be read only.
      like_segment: size of the equal segments in each of those rows, 0 for plain datagrams.
      parser: what the control messages said.
    """

    def __init__(self, sock: socket.socket, capacity: int, parts: list[NDArray[np.uint8]], *, has_more: bool) -> None:
        self._sock = sock
        is_v4 = sock.family == socket.AF_INET
        control_bytes = CONTROL_BYTES_IPV4 if is_v4 else CONTROL_BYTES_IPV6
        self._slots = slots = Slots(
            capacity,
            parts,
            _SOCKADDR_IN_BYTES if is_v4 else _SOCKADDR_IN6_BYTES,
            NAME_BYTES_IPV4 if is_v4 else NAME_BYTES_IPV6,
            ALL_CONTROL_BYTES if has_more else control_bytes,
        )
        self._width = slots.room
        self._kept = np.zeros(capacity, np.int64)
        self._said = b""
        self.meta = np.zeros(capacity, DATAGRAM_DTYPE)
        self.meta["destination_port"] = sock.getsockname()[1]
        self.parser = ControlParser(slots.control, self.meta)
        self.like: PacketArray = self.meta[:1].copy()
        self.like_segment = 0
        # Views of the columns, made once: taking them costs as much as what is done with them.
        self._sizes, self._flags, self._rx_ns = self.meta["size"], self.meta["flags"], self.meta["rx_ns"]
        self._source_ports, self._name_ports = self.meta["source_port"], slots.names[:, 2:4].view(">u2")[:, 0]
        if is_v4:
            self.meta["source"][:, 10:12] = 0xFF
            self._sources, self._name_addresses = self.meta["source"][:, 12:], slots.names[:, 4:8]
        else:
            self._sources, self._name_addresses = self.meta["source"], slots.names[:, 8:24]

    def receive(self, first: int, n_rows: int) -> int:
        """Read what waits in the socket and return how many datagrams, or buffers of them, that was. Never blocks.

        Args:
          first: the row of the parts that is filled first.
          n_rows: most rows filled.

        Raises:
          OSError: the kernel refuses.
        """
        self._slots.point_at(first)
        n_read, number = _libc.recvmmsg(self._sock.fileno(), self._slots.address, n_rows, _RECEIVE_FLAGS)
        if n_read > 0:
            return n_read
        if number in AGAIN or number in PENDING or n_read == 0:
            return 0
        raise OSError(number, "recvmmsg")

    def use_parts(self, n: int) -> None:
        """Keep only what the first n parts have room for; what is not kept for this reason is not marked TRUNCATED."""
        self._slots.use_parts(n)

    @property
    def kept_bytes(self) -> int:
        """Bytes kept of each datagram at most."""
        return self._slots.room

    def take_alike(self, n_rows: int) -> NDArray[np.int64] | None:
        """Return when the rows just read arrived, in realtime ns, shape (n_rows,), if `like` says all else of them."""
        arrivals_ns = self._slots.take_alike(n_rows)
        if arrivals_ns is not None:
            self._said = b""
            if self._slots.last_drops is not None:
                self.parser.last_drops = self._slots.last_drops
        return arrivals_ns

    def fill(self, n_rows: int) -> NDArray[np.int64]:
        """Fill the records of the rows just read, and return how many bytes of each are at hand, shape (n_rows,)."""
        rows, slots, parser = slice(0, n_rows), self._slots, self.parser
        kept, flags = self._kept[rows], self._flags[rows]
        parser.parse(slots.control_lengths[rows])
        sizes = slots.lengths[rows]
        np.minimum(sizes, slots.room, out=kept, casting="unsafe")
        np.multiply(sizes > self._width, _TRUNCATED, out=flags)
        self._sizes[rows] = sizes
        self._sources[rows] = self._name_addresses[rows]
        self._source_ports[rows] = self._name_ports[rows]
        if not parser.is_stamped:
            is_bare = ~parser.has_stamp[rows]
            self._rx_ns[rows][is_bare] = time.time_ns()
            flags[is_bare] |= _USER_STAMP
        self._learn(n_rows)
        slots.clear(n_rows)
        return kept

    def _learn(self, n_rows: int) -> None:
        """Compare the next reads with this one, if it is of rows that differ in time alone."""
        stamp_offset = self.parser.stamp_offset
        if stamp_offset is None or self._flags[:n_rows].any():
            return
        if n_rows < _LEAST_ALIKE:
            row, before = self.meta[0].tobytes(), self._said
            self._said = row[: 8 * _RX_WORD] + row[8 * _RX_WORD + 8 :]
            if self._said != before:
                return
        like = self.meta[:1].copy()
        like["rx_ns"] = 0
        words, expected = (meta.view(np.uint64).reshape(len(meta), -1) for meta in (self.meta[:n_rows], like))
        is_alike = words == expected
        is_alike[:, _RX_WORD] = True
        if is_alike.all():
            self.like, self.like_segment = like, int(self.parser.segment[0])
            self._slots.learn(stamp_offset, self.parser.drops_offset)


class HeadsReader:
    """What readers by recvmmsg have in common; they set `_heads`."""

    path = "batch"
    _heads: Heads

    @property
    def last_drops(self) -> int | None:
        """The socket's drop counter as it stood when the last datagram read was queued; None before any drop."""
        return self._heads.parser.last_drops

    def imply(self, arrival: Arrival) -> None:
        """Take it for what datagrams read from now on do not tell of destination and interface."""
        self._heads.parser.imply(arrival)

    @property
    def hardware_ns(self) -> NDArray[np.int64]:
        """When the datagrams last read came by the card's own clock, 0 where it says nothing; not with offload."""
        return self._heads.parser.hardware_ns
