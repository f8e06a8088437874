"""The pcapng file: sections of blocks, several interfaces, a byte order and a clock that may change on the way.

Read are section header, interface description, enhanced, simple and obsolete packet blocks; all other blocks and
options are passed over. A new section forgets the interfaces of the last one.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture.chain import Chain, Positions
from harness.capture.frames import Frames, gather
from harness.capture.interface import Interface, ticks_per_second, ticks_to_ns
from harness.capture.source import Window
from harness.capture.words import ENHANCED_PACKET, SECTION, Words
from harness.errors import RecordError
from harness.model import UNDEFINED_NS

_INTERFACE, _OBSOLETE_PACKET, _SIMPLE_PACKET = 1, 2, 3
_HEAD = np.dtype([(name, np.uint32) for name in ("kind", "length", "number", "high", "low", "captured", "wire")])
_ORDER_MAGIC = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_NATIVE = "<" if sys.byteorder == "little" else ">"
_NAME, _DESCRIPTION, _RESOLUTION, _OFFSET = 2, 3, 9, 14

MAX_INTERFACES = 65_536
"""More than this in one file is refused: it is damaged or made to exhaust memory."""


def is_pcapng(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a pcapng file."""
    return head[:4] == b"\n\r\r\n" and head[8:12] in _ORDER_MAGIC


@dataclass(slots=True)
class _Section:
    order: str
    first_interface: int
    n_interfaces: int = 0


class PcapngReader:
    """Reads a pcapng file window by window.

    Attributes:
      interfaces: of all sections, in the order of their description; complete when the file has been read.
      warnings: what is wrong with the file, one line each.
    """

    def __init__(self, window: Window) -> None:
        self.interfaces: list[Interface] = []
        self.warnings: list[str] = []
        self._window = window
        self._section = _Section(_NATIVE, 0)
        self._chain = Chain()
        self._words: dict[str, Words] = {}
        self._described_at: list[int] = []  # file offsets of the interfaces' descriptions

    def frames(self) -> Iterator[Frames]:
        """Yield the file's frames, a window's worth at a time, each valid until the next is asked for.

        Raises:
          RecordError: more interfaces than MAX_INTERFACES, or a section of an unknown version.
        """
        window = self._window
        while window.n:
            self._words = {}
            runs: list[tuple[Positions, _Section]] = []
            used, why = self._blocks(runs)
            frames = self._decode(runs)
            if frames is not None:
                yield frames
            if why:
                self.warnings.append(f"byte {window.base + used}: {why}; all whole packets before it are used")
                return
            window.advance(used)
        if window.complaint:
            self.warnings.append(f"byte {window.base}: {window.complaint}; all whole packets before it are used")

    def _blocks(self, runs: list[tuple[Positions, _Section]]) -> tuple[int, str]:
        """Collect the packet blocks of the window; return how many bytes are done with, and why the file ends here."""
        window, at = self._window, 0
        while True:
            words = self._in_order(self._section.order)
            found, at = self._chain.positions(words, at)
            packets = self._sort_out(words, found)
            if len(packets):
                runs.append((packets, self._section))
            left = window.n - 4 * at
            if left >= 12 and words.words[at] == SECTION:
                length, why = self._read_section(4 * at, left)
                if length == 0:
                    return 4 * at, why
                at += length // 4
                continue
            return self._at_chain_end(words, at, left)

    def _at_chain_end(self, words: Words, at: int, left: int) -> tuple[int, str]:
        """Tell a block that reaches past the window from a damaged one."""
        window = self._window
        if left >= 12:
            kind, length = int(words.words[at]), int(words.words[at + 1])
            if length < 12 or length % 4:
                return 4 * at, f"a block of {length} bytes, the file is damaged from there on"
            if length <= left:
                return 4 * at, "a block whose two lengths differ, the file is damaged from there on"
            is_large = length > window.capacity
            if is_large and kind in (_INTERFACE, ENHANCED_PACKET, _OBSOLETE_PACKET, _SIMPLE_PACKET):
                return 4 * at, f"a packet block of {length} bytes is not credible, the file is damaged from there on"
            if is_large and not window.is_last:
                return 4 * at + length, ""  # not of interest, however long
        is_cut = left > 0 and window.is_last
        return 4 * at, (window.complaint or "the file ends inside a block") if is_cut else ""

    def _in_order(self, order: str) -> Words:
        """Return the window's words in a section's byte order, swapped at most once a window."""
        if order not in self._words:
            words = self._window.data.view(np.uint32)
            self._words[order] = Words(words if order == _NATIVE else words.byteswap(), self._window.n // 4)
        return self._words[order]

    def _read_section(self, at: int, left: int) -> tuple[int, str]:
        """Begin a new section; return its header's length in bytes, 0 where none is whole, and why the file ends."""
        window = self._window
        head = window.data[at : at + 16].tobytes()
        order = _ORDER_MAGIC.get(head[8:12])
        if order is None:
            return 0, "a section header of no known byte order, the file is damaged from there on"
        length, major = struct.unpack(f"{order}4xI4xH2x", head)
        if length < 28 or length % 4 or (length > window.capacity and not window.is_last):
            return 0, f"a section header of {length} bytes, the file is damaged from there on"
        if length > left:
            return 0, (window.complaint or "the file ends inside a block") if window.is_last else ""
        end = at + length
        if window.data[end - 4 : end].tobytes() != head[4:8]:
            return 0, "a section header whose two lengths differ, the file is damaged from there on"
        if major != 1:
            raise RecordError(f"{window.path}: byte {window.base + at}: pcapng version {major}; 1 is read")
        self._section = _Section(order, len(self.interfaces))
        return int(length), ""

    def _sort_out(self, words: Words, at: Positions) -> Positions:
        """Read the interface descriptions among the blocks and return the packet blocks."""
        kind = words.words[at]
        is_packet = kind == ENHANCED_PACKET
        if is_packet.all():
            return at
        for position in at[kind == _INTERFACE].tolist():
            self._read_interface(words, position)
        is_packet |= (kind == _SIMPLE_PACKET) | (kind == _OBSOLETE_PACKET)
        packets: Positions = at[is_packet]
        return packets

    def _read_interface(self, words: Words, at: int) -> None:
        if len(self.interfaces) >= MAX_INTERFACES:
            raise RecordError(f"{self._window.path} describes more than {MAX_INTERFACES} interfaces; it is damaged")
        order, length = self._section.order, int(words.words[at + 1])
        body = self._window.data[4 * at + 8 : 4 * at + length - 4].tobytes()
        if len(body) < 8:
            self.warnings.append(f"byte {self._window.base + 4 * at}: an interface description of {len(body)} bytes")
            body = struct.pack(f"{order}HHI", 0xFFFF, 0, 0)  # its number still counts
        link_type, _, snaplen = struct.unpack_from(f"{order}HHI", body)
        options = _options(body[8:], order)
        resolution = options.get(_RESOLUTION, b"")[:1] or b"\x06"
        offset = options.get(_OFFSET, b"")
        self.interfaces.append(
            Interface(
                name=_text(options.get(_NAME, b"")),
                link_type=link_type,
                snaplen=snaplen,
                ticks_per_s=ticks_per_second(resolution[0]),
                offset_s=struct.unpack(f"{order}q", offset)[0] if len(offset) == 8 else 0,
                description=_text(options.get(_DESCRIPTION, b"")),
            )
        )
        self._described_at.append(self._window.base + 4 * at)
        self._section.n_interfaces += 1

    def _decode(self, runs: list[tuple[Positions, _Section]]) -> Frames | None:
        """Return the frames of the window's packet blocks, in file order."""
        if not runs:
            return None
        if len({section.order for _, section in runs}) == 1:
            return self._decode_order(runs)
        parts = [self._decode_order([run for run in runs if run[1].order == order]) for order in ("<", ">")]
        names = ("offset", "captured", "wire", "rx_ns", "interface")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.argsort(joined["offset"])
        return Frames(self._window.data, **{name: values[order] for name, values in joined.items()})

    def _decode_order(self, runs: list[tuple[Positions, _Section]]) -> Frames:
        """Return the frames of packet blocks that share a byte order."""
        words = self._in_order(runs[0][1].order).words
        at = np.concatenate([found for found, _ in runs])
        counts = [len(found) for found, _ in runs]
        head = gather(words.view(np.uint8), 4 * at, _HEAD)
        kind, ticks = head["kind"], (head["high"].astype(np.uint64) << np.uint64(32)) | head["low"]
        length, number, captured, wire = (
            head[name].astype(np.int64) for name in ("length", "number", "captured", "wire")
        )
        offset, room = 4 * at + 28, length - 32
        if not (kind == ENHANCED_PACKET).all():
            is_obsolete, is_simple = kind == _OBSOLETE_PACKET, kind == _SIMPLE_PACKET
            # an obsolete block packs interface and drop count into one word, interface first
            is_first_half = runs[0][1].order == "<"
            number = np.where(is_obsolete, number & 0xFFFF if is_first_half else number >> 16, number)
            wire = np.where(is_simple, head["number"], wire)
            offset, room = np.where(is_simple, 4 * at + 12, offset), np.where(is_simple, length - 16, room)
            number = np.where(is_simple, 0, number)
        first = np.repeat([section.first_interface for _, section in runs], counts)
        n_known = np.repeat([section.n_interfaces for _, section in runs], counts)
        interface = np.where(number < n_known, number + first, -1)
        if self._described_at and self._described_at[-1] >= self._window.base:  # some packets may stand before it
            described_at = np.array([*self._described_at, 0], np.int64)
            interface = np.where(described_at[interface] < self._window.base + offset, interface, -1)
        if not (kind == ENHANCED_PACKET).all():
            snaplens = np.array([i.snaplen or 2**31 for i in self.interfaces] + [2**31], np.int64)
            captured = np.where(is_simple, np.minimum(np.minimum(wire, room), snaplens[interface]), captured)
        # a block that claims more than it holds is of no use, but the chain goes on after it
        captured = np.where(captured <= room, captured, -1)
        rx_ns = self._times(ticks, interface)
        if not (kind == ENHANCED_PACKET).all():
            rx_ns[is_simple] = UNDEFINED_NS
        return Frames(self._window.data, offset, captured, np.maximum(wire, captured), rx_ns, interface)

    def _times(self, ticks: NDArray[np.uint64], interface: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return time stamps in ns, each by the clock of its interface."""
        lowest, highest = int(interface.min()), int(interface.max())
        if lowest == highest:
            if lowest < 0:
                return np.full(len(ticks), UNDEFINED_NS, np.int64)
            only = self.interfaces[lowest]
            return ticks_to_ns(ticks, only.ticks_per_s, only.offset_s)
        clocks = sorted({i.ticks_per_s for i in self.interfaces})  # at most 256, one for each value of the octet
        clock = np.array([clocks.index(i.ticks_per_s) for i in self.interfaces] + [-1])[interface]
        offset_s = np.array([i.offset_s for i in self.interfaces] + [0], np.int64)[interface]
        rx_ns = np.full(len(ticks), UNDEFINED_NS, np.int64)
        for number in np.unique(clock[clock >= 0]).tolist():
            rows = clock == number
            rx_ns[rows] = ticks_to_ns(ticks[rows], clocks[number], offset_s[rows])
        return rx_ns


def _options(data: bytes, order: str) -> dict[int, bytes]:
    """Return the options by code, the first of each; a list that is cut off ends there."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from(f"{order}HH", data, at)
        if code == 0 or at + 4 + length > len(data):
            break
        found.setdefault(code, data[at + 4 : at + 4 + length])
        at += 4 + (length + 3) // 4 * 4
    return found


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
