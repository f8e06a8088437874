"""Control messages of a whole batch, parsed as columns of one array.

A socket's control messages stand at the same offsets in nearly every datagram: the layout is set by the options that
are switched on. So a layout is learned once by walking one row, every further row is compared with it (lengths,
levels and types, a few integers a row), and the values are cut out for all matching rows at once. A row that differs,
the first after a drop (SO_RXQ_OVFL appears) or a run of segments (UDP_GRO), is walked and teaches another layout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model.packets import PacketArray
from harness.net._libc import CMSG_HEADER_BYTES, WORD_BYTES
from harness.net._linux import (
    IP_PKTINFO,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_HOPLIMIT,
    IPV6_PKTINFO,
    SO_RXQ_OVFL,
    SO_TIMESTAMPING,
    SO_TIMESTAMPNS,
    SOL_SOCKET,
    SOL_UDP,
    UDP_GRO,
)
from harness.net._options import NOT_IMPLIED, Arrival

_KNOWN_LAYOUTS = 8
_STAMPS = {(SOL_SOCKET, SO_TIMESTAMPNS), (SOL_SOCKET, SO_TIMESTAMPING)}
_HEADER = struct.Struct("=QII" if WORD_BYTES == 8 else "=III")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the messages of one kind of row stand.

    Attributes:
      length: bytes of control messages in such a row.
      mask: of the 64-bit words from the row's start on, the bits that make up the headers.
      expected: what stands in those bits.
      offsets: where the data of a (level, type) begins.
      has_stamp: whether the arrival time is among them.
    """

    length: int
    mask: NDArray[np.uint64]
    expected: NDArray[np.uint64]
    offsets: dict[tuple[int, int], int]
    has_stamp: bool

    def strange_bits(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return where the headers of rows differ from this layout's; words: of rows, shape (n, more than ours)."""
        found = words[:, : len(self.mask)] & self.mask
        found ^= self.expected
        return found


def walk(row: bytes) -> Layout:
    """Return the layout of one row by going from header to header; what is cut off or malformed ends the walk."""
    columns: list[int] = []
    offsets: dict[tuple[int, int], int] = {}
    position = 0
    while position + CMSG_HEADER_BYTES <= len(row):
        length, level, kind = _HEADER.unpack_from(row, position)
        if length < CMSG_HEADER_BYTES or position + length > len(row):
            break
        columns += range(position // 4, (position + CMSG_HEADER_BYTES) // 4)
        offsets[level, kind] = position + CMSG_HEADER_BYTES
        position += (length + WORD_BYTES - 1) // WORD_BYTES * WORD_BYTES
    n_words = max(columns, default=-1) // 2 + 1
    words = np.frombuffer(row.ljust(8 * n_words, b"\0")[: 8 * n_words], np.uint64)
    mask = np.zeros(2 * n_words, np.uint32)
    mask[columns] = 0xFFFFFFFF
    wide = mask.view(np.uint64)
    return Layout(len(row), wide, words & wide, offsets, not offsets.keys().isdisjoint(_STAMPS))


class ControlParser:
    """Fills columns with what the control messages of a batch say; where they say nothing, what is implied, or 0.

    Args:
      control: the rows that the kernel writes to, shape (capacity, CONTROL_BYTES of `_slots`), uint8.
      meta: the records to fill, shape (capacity,), DATAGRAM_DTYPE: destination, ifindex, ttl and rx_ns.

    Attributes:
      has_stamp: which rows carry the time of arrival, shape (capacity,).
      hardware_ns: arrival by the network card's own clock, 0 where it stamped none, shape (capacity,); `rx_ns` is
        0 where it alone did.
      segment: size of the equal segments in each row (UDP_GRO), 0 for a plain datagram, shape (capacity,).
      is_stamped: whether every row of the last batch carries the time of arrival.
      stamp_offset: where all rows of the last batch carry it as seconds and nanoseconds of the kernel's, in bytes; None
        where they do not, or do not stand alike.
      drops_offset: the same of the socket's drop counter.
      last_drops: the newest value of the socket's drop counter; None before any drop.
    """

    def __init__(self, control: NDArray[np.uint8], meta: PacketArray) -> None:
        self._control = control
        self._words = control.view(np.uint32)
        self._long_words = control.view(np.uint64)
        self._layouts: list[Layout] = []
        self.destination, self.ifindex = meta["destination"], meta["ifindex"]
        self.ttl, self.rx_ns = meta["ttl"], meta["rx_ns"]
        self.has_stamp = np.zeros(len(control), np.bool_)
        self.hardware_ns = np.zeros(len(control), np.int64)
        self.segment = np.zeros(len(control), np.int32)
        self.is_stamped = False
        self.stamp_offset: int | None = None
        self.drops_offset: int | None = None
        self.last_drops: int | None = None
        self._implied = NOT_IMPLIED

    def imply(self, arrival: Arrival) -> None:
        """Take it for what rows do not tell, from now on, also once they do again."""
        self._implied = arrival

    def parse(self, lengths: NDArray[np.uintp]) -> None:
        """Fill the first n rows of the columns.

        Args:
          lengths: bytes of control messages of each row, shape (n,); 0 where there are none.
        """
        n_rows = len(lengths)
        for column in (self.ttl, self.hardware_ns, self.segment):
            column[:n_rows] = 0
        self.destination[:n_rows] = np.frombuffer(self._implied.destination, np.uint8)
        self.ifindex[:n_rows] = self._implied.ifindex
        if self._layouts and self._are_of(self._layouts[0], lengths):  # nearly always
            self.is_stamped = self._layouts[0].has_stamp
            offsets = self._layouts[0].offsets
            self.stamp_offset = offsets.get((SOL_SOCKET, SO_TIMESTAMPNS))
            self.drops_offset = offsets.get((SOL_SOCKET, SO_RXQ_OVFL))
            self.has_stamp[:n_rows] = self.is_stamped
            self._take_all(self._layouts[0], slice(0, n_rows))
            return
        self.has_stamp[:n_rows], self.stamp_offset, self.drops_offset = False, None, None
        is_open = lengths > 0
        for layout in list(self._layouts):
            self._take_mine(layout, lengths, is_open)
        for _ in range(n_rows):
            row = int(is_open.argmax())
            if not is_open[row]:
                break
            layout = walk(self._control[row, : int(lengths[row])].tobytes())
            self._layouts = [layout, *self._layouts][:_KNOWN_LAYOUTS]
            self._take_mine(layout, lengths, is_open)
        self.is_stamped = bool(self.has_stamp[:n_rows].all())

    def _are_of(self, layout: Layout, lengths: NDArray[np.uintp]) -> bool:
        """Return whether all rows have this layout."""
        rows = self._long_words[: len(lengths)]
        return bool((lengths == layout.length).all()) and not layout.strange_bits(rows).any()

    def _is_of(self, layout: Layout, lengths: NDArray[np.uintp]) -> NDArray[np.bool_]:
        """Return which rows have this layout."""
        is_mine: NDArray[np.bool_] = lengths == layout.length
        is_mine &= ~layout.strange_bits(self._long_words[: len(lengths)]).any(axis=1)
        return is_mine

    def _take_mine(self, layout: Layout, lengths: NDArray[np.uintp], is_open: NDArray[np.bool_]) -> None:
        """Read the rows of this layout among those still open, and close them."""
        rows = np.flatnonzero(is_open & self._is_of(layout, lengths))
        if len(rows):
            self.has_stamp[rows] = layout.has_stamp
            self._take_all(layout, rows)
            is_open[rows] = False

    def _take_all(self, layout: Layout, rows: slice | NDArray[np.intp]) -> None:
        for key, offset in layout.offsets.items():
            self._take(key, offset, rows)

    def _take(self, key: tuple[int, int], offset: int, rows: slice | NDArray[np.intp]) -> None:
        if key == (IPPROTO_IP, IP_PKTINFO):
            told = self._words[rows, offset // 4]
            if self._implied.ifindex:  # what was queued before each was to tell says 0
                told = np.where(told == 0, np.uint32(self._implied.ifindex), told)
            self.ifindex[rows] = told
            self.destination[rows, 10:12] = 0xFF
            self.destination[rows, 12:] = self._control[rows, offset + 8 : offset + 12]
        elif key == (IPPROTO_IPV6, IPV6_PKTINFO):
            self.destination[rows] = self._control[rows, offset : offset + 16]
            self.ifindex[rows] = self._words[rows, offset // 4 + 4]
        elif key in ((IPPROTO_IP, IP_TTL), (IPPROTO_IPV6, IPV6_HOPLIMIT)):
            self.ttl[rows] = self._words[rows, offset // 4]
        elif key == (SOL_SOCKET, SO_TIMESTAMPNS):
            stamp = np.ascontiguousarray(self._control[rows, offset : offset + 16]).view(np.int64)
            self.rx_ns[rows] = stamp[:, 0] * 1_000_000_000 + stamp[:, 1]
        elif key == (SOL_SOCKET, SO_TIMESTAMPING):
            stamps = np.ascontiguousarray(self._control[rows, offset : offset + 48]).view(np.int64)
            self.rx_ns[rows] = stamps[:, 0] * 1_000_000_000 + stamps[:, 1]
            self.hardware_ns[rows] = stamps[:, 4] * 1_000_000_000 + stamps[:, 5]
        elif key == (SOL_SOCKET, SO_RXQ_OVFL):
            self.last_drops = int(self._words[rows, offset // 4][-1])
        elif key == (SOL_UDP, UDP_GRO):
            self.segment[rows] = self._words[rows, offset // 4].view(np.int32)
