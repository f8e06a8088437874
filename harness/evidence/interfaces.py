"""Network interfaces as psutil sees them, the same everywhere."""

from __future__ import annotations

import socket
from typing import Any

import psutil

_FAMILIES = {socket.AF_INET: "inet", socket.AF_INET6: "inet6", psutil.AF_LINK: "link"}


def interfaces() -> dict[str, Any]:
    """Return state, addresses and counters of each interface, by name."""
    states = psutil.net_if_stats()
    counts = psutil.net_io_counters(pernic=True, nowrap=False)
    found: dict[str, Any] = {}
    for name, addresses in psutil.net_if_addrs().items():
        entry: dict[str, Any] = {
            "addresses": [
                {
                    "family": _FAMILIES.get(address.family, str(address.family)),
                    "address": address.address,
                    "netmask": address.netmask,
                    "broadcast": address.broadcast,
                }
                for address in addresses
            ]
        }
        if name in states:
            state = states[name]
            entry |= {"is_up": state.isup, "mtu": state.mtu, "speed_mbit_s": state.speed or None, "flags": state.flags}
        if name in counts:
            entry["counters"] = dict(counts[name]._asdict())
        found[name] = entry
    return found
