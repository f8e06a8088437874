"""Which addresses identify somebody, and what stands in their place: the same value always the same token.

Replaced: hardware addresses of single stations, global IPv4 and IPv6 addresses, and the interface identifier that an
IPv6 address derives from a hardware address (RFC 4291, appendix A), whatever its prefix. What stays says something
about the network and nothing about its owner: private, link-local, loopback, shared and documentation addresses, masks,
and multicast groups, but for the last 24 bits of a solicited-node group (RFC 4291 2.7.1) when they are of an address
that is replaced.

Tokens stand in ranges that are reserved for such use, which stay as well, so that a replaced text does not change when
it is replaced once more: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737) and beyond 762 of them 198.18.0.0/15
(RFC 2544); 2001:db8::/32 (RFC 3849), where addresses of one /64 stay in one /64; 02:00:00:00:00:00 and the 2**24 that
follow.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator

_STAY_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
_RANGES_V4 = [(int(net.network_address), int(net.netmask)) for net in _STAY_V4]
_TOKENS_V4 = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")
_TOKEN_MAC = 0x020000 << 24
_TOKEN_V6 = 0x20010DB8
_SOLICITED = 0xFF02_0000_0000_0000_0000_0001_FF00_0000
_SOLICITED_MAC = 0x3333FF
_LOW_24, _LOW_64 = (1 << 24) - 1, (1 << 64) - 1
_MAPPED = 0xFFFF
_UNIVERSAL = 0x02 << 56
"""The bit of an interface identifier that says the opposite of a hardware address's (RFC 4291, appendix A)."""


def stays_v4(number: int) -> bool:
    """Whether an IPv4 address identifies nobody.

    >>> stays_v4(int(ipaddress.IPv4Address("10.0.0.1"))), stays_v4(int(ipaddress.IPv4Address("9.9.9.9")))
    (True, False)
    """
    return any(number & mask == first for first, mask in _RANGES_V4)


def stays_mac(number: int) -> bool:
    """Whether a hardware address identifies no station: a group's, all zeros, or one of the tokens."""
    return bool(number >> 40 & 1) or number == 0 or number >> 24 == _TOKEN_MAC >> 24


def eui64_of(mac: int) -> int:
    """Return the interface identifier of a hardware address (RFC 4291, appendix A).

    >>> f"{eui64_of(0x3A8DB783DBB8):016x}"
    '388db7fffe83dbb8'
    """
    return (mac >> 24 << 40 | 0xFFFE << 24 | mac & _LOW_24) ^ _UNIVERSAL


def mac_in(identifier: int) -> int | None:
    """Return the hardware address that an interface identifier derives from, or None.

    >>> f"{mac_in(0x388DB7FFFE83DBB8):012x}", mac_in(1)
    ('3a8db783dbb8', None)
    """
    if identifier >> 24 & 0xFFFF != 0xFFFE:
        return None
    plain = identifier ^ _UNIVERSAL
    mac = plain >> 40 << 24 | plain & _LOW_24
    return None if mac >> 40 & 1 else mac  # a group's address derives nothing


class Addresses:
    """The tokens of all addresses of a bundle.

    Addresses are first `learn_*`ed, all of them, so that no token is one that the bundle holds already; the first
    question fixes the tokens, in the order of learning.
    """

    def __init__(self) -> None:
        self._v4: dict[int, int] = {}
        self._macs: dict[int, int] = {}
        self._prefixes: dict[int, int] = {}
        self._identifiers: dict[int, int] = {}
        self._low_24: dict[int, int] = {}
        self._taken_v4: set[int] = set()
        self._taken_low: set[int] = set()
        self._taken_prefixes: set[int] = set()
        self._seen: dict[tuple[str, int], None] = {}
        self._is_fixed = False
        self._next_v4 = self._free_v4()
        self._next_low = (number for number in itertools.count(1) if number not in self._taken_low)
        self._next_prefix = (number for number in itertools.count(1) if number not in self._taken_prefixes)

    def learn_v4(self, number: int) -> None:
        """Take note of an IPv4 address."""
        self._taken_v4.add(number)
        if not stays_v4(number):
            self._seen["v4", number] = None

    def learn_mac(self, number: int) -> None:
        """Take note of a hardware address."""
        if number >> 24 == _SOLICITED_MAC or number >> 24 == _TOKEN_MAC >> 24 or not stays_mac(number):
            self._taken_low.add(number & _LOW_24)
        if not stays_mac(number):
            self._seen["mac", number] = None

    def learn_v6(self, number: int) -> None:
        """Take note of an IPv6 address."""
        if number >> 32 == _MAPPED:
            self.learn_v4(number & 0xFFFFFFFF)
            return
        if number >> 24 == _SOLICITED >> 24 or not _stays_v6(number) or number >> 96 == _TOKEN_V6:
            self._taken_low.add(number & _LOW_24)
        mac = mac_in(number & _LOW_64)
        if mac is not None and number >> 120 != 0xFF:
            self.learn_mac(mac)
        if number >> 96 == _TOKEN_V6:
            self._taken_prefixes.add(number >> 64 & 0xFFFF_FFFF)
        elif not _stays_v6(number):
            self._seen["v6", number] = None

    def v4(self, number: int) -> int:
        """Return what stands for an IPv4 address: itself if it identifies nobody."""
        self._fix()
        if stays_v4(number):
            return number
        if number not in self._v4:
            self._v4[number] = next(self._next_v4)
        return self._v4[number]

    def mac(self, number: int) -> int:
        """Return what stands for a hardware address; a solicited-node group's follows the address it belongs to."""
        self._fix()
        if number >> 24 == _SOLICITED_MAC:
            return _SOLICITED_MAC << 24 | self._low_24.get(number & _LOW_24, number & _LOW_24)
        if stays_mac(number):
            return number
        if number not in self._macs:
            token = next(self._next_low)
            self._macs[number] = _TOKEN_MAC | token
            self._low_24.setdefault(number & _LOW_24, token)
        return self._macs[number]

    def v6(self, number: int) -> int:
        """Return what stands for an IPv6 address."""
        self._fix()
        if number >> 32 == _MAPPED:
            return _MAPPED << 32 | self.v4(number & 0xFFFFFFFF)
        if number >> 24 == _SOLICITED >> 24:
            return _SOLICITED | self._low_24.get(number & _LOW_24, number & _LOW_24)
        if number >> 120 == 0xFF or number <= 1 or number >> 96 == _TOKEN_V6:
            return number
        if _stays_v6(number):
            mac = mac_in(number & _LOW_64)
            return number if mac is None else number >> 64 << 64 | eui64_of(self.mac(mac))
        prefix, identifier = number >> 64, number & _LOW_64
        if prefix not in self._prefixes:
            self._prefixes[prefix] = next(self._next_prefix)
        return _TOKEN_V6 << 96 | self._prefixes[prefix] << 64 | self._identifier(identifier)

    def _identifier(self, identifier: int) -> int:
        mac = mac_in(identifier)
        if mac is not None:
            return eui64_of(self.mac(mac))
        if identifier and identifier not in self._identifiers:
            token = next(self._next_low)
            self._identifiers[identifier] = token
            self._low_24.setdefault(identifier & _LOW_24, token)
        return self._identifiers.get(identifier, 0)

    def known(self, kind: str) -> list[tuple[int, int]]:
        """Return the addresses of a kind that were learned and are replaced, "v4", "v6" or "mac", and their tokens."""
        self._fix()
        turn = {"v4": self.v4, "v6": self.v6, "mac": self.mac}[kind]
        return [(number, turn(number)) for of, number in self._seen if of == kind]

    def replaced(self) -> dict[str, dict[str, str]]:
        """Return what was replaced by what, as text: addresses, and for IPv6 the prefixes and identifiers."""
        v6 = {
            f"{ipaddress.IPv6Address(prefix << 64)}/64": f"{ipaddress.IPv6Address(_TOKEN_V6 << 96 | token << 64)}/64"
            for prefix, token in self._prefixes.items()
        }
        v6 |= {
            str(ipaddress.IPv6Address(number)): str(ipaddress.IPv6Address(token)) for number, token in self.known("v6")
        }
        return {
            "mac": {mac_text(number): mac_text(token) for number, token in self._macs.items()},
            "ipv4": {
                str(ipaddress.IPv4Address(number)): str(ipaddress.IPv4Address(token))
                for number, token in self._v4.items()
            },
            "ipv6": v6,
        }

    def _fix(self) -> None:
        if self._is_fixed:
            return
        self._is_fixed = True
        for kind, number in self._seen:  # all, before a solicited-node group asks for their last bits
            {"v4": self.v4, "v6": self.v6, "mac": self.mac}[kind](number)

    def _free_v4(self) -> Iterator[int]:
        for text in _TOKENS_V4:
            for address in ipaddress.IPv4Network(text).hosts():
                if int(address) not in self._taken_v4:
                    yield int(address)


def _stays_v6(number: int) -> bool:
    """Whether an IPv6 address identifies nobody, its interface identifier apart."""
    first = number >> 120
    return (
        number <= 1
        or first == 0xFF
        or first >> 1 == 0xFC >> 1
        or number >> 118 == 0xFE80 >> 6
        or number >> 96 == _TOKEN_V6
    )


def mac_text(number: int) -> str:
    """Return a hardware address as text.

    >>> mac_text(0x3A8DB783DBB8)
    '3a:8d:b7:83:db:b8'
    """
    return number.to_bytes(6).hex(":")
