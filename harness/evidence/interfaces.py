"""Network interfaces: one form for all systems, from iproute2 where it is, from psutil everywhere else.

Each entry, by name: `index`, `flags`, `is_up` (switched on), `has_carrier` (None where the system does not tell),
`mtu`, `mac`, `kind` ("veth", "bridge"; "" for hardware), `addresses` [{family, address, prefix, scope, origin, flags,
valid_s}]. An address's `origin` is "dynamic" (DHCP, router advertisement), "static", "link-local", or "" when unknown;
`valid_s` is None for one that does not expire.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import psutil

_FAMILIES = {socket.AF_INET: "inet", socket.AF_INET6: "inet6"}
_FOREVER_S = 2**32 - 1
_LINK_KEYS = (
    "qdisc", "operstate", "master", "link", "txqlen", "num_rx_queues", "promiscuity", "allmulti", "parentbus",
    "parentdev",
)  # fmt: skip
_NO_FLAGS = frozenset(
    ("family", "local", "address", "prefixlen", "broadcast", "scope", "label", "valid_life_time", "preferred_life_time",
     "protocol", "metric")
)  # fmt: skip


def interfaces_of_iproute(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the interfaces in their order from `ip -s -s -d -j address show`.

    >>> entry = {"ifname": "eth0", "ifindex": 2, "flags": ["UP", "NO-CARRIER"], "mtu": 1500}
    >>> found = interfaces_of_iproute([entry])["eth0"]
    >>> found["is_up"], found["has_carrier"]
    (True, False)
    """
    return {entry["ifname"]: _interface(entry) for entry in entries if "ifname" in entry}


def _interface(entry: dict[str, Any]) -> dict[str, Any]:
    flags = entry.get("flags", [])
    info = entry.get("linkinfo", {})
    found = {
        "index": entry.get("ifindex"),
        "flags": flags,
        "is_up": "UP" in flags,
        "has_carrier": "LOWER_UP" in flags,
        "mtu": entry.get("mtu"),
        "mac": entry.get("address"),
        "kind": info.get("info_kind", ""),
        **{key: entry[key] for key in _LINK_KEYS if key in entry},
    }
    if "info_slave_kind" in info:
        found["port"] = info.get("info_slave_data", {})
    changes = entry.get("stats64", {}).get("tx", {}).get("carrier_changes")
    if changes is not None:
        found["carrier_changes"] = changes
    return found | {"addresses": [_address(address) for address in entry.get("addr_info", []) if "local" in address]}


def _address(entry: dict[str, Any]) -> dict[str, Any]:
    flags = sorted(name for name, value in entry.items() if value is True and name not in _NO_FLAGS)
    valid_s = entry.get("valid_life_time", _FOREVER_S)
    found = {
        "family": entry.get("family", ""),
        "address": entry["local"],
        "prefix": entry.get("prefixlen"),
        "scope": entry.get("scope", ""),
        "origin": _origin(entry["local"], "dynamic" in flags),
        "flags": flags,
        "valid_s": None if valid_s == _FOREVER_S else valid_s,
    }
    return found | {key: entry[key] for key in ("broadcast", "label", "protocol") if key in entry}


def _origin(address: str, is_dynamic: bool) -> str:
    if is_dynamic:
        return "dynamic"
    return "link-local" if ipaddress.ip_address(address).is_link_local else "static"


def portable_interfaces() -> dict[str, Any]:
    """Return the interfaces as psutil sees them, in their order; nobody tells where an address comes from."""
    states = psutil.net_if_stats()
    indexes = {name: index for index, name in socket.if_nameindex()} if hasattr(socket, "if_nameindex") else {}
    found: dict[str, Any] = {}
    for name, entries in psutil.net_if_addrs().items():
        state = states.get(name)
        macs = [entry.address for entry in entries if entry.family == psutil.AF_LINK]
        found[name] = {
            "index": indexes.get(name),
            "flags": [flag.upper() for flag in state.flags.split(",") if flag] if state else [],
            "is_up": state.isup if state else None,
            "has_carrier": None,
            "mtu": state.mtu if state else None,
            "mac": macs[0] if macs else None,
            "kind": "",
            "speed_mbit_s": (state.speed or None) if state else None,
            "addresses": [_portable_address(entry) for entry in entries if entry.family in _FAMILIES],
        }
    return dict(sorted(found.items(), key=lambda item: (item[1]["index"] is None, item[1]["index"] or 0, item[0])))


def _portable_address(entry: Any) -> dict[str, Any]:
    address = entry.address.partition("%")[0]
    parsed = ipaddress.ip_address(address)
    return {
        "family": _FAMILIES[entry.family],
        "address": address,
        "prefix": _prefix(entry.netmask),
        "scope": "host" if parsed.is_loopback else "link" if parsed.is_link_local else "global",
        "origin": "link-local" if parsed.is_link_local else "",
        "flags": [],
        "valid_s": None,
    }


def _prefix(netmask: str | None) -> int | None:
    """Return the length of a prefix from its mask, None when there is none.

    >>> _prefix("255.255.255.0"), _prefix("ffff:ffff::"), _prefix(None)
    (24, 32, None)
    """
    if not netmask:
        return None
    try:
        return int(ipaddress.ip_address(netmask.partition("/")[0])).bit_count()
    except ValueError:
        return None


def portable_counters() -> dict[str, dict[str, int]]:
    """Return each interface's counters as psutil reads them, by the names that Linux has for them."""
    return {
        name: {
            "rx_bytes": told.bytes_recv, "rx_packets": told.packets_recv, "rx_errors": told.errin,
            "rx_dropped": told.dropin, "tx_bytes": told.bytes_sent, "tx_packets": told.packets_sent,
            "tx_errors": told.errout, "tx_dropped": told.dropout,
        }
        for name, told in psutil.net_io_counters(pernic=True, nowrap=False).items()
    }  # fmt: skip
