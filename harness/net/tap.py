"""The tap: frames as they pass the interfaces, before addresses, routes and filters have their say.

It listens on all interfaces at once. So it sees what leaves by a wrong one or by a tunnel that came up meanwhile, and
an interface that goes away and comes back needs no attention. What the host loops back to itself of its own multicast
is seen once, on its way out; on a loopback interface both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import InterfaceError
from harness.model.endpoint import Endpoint
from harness.model.packets import PacketArray
from harness.net.platform import PLATFORM


@dataclass(frozen=True, slots=True)
class TapFrame:
    """One whole frame.

    Attributes:
      interface: its name, "" when it was gone before the frame was read.
      is_outgoing: whether this host sent it.
      rx_ns: kernel's realtime stamp.
      link_type: LINKTYPE number of tcpdump.org: 1 Ethernet, 101 no link-layer header.
      data: from the link-layer header on, if there is one.
    """

    interface: str
    is_outgoing: bool
    rx_ns: int
    link_type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TapBatch:
    """UDP packets that passed, shape (n,): DATAGRAM_DTYPE without size and TTL, and which of them this host sent."""

    meta: PacketArray
    is_outgoing: NDArray[np.bool_]


class Tap(Protocol):
    """Counts UDP packets and takes membership messages; nothing waits, nothing blocks."""

    def read(self) -> TapBatch | None:
        """Return the UDP packets to the flows asked for since the last call; None for none, or after `stop_counting`.

        Of a fragmented datagram it is the first fragment.
        """

    def read_frames(self) -> list[TapFrame]:
        """Return IGMP and MLD frames, some hundreds at a time at most."""

    def drops(self) -> int:
        """Return how many frames were lost to full buffers since the last call."""

    def stop_counting(self) -> None:
        """Take membership messages alone from here on."""

    def close(self) -> None:
        """Stop listening; again: does nothing."""


def open_tap(flows: Sequence[Endpoint]) -> Tap:
    """Return a tap for IGMP, MLD and UDP to these addresses and ports.

    Raises:
      InterfaceError: this system has none, or does not let this user listen; says what it needs.
    """
    if PLATFORM.name != "linux":
        raise InterfaceError(f"no tap on this platform yet ({PLATFORM.name})")
    from harness.net.tap_linux import LinuxTap  # needs packet sockets, which other systems lack

    return LinuxTap(flows)
