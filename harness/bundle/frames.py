"""Captured frames with other addresses in them: every header that holds one is rewritten, its checksums follow.

What is known by heart: Ethernet with VLAN tags, Linux cooked captures, BSD loopback and raw IP; ARP; IPv4 and IPv6;
IGMP (RFC 2236, RFC 3376), MLD (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861). Behind any other header a frame
is cut off, as by a short snap length, since what an unknown payload says of its sender cannot be known.

Checksums are carried over (RFC 1624) and not made anew, so that a wrong one stays wrong, and one over bytes that were
not captured stays right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.bundle.addresses import Addresses

ETHERNET, RAW_IP, COOKED, COOKED_2 = 1, 101, 113, 276
_RAW = {12, 14, RAW_IP, 228, 229}
_LOOPBACK = {0, 108}
KNOWN_LINKS = frozenset({ETHERNET, COOKED, COOKED_2, *_RAW, *_LOOPBACK})

_V4, _V6, _ARP, _RARP, _VLAN = 0x0800, 0x86DD, 0x0806, 0x8035, (0x8100, 0x88A8, 0x9100)
_IGMP, _ICMP, _TCP, _UDP, _ICMP_V6 = 2, 1, 6, 17, 58
_EXTENSIONS = (0, 43, 60)
_HARMLESS_OPTIONS = (0, 1, 148)
"""End, no operation, router alert (RFC 2113); others record routes."""
_CHECKSUM_AT = {_IGMP: 2, _TCP: 16, _UDP: 6, _ICMP_V6: 2}
_HEADER = {_IGMP: 8, _ICMP: 8, _TCP: 20, _UDP: 8, _ICMP_V6: 8}


@dataclass
class Rewriter:
    """Rewrites frames, address by address.

    Attributes:
      mac, v4, v6: what stands for an address, as numbers; to learn addresses, functions that return the same.
    """

    mac: Callable[[int], int]
    v4: Callable[[int], int]
    v6: Callable[[int], int]

    @classmethod
    def learning(cls, addresses: Addresses) -> Rewriter:
        """Return one that takes note of every address and replaces none."""

        def noting(learn: Callable[[int], None]) -> Callable[[int], int]:
            def note(number: int) -> int:
                learn(number)
                return number

            return note

        return cls(noting(addresses.learn_mac), noting(addresses.learn_v4), noting(addresses.learn_v6))

    @classmethod
    def replacing(cls, addresses: Addresses) -> Rewriter:
        """Return one that replaces."""
        return cls(addresses.mac, addresses.v4, addresses.v6)

    def frame(self, data: bytes, link_type: int) -> bytes:
        """Return a frame with its addresses rewritten; shorter when not all of its headers are known.

        Args:
          data: as captured, of any length and content.
          link_type: of its interface, one of KNOWN_LINKS; of another nothing is left.
        """
        frame = bytearray(data)
        return bytes(frame[: self._link(frame, link_type)])

    def _link(self, frame: bytearray, link_type: int) -> int:
        """Rewrite a frame; return how much of it may be shown."""
        if link_type == ETHERNET:
            self._put(frame, 0, 6, self.mac)
            self._put(frame, 6, 6, self.mac)
            at = 14
            while at <= len(frame) and int.from_bytes(frame[at - 2 : at]) in _VLAN:
                at += 4
            return self._network(frame, at, int.from_bytes(frame[at - 2 : at]))
        if link_type in (COOKED, COOKED_2):
            length_at, address_at, at, kind_at = (5, 6, 16, 14) if link_type == COOKED else (11, 12, 20, 0)
            if frame[length_at : length_at + 1] == b"\6":
                self._put(frame, address_at, 6, self.mac)
            else:
                frame[address_at : address_at + 8] = bytes(len(frame[address_at : address_at + 8]))
            return self._network(frame, at, int.from_bytes(frame[kind_at : kind_at + 2]))
        if link_type in _RAW or link_type in _LOOPBACK:
            at = 4 if link_type in _LOOPBACK else 0
            version = frame[at] >> 4 if len(frame) > at else 0
            return self._network(frame, at, {4: _V4, 6: _V6}.get(version, 0))
        return 0

    def _network(self, frame: bytearray, at: int, kind: int) -> int:
        if kind in (_ARP, _RARP):
            if bytes(frame[at : at + 6]) != b"\0\1\x08\0\6\4":
                return at
            for place in (at + 8, at + 18):
                self._put(frame, place, 6, self.mac)
                self._put(frame, place + 6, 4, self.v4)
            return at + 28
        if kind == _V4 and len(frame) >= at + 20:
            return self._ipv4(frame, at)
        if kind == _V6 and len(frame) >= at + 40:
            return self._ipv6(frame, at)
        return at

    def _ipv4(self, frame: bytearray, at: int) -> int:
        length = (frame[at] & 15) * 4
        up = at + length
        if length < 20 or len(frame) < up:
            return at
        before = bytes(frame[at:up])
        self._put(frame, at + 12, 4, self.v4)
        self._put(frame, at + 16, 4, self.v4)
        place = at + 20
        while place < up:
            size = 1 if frame[place] in (0, 1) else max(2, frame[place + 1]) if place + 1 < up else 1
            if frame[place] not in _HARMLESS_OPTIONS:
                frame[place : min(place + size, up)] = b"\1" * (min(place + size, up) - place)
            place += size
        _carry(frame, at + 10, before, bytes(frame[at:up]))
        if int.from_bytes(frame[at + 6 : at + 8]) & 0x1FFF:  # a later fragment: no header to know it by
            return up
        total = int.from_bytes(frame[at + 2 : at + 4])
        end = min(len(frame), at + total) if total >= length else len(frame)
        return self._upper(frame, up, end, frame[at + 9], before[12:20], bytes(frame[at + 12 : at + 20]))

    def _ipv6(self, frame: bytearray, at: int) -> int:
        before = bytes(frame[at + 8 : at + 40])
        self._put(frame, at + 8, 16, self.v6)
        self._put(frame, at + 24, 16, self.v6)
        kind, up = frame[at + 6], at + 40
        end = min(len(frame), up + (int.from_bytes(frame[at + 4 : at + 6]) or len(frame)))
        while kind in _EXTENSIONS and up + 8 <= end:
            size = 8 + 8 * frame[up + 1]
            if kind == 43 or up + size > end:  # a routing header names routers
                return up
            kind, options = frame[up], frame[up + 2 : up + size]
            if options[:4] != b"\5\2\0\0":  # router alert for MLD (RFC 2711); nothing else is let through
                return up
            up += size
        return self._upper(frame, up, end, kind, before, bytes(frame[at + 8 : at + 40]))

    def _upper(self, frame: bytearray, up: int, end: int, kind: int, before: bytes, after: bytes) -> int:
        """Rewrite what stands above IP; `before` and `after` are its addresses, which its checksum may cover."""
        if kind not in _HEADER or end < up + _HEADER[kind]:
            return up
        old = bytes(frame[up:end])
        shown = up + _HEADER[kind]
        if kind == _IGMP:
            shown = self._igmp(frame, up, end)
        elif kind == _ICMP_V6:
            shown = self._icmp_v6(frame, up, end)
        if kind in _CHECKSUM_AT:
            place = up + _CHECKSUM_AT[kind]
            if kind == _UDP and frame[place : place + 2] == b"\0\0":  # no checksum at all
                return shown
            covered = (b"", b"") if kind == _IGMP else (before, after)
            _carry(frame, place, covered[0] + old, covered[1] + bytes(frame[up:end]))
            if kind == _UDP and frame[place : place + 2] == b"\0\0":  # would say "none" (RFC 768)
                frame[place : place + 2] = b"\xff\xff"
        return min(shown, end)

    def _igmp(self, frame: bytearray, up: int, end: int) -> int:
        if frame[up] == 0x22:
            return self._records(frame, up, end, 4, self.v4)
        self._put(frame, up + 4, 4, self.v4)
        if frame[up] == 0x11 and end >= up + 12:
            return self._listed(frame, up + 12, end, int.from_bytes(frame[up + 10 : up + 12]), 4, self.v4)
        return up + 8

    def _icmp_v6(self, frame: bytearray, up: int, end: int) -> int:
        kind = frame[up]
        if kind == 143:
            return self._records(frame, up, end, 16, self.v6)
        if kind in (130, 131, 132) and end >= up + 24:
            self._put(frame, up + 8, 16, self.v6)
            if kind == 130 and end >= up + 28:
                return self._listed(frame, up + 28, end, int.from_bytes(frame[up + 26 : up + 28]), 16, self.v6)
            return up + 24
        if kind in (135, 136) and end >= up + 24:
            self._put(frame, up + 8, 16, self.v6)
            return self._link_options(frame, up + 24, end)
        if kind in (133, 134):
            return self._link_options(frame, up + (8 if kind == 133 else 16), end)
        return up + 8

    def _records(self, frame: bytearray, up: int, end: int, size: int, turn: Callable[[int], int]) -> int:
        """Rewrite the group records of a report (RFC 3376 4.2, RFC 3810 5.2)."""
        at = up + 8
        for _ in range(int.from_bytes(frame[up + 6 : up + 8])):
            if at + 4 + size > end:
                return at
            auxiliary, n_sources = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4])
            self._put(frame, at + 4, size, turn)
            at = self._listed(frame, at + 4 + size, end, n_sources, size, turn)
            if auxiliary:
                return at
        return at

    def _listed(self, frame: bytearray, at: int, end: int, number: int, size: int, turn: Callable[[int], int]) -> int:
        """Rewrite a list of addresses; return where it ends, or the last whole one of it."""
        number = min(number, (end - at) // size)
        for place in range(at, at + number * size, size):
            self._put(frame, place, size, turn)
        return at + number * size

    def _link_options(self, frame: bytearray, at: int, end: int) -> int:
        """Rewrite link-layer address options (RFC 4861 4.6.1); return where the first other option begins."""
        while at + 8 <= end and frame[at] in (1, 2) and frame[at + 1] == 1:
            self._put(frame, at + 2, 6, self.mac)
            at += 8
        return at

    def _put(self, frame: bytearray, at: int, size: int, turn: Callable[[int], int]) -> None:
        """Replace the address there; one that is cut off is blanked."""
        if at + size <= len(frame):
            frame[at : at + size] = turn(int.from_bytes(frame[at : at + size])).to_bytes(size)
        elif at < len(frame):
            frame[at:] = bytes(len(frame) - at)


def _carry(frame: bytearray, at: int, before: bytes, after: bytes) -> None:
    """Carry a checksum over a change of the bytes that it covers, all of them at even places (RFC 1624, equation 3)."""
    if at + 2 > len(frame) or before == after:
        return
    total = 0xFFFF - int.from_bytes(frame[at : at + 2]) + _sum(after) + 0xFFFF * len(before) - _sum(before)
    total = 0 if total == 0 else (total - 1) % 0xFFFF + 1
    frame[at : at + 2] = (0xFFFF - total).to_bytes(2)


def _sum(data: bytes) -> int:
    """Return the sum of 16-bit words; congruent modulo 0xffff to the whole number, since 2**16 is 1 there."""
    return int.from_bytes(data + b"\0" * (len(data) % 2)) % 0xFFFF
