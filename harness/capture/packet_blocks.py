"""Packet blocks of a pcapng window as frames, whole batches at a time.

enhanced   interface 1 | time 2 | captured 1 | original 1 | frame      in words, behind type and length
obsolete   interface 1/2, drops 1/2 | then as enhanced
simple     original 1 | frame                                          always of interface 0, and without a time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture.chain import Positions
from harness.capture.frames import Frames, Ints, gather
from harness.capture.interface import Interface, ticks_to_ns
from harness.capture.source import Window
from harness.capture.words import ENHANCED_PACKET, Words
from harness.model import UNDEFINED_NS

OBSOLETE_PACKET, SIMPLE_PACKET = 2, 3

_HEAD = np.dtype([(name, np.uint32) for name in ("kind", "length", "number", "high", "low", "captured", "wire")])


@dataclass(slots=True)
class Section:
    """A section of the file: its byte order, and which of the file's interfaces it describes."""

    order: str
    first_interface: int
    n_interfaces: int = 0


Run = tuple[Positions, Section]
"""Packet blocks, at least one, and the section that they belong to."""


def read_packets(
    window: Window,
    in_order: Callable[[str], Words],
    runs: list[Run],
    interfaces: list[Interface],
    described_at: list[int],
) -> Frames:
    """Return the frames of a window's packet blocks, in file order.

    Args:
      window: the bytes.
      in_order: the window as words, by byte order.
      runs: the blocks, at least one run.
      interfaces: all that are described so far.
      described_at: where in the file; a packet before the description of its interface has none.

    Returns:
      All frames; `captured` is negative for a block that claims more bytes than it holds.
    """
    parts = []
    for order in sorted({section.order for _, section in runs}):
        of_order = [run for run in runs if run[1].order == order]
        parts.append(_read_order(window, in_order(order).words, of_order, interfaces, described_at))
    if len(parts) == 1:
        return parts[0]
    names = ("offset", "captured", "wire", "rx_ns", "interface")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    in_file = np.argsort(joined["offset"])
    return Frames(window.data, **{name: values[in_file] for name, values in joined.items()})


def _read_order(
    window: Window, words: NDArray[np.uint32], runs: list[Run], interfaces: list[Interface], described_at: list[int]
) -> Frames:
    """Return the frames of packet blocks that share a byte order."""
    at = runs[0][0] if len(runs) == 1 else np.concatenate([found for found, _ in runs])
    head = gather(words.view(np.uint8), 4 * at, _HEAD)
    kind, ticks = head["kind"], (head["high"].astype(np.uint64) << np.uint64(32)) | head["low"]
    length, number, captured, wire = (head[name].astype(np.int64) for name in ("length", "number", "captured", "wire"))
    offset, room = 4 * at + 28, length - 32
    is_simple = None
    if not (kind == ENHANCED_PACKET).all():
        is_obsolete, is_simple = kind == OBSOLETE_PACKET, kind == SIMPLE_PACKET
        # an obsolete block packs interface and drop count into one word, interface first
        number = np.where(is_obsolete, number & 0xFFFF if runs[0][1].order == "<" else number >> 16, number)
        wire = np.where(is_simple, head["number"], wire)
        offset, room = np.where(is_simple, 4 * at + 12, offset), np.where(is_simple, length - 16, room)
        number = np.where(is_simple, 0, number)
    interface = _interfaces(runs, number)
    if described_at and described_at[-1] >= window.base:  # some packets may stand before it
        interface = np.where(np.array([*described_at, 0])[interface] < window.base + offset, interface, -1)
    rx_ns = _times(interfaces, ticks, interface)
    if is_simple is not None:
        snaplens = np.array([i.snaplen or 2**31 for i in interfaces] + [2**31], np.int64)
        captured = np.where(is_simple, np.minimum(np.minimum(wire, room), snaplens[interface]), captured)
        rx_ns[is_simple] = UNDEFINED_NS
    captured[captured > room] = -1  # of no use, but the chain goes on after it
    return Frames(window.data, offset, captured, np.maximum(wire, captured), rx_ns, interface)


def _interfaces(runs: list[Run], number: Ints) -> Ints:
    """Return the index in the file of the interfaces that a section numbers from 0; -1 for one it does not describe."""
    if len(runs) == 1:
        section = runs[0][1]
        return np.where(number < section.n_interfaces, number + section.first_interface, -1)
    counts = [len(found) for found, _ in runs]
    first = np.repeat([section.first_interface for _, section in runs], counts)
    n_known = np.repeat([section.n_interfaces for _, section in runs], counts)
    return np.where(number < n_known, number + first, -1)


def _times(interfaces: list[Interface], ticks: NDArray[np.uint64], interface: Ints) -> Ints:
    """Return time stamps in ns, each by the clock of its interface."""
    lowest, highest = int(interface.min()), int(interface.max())
    if lowest == highest:
        if lowest < 0:
            return np.full(len(ticks), UNDEFINED_NS, np.int64)
        only = interfaces[lowest]
        return ticks_to_ns(ticks, only.ticks_per_s, only.offset_s)
    clocks = sorted({i.ticks_per_s for i in interfaces})  # at most 256, one for each value of the octet
    clock = np.array([clocks.index(i.ticks_per_s) for i in interfaces] + [-1])[interface]
    offset_s = np.array([i.offset_s for i in interfaces] + [0], np.int64)[interface]
    rx_ns = np.full(len(ticks), UNDEFINED_NS, np.int64)
    for number in np.unique(clock[clock >= 0]).tolist():
        rows = clock == number
        rx_ns[rows] = ticks_to_ns(ticks[rows], clocks[number], offset_s[rows])
    return rx_ns
