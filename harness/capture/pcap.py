"""The classic pcap file: one header, then records of seconds, fraction, captured and original length.

    magic 4 | version 2+2 | zone 4 | accuracy 4 | snaplen 4 | link type 4      then for every frame
    seconds 4 | fraction 4 | captured 4 | original 4 | frame

Both byte orders; fractions in microseconds (a1b2c3d4) or nanoseconds (a1b23c4d).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.capture.chain import Chain, Positions
from harness.capture.frames import Frames
from harness.capture.interface import Interface
from harness.capture.source import MAX_FRAME, Window
from harness.errors import RecordError
from harness.units import NS_PER_S

HEADER_BYTES = 24
_RECORD = 16
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", NS_PER_S),
    b"\xa1\xb2\x3c\x4d": (">", NS_PER_S),
}


def is_pcap(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a classic pcap file."""
    return head[:4] in _MAGIC


class _Records:
    """Records of a window, positions in bytes."""

    def __init__(self, data: NDArray[np.uint8], end: int, order: str) -> None:
        self.end = end
        self._order = order
        self._data = data
        # one 32-bit number at every byte: records stand at any
        self._words: NDArray[np.uint32] = np.ndarray((len(data) - 3,), f"{order}u4", data, strides=(1,))
        self._length = struct.Struct(f"{order}8xI").unpack_from

    def steps(self, at: Positions) -> Positions:
        captured = self._words[at + 8].astype(np.int64)
        length = captured + _RECORD
        is_whole: NDArray[np.bool_] = (captured <= MAX_FRAME) & (at + length <= self.end)
        return np.where(is_whole, length, 0)

    def walk(self, at: int, stop: int, limit: int) -> tuple[list[int], int]:
        found: list[int] = []
        data, end, length_at = self._data.data, self.end, self._length
        while at < stop and len(found) < limit and at + _RECORD <= end:
            captured = length_at(data, at)[0]
            if captured > MAX_FRAME or at + _RECORD + captured > end:
                break
            found.append(at)
            at += _RECORD + captured
        return found, at

    def run(self, at: int) -> tuple[int, int]:
        length = int(self.steps(np.array([at]))[0])
        count = (self.end - at) // length if length else 0
        step, same = 64, 0
        while same < count:
            lengths = self._words[at + 8 + same * length : at + 8 + min(same + step, count) * length : length]
            is_other = lengths != length - _RECORD
            if is_other.any():
                return same + int(np.argmax(is_other)), length
            same += len(lengths)
            step *= 8
        return count, length

    def guesses(self, lanes: Positions, stride: int, span: int) -> Positions:
        """Guess by the time: its upper half is that of the window's first record, and again in the record after."""
        if len(lanes) == 0:
            return lanes
        high = slice(2, 4) if self._order == "<" else slice(0, 2)
        first, second = self._data[high].tolist()
        shape, strides, origin = (len(lanes), span), (stride, 1), int(lanes[0]) + high.start
        is_near = np.ndarray(shape, np.uint8, self._data, origin, strides) == first
        is_near &= np.ndarray(shape, np.uint8, self._data, origin + 1, strides) == second
        if np.count_nonzero(is_near) > 64 * len(lanes):  # the time looks like the payload: walking is faster
            return lanes[:0]
        lane, within = np.nonzero(is_near)
        at = lanes[lane] + within
        step = self.steps(at)
        after = self._words[at + step]
        here = self._words[at]
        is_good = (step > 0) & (after >> 16 == here >> 16) & (self._words[at + 12] + _RECORD >= step)
        lane, at = lane[is_good], at[is_good]
        _, first_of_lane = np.unique(lane, return_index=True)
        heads: Positions = at[first_of_lane]
        return heads


class PcapReader:
    """Reads a pcap file window by window.

    Attributes:
      interfaces: the one interface.
      warnings: what is wrong with the file, one line each.
      drops: empty, since the format has no place for what the capture itself dropped.
    """

    def __init__(self, window: Window) -> None:
        """Read the header from a filled window.

        Raises:
          RecordError: the header is cut off, or of an unknown version.
        """
        head = window.data[: min(window.n, HEADER_BYTES)].tobytes()
        if len(head) < HEADER_BYTES:
            raise RecordError(f"{window.path} ends inside the pcap header ({len(head)} of {HEADER_BYTES} bytes)")
        self._order, self._ticks_per_s = _MAGIC[head[:4]]
        major, minor, _, _, snaplen, link = struct.unpack(f"{self._order}HHiIII", head[4:])
        if (major, minor) != (2, 4):
            raise RecordError(f"{window.path} is a pcap file of version {major}.{minor}; 2.4 is read")
        # the upper half of the field holds the length of the frame check sequence
        self.interfaces = [Interface("", link & 0xFFFF, snaplen, self._ticks_per_s)]
        self.warnings: list[str] = []
        self.drops: dict[int, int] = {}
        self._window = window

    def frames(self) -> Iterator[Frames]:
        """Yield the file's frames, a window's worth at a time, each valid until the next is asked for."""
        window = self._window
        window.advance(HEADER_BYTES)
        chain = Chain()
        while window.n:
            at, end = chain.positions(_Records(window.data, window.n, self._order), 0)
            if len(at):
                yield self._decode(window.data, at)
            if end == 0:
                self._say_why_it_ends()
                return
            window.advance(end)
        if window.complaint:
            self.warnings.append(f"byte {window.base}: {window.complaint}; all whole packets before it are used")

    def _decode(self, data: NDArray[np.uint8], at: Positions) -> Frames:
        view: NDArray[np.void] = np.ndarray((len(data) - _RECORD,), f"V{_RECORD}", data, strides=(1,))
        fields = view[at].view(f"{self._order}u4").reshape(-1, 4)
        seconds, fraction, captured, wire = (fields[:, i].astype(np.int64) for i in range(4))
        rx_ns = seconds * NS_PER_S + fraction * (NS_PER_S // self._ticks_per_s)
        wire = np.maximum(wire, captured)
        return Frames(data, at + _RECORD, captured, wire, rx_ns, np.zeros(len(at), np.int64))

    def _say_why_it_ends(self) -> None:
        """Append a warning for the record at the window's start, which is not a whole one."""
        window = self._window
        if window.n >= _RECORD:
            captured = int(window.data[8:12].view(f"{self._order}u4")[0])
            if captured > MAX_FRAME or not window.is_last:
                self.warnings.append(
                    f"byte {window.base}: a packet of {captured} captured bytes is not credible, the file is damaged"
                    " from there on; all packets before it are used"
                )
                return
        why = window.complaint or "the file ends inside a packet"
        self.warnings.append(f"byte {window.base}: {why}; all whole packets before it are used")
