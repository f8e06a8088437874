"""The only place with sockets: interfaces, memberships, batches of datagrams in and out, timers, clocks and counters.

Differences between systems stand in `_linux`, `_darwin` and `_windows`, one method set, chosen once in `platform`.
The names load on first use: listing interfaces needs neither trio nor numpy's sockets side.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.net.clock import RunClock
    from harness.net.counters import (
        InterfaceCounters,
        UdpCounters,
        interface_counters,
        socket_drops,
        udp_counters,
    )
    from harness.net.interfaces import check_usable, find_interface, list_interfaces
    from harness.net.opening import open_receiver
    from harness.net.platform import PLATFORM
    from harness.net.receiver import ReceiverSocket
    from harness.net.sender import SenderSocket, open_sender
    from harness.net.ticker import Ticker

__all__ = [
    "PLATFORM",
    "InterfaceCounters",
    "ReceiverSocket",
    "RunClock",
    "SenderSocket",
    "Ticker",
    "UdpCounters",
    "check_usable",
    "find_interface",
    "interface_counters",
    "list_interfaces",
    "open_receiver",
    "open_sender",
    "socket_drops",
    "udp_counters",
]

_HOME = {
    "PLATFORM": "platform",
    "InterfaceCounters": "counters",
    "ReceiverSocket": "receiver",
    "RunClock": "clock",
    "SenderSocket": "sender",
    "Ticker": "ticker",
    "UdpCounters": "counters",
    "check_usable": "interfaces",
    "find_interface": "interfaces",
    "interface_counters": "counters",
    "list_interfaces": "interfaces",
    "open_receiver": "opening",
    "open_sender": "sender",
    "socket_drops": "counters",
    "udp_counters": "counters",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
