"""Multicast memberships of the host as Linux lists them: /proc/net/igmp and igmp6, and mcfilter and mcfilter6."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any


def parse_igmp(text: str) -> list[dict[str, Any]]:
    r"""Return the IPv4 memberships, one entry per interface and group; [] for an empty table.

    `version` is the IGMP version that the kernel speaks there, "V3", as its queriers allow; a group stands in the
    kernel's own byte order. Lines of another form are left out.

    >>> parse_igmp("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n2\teth0 : 1 V3\n")
    []
    """
    found: list[dict[str, Any]] = []
    interface, version = "", ""
    for line in text.splitlines()[1:]:
        words = line.replace(":", " ").split()
        if not line.startswith(("\t", " ")) and len(words) >= 4:
            interface, version = words[1], words[-1]
        elif len(words) >= 2 and _is_hex(words[0], 8) and words[1].isdecimal():
            group = ipaddress.IPv4Address(int(words[0], 16).to_bytes(4, sys.byteorder))
            found.append({"interface": interface, "group": str(group), "users": int(words[1]), "version": version})
    return found


def parse_igmp6(text: str) -> list[dict[str, Any]]:
    """Return the IPv6 memberships, one entry per interface and group; [] for an empty table.

    >>> parse_igmp6("2    eth0            ff0200000000000000000000000000fb     1 0000000C 0")
    [{'interface': 'eth0', 'group': 'ff02::fb', 'users': 1}]
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and _is_hex(words[2], 32) and words[3].isdecimal():
            group = ipaddress.IPv6Address(bytes.fromhex(words[2]))
            found.append({"interface": words[1], "group": str(group), "users": int(words[3])})
    return found


def parse_mcfilter(text: str, names: dict[int, str]) -> list[dict[str, Any]]:
    r"""Return the source filters of IPv4 or IPv6 memberships (RFC 3376 section 3), one entry per group and source.

    `include` and `exclude` count the sockets that want the source, and that want all but it.

    Args:
      text: /proc/net/mcfilter or mcfilter6.
      names: interface by index: the file cuts names after six characters.

    >>> parse_mcfilter("Idx Device MCA SRC INC EXC\n4 eth0.1 0xe8010101 0x0a000001 1 0", {4: "eth0.100"})
    [{'interface': 'eth0.100', 'group': '232.1.1.1', 'source': '10.0.0.1', 'include': 1, 'exclude': 0}]
    """
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) != 6 or not all(words[place].isdecimal() for place in (0, 4, 5)):
            continue
        group, source = (_address(word.removeprefix("0x")) for word in words[2:4])
        if group and source:
            name = names.get(int(words[0]), words[1])
            counts = {"include": int(words[4]), "exclude": int(words[5])}
            found.append({"interface": name, "group": group, "source": source, **counts})
    return found


def _address(digits: str) -> str:
    """Return an address from its hexadecimal digits in network order, "" for what is none."""
    if not (_is_hex(digits, 8) or _is_hex(digits, 32)):
        return ""
    return str(ipaddress.ip_address(bytes.fromhex(digits)))


def _is_hex(word: str, length: int) -> bool:
    return len(word) == length and all(digit in "0123456789abcdefABCDEF" for digit in word)
