"""What the BSD tools of macOS print: ifconfig(8), netstat(1), sysctl(8)."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import Any

_HEAD = re.compile(r"(\S+): flags=[0-9a-f]+<([^>]*)> mtu (\d+)(?: index (\d+))?", re.ASCII)
_MASK = re.compile(r"0x[0-9a-f]{8}")
_FAMILIES = {"Internet:": "inet", "Internet6:": "inet6"}
_V6_FLAGS = frozenset(("autoconf", "secured", "temporary", "deprecated", "tentative", "duplicated", "dynamic"))


def parse_sysctl(text: str) -> dict[str, str]:
    r"""Return settings by name from "name: value" lines.

    >>> parse_sysctl("net.inet.igmp.sendra: 1\nnonsense")
    {'net.inet.igmp.sendra': '1'}
    """
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name: value for name, colon, value in pairs if colon}


def parse_ifconfig(text: str) -> dict[str, Any]:
    r"""Return the interfaces of `ifconfig -a` in its order, in the form of `harness.evidence.interfaces`.

    An IPv6 address is dynamic when it says so or comes from a router; an IPv4 address's origin is not told here.

    >>> text = "en0: flags=8863<UP,BROADCAST,RUNNING,MULTICAST> mtu 1500\n\tether 0:1:2:3:4:5\n\tstatus: inactive\n"
    >>> entry = parse_ifconfig(text)["en0"]
    >>> entry["is_up"], entry["has_carrier"], entry["mac"]
    (True, False, '0:1:2:3:4:5')
    """
    found: dict[str, Any] = {}
    entry: dict[str, Any] = {}
    for line in text.splitlines():
        head = _HEAD.match(line)
        words = line.split()
        if head:
            flags = head[2].split(",") if head[2] else []
            entry = found[head[1]] = {
                "index": int(head[4]) if head[4] else len(found) + 1, "flags": flags, "is_up": "UP" in flags,
                "has_carrier": None, "mtu": int(head[3]), "mac": None, "kind": head[1].rstrip("0123456789"),
                "addresses": [],
            }  # fmt: skip
        elif not entry or len(words) < 2:
            continue
        elif words[0] == "ether":
            entry["mac"] = words[1]
        elif words[0] == "status:":
            entry["has_carrier"] = words[1] == "active"
        elif words[0] == "media:":
            entry["media"] = " ".join(words[1:])
        elif words[0] in ("inet", "inet6"):
            address = _address(words)
            if address:
                entry["addresses"].append(address)
    return found


def _address(words: list[str]) -> dict[str, Any] | None:
    text = words[1].partition("%")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    after = dict(itertools.pairwise(words))
    prefix = None
    if _MASK.fullmatch(after.get("netmask", "")):
        prefix = int(after["netmask"], 16).bit_count()
    elif after.get("prefixlen", "").isdecimal():
        prefix = int(after["prefixlen"])
    flags = sorted(_V6_FLAGS & set(words))
    origin = ""
    if parsed.is_link_local:
        origin = "link-local"
    elif parsed.version == 6 or parsed.is_loopback:
        origin = "dynamic" if {"autoconf", "dynamic"} & set(flags) else "static"
    return {
        "family": words[0], "address": text, "prefix": prefix,
        "scope": "host" if parsed.is_loopback else "link" if parsed.is_link_local else "global",
        "origin": origin, "flags": flags, "valid_s": None,
    }  # fmt: skip


def parse_netstat_routes(text: str) -> list[dict[str, str]]:
    r"""Return the routes of `netstat -rn`: family, dst, gateway, flags, dev; [] for an empty table.

    >>> parse_netstat_routes("Internet:\nDestination Gateway Flags Netif Expire\n224.0.0/4 link#14 UmCS en0 !\n")
    [{'family': 'inet', 'dst': '224.0.0/4', 'gateway': 'link#14', 'flags': 'UmCS', 'dev': 'en0'}]
    """
    found, family = [], ""
    for line in text.splitlines():
        words = line.split()
        if line.strip() in _FAMILIES:
            family = _FAMILIES[line.strip()]
        elif family and len(words) >= 4 and words[0] != "Destination":
            keys = ("family", "dst", "gateway", "flags", "dev")
            found.append(dict(zip(keys, (family, *words[:4]), strict=True)))
    return found


def parse_netstat_groups(text: str) -> list[dict[str, str]]:
    r"""Return the IPv4 and IPv6 memberships of `netstat -gn`; those of the link layer are left out.

    >>> parse_netstat_groups("IPv4 Multicast Group Memberships\nGroup\tLink-layer Address\tNetif\n224.0.0.1\ten0\n")
    [{'interface': 'en0', 'group': '224.0.0.1'}]
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        group = words[0].partition("%")[0] if len(words) >= 2 else ""
        try:
            if group and ipaddress.ip_address(group).is_multicast:
                found.append({"interface": words[-1], "group": group})
        except ValueError:
            continue
    return found
