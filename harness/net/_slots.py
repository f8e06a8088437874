"""What recvmmsg fills beside the payload: for each datagram a header, and a slot of address and control messages.

From datagram to datagram of one stream all of that stays the same but the time of arrival. So a whole read is compared
with a row that has been looked at before, in two stretches of memory, for a small part of what looking at it costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.net import _libc
from harness.net._libc import MMSGHDR, WORD_BYTES
from harness.units import NS_PER_S

NAME_BYTES = 32
"""Room for a sockaddr_in6, the larger of the two, in whole words."""

CONTROL_BYTES, ALL_CONTROL_BYTES = 128, 192
"""Room for control messages on a 64-bit machine: 120 bytes for time, TTL, addressing and drops with IPv6; 176 with the
stamps of the network card and runs of segments, too."""

_CACHE_LINE = 64


class Slots:
    """Headers and slots for the rows of one reader.

    Args:
      data: payload rows, shape (capacity, width), uint8, alive as long as this is.
      name_length: bytes of the socket's addresses; the kernel writes it back as it is.
      control_bytes: room for the control messages of a row.

    Attributes:
      address: of the headers, as recvmmsg wants it.
      names, control: of each row, shapes (capacity, NAME_BYTES) and (capacity, control_bytes), uint8.
      lengths, control_lengths: bytes of each row's payload and control messages, shape (capacity,).
    """

    def __init__(self, data: NDArray[np.uint8], name_length: int, control_bytes: int) -> None:
        capacity, width = data.shape
        self._control_bytes, self._slot_bytes = control_bytes, NAME_BYTES + control_bytes
        slots, messages = np.zeros((capacity, self._slot_bytes), np.uint8), np.zeros(capacity, MMSGHDR)
        self.names, self.control = slots[:, :NAME_BYTES], slots[:, NAME_BYTES:]
        self._iov = np.zeros(capacity, _libc.IOVEC)
        self._iov["base"], self._iov["length"] = addresses(data), width
        header = messages["header"]
        header["name"], header["name_length"] = addresses(self.names), name_length
        header["iov"], header["iov_length"] = addresses(self._iov), 1
        header["control"] = addresses(self.control)
        self.lengths, self.control_lengths = messages["length"], header["control_length"]
        self.control_lengths[:] = self._control_bytes
        self._messages, self._slots = messages, slots
        # What the first `_n_like` rows are compared with, without the stamps; made when there is something to compare.
        self._like_messages, self._like_slots, self._n_like = messages[:0], slots[:0], 0
        self._stamps = slots[:, :16].view(np.int64)
        self.address, self._slots_at = messages.ctypes.data, slots.ctypes.data
        self._like_messages_at = self._like_slots_at = 0

    def clear(self, n_rows: int) -> None:
        """Make the first rows ready for the next read."""
        self.control_lengths[:n_rows] = self._control_bytes
        self._slots[:n_rows] = 0  # what is left over of a longer row would be taken for a difference

    def learn(self, stamp_offset: int) -> None:
        """Take the first row, before it is cleared, as what those to come are compared with.

        Args:
          stamp_offset: where in its control messages seconds and nanoseconds stand, in bytes.
        """
        if WORD_BYTES != 8 or stamp_offset % 8:
            return
        if not len(self._like_slots):
            # byte by byte: a copy of structures leaves the gaps between their fields to chance
            self._like_messages = self._messages.view(np.uint8).copy().view(MMSGHDR)
            self._like_slots = np.zeros_like(self._slots)
            self._like_messages_at = self._like_messages.ctypes.data
            self._like_slots_at = self._like_slots.ctypes.data
        place = NAME_BYTES + stamp_offset
        self._stamps = self._slots[:, place : place + 16].view(np.int64)
        self._like_slots[0] = self._slots[0]
        self._like_slots[0, place : place + 16] = 0
        like, row = self._like_messages, self._messages[0]
        for name in ("name_length", "control_length", "flags"):
            like["header"][name] = row["header"][name]
        like["length"] = row["length"]
        self._n_like = 1

    def take_alike(self, n_rows: int) -> NDArray[np.int64] | None:
        """Return when the first rows arrived, in realtime ns, if they are as learned otherwise, and clear them.

        None: they are not, and stand as the kernel left them.
        """
        if not self._n_like:
            return None
        if n_rows > self._n_like:
            self._like_slots[self._n_like : n_rows] = self._like_slots[0]
            self._n_like = n_rows
        stamps = self._stamps[:n_rows].copy()
        self._stamps[:n_rows] = 0
        if not (
            _libc.is_same(self.address, self._like_messages_at, n_rows * MMSGHDR.itemsize)
            and _libc.is_same(self._slots_at, self._like_slots_at, n_rows * self._slot_bytes)
        ):
            self._stamps[:n_rows] = stamps
            return None
        self.control_lengths[:n_rows] = self._control_bytes
        return stamps[:, 0] * NS_PER_S + stamps[:, 1]


def spaced_rows(n_rows: int, width: int) -> NDArray[np.uint8]:
    """Return rows, shape (n_rows, width), uint8, an odd number of cache lines apart.

    Rows a power of two apart begin in the same few sets of a cache, which then has no room for more than some hundreds.
    """
    n_lines = -(-width // _CACHE_LINE) | 1
    return np.empty((n_rows, n_lines * _CACHE_LINE), np.uint8)[:, :width]


def addresses(rows: NDArray[np.uint8] | NDArray[np.void]) -> NDArray[np.uintp]:
    """Return the memory address of every row."""
    return rows.ctypes.data + np.arange(len(rows), dtype=np.uintp) * np.uintp(rows.strides[0])
