"""Where packets go to and come from: endpoints and memberships, as values."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from harness.errors import UsageError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> IPAddress:
    """Return an IPv4 or IPv6 address; an IPv6 one may carry a zone, "fe80::1%eth0".

    Raises:
      UsageError: not an address.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError as exc:
        raise UsageError(f"{text!r} is not an IPv4 or IPv6 address; names are not looked up") from exc


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a UDP port; the address may be a multicast group, a unicast or a broadcast address."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"

    @property
    def version(self) -> int:
        """The IP version, 4 or 6."""
        return self.address.version

    @property
    def is_multicast(self) -> bool:
        """Whether the address is a multicast group (RFC 5771, RFC 4291 2.7)."""
        return self.address.is_multicast

    @property
    def zone(self) -> str | None:
        """The interface named in an IPv6 address, "eth0" of "ff02::1%eth0", or None."""
        return self.address.scope_id if isinstance(self.address, ipaddress.IPv6Address) else None


def _is_v6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint written "239.1.2.3:5000" or "[ff15::1]:5000".

    Raises:
      UsageError: no port, port 0 or above 65535, or not an address.

    >>> str(parse_endpoint("239.1.2.3:5000")), str(parse_endpoint("[ff15::7]:5000"))
    ('239.1.2.3:5000', '[ff15::7]:5000')
    """
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        if port_text.isdigit() and _is_v6(host):
            raise UsageError(f"{text!r}: an IPv6 address stands in brackets; write [{host}]:{port_text}")
        example = f"{text}:5000" if not colon or text.endswith("]") else f"[{text}]:5000"
        raise UsageError(f"{text!r} has no port; write GROUP:PORT, for example {example}")
    address = parse_address(host[1:-1] if bracketed else host)
    if not port_text.isascii() or not port_text.isdigit() or not 1 <= int(port_text) <= 65535:
        raise UsageError(f"{text!r}: port {port_text!r} is not a number from 1 to 65535")
    return Endpoint(address, int(port_text))


@dataclass(frozen=True, slots=True)
class Membership:
    """What a receiver joins: a group, on an interface, from any source or from one (RFC 4607).

    Attributes:
      group: the group and UDP port.
      interface: the interface's name; None lets the kernel choose, which the report points out.
      source: the only source that is wanted (SSM), or None for any (ASM).
    """

    group: Endpoint
    interface: str | None = None
    source: IPAddress | None = None

    def __post_init__(self) -> None:
        if self.source is not None and self.source.version != self.group.version:
            raise UsageError(f"source {self.source} and group {self.group} are of different IP versions")
        if self.source is not None and self.source.is_multicast:
            raise UsageError(f"source {self.source} is a multicast group; --source names a sender's unicast address")

    def __str__(self) -> str:
        where = f" on {self.interface}" if self.interface else ""
        return f"({self.source or '*'}, {self.group.address}){where}"
