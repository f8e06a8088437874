"""The only place with sockets: interfaces, memberships, batches of datagrams in and out, timers, clocks and counters.

Differences between systems stand in `_linux`, `_darwin` and `_windows`, one method set, chosen once in `platform`.
The names load on first use: listing interfaces needs neither trio nor numpy's sockets side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.net._options import check_buffer as check_buffer
    from harness.net.clock import RunClock as RunClock
    from harness.net.counters import InterfaceCounters as InterfaceCounters
    from harness.net.counters import UdpCounters as UdpCounters
    from harness.net.counters import interface_counters as interface_counters
    from harness.net.counters import socket_drops as socket_drops
    from harness.net.counters import udp_counters as udp_counters
    from harness.net.interfaces import check_usable as check_usable
    from harness.net.interfaces import find_interface as find_interface
    from harness.net.interfaces import list_interfaces as list_interfaces
    from harness.net.opening import open_receiver as open_receiver
    from harness.net.pace import Pace as Pace
    from harness.net.platform import PLATFORM as PLATFORM
    from harness.net.quiet import quiet_phase_ns as quiet_phase_ns
    from harness.net.receiver import ReceiverSocket as ReceiverSocket
    from harness.net.sender import SenderSocket as SenderSocket
    from harness.net.sender import open_sender as open_sender
    from harness.net.ticker import Ticker as Ticker

_MODULES = {
    "_options": ("check_buffer",),
    "clock": ("RunClock",),
    "counters": (
        "InterfaceCounters",
        "UdpCounters",
        "interface_counters",
        "socket_drops",
        "udp_counters",
    ),
    "interfaces": (
        "check_usable",
        "find_interface",
        "list_interfaces",
    ),
    "opening": ("open_receiver",),
    "pace": ("Pace",),
    "quiet": ("quiet_phase_ns",),
    "platform": ("PLATFORM",),
    "receiver": ("ReceiverSocket",),
    "sender": (
        "SenderSocket",
        "open_sender",
    ),
    "ticker": ("Ticker",),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
