"""Messages of Linux's routing socket, rtnetlink(7): bytes to values and back. No socket here.

A datagram holds messages; a message a fixed head and attributes, each padded to four bytes. Only what this project
reads is taken out; an attribute or message that is not known is passed over, a torn one ends its datagram.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NEW_LINK, DEL_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DEL_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DEL_ROUTE, GET_ROUTE = 24, 25, 26
NEW_RULE, DEL_RULE, GET_RULE = 32, 33, 34
NEW_MULTICAST, DEL_MULTICAST = 56, 57
NEW_MDB, DEL_MDB, GET_MDB = 84, 85, 86
ERROR, DONE = 2, 3
FLAG_REPLACE = 0x100
AF_BRIDGE = 7

GROUPS = {"link": 1, "ipv4 address": 5, "ipv4 route": 7, "ipv4 rule": 8, "ipv6 address": 9, "ipv6 route": 11}
GROUPS |= {"ipv6 rule": 19, "mdb": 26}
LATER_GROUPS = {"ipv4 membership": 37, "ipv6 membership": 38}
"""Numbers of the groups of messages, RTNLGRP_*; the later ones only in recent kernels (6.15)."""

_HEAD = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_MDB_PORT = struct.Struct("=B3xI")
_MDB_ENTRY = struct.Struct("=IBBH16s2s2x")
_TYPE_BITS = 0x3FFF
_DUMP = 0x301
"""NLM_F_REQUEST and NLM_F_DUMP."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its type, its flags, and what follows the head."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class LinkMessage:
    """An interface; `master` is the index of its bridge or bond, 0 without one."""

    family: int
    index: int
    flags: int
    name: str
    mtu: int
    mac: str
    master: int


@dataclass(frozen=True, slots=True)
class AddressMessage:
    """An address "10.0.0.2/24", or with `is_group` a membership "239.1.2.3"; `flags` are IFA_F_*."""

    index: int
    text: str
    flags: int


@dataclass(frozen=True, slots=True)
class RouteMessage:
    """A route: `dst` "default" or a prefix, `via` "" without a gateway, `interfaces` indexes of its ways out."""

    family: int
    table: int
    type: int
    flags: int
    tos: int
    priority: int
    dst: str
    via: str
    interfaces: tuple[int, ...]


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of a datagram, up to the first that is torn."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, kind, flags, _, _ = _HEAD.unpack_from(data, at)
        if not _HEAD.size <= length <= len(data) - at:
            return
        yield Message(kind, flags, data[at + _HEAD.size : at + length])
        at += (length + 3) & ~3


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes of a message's body behind its fixed part: type and value."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            return
        yield kind & _TYPE_BITS, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def dump_request(kind: int, family: int = 0) -> bytes:
    """Return the request for all entries of a table, GET_LINK and the like."""
    body = _LINK.pack(family, 0, 0, 0, 0) if kind == GET_LINK else struct.pack("=B11x", family)
    if kind == GET_MDB:
        body = _MDB_PORT.pack(AF_BRIDGE, 0)
    return _HEAD.pack(_HEAD.size + len(body), kind, _DUMP, 1, 0) + body


def parse_link(body: bytes) -> LinkMessage:
    """Return an interface.

    Raises:
      struct.error: the message is too short.
    """
    family, _, index, flags, _ = _LINK.unpack_from(body)
    told = dict(attributes(body[_LINK.size :]))
    mac = ":".join(f"{byte:02x}" for byte in told.get(1, b""))
    return LinkMessage(family, index, flags, text_of(told.get(3)), number(told.get(4)), mac, number(told.get(10)))


def parse_address(body: bytes) -> AddressMessage:
    """Return an address, or a membership from a message of that kind.

    Raises:
      struct.error: the message is too short. ValueError: no address in it.
    """
    _, prefix, flags, _, index = _ADDRESS.unpack_from(body)
    told = dict(attributes(body[_ADDRESS.size :]))
    if 7 in told:
        return AddressMessage(index, str(ipaddress.ip_address(told[7])), 0)
    local = ipaddress.ip_address(told.get(2, told.get(1, b"")))
    return AddressMessage(index, f"{local}/{prefix}", number(told.get(8)) or flags)


def parse_route(body: bytes) -> RouteMessage:
    """Return a route.

    Raises:
      struct.error: the message is too short. ValueError: a part of it is no address.
    """
    family, length, _, tos, table, _, _, kind, flags = _ROUTE.unpack_from(body)
    told = dict(attributes(body[_ROUTE.size :]))
    dst = f"{ipaddress.ip_address(told[1])}/{length}" if 1 in told else "default"
    via = str(ipaddress.ip_address(told[5])) if 5 in told else ""
    out = [number(told[4])] if 4 in told else []
    out += [struct.unpack_from("=HBBi", hop)[3] for hop in _next_hops(told.get(9, b""))]
    priority, table = number(told.get(6)), number(told.get(15)) or table
    return RouteMessage(family, table, kind, flags, tos, priority, dst, via, tuple(out))


def _next_hops(data: bytes) -> Iterator[bytes]:
    """Yield the ways of a route with several (`struct rtnexthop`)."""
    while len(data) >= 8:
        (length,) = struct.unpack_from("=H", data)
        if not 8 <= length <= len(data):
            return
        yield data[:length]
        data = data[(length + 3) & ~3 :]


def parse_rule(body: bytes) -> tuple[int, str]:
    """Return a rule's family and its text, close to what `ip rule` prints.

    Raises:
      struct.error: the message is too short. ValueError: a part of it is no address.
    """
    family, dst_length, src_length, tos, table, _, _, action, _ = _ROUTE.unpack_from(body)
    told = dict(attributes(body[_ROUTE.size :]))
    src = f"{ipaddress.ip_address(told[2])}/{src_length}" if 2 in told else "all"
    words = [f"{number(told.get(6))}:", "from", src]
    words += ["to", f"{ipaddress.ip_address(told[1])}/{dst_length}"] if 1 in told else []
    words += ["tos", hex(tos)] if tos else []
    words += [f"fwmark {number(told[10]):#x}"] if number(told.get(10)) else []
    words += [f"iif {text_of(told[3])}"] if 3 in told else []
    words += [f"oif {text_of(told[17])}"] if 17 in told else []
    words += [f"ipproto {_PROTOCOLS.get(told[22][0], told[22][0])}"] if told.get(22) else []
    for key, name in ((23, "sport"), (24, "dport")):
        if key in told:
            first, last = struct.unpack_from("=HH", told[key])
            words.append(f"{name} {first}" if first == last else f"{name} {first}-{last}")
    lookup = number(told.get(15)) or table
    words.append(f"lookup {TABLES.get(lookup, lookup)}" if action == 1 else _ACTIONS.get(action, f"action {action}"))
    return family, " ".join(words)


def parse_mdb(body: bytes) -> list[tuple[int, int, str]]:
    """Return a bridge's entries: the bridge's index, the port's index, and the group as text.

    Raises:
      struct.error: the message is too short.
    """
    _, bridge = _MDB_PORT.unpack_from(body)
    found = []
    for kind, table in attributes(body[_MDB_PORT.size :]):
        entries = (entry for what, entry in attributes(table) if kind == what == 1)
        for info in (value for entry in entries for what, value in attributes(entry) if what == 1):
            port, _, _, vlan, address, protocol = _MDB_ENTRY.unpack_from(info)
            sizes = {b"\x08\x00": 4, b"\x86\xdd": 16}
            raw = address[: sizes.get(protocol, 6)]
            group = str(ipaddress.ip_address(raw)) if protocol in sizes else ":".join(f"{byte:02x}" for byte in raw)
            found.append((bridge, port, f"{group} (VLAN {vlan})" if vlan else group))
    return found


def number(value: bytes | None) -> int:
    """Return an attribute of 32 bits, 0 where it is missing."""
    return int(struct.unpack_from("=I", value)[0]) if value is not None and len(value) >= 4 else 0


def text_of(value: bytes | None) -> str:
    """Return an attribute that is a text, "" where it is missing."""
    return (value or b"").split(b"\0")[0].decode(errors="replace")


TABLES = {253: "default", 254: "main", 255: "local"}
_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
_ACTIONS = {2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
