"""From IP headers to datagrams, whole batches at a time (RFC 791, RFC 8200, RFC 768).

The headers of all rows are copied out by one gather into an array of fixed records. Fragments, extension headers and
membership messages are only marked here, for `upper` to look at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture.fate import SLOW, UDP, Skip, code
from harness.capture.frames import Frames, Ints, gather
from harness.model import DATAGRAM_DTYPE, PacketArray, PacketFlag

_UDP_FIELDS = [("ports", "<u4"), ("length", ">u2"), ("checksum", ">u2")]
_UDP = np.dtype(_UDP_FIELDS)
_V4 = np.dtype(
    {
        "names": ["first", "total", "fragment", "ttl", "protocol", "source", "destination", "udp"],
        "formats": ["u1", ">u2", ">u2", "u1", "u1", "<u4", "<u4", _UDP],
        "offsets": [0, 2, 6, 8, 9, 12, 16, 20],
        "itemsize": 28,
    }
)
_V6 = np.dtype(
    {
        "names": ["first", "length", "protocol", "ttl", "source", "destination", "udp"],
        "formats": ["u1", ">u2", "u1", "u1", ("<u4", 4), ("<u4", 4), _UDP],
        "offsets": [0, 4, 6, 7, 8, 24, 40],
        "itemsize": 48,
    }
)
_MAPPED = 0xFFFF0000
"""The bytes 00 00 ff ff before a mapped IPv4 address, as a little-endian word."""

_SOURCE, _DESTINATION, _PORTS, _IFINDEX, _RX_NS, _SIZE, _TTL = 0, 4, 8, 9, 10, 12, 13
"""Columns of DATAGRAM_DTYPE seen as 32-bit words; ttl and flags share the last."""

N_WORDS = DATAGRAM_DTYPE.itemsize // 4
_TRUNCATED_WORD = int(PacketFlag.TRUNCATED) << 8


def _protocol_table(slow: tuple[int, ...]) -> NDArray[np.int8]:
    table = np.full(256, code(Skip.OTHER_PROTOCOL), np.int8)
    table[6], table[17] = code(Skip.TCP), UDP
    table[list(slow)] = SLOW
    return table


_FATE_OF_V4 = _protocol_table((2,))
_FATE_OF_V6 = _protocol_table((0, 43, 44, 51, 58, 60))


@dataclass(slots=True)
class Rows:
    """What is known of each frame of a batch; arrays of shape (n,).

    Attributes:
      meta: DATAGRAM_DTYPE, valid where fate is UDP.
      payload: offset in the window of the UDP payload.
      kept: how many of its bytes are there.
      checksum: of the UDP header.
      fate: UDP, SLOW or the code of a reason.
    """

    meta: PacketArray
    payload: Ints
    kept: Ints
    checksum: NDArray[np.uint16]
    fate: NDArray[np.int8]


def decode(frames: Frames, at: Ints, version: NDArray[np.int8]) -> Rows:
    """Return what IP version and headers tell of each frame.

    Args:
      frames: n frames.
      at: where their IP headers begin.
      version: 4, 6, or a code below 4, whose rows are passed over and get the fate 0.
    """
    n = len(frames)
    rows = Rows(
        np.zeros(n, DATAGRAM_DTYPE), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint16),
        np.zeros(n, np.int8),
    )  # fmt: skip
    for number, read in ((4, _ipv4), (6, _ipv6)):
        is_it = version == number
        if is_it.all():
            read(frames, at, rows, slice(None))
        elif is_it.any():
            which = np.flatnonzero(is_it)
            read(frames.part(which), at[which], rows, which)
    words = rows.meta.view("<u4").reshape(n, N_WORDS)
    words[:, _IFINDEX] = frames.interface + 1
    rows.meta["rx_ns"] = frames.rx_ns
    return rows


def _ipv4(frames: Frames, at: Ints, rows: Rows, which: slice | Ints) -> None:
    head = gather(frames.window, at, _V4)
    first, total = head["first"], head["total"].astype(np.int64)
    have = frames.offset + frames.captured - at
    room = frames.offset + frames.wire - at
    if (first == 0x45).all():
        length: Ints | int = 20
        udp = head["udp"]
    else:
        length = (first & 15).astype(np.int64) * 4
        udp = gather(frames.window, at + length, _UDP)
    is_bad = (first >> 4 != 4) | (length < 20) | (total < length) | (total > room)
    fate = _FATE_OF_V4[head["protocol"]]
    fate[head["fragment"] & 0x3FFF != 0] = SLOW
    _check(fate, udp, have, total, length, is_bad, 20)
    words = _fill(rows, which, fate, udp, at + (length + 8), have - (length + 8))
    words[:, _SOURCE + 2] = words[:, _DESTINATION + 2] = _MAPPED
    words[:, _SOURCE + 3] = head["source"]
    words[:, _DESTINATION + 3] = head["destination"]
    words[:, _TTL] |= head["ttl"]
    _put(rows, which, words)


def _ipv6(frames: Frames, at: Ints, rows: Rows, which: slice | Ints) -> None:
    head = gather(frames.window, at, _V6)
    udp, total = head["udp"], head["length"].astype(np.int64) + 40
    have = frames.offset + frames.captured - at
    is_bad = (head["first"] >> 4 != 6) | (total > frames.offset + frames.wire - at)
    fate = _FATE_OF_V6[head["protocol"]]
    _check(fate, udp, have, total, 40, is_bad, 40)
    words = _fill(rows, which, fate, udp, at + 48, have - 48)
    words[:, _SOURCE : _SOURCE + 4] = head["source"]
    words[:, _DESTINATION : _DESTINATION + 4] = head["destination"]
    words[:, _TTL] |= head["ttl"]
    _put(rows, which, words)


def _check(
    fate: NDArray[np.int8],
    udp: NDArray[np.void],
    have: Ints,
    total: Ints,
    length: Ints | int,
    is_bad: NDArray[np.bool_],
    shortest: int,
) -> None:
    """Replace the fate of rows whose headers are cut off or contradict themselves; the outer header is judged first."""
    udp_length = udp["length"].astype(np.int64)
    is_udp = fate == UDP
    bad, cut = code(Skip.BAD_HEADER), code(Skip.TRUNCATED)
    room = total - length
    fate[is_udp & ((udp_length < 8) | (udp_length > room))] = bad
    fate[is_udp & (have < length + 8)] = cut
    fate[is_udp & (room < 8)] = bad
    fate[have < length] = cut
    fate[is_bad] = bad
    fate[have < shortest] = cut


def _fill(
    rows: Rows, which: slice | Ints, fate: NDArray[np.int8], udp: NDArray[np.void], payload: Ints, there: Ints
) -> NDArray[np.uint32]:
    """Store what is common to both versions; return the words of `meta` to complete."""
    size = udp["length"].astype(np.int64) - 8
    kept = np.minimum(size, there)
    rows.fate[which] = fate
    rows.payload[which] = payload
    rows.kept[which] = kept
    rows.checksum[which] = udp["checksum"]
    every: NDArray[np.uint32] = rows.meta.view("<u4").reshape(len(rows.meta), N_WORDS)
    words = every[which]
    words[:, _PORTS] = udp["ports"]
    words[:, _SIZE] = size
    is_short = kept < size
    if is_short.any():
        words[:, _TTL] = np.where(is_short, _TRUNCATED_WORD, 0)
    return words


def _put(rows: Rows, which: slice | Ints, words: NDArray[np.uint32]) -> None:
    """Write completed words back, unless they are a view already."""
    if not isinstance(which, slice):
        rows.meta.view("<u4").reshape(len(rows.meta), N_WORDS)[which] = words
