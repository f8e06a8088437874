"""Runs of datagrams a buffer, many buffers a system call: recvmmsg with UDP_GRO (Linux)."""

from __future__ import annotations

import socket
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import Runs
from harness.model.packets import PacketArray
from harness.net._heads import Heads, HeadsReader
from harness.net._linux import SOL_UDP, UDP_GRO
from harness.net._options import set_option
from harness.net._slots import spaced_rows
from harness.net.batch_portable import LARGEST_DATAGRAM

GRO_BUFFERS = 512
"""Buffers read at a time at most."""

_FIRST_BYTES = 4096
"""So much of each buffer stands side by side: a run of 64 datagrams of 64 bytes, which is then read where it is."""


class _Alike(NamedTuple):
    """Buffers that differ in payload and time of arrival alone, as many as are read at once.

    `is_whole`: they hold whole segments, none of which is cut off; then `heads`, `counts` and `tails` are as in `Runs`.
    """

    shared: PacketArray
    heads: PacketArray
    counts: NDArray[np.int64]
    tails: NDArray[np.int64]
    size: int
    segment: int
    is_whole: bool


class OffloadReader(HeadsReader):
    """Reads a socket by recvmmsg, runs of equal datagrams as one buffer.

    Args:
      sock: non-blocking, with the control messages already asked for.
      width: bytes of payload kept of each datagram.
      capacity: most buffers of one `read`; GRO_BUFFERS at most.

    Raises:
      SocketOptionError: the kernel has no UDP_GRO.
    """

    offload = True
    can_gather, n_gathered = False, 0  # a read of runs is large as it is

    def __init__(self, sock: socket.socket, *, width: int, capacity: int) -> None:
        set_option(sock, SOL_UDP, UDP_GRO, 1, "UDP_GRO", remedy="receive without --offload on this kernel")
        self.is_full = False
        self._width = width
        capacity = min(capacity, GRO_BUFFERS)
        # filled at once: else the first read has the pages made, while at that rate the socket's buffer overflows
        self._first = np.zeros((capacity, _FIRST_BYTES), np.uint8)
        self._first[:] = 0
        self._rest = spaced_rows(capacity, LARGEST_DATAGRAM - _FIRST_BYTES)
        self._rest[:] = 0
        self._heads = Heads(sock, capacity, [self._first, self._rest], has_more=True)
        self._flat = np.empty(0, np.uint8)
        self._alike: _Alike | None = None

    def keep_fronts(self, _is_enough: bool) -> None:
        """Keep all bytes in any case: a run is cut into its datagrams by them."""

    def gather(self) -> int:
        """Keep nothing."""
        return 0

    def read(self) -> Runs | None:
        """Return what waits in the socket, at most `capacity` runs; None when nothing does. Never blocks."""
        heads = self._heads
        n_read = heads.receive(0, len(self._first))
        self.is_full = n_read == len(self._first)
        if not n_read:
            return None
        if (arrivals_ns := heads.take_alike(n_read)) is None:
            heads.fill(n_read)
            return self._runs(heads.meta[:n_read], heads.parser.segment[:n_read].astype(np.int64))
        if self._alike is None or self._alike.shared is not heads.like:
            self._alike = self._make_alike()
        alike = self._alike  # nearly always
        records = alike.heads[:n_read].copy()
        records["rx_ns"] = arrivals_ns
        if alike.is_whole:
            rows = self._side_by_side(n_read, alike.size).reshape(-1, alike.segment)
            return Runs(rows, records, alike.counts[:n_read], alike.tails[:n_read], heads.like)
        return self._runs(records, np.full(n_read, heads.like_segment))

    def _make_alike(self) -> _Alike:
        """Return what buffers have in common that `Heads.take_alike` takes."""
        like, segment = self._heads.like, self._heads.like_segment
        size = int(like["size"][0])
        segment = segment or max(size, 1)
        records = np.repeat(like, len(self._first))
        is_whole = size % segment == 0 and 0 < segment <= self._width
        if is_whole:
            records["size"] = segment
        counts = np.full(len(records), size // segment)
        return _Alike(like, records, counts, np.full(len(records), segment), size, segment, is_whole)

    def _runs(self, heads: PacketArray, segments: NDArray[np.int64]) -> Runs:
        """Return the datagrams inside the buffers just read; a run's last one may be shorter.

        Runs of the segment that is the batch's widest stand in rows as wide as it, and are copied whole if at all: of
        the 64 KiB that a buffer may fill, usually 4 are filled, and rows side by side are what all that follows is
        quick with.

        Args:
          heads: a record of each buffer, shape (k,), whose size is that of all in it; it becomes that of a datagram.
          segments: size of the equal segments in each, 0 for a plain datagram, shape (k,).
        """
        sizes = heads["size"].astype(np.int64)
        segments = np.where(segments > 0, segments, np.maximum(sizes, 1))
        counts = np.maximum(-(-sizes // segments), 1)
        tails = sizes - (counts - 1) * segments
        heads["size"] = segments
        width, size = min(int(segments.max()), self._width), int(sizes[0])
        if (segments == width).all() and (sizes == size).all() and tails[0] == width:  # nearly always
            return Runs(self._side_by_side(len(heads), size).reshape(-1, width), heads, counts, tails)
        if (segments == width).all() and int(sizes.max()) <= _FIRST_BYTES and _FIRST_BYTES % width == 0:
            is_row = np.arange(_FIRST_BYTES // width) < counts[:, None]
            return Runs(self._first[: len(heads)].reshape(-1, width)[is_row.reshape(-1)], heads, counts, tails)
        ends = np.cumsum(counts)
        flat = self._room(int(ends[-1]) * width)
        rows = flat.reshape(-1, width)
        columns = [column.tolist() for column in (ends - counts, counts, segments, sizes)]
        for number, (at, count, segment, size) in enumerate(zip(*columns, strict=True)):
            buffer = np.concatenate((self._first[number], self._rest[number, : max(0, size - _FIRST_BYTES)]))
            if segment == width:
                flat[at * width : at * width + size] = buffer[:size]
                continue
            own, last = min(segment, width), (count - 1) * segment
            rows[at : at + count - 1, :own] = buffer[:last].reshape(count - 1, segment)[:, :own]
            rows[at + count - 1, : min(size - last, own)] = buffer[last : last + min(size - last, own)]
        return Runs(rows, heads, counts, tails)

    def _side_by_side(self, n_buffers: int, size: int) -> NDArray[np.uint8]:
        """Return the bytes of the first buffers, `size` of each, one after the other, shape (n_buffers * size,)."""
        first, rest = self._first[:n_buffers], self._rest[:n_buffers]
        if size == _FIRST_BYTES:
            return first.reshape(-1)
        flat = self._room(n_buffers * size)
        table = flat.reshape(n_buffers, size)
        table[:, :_FIRST_BYTES] = first[:, :size]
        table[:, _FIRST_BYTES:] = rest[:, : max(0, size - _FIRST_BYTES)]
        return flat

    def _room(self, n_bytes: int) -> NDArray[np.uint8]:
        if len(self._flat) < n_bytes:
            self._flat = np.empty(2 * n_bytes, np.uint8)
        return self._flat[:n_bytes]
