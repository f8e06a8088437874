"""An Ethernet frame as the wire reads it: what it is, where it goes, which probe it carries; and damage to its payload.

    0      6      12     14                    34             42          58
    +------+------+------+---------------------+--------------+-----------+---
    | dst  | src  | type | IPv4 (or IPv6, 40)  | UDP          | "MCpr"... | sequence number
    +------+------+------+---------------------+--------------+-----------+---

RFC 791, RFC 8200, RFC 768; one 802.1Q tag is stepped over. Frames come from anybody: nothing here raises on their
content, what cannot be read is OTHER.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

OTHER, UDP, MEMBERSHIP = 0, 1, 2

_TAG, _IPV4, _IPV6 = 0x8100, 0x0800, 0x86DD
_IGMP, _UDP, _ICMPV6 = 2, 17, 58
_MLD_TYPES = frozenset((130, 131, 132, 143))
_FRAGMENT = 44
_EXTENSIONS = frozenset((0, 43, 60, _FRAGMENT))
_MAX_EXTENSIONS = 8

_MAGIC_VERSION = b"MCpr\x01"
_PROBE_BYTES = 64
_FLAG_END = 1


class Parsed(NamedTuple):
    """What a frame is.

    Attributes:
      kind: OTHER, UDP or MEMBERSHIP (IGMP, MLD).
      destination: IP address, 4 or 16 bytes; empty when it is not IP.
      port: UDP destination; 0 in later fragments, which carry no header.
      payload, end: offsets of the UDP payload, or of what a later fragment has of it.
      checksum: offset of the UDP checksum; 0 where there is none.
    """

    kind: int
    destination: bytes = b""
    port: int = 0
    payload: int = 0
    end: int = 0
    checksum: int = 0


_OTHER = Parsed(OTHER)


def parse(frame: bytes) -> Parsed:
    """Return what a frame is; OTHER for all that is neither UDP nor IGMP nor MLD, and for what is cut short."""
    try:
        start = 14
        ether_type = frame[12] << 8 | frame[13]
        if ether_type == _TAG:
            start, ether_type = 18, frame[16] << 8 | frame[17]
        if len(frame) < start + (20 if ether_type == _IPV4 else 40):
            return _OTHER
        if ether_type == _IPV4:
            return _parse_v4(frame, start)
        return _parse_v6(frame, start) if ether_type == _IPV6 else _OTHER
    except IndexError:
        return _OTHER


def _parse_v4(frame: bytes, start: int) -> Parsed:
    destination = frame[start + 16 : start + 20]
    protocol = frame[start + 9]
    if protocol == _IGMP:
        return Parsed(MEMBERSHIP, destination)
    if protocol != _UDP:
        return Parsed(OTHER, destination)
    end = min(len(frame), start + (frame[start + 2] << 8 | frame[start + 3]))
    is_first = not (frame[start + 6] & 0x1F or frame[start + 7])
    return _parse_udp(frame, start + 4 * (frame[start] & 0x0F), end, destination, is_first)


def _parse_v6(frame: bytes, start: int) -> Parsed:
    destination = frame[start + 24 : start + 40]
    end = min(len(frame), start + 40 + (frame[start + 4] << 8 | frame[start + 5]))
    following, place, is_first = frame[start + 6], start + 40, True
    for _ in range(_MAX_EXTENSIONS):
        if following not in _EXTENSIONS:
            break
        if following == _FRAGMENT:
            is_first, size = not (frame[place + 2] or frame[place + 3] & 0xF8), 8
        else:
            size = 8 * (frame[place + 1] + 1)
        following, place = frame[place], place + size
    if following == _UDP:
        return _parse_udp(frame, place, end, destination, is_first)
    is_mld = following == _ICMPV6 and is_first and frame[place] in _MLD_TYPES
    return Parsed(MEMBERSHIP if is_mld else OTHER, destination)


def _parse_udp(frame: bytes, place: int, end: int, destination: bytes, is_first: bool) -> Parsed:
    if not is_first:
        return Parsed(UDP, destination, 0, place, end)
    port = frame[place + 2] << 8 | frame[place + 3]
    checksum = place + 6 if frame[place + 6] or frame[place + 7] else 0
    end = min(end, place + (frame[place + 4] << 8 | frame[place + 5]))  # a frame may be padded to 60 bytes
    return Parsed(UDP, destination, port, place + 8, end, checksum)


class Carried(NamedTuple):
    """Which datagram it is, for the record; None where it does not say.

    Attributes:
      to: "239.1.2.3:5000"; an address alone where there is no port.
      stream, epoch: of a probe.
      seq: the sequence number it carries; None in a probe's end packet, which is no part of the numbering.
      is_end: whether it is one.
    """

    to: str | None = None
    stream: int | None = None
    epoch: int | None = None
    seq: int | None = None
    is_end: bool = False


def carried(frame: bytes, parsed: Parsed, sequence: tuple[int, int] | None = None) -> Carried:
    """Return which datagram a frame carries.

    Args:
      frame: the frame.
      parsed: what `parse` said of it.
      sequence: offset and bytes of the sequence number in payloads that are no probes.
    """
    to = _text(parsed.destination, parsed.port) if parsed.destination else None
    if parsed.kind != UDP or not parsed.port:
        return Carried(to)
    at, size = parsed.payload, parsed.end - parsed.payload
    if size >= _PROBE_BYTES and frame.startswith(_MAGIC_VERSION, at):
        is_end = bool(frame[at + 7] & _FLAG_END)
        seq = None if is_end else int.from_bytes(frame[at + 16 : at + 24], "big")
        stream, epoch = int.from_bytes(frame[at + 8 : at + 12], "big"), int.from_bytes(frame[at + 12 : at + 16], "big")
        return Carried(to, stream, epoch, seq, is_end)
    if sequence is None or size < sum(sequence):
        return Carried(to)
    return Carried(to, seq=int.from_bytes(frame[at + sequence[0] : at + sum(sequence)], "big"))


def is_probe(frame: bytes, parsed: Parsed) -> bool:
    """Return whether a datagram's payload begins as a probe's does, and is long enough for one."""
    return parsed.end - parsed.payload >= _PROBE_BYTES and frame.startswith(_MAGIC_VERSION, parsed.payload)


@lru_cache(1024)
def _text(destination: bytes, port: int) -> str:
    address = ipaddress.ip_address(destination)
    if not port:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def flip(frame: bytes, parsed: Parsed, byte: int, fix: bool) -> bytes:
    """Return the frame with bits of one payload byte flipped.

    Args:
      frame: a UDP datagram's.
      parsed: what `parse` said of it.
      byte: offset in the payload, within it.
      fix: update the UDP checksum with it (RFC 1624, eqn. 3); a later fragment has none to update.
    """
    data = bytearray(frame)
    at = parsed.payload + byte
    old = data[at]
    data[at] = new = old ^ 0x55
    if fix and parsed.checksum:
        place = parsed.checksum
        shift = 0 if byte & 1 else 8  # UDP's header is even, so the payload's parity is that of its words
        total = (~(data[place] << 8 | data[place + 1]) & 0xFFFF) + (~(old << shift) & 0xFFFF) + (new << shift)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        data[place : place + 2] = ((~total & 0xFFFF) or 0xFFFF).to_bytes(2, "big")  # 0 would mean: no checksum
    return bytes(data)


def complete_checksum(frame: bytes, start: int, offset: int) -> bytes:
    """Return the frame with a checksum that the sending kernel left to the network card.

    Args:
      frame: with the sum of the pseudo header in the field.
      start: offset from which the checksum runs (virtio's csum_start).
      offset: of the field, from `start`.
    """
    place = start + offset
    if place + 2 > len(frame):
        return frame
    body = frame[start:]
    # a sum of 16-bit words in ones' complement is the whole as one number, modulo 65535 (RFC 1071 2B)
    total = int.from_bytes(body + b"\0" * (len(body) & 1), "big") % 0xFFFF
    return frame[:place] + ((~total & 0xFFFF) or 0xFFFF).to_bytes(2, "big") + frame[place + 2 :]
