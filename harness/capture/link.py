"""From a captured frame to its IP header: one row of a table for each link type, whole batches at a time.

VLAN tags (802.1Q, 802.1ad, stacked) are passed over wherever a type field announces them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.capture.frames import Frames, Ints

_ETHERNET, _NULL, _LOOP, _SLL, _SLL2 = 1, 0, 108, 113, 276
_TYPE_FIELD = {_ETHERNET: (12, 14), _SLL: (14, 16), _SLL2: (0, 20)}
"""Link types with an EtherType: where it stands, and where what it announces begins."""

_RAW = {12: 0, 14: 0, 101: 0, 228: 4, 229: 6}
"""Link types that begin with the IP header, and its version where that is fixed."""

_NAMES = {
    _NULL: "BSD loopback",
    _ETHERNET: "Ethernet",
    12: "raw IP",
    14: "raw IP",
    101: "raw IP",
    105: "IEEE 802.11",
    _LOOP: "OpenBSD loopback",
    _SLL: "Linux cooked v1",
    119: "IEEE 802.11 with a Prism header",
    127: "IEEE 802.11 with radiotap",
    163: "IEEE 802.11 with an AVS header",
    189: "USB",
    195: "IEEE 802.15.4",
    220: "USB",
    228: "raw IPv4",
    229: "raw IPv6",
    249: "USB",
    253: "netlink",
    _SLL2: "Linux cooked v2",
}
_TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
_MAX_TAGS = 4
_FAMILIES = {2: 4, 10: 6, 24: 6, 28: 6, 30: 6}
"""Address families in a BSD loopback header: AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD, macOS."""

SUPPORTED = frozenset({_NULL, _LOOP, *_TYPE_FIELD, *_RAW})

NOT_IP, CUT = 0, -1
"""What stands for the IP version where there is none: another protocol, or too little of the frame to tell."""


def link_name(link_type: int) -> str:
    """Return a link type's name.

    >>> link_name(1), link_name(127), link_name(147)
    ('Ethernet', 'IEEE 802.11 with radiotap', 'link type 147')
    """
    return _NAMES.get(link_type, f"link type {link_type}")


def find_ip(frames: Frames, link_type: int) -> tuple[Ints, NDArray[np.int8]]:
    """Return where the IP headers are in frames of one supported link type.

    Returns:
      Two arrays of shape (n,): the offset in the window of what follows the link header, and the IP version that is
      announced there, 4, 6, NOT_IP or CUT. The header itself has not been looked at, only its version.
    """
    if link_type in _TYPE_FIELD:
        at, version = _by_type(frames, *_TYPE_FIELD[link_type])
    elif link_type in _RAW:
        at, version = frames.offset, _by_nibble(frames, _RAW[link_type])
    else:
        at, version = _by_family(frames)
    version[(version > 0) & (frames.offset + frames.captured <= at)] = CUT
    return at, version


def _by_nibble(frames: Frames, only: int) -> NDArray[np.int8]:
    nibble = frames.window[frames.offset] >> 4
    is_ip = nibble == only if only else (nibble == 4) | (nibble == 6)
    version = np.where(is_ip, nibble, NOT_IP).astype(np.int8)
    version[frames.captured < 1] = CUT
    return version


def _by_type(frames: Frames, type_at: int, header: int) -> tuple[Ints, NDArray[np.int8]]:
    data = frames.window
    types: NDArray[np.uint16] = np.ndarray((len(data) - 2,), ">u2", data, strides=(1,))
    at = frames.offset + header
    kind = types[frames.offset + type_at]
    is_cut = frames.captured < header
    is_tagged = np.isin(kind, _TAGS) if (kind != 0x0800).any() else np.zeros(len(kind), bool)
    for _ in range(_MAX_TAGS):
        if not is_tagged.any():
            break
        kind = np.where(is_tagged, types[at + 2], kind)
        at = np.where(is_tagged, at + 4, at)
        is_cut |= at > frames.offset + frames.captured
        is_tagged = np.isin(kind, _TAGS)
    version = np.where(kind == 0x0800, 4, np.where(kind == 0x86DD, 6, NOT_IP)).astype(np.int8)
    version[is_cut] = CUT
    return at, version


def _by_family(frames: Frames) -> tuple[Ints, NDArray[np.int8]]:
    data = frames.window
    words: NDArray[np.uint32] = np.ndarray((len(data) - 4,), "<u4", data, strides=(1,))
    family = words[frames.offset]
    # in the byte order of the machine that captured, which is not known: the small reading is meant
    family = np.minimum(family, family.byteswap())
    version = np.zeros(len(family), np.int8)
    for number, ip_version in _FAMILIES.items():
        version[family == number] = ip_version
    version[frames.captured < 4] = CUT
    return frames.offset + 4, version
