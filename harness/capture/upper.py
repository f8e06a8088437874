"""Frames looked at one by one: IPv4 and IPv6 fragments, IPv6 extension headers, IGMP and MLD.

Few frames come here, so this is plain code over bytes. Every frame is either returned or counted.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from harness.capture.fate import Skip
from harness.capture.fragments import Fragments, Key, Piece
from harness.model import IPAddress

_IGMP, _TCP, _UDP, _ICMPV6, _FRAGMENT, _AUTHENTICATION = 2, 6, 17, 58, 44, 51
_EXTENSIONS = (0, 43, 60, _AUTHENTICATION)
_MLD_TYPES = (130, 131, 132, 143)


@dataclass(frozen=True, slots=True)
class MembershipMessage:
    """An IGMP or MLD message as captured; its bytes are decoded in `protocols`.

    Attributes:
      kind: "igmp" or "mld".
      rx_ns: time stamp of the frame.
      source, destination: addresses of the IP header.
      ttl: TTL or hop limit; both protocols want 1.
      ifindex: number of the capture's interface, plus 1, as in DATAGRAM_DTYPE.
      payload: the message from its type octet on.
      is_truncated: whether the capture cut it off.
    """

    kind: Literal["igmp", "mld"]
    rx_ns: int
    source: IPAddress
    destination: IPAddress
    ttl: int
    ifindex: int
    payload: bytes
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class UpperDatagram:
    """A UDP datagram found behind extension headers or put together from fragments; `header` is the UDP header."""

    source: bytes
    destination: bytes
    ttl: int
    header: bytes
    size: int
    payload: bytes


@dataclass(slots=True)
class _Payload:
    """What is behind the headers read so far; `wire` is its length on the wire."""

    data: bytes
    wire: int
    protocol: int
    ttl: int


@dataclass(frozen=True, slots=True)
class _Origin:
    source: bytes
    destination: bytes
    rx_ns: int
    interface: int


class UpperLayer:
    """Looks at single IP packets and remembers fragments; counts by reason what becomes neither of its results."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self.fragments = Fragments(counters)

    def read(self, version: int, packet: bytes, rx_ns: int, interface: int) -> UpperDatagram | MembershipMessage | None:
        """Return what an IP packet carries, or None when that is nothing of interest, or incomplete yet.

        Args:
          version: 4 or 6.
          packet: from the IP header on, as far as captured; the fixed header and options are whole and consistent.
          rx_ns: time stamp of the frame.
          interface: number of the capture's interface.
        """
        if version == 4:
            origin = _Origin(packet[12:16], packet[16:20], rx_ns, interface)
            payload: _Payload | Skip | None = self._ipv4(packet, origin)
        else:
            origin = _Origin(packet[8:24], packet[24:40], rx_ns, interface)
            payload = self._ipv6(packet, origin)
        found = _transport(payload, origin) if isinstance(payload, _Payload) else payload
        if isinstance(found, Skip):
            self._counters[found] += 1
            return None
        return found

    def _ipv4(self, packet: bytes, origin: _Origin) -> _Payload | None:
        length, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
        ident, flags = struct.unpack_from(">HH", packet, 4)
        payload = _Payload(packet[length:total], total - length, packet[9], packet[8])
        if not flags & 0x3FFF:
            return payload
        key = (origin.interface, 4, origin.source, origin.destination, ident, payload.protocol)
        return self._fragment(key, origin, (flags & 0x1FFF) * 8, payload, not flags & 0x2000)

    def _ipv6(self, packet: bytes, origin: _Origin) -> _Payload | Skip | None:
        """Pass over IPv6 extension headers (RFC 8200 4)."""
        wire = int.from_bytes(packet[4:6])
        payload = _Payload(packet[40 : 40 + wire], wire, packet[6], packet[7])
        is_reassembled = False
        while payload.protocol in _EXTENSIONS or payload.protocol == _FRAGMENT:
            data, wire = payload.data, payload.wire
            if min(len(data), wire) < 8:
                return Skip.BAD_HEADER if wire < 8 else Skip.TRUNCATED
            following, is_fragment = data[0], payload.protocol == _FRAGMENT
            is_authentication = payload.protocol == _AUTHENTICATION
            length = 8 if is_fragment else (data[1] + 2) * 4 if is_authentication else (data[1] + 1) * 8
            if length > len(data):
                return Skip.BAD_HEADER if length > wire else Skip.TRUNCATED
            payload = _Payload(data[length:], wire - length, following, payload.ttl)
            if not is_fragment:
                continue
            field, ident = struct.unpack_from(">HI", data, 2)
            if not field & 0xFFF9:  # an atomic fragment (RFC 6946): whole by itself
                continue
            if is_reassembled:
                return Skip.BAD_HEADER
            key = (origin.interface, 6, origin.source, origin.destination, ident, -1)
            whole = self._fragment(key, origin, field & 0xFFF8, payload, not field & 1)
            if whole is None:
                return None
            payload, is_reassembled = whole, True
        return payload

    def _fragment(self, key: Key, origin: _Origin, start: int, payload: _Payload, is_last: bool) -> _Payload | None:
        piece = Piece(start, payload.wire, payload.data, is_last, payload.protocol, payload.ttl)
        whole = self.fragments.add(key, origin.rx_ns, piece)
        return None if whole is None else _Payload(whole.data, whole.length, whole.protocol, whole.ttl)


def _transport(payload: _Payload, origin: _Origin) -> UpperDatagram | MembershipMessage | Skip:
    """Return the datagram or message that a payload is."""
    data, wire, ttl = payload.data, payload.wire, payload.ttl
    is_v4 = len(origin.source) == 4
    membership = _IGMP if is_v4 else _ICMPV6
    if payload.protocol in (_UDP, membership):
        if wire < 8:
            return Skip.BAD_HEADER
        if len(data) < 8:
            return Skip.TRUNCATED
    if payload.protocol == _UDP:
        length = int.from_bytes(data[4:6])
        if not 8 <= length <= wire:
            return Skip.BAD_HEADER
        return UpperDatagram(origin.source, origin.destination, ttl, data[:8], length - 8, data[8:length])
    if payload.protocol == membership and (is_v4 or data[0] in _MLD_TYPES):
        source, destination = ipaddress.ip_address(origin.source), ipaddress.ip_address(origin.destination)
        kind: Literal["igmp", "mld"] = "igmp" if is_v4 else "mld"
        ifindex = origin.interface + 1
        return MembershipMessage(kind, origin.rx_ns, source, destination, ttl, ifindex, data, len(data) < wire)
    return Skip.TCP if payload.protocol == _TCP else Skip.OTHER_PROTOCOL
