"""A network interface as the operating system describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.model.endpoint import IPAddress

AddressScope = Literal["host", "link", "global"]
"""How far an address reaches: this machine, this link, or beyond."""


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of an interface; `address` carries no zone, `prefix_length` is None when the system tells none."""

    address: IPAddress
    prefix_length: int | None
    scope: AddressScope
    broadcast: IPAddress | None = None

    def __str__(self) -> str:
        return str(self.address) if self.prefix_length is None else f"{self.address}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface.

    Attributes:
      name: as the system's own tools show it, "eth0", "en0", "Ethernet 2".
      index: the kernel's number for it; 0 when the system tells none.
      addresses: IPv4 first, then IPv6, each in the system's order.
      mtu: largest IP packet in bytes; None when not known.
      flags: as the system names them, ("broadcast", "multicast", "running", "up"); () where it names none.
      is_up: switched on, with a link.
      is_multicast: whether the MULTICAST flag is set; None where the system does not say (Windows).
      is_loopback: packets never leave this machine.
      speed_mbps: link speed in Mbit/s; None when not known.
      is_default_route_v4, is_default_route_v6: whether the default route goes out here.
      mac: link-layer address "02:00:00:00:00:01", or None.
    """

    name: str
    index: int
    addresses: tuple[InterfaceAddress, ...] = ()
    mtu: int | None = None
    flags: tuple[str, ...] = ()
    is_up: bool = False
    is_multicast: bool | None = None
    is_loopback: bool = False
    speed_mbps: int | None = None
    is_default_route_v4: bool = False
    is_default_route_v6: bool = False
    mac: str | None = None

    def first_address(self, version: int) -> IPAddress | None:
        """Return the first address of IP version 4 or 6, the widest scope first; None when there is none."""
        mine = [entry for entry in self.addresses if entry.address.version == version]
        widest = sorted(mine, key=lambda entry: ("global", "link", "host").index(entry.scope))
        return widest[0].address if widest else None
