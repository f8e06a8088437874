"""What recvmmsg fills beside the payload: for each datagram a header, and a slot of address and control messages.

From datagram to datagram of one stream all of that stays the same but the time of arrival, and the drop counter once
there is one. So the rows of a read are
compared with each other, and with a row that has been looked at before, by stretches of memory: a small part of what
looking at each of them costs.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.net import _libc
from harness.net._libc import MMSGHDR, WORD_BYTES
from harness.units import NS_PER_S

NAME_BYTES_IPV4, NAME_BYTES_IPV6 = 16, 32
"""Room for a sockaddr_in, and for a sockaddr_in6, in whole words."""

CONTROL_BYTES_IPV4, CONTROL_BYTES_IPV6, ALL_CONTROL_BYTES = 112, 128, 192
"""Room for control messages on a 64-bit machine: time, TTL, addressing and drops, 112 bytes with IPv4 and 120 with
IPv6; 176 with the stamps of the network card and runs of segments, too."""

_CACHE_LINE = 64
_CUT = int(socket.MSG_TRUNC)
_ADDRESS_BITS = 8 * WORD_BYTES


class Slots:
    """Headers and slots for the rows of one reader.

    Args:
      capacity: how many rows there are.
      parts: where the bytes of a datagram go, one part after the other: rows of each, shape (`capacity` or more,
        width), uint8, alive as long as this is.
      name_length: bytes of the socket's addresses; the kernel writes it back as it is.
      name_bytes, control_bytes: room for address and control messages of a row.

    Attributes:
      address: of the headers, as recvmmsg wants it.
      names, control: of each row, shapes (capacity, name_bytes) and (capacity, control_bytes), uint8.
      room: bytes of a datagram that the parts in use hold.
      lengths, control_lengths: bytes of each row's payload and control messages, shape (capacity,).
      last_drops: the socket's drop counter in the last row that `take_alike` took; None where it has none.
    """

    def __init__(
        self,
        capacity: int,
        parts: Sequence[NDArray[np.uint8]],
        name_length: int,
        name_bytes: int,
        control_bytes: int,
    ) -> None:
        self._name_bytes, self._control_bytes = name_bytes, control_bytes
        self._slot_bytes = name_bytes + control_bytes
        slots, messages = np.zeros((capacity, self._slot_bytes), np.uint8), np.zeros(capacity, MMSGHDR)
        self.names, self.control = slots[:, :name_bytes], slots[:, name_bytes:]
        self._parts, self._first = parts, 0
        self.room: int = sum(part.shape[1] for part in parts)
        self._iov = np.zeros((capacity, len(parts)), _libc.IOVEC)
        for column, part in enumerate(parts):
            self._iov["base"][:, column] = addresses(part[:capacity])
            self._iov["length"][:, column] = part.shape[1]
        header = messages["header"]
        header["name"], header["name_length"] = addresses(self.names), name_length
        header["iov"], header["iov_length"] = addresses(self._iov), len(parts)
        header["control"] = addresses(self.control)
        self.lengths, self.control_lengths = messages["length"], header["control_length"]
        self.control_lengths[:] = control_bytes
        self._messages, self._slots = messages, slots
        # the headers and the slot, without its stamp, of a row that was looked at; made when there is one
        self._like_messages, self._like_slot = messages[:0], slots[:0]
        self._take_stamps(0)
        self._drops: NDArray[np.uint32] = np.empty(0, np.uint32)
        self.last_drops: int | None = None
        self.address, self._slots_at = messages.ctypes.data, slots.ctypes.data
        self._like_messages_at = self._like_slot_at = 0

    def point_at(self, first: int) -> None:
        """Have the bytes of the next datagrams go to the rows of the parts from `first` on."""
        if first != self._first:
            for column, part in enumerate(self._parts):
                self._iov["base"][:, column] += np.uintp((first - self._first) * part.strides[0] % 2**_ADDRESS_BITS)
            self._first = first

    def use_parts(self, n: int) -> None:
        """Have only the first n parts of the next datagrams filled; the kernel marks those that are longer."""
        room = sum(part.shape[1] for part in self._parts[:n])
        if room == self.room:
            return
        self.room = room
        for messages in (self._messages, self._like_messages):
            messages["header"]["iov_length"] = n
        flags, is_cut = self._like_messages["header"]["flags"], self._like_messages["length"] > room
        flags &= ~_CUT
        flags[is_cut] |= _CUT

    def clear(self, n_rows: int) -> None:
        """Make the first rows ready for the next read."""
        self.control_lengths[:n_rows] = self._control_bytes
        self._slots[:n_rows] = 0  # what is left over of a longer row would be taken for a difference

    def learn(self, stamp_offset: int, drops_offset: int | None = None) -> None:
        """Take the first row, before it is cleared, as what those to come are compared with.

        Args:
          stamp_offset: where in its control messages seconds and nanoseconds stand, in bytes.
          drops_offset: where the drop counter does; None where there is none.
        """
        if WORD_BYTES != 8 or stamp_offset % 8 or (drops_offset or 0) % 4:
            return
        if not len(self._like_slot):
            # byte by byte: a copy of structures leaves the gaps between their fields to chance
            self._like_messages = self._messages.view(np.uint8).copy().view(MMSGHDR)
            self._like_slot = np.zeros_like(self._slots[:1])
            self._like_messages_at = self._like_messages.ctypes.data
            self._like_slot_at = self._like_slot.ctypes.data
        place = self._name_bytes + stamp_offset
        self._take_stamps(place)
        self._like_slot[0] = self._slots[0]
        self._like_slot[0, place : place + 16] = 0
        self._drops = self._drops[:0]
        if drops_offset is not None:
            place = self._name_bytes + drops_offset
            self._drops = self._slots[:, place : place + 4].view(np.uint32)[:, 0]
            self._like_slot[0, place : place + 4] = 0
        like, row = self._like_messages, self._messages[0]
        for name in ("name_length", "control_length", "flags"):
            like["header"][name] = row["header"][name]
        like["length"] = row["length"]

    def _take_stamps(self, place: int) -> None:
        stamps = self._slots[:, place : place + 16].view(np.int64)
        self._seconds, self._nanoseconds = stamps[:, 0], stamps[:, 1]

    def take_alike(self, n_rows: int) -> NDArray[np.int64] | None:
        """Return when the first rows arrived, in realtime ns, if they are as learned otherwise, and clear them.

        None: they are not, and stand as the kernel left them.
        """
        if not len(self._like_slot):
            return None
        seconds, nanoseconds = self._seconds[:n_rows], self._nanoseconds[:n_rows]
        arrivals_ns, rest_ns = seconds.copy(), nanoseconds.copy()
        seconds[:] = nanoseconds[:] = 0
        counted = self._drops[:n_rows]
        drops = counted.copy()
        counted[:] = 0
        at, n_bytes = self._slots_at, self._slot_bytes
        if not (
            _libc.is_same(at, self._like_slot_at, n_bytes)
            and _libc.is_same(at, at + n_bytes, (n_rows - 1) * n_bytes)  # each row and the one behind it
            and _libc.is_same(self.address, self._like_messages_at, n_rows * MMSGHDR.itemsize)
        ):
            seconds[:], nanoseconds[:] = arrivals_ns, rest_ns
            counted[:] = drops
            return None
        self.last_drops = int(drops[-1]) if len(drops) else None
        self.control_lengths[:n_rows] = self._control_bytes
        arrivals_ns *= NS_PER_S
        arrivals_ns += rest_ns
        return arrivals_ns


def spaced_rows(n_rows: int, width: int) -> NDArray[np.uint8]:
    """Return rows, shape (n_rows, width), uint8, an odd number of cache lines apart.

    Rows a power of two apart begin in the same few sets of a cache, which then has no room for more than some hundreds.
    """
    n_lines = -(-width // _CACHE_LINE) | 1
    return np.empty((n_rows, n_lines * _CACHE_LINE), np.uint8)[:, :width]


def addresses(rows: NDArray[np.uint8] | NDArray[np.void]) -> NDArray[np.uintp]:
    """Return the memory address of every row."""
    return rows.ctypes.data + np.arange(len(rows), dtype=np.uintp) * np.uintp(rows.strides[0])
