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
from harness.capture.fragments import Fragments
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


class UpperLayer:
    """Looks at single IP packets and remembers fragments; counts by reason what becomes neither of its results."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self.fragments = Fragments(counters)

    def read(
        self, version: int, packet: bytes, rx_ns: int, interface: int
    ) -> UpperDatagram | MembershipMessage | None:
        """Return what an IP packet carries, or None when that is nothing of interest, or incomplete yet.

        Args:
          version: 4 or 6.
          packet: from the IP header on, as far as captured; the fixed header and options are whole and consistent.
          rx_ns: time stamp of the frame.
          interface: number of the capture's interface.
        """
        if version == 4:
            length, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
            ident, flags = struct.unpack_from(">HH", packet, 4)
            source, destination, ttl, protocol = packet[12:16], packet[16:20], packet[8], packet[9]
            data, wire = packet[length:total], total - length
            if flags & 0x3FFF:
                key = (interface, 4, source, destination, ident, protocol)
                start = (flags & 0x1FFF) * 8
                whole = self.fragments.add(key, rx_ns, start, wire, data, not flags & 0x2000, protocol, ttl)
                if whole is None:
                    return None
                data, wire, ttl = whole.data, whole.length, whole.ttl
        else:
            source, destination, ttl, protocol = packet[8:24], packet[24:40], packet[7], packet[6]
            wire = int.from_bytes(packet[4:6])
            reached = self._extensions(packet[40 : 40 + wire], wire, protocol, ttl, (source, destination), rx_ns, interface)
            if reached is None:
                return None
            data, wire, protocol, ttl = reached
        return self._transport(protocol, data, wire, source, destination, ttl, rx_ns, interface)

    def _extensions(
        self,
        data: bytes,
        wire: int,
        protocol: int,
        ttl: int,
        addresses: tuple[bytes, bytes],
        rx_ns: int,
        interface: int,
    ) -> tuple[bytes, int, int, int] | None:
        """Pass over IPv6 extension headers (RFC 8200 4); return payload, its length on the wire, protocol, hop limit."""
        is_reassembled = False
        while protocol in _EXTENSIONS or protocol == _FRAGMENT:
            if len(data) < 8:
                return self._skip(Skip.BAD_HEADER if wire < 8 else Skip.TRUNCATED)
            following = data[0]
            if protocol == _FRAGMENT:
                field, ident = struct.unpack_from(">HI", data, 2)
                data, wire = data[8:], wire - 8
                if field & 0xFFF9:  # else an atomic fragment (RFC 6946): whole by itself
                    if is_reassembled:
                        return self._skip(Skip.BAD_HEADER)
                    key = (interface, 6, *addresses, ident, -1)
                    whole = self.fragments.add(key, rx_ns, field & 0xFFF8, wire, data, not field & 1, following, ttl)
                    if whole is None:
                        return None
                    data, wire, following, ttl = whole.data, whole.length, whole.protocol, whole.ttl
                    is_reassembled = True
            else:
                length = (data[1] + 2) * 4 if protocol == _AUTHENTICATION else (data[1] + 1) * 8
                if length > wire:
                    return self._skip(Skip.BAD_HEADER)
                if length > len(data):
                    return self._skip(Skip.TRUNCATED)
                data, wire = data[length:], wire - length
            protocol = following
        return data, wire, protocol, ttl

    def _transport(
        self,
        protocol: int,
        data: bytes,
        wire: int,
        source: bytes,
        destination: bytes,
        ttl: int,
        rx_ns: int,
        interface: int,
    ) -> UpperDatagram | MembershipMessage | None:
        is_v4 = len(source) == 4
        if protocol == _UDP:
            if wire < 8:
                return self._skip(Skip.BAD_HEADER)
            if len(data) < 8:
                return self._skip(Skip.TRUNCATED)
            length = int.from_bytes(data[4:6])
            if not 8 <= length <= wire:
                return self._skip(Skip.BAD_HEADER)
            return UpperDatagram(source, destination, ttl, data[:8], length - 8, data[8:length])
        if protocol == (_IGMP if is_v4 else _ICMPV6):
            if wire < 8:
                return self._skip(Skip.BAD_HEADER)
            if len(data) < 8:
                return self._skip(Skip.TRUNCATED)
            if is_v4 or data[0] in _MLD_TYPES:
                addresses = ipaddress.ip_address(source), ipaddress.ip_address(destination)
                kind: Literal["igmp", "mld"] = "igmp" if is_v4 else "mld"
                return MembershipMessage(kind, rx_ns, *addresses, ttl, interface + 1, data, len(data) < wire)
        return self._skip(Skip.TCP if protocol == _TCP else Skip.OTHER_PROTOCOL)

    def _skip(self, reason: Skip) -> None:
        self._counters[reason] += 1
