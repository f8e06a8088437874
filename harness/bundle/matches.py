"""Addresses and universally unique identifiers in a text, in the spellings of the tools whose output evidence is."""

from __future__ import annotations

import ipaddress
import re

from harness.bundle.addresses import Addresses, eui64_of, mac_in, mac_text, stays_v4

_UUID_TOKEN = 0x00000000_0000_4000_8000_000000000000
_UNIVERSAL = 0x02 << 56
_UUID = r"(?<![0-9a-f-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f-])"
_COLONS = r"(?<![0-9A-Za-z_])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,}(?:(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z_])"
_DASHED = r"(?<![0-9a-z-])[0-9a-f]{2}(?:-[0-9a-f]{2}){5}(?![0-9a-z-])"
_DOTTED = r"(?<![0-9a-z.])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![0-9a-z.])"
_ENX = r"(?<![0-9a-z])enx[0-9a-f]{12}(?![0-9a-z])"
_SHORT = r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){2}/[0-9]{1,2}(?![0-9.])"
_V4 = r"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])"
_HEX = r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8})(?::[0-9a-f]{4}(?![0-9a-f:]))?(?![0-9a-f])"
_ROUTE = re.compile(r"^\S+\t([0-9A-F]{8})\t([0-9A-F]{8})\t[0-9A-F]{4}\t", re.M)
"""A line of /proc/net/route: interface, destination, gateway in the kernel's own order."""
_SIX = re.compile(r"[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}", re.I)
_EIGHT = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){7}", re.I)
_MANY = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){6,}", re.I)


class Matches:
    """Finds addresses in texts; learns them first, replaces them then.

    Attributes:
      pattern: a regular expression, to be compiled with IGNORECASE, each kind of match a named group.
    """

    pattern = "|".join(
        f"(?P<{name}>{text})"
        for name, text in (
            ("uuid", _UUID), ("colons", _COLONS), ("dashed", _DASHED), ("dotted", _DOTTED), ("enx", _ENX), ("v4", _V4),
            ("short", _SHORT), ("hex", _HEX),
        )
    )  # fmt: skip
    _search = re.compile(pattern, re.IGNORECASE)

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._uuids: dict[int, int] = {}
        self._taken: set[int] = set()
        self._hex_v4: dict[str, str] | None = None

    def learn(self, text: str) -> None:
        """Take note of all addresses in a text."""
        self._hex_v4 = None
        for match in self._search.finditer(text):
            self._take(match, is_learning=True)
        for match in _ROUTE.finditer(text):
            for word in match.groups():
                self._addresses.learn_v4(int.from_bytes(bytes.fromhex(word), "little"))

    def replace(self, match: re.Match[str]) -> str:
        """Return what stands for a match of `pattern`."""
        return self._take(match, is_learning=False)

    def uuids(self) -> dict[str, str]:
        """Return the identifiers replaced and their tokens."""
        return {_uuid_text(number): _uuid_text(token) for number, token in self._uuids.items()}

    def _take(self, match: re.Match[str], *, is_learning: bool) -> str:
        text, kind = match.group(), match.lastgroup
        if kind == "uuid":
            number = int(text.replace("-", ""), 16)
            return self._note_uuid(number, text) if is_learning else _like(_uuid_text(self._uuid(number)), text)
        if kind == "colons":
            return self._colons(text, is_learning)
        if kind in ("dashed", "dotted"):
            sign, width = ("-", 2) if kind == "dashed" else (".", 4)
            bare = self._mac(text.replace(sign, ""), is_learning)
            return _like(sign.join(bare[k : k + width] for k in range(0, 12, width)), text)
        if kind == "enx":
            return text[:3] + _like(self._mac(text[3:], is_learning), text[3:])
        if kind == "hex":
            return self._hex(text, is_learning)
        address, slash, length = text.partition("/")
        octets = [int(part) for part in address.split(".")]
        if max(octets) > 255:
            return text
        number = int.from_bytes(bytes(octets + [0] * (4 - len(octets))))
        if is_learning:
            self._addresses.learn_v4(number)
        if stays_v4(number) or is_learning:
            return text
        return f"{ipaddress.IPv4Address(self._addresses.v4(number))}{slash}{length}"

    def _colons(self, text: str, is_learning: bool) -> str:
        """Return what stands for hexadecimal words between colons: a hardware address, an EUI-64, an IPv6 address."""
        if _SIX.fullmatch(text):
            octets = "".join(part.zfill(2) for part in text.split(":"))
            bare = self._mac(octets, is_learning)
            return _like(mac_text(int(bare, 16)), text) if bare != octets.lower() else text
        if _EIGHT.fullmatch(text):
            identifier = int(text.replace(":", ""), 16)
            mac = mac_in(identifier ^ _UNIVERSAL)  # as IEEE 1588 and 802.1 write one, its bit not turned
            if mac is not None:
                token = int(self._mac(f"{mac:012x}", is_learning), 16)
                return _like((eui64_of(token) ^ _UNIVERSAL).to_bytes(8).hex(":"), text)
        if _MANY.fullmatch(text) and len(text) != 23:  # a DHCP identifier: ends with a hardware address
            return text[:-17] + self._colons(text[-17:], is_learning)
        for end in range(len(text), 2, -1):  # a colon or a word of digits behind it may be no part of the address
            try:
                number = int(ipaddress.IPv6Address(text[:end]))
            except ValueError:
                continue
            if is_learning:
                self._addresses.learn_v6(number)
                return text
            token = self._addresses.v6(number)
            shown = text[:end] if token == number else _v6_text(token)
            return shown + text[end:]
        return text

    def _mac(self, digits: str, is_learning: bool) -> str:
        number = int(digits, 16)
        if is_learning:
            self._addresses.learn_mac(number)
            return digits.lower()
        return f"{self._addresses.mac(number):012x}"

    def _hex(self, text: str, is_learning: bool) -> str:
        """Return what stands for 8 or 32 hexadecimal digits: those of /proc/net, and of identifiers without dashes."""
        digits, colon, port = text.partition(":")
        if len(digits) == 32:
            return self._hex_32(digits, is_learning, has_port=bool(colon)) + colon + port
        if colon and is_learning:
            self._addresses.learn_v4(int.from_bytes(bytes.fromhex(digits), "little"))
        if is_learning:
            return text
        if self._hex_v4 is None:
            known = [(number.to_bytes(4), token.to_bytes(4)) for number, token in self._addresses.known("v4")]
            self._hex_v4 = {before.hex(): after.hex() for before, after in known}
            self._hex_v4 |= {before[::-1].hex(): after[::-1].hex() for before, after in known}
        return _like(self._hex_v4.get(digits.lower(), digits), digits) + colon + port

    def _hex_32(self, digits: str, is_learning: bool, *, has_port: bool) -> str:
        number = int(digits, 16)
        if has_port:  # /proc/net/udp6: four words, each in the machine's order
            number = int.from_bytes(_words_turned(number.to_bytes(16)))
        is_address = has_port or number >> 125 in (1, 7) or number <= 1 or number >> 32 == 0xFFFF
        if is_learning:
            self._addresses.learn_v6(number) if is_address else self._note_uuid(number, digits)
            return digits
        if number in self._uuids or not is_address:
            return _like(f"{self._uuid(number):032x}", digits)
        token = self._addresses.v6(number).to_bytes(16)
        return _like((_words_turned(token) if has_port else token).hex(), digits)

    def _note_uuid(self, number: int, text: str) -> str:
        self._taken.add(number)
        return text

    def _uuid(self, number: int) -> int:
        if number == 0 or number >> 64 == _UUID_TOKEN >> 64:
            return number
        if number not in self._uuids:
            token = _UUID_TOKEN + len(self._uuids) + 1
            while token in self._taken or token in self._uuids.values():
                token += 1
            self._uuids[number] = token
        return self._uuids[number]


def _words_turned(data: bytes) -> bytes:
    return b"".join(data[k : k + 4][::-1] for k in range(0, 16, 4))


def _uuid_text(number: int) -> str:
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _v6_text(number: int) -> str:
    """Return an address as text, a mapped one with its IPv4 part in dots."""
    if number >> 32 == 0xFFFF:
        return f"::ffff:{ipaddress.IPv4Address(number & 0xFFFFFFFF)}"
    return str(ipaddress.IPv6Address(number))


def _like(text: str, model: str) -> str:
    """Return a text in capitals when the model is."""
    return text.upper() if model == model.upper() and model != model.lower() else text.lower()
