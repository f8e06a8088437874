"""Multicast memberships of the host as Linux lists them: /proc/net/igmp and /proc/net/igmp6."""

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


def _is_hex(word: str, length: int) -> bool:
    return len(word) == length and all(digit in "0123456789abcdefABCDEF" for digit in word)
