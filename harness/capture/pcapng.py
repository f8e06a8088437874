"""The pcapng file: sections of blocks, several interfaces, a byte order and a clock that may change on the way.

Read are section header, interface description and statistics, enhanced, simple and obsolete packet blocks; all other
blocks and options are passed over. A new section forgets the interfaces of the last one.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

import numpy as np

from harness.capture.chain import Chain, Positions
from harness.capture.frames import Frames
from harness.capture.interface import Interface, ticks_per_second
from harness.capture.packet_blocks import OBSOLETE_PACKET, SIMPLE_PACKET, Section, read_packets
from harness.capture.source import Window
from harness.capture.words import ENHANCED_PACKET, SECTION, Words
from harness.errors import RecordError

_INTERFACE, _STATISTICS = 1, 5
_ORDER_MAGIC = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_NATIVE = "<" if sys.byteorder == "little" else ">"
_NAME, _DESCRIPTION, _RESOLUTION, _OFFSET = 2, 3, 9, 14
_DROPPED, _OS_DROPPED = 5, 7

MAX_INTERFACES = 65_536
"""More than this in one file is refused: it is damaged or made to exhaust memory."""


def is_pcapng(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a pcapng file."""
    return head[:4] == b"\n\r\r\n" and head[8:12] in _ORDER_MAGIC


class PcapngReader:
    """Reads a pcapng file window by window.

    Attributes:
      interfaces: of all sections, in the order of their description; complete when the file has been read.
      warnings: what is wrong with the file, one line each.
      drops: packets that the capture itself dropped, by index of the interface, where the file says so.
    """

    def __init__(self, window: Window) -> None:
        self.drops: dict[int, int] = {}
        self.interfaces: list[Interface] = []
        self.warnings: list[str] = []
        self._window = window
        self._section = Section(_NATIVE, 0)
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
            runs: list[tuple[Positions, Section]] = []
            used, why = self._blocks(runs)
            if runs:
                yield read_packets(window, self._in_order, runs, self.interfaces, self._described_at)
            if why:
                self.warnings.append(f"byte {window.base + used}: {why}; all whole packets before it are used")
                return
            window.advance(used)
        if window.complaint:
            self.warnings.append(f"byte {window.base}: {window.complaint}; all whole packets before it are used")

    def _blocks(self, runs: list[tuple[Positions, Section]]) -> tuple[int, str]:
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
            if is_large and kind in (_INTERFACE, ENHANCED_PACKET, OBSOLETE_PACKET, SIMPLE_PACKET):
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
        self._section = Section(order, len(self.interfaces))
        return int(length), ""

    def _sort_out(self, words: Words, at: Positions) -> Positions:
        """Read the interface descriptions among the blocks and return the packet blocks."""
        kind = words.words[at]
        is_packet = kind == ENHANCED_PACKET
        if is_packet.all():
            return at
        for position in at[(kind == _INTERFACE) | (kind == _STATISTICS)].tolist():
            if words.words[position] == _INTERFACE:
                self._read_interface(words, position)
            else:
                self._read_statistics(words, position)
        is_packet |= (kind == SIMPLE_PACKET) | (kind == OBSOLETE_PACKET)
        packets: Positions = at[is_packet]
        return packets

    def _read_interface(self, words: Words, at: int) -> None:
        if len(self.interfaces) >= MAX_INTERFACES:
            raise RecordError(f"{self._window.path} describes more than {MAX_INTERFACES} interfaces; it is damaged")
        order, body = self._section.order, self._body(words, at)
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

    def _read_statistics(self, words: Words, at: int) -> None:
        """Take over what an interface says that the capture itself dropped, counted from its start."""
        order, body = self._section.order, self._body(words, at)
        if len(body) < 12:
            return
        number = struct.unpack_from(f"{order}I", body)[0]
        options = _options(body[12:], order)
        counts = [options[option] for option in (_DROPPED, _OS_DROPPED) if len(options.get(option, b"")) == 8]
        if counts and number < self._section.n_interfaces:
            dropped = sum(struct.unpack(f"{order}Q", count)[0] for count in counts)
            self.drops[self._section.first_interface + number] = dropped

    def _body(self, words: Words, at: int) -> bytes:
        length = int(words.words[at + 1])
        return self._window.data[4 * at + 8 : 4 * at + length - 4].tobytes()


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
