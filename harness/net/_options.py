"""What the platform modules share: setting one socket option, and the structures of the multicast options.

Every refusal becomes an error that names the option, its value and what usually helps.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harness.errors import BindError, MembershipError, SocketOptionError, UsageError, errno_text
from harness.model.endpoint import IPAddress, Membership

SOCKADDR_STORAGE_BYTES = 128
RxSource = Literal["kernel", "hardware", "user"]
"""Who stamps a datagram's arrival: the kernel, the network card, or this program after reading."""

Cmsg = tuple[int, int, bytes]
"""One control message as `socket.recvmsg` returns it: level, type, data."""


class Arrival(NamedTuple):
    """Where a socket's datagrams arrive.

    Attributes:
      destination: 16 bytes as in DATAGRAM_DTYPE; zeros when not known.
      ifindex: index of the interface; 0 when not known.
    """

    destination: bytes
    ifindex: int


NOT_IMPLIED = Arrival(bytes(16), 0)
"""Each datagram tells for itself."""


@dataclass(slots=True)
class Ancillary:
    """What the control messages of one datagram say; zero, b"" or None where they say nothing.

    Attributes:
      destination: 16 bytes as in DATAGRAM_DTYPE, or b"".
      ifindex: index of the interface that it came in by.
      ttl: TTL or hop limit on arrival.
      rx_ns: arrival by the kernel's realtime clock.
      hardware_ns: arrival by the network card's own clock.
      drops: the socket's drop counter when this datagram was queued.
      segment: size of the equal segments that this buffer holds (UDP_GRO); 0 for a plain datagram.
    """

    destination: bytes = b""
    ifindex: int = 0
    ttl: int = 0
    rx_ns: int | None = None
    hardware_ns: int | None = None
    drops: int | None = None
    segment: int = 0


def new_udp_socket(version: int) -> socket.socket:
    """Return a non-blocking UDP socket of IP version 4 or 6.

    Raises:
      BindError: no more sockets can be opened, or the system lacks this IP version.
    """
    try:
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError as exc:
        number = exc.errno or 0
        remedy = {
            errno.EMFILE: "; raise the limit of open files (ulimit -n), or receive fewer groups",
            errno.ENFILE: "; raise the system's limit of open files (fs.file-max)",
            errno.EAFNOSUPPORT: f"; IPv{version} is switched off on this system",
        }.get(number, "")
        raise BindError(f"cannot open a UDP socket for IPv{version}: {errno_text(number)}{remedy}") from exc
    sock.setblocking(False)
    return sock


def check_buffer(buffer_bytes: int | None) -> None:
    """Return when a buffer size can mean anything.

    Raises:
      UsageError: it is below 1 byte or above 1 GiB.
    """
    if buffer_bytes is not None and not 1 <= buffer_bytes <= 2**30:
        raise UsageError(f"a socket buffer of {buffer_bytes} B cannot be asked for; between 1 B and 1 GiB can")


def set_option(
    sock: socket.socket, level: int, option: int, value: int | bytes, name: str, shown: object = None, remedy: str = ""
) -> None:
    """Set a socket option.

    Args:
      sock: any socket.
      level: SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, ...
      option: the option's number.
      value: as the kernel takes it.
      name: the option's name as the manual spells it.
      shown: the value as a person knows it; `value` when None.
      remedy: what usually helps; a general one for the error number when "".

    Raises:
      SocketOptionError: the kernel refused.
    """
    try:
        sock.setsockopt(level, option, value)
    except OSError as exc:
        number = exc.errno or 0
        raise SocketOptionError(
            name, value if shown is None else shown, number, remedy or option_remedy(number)
        ) from exc


def option_remedy(number: int) -> str:
    """Return what usually helps when setting an option fails with this error number; "" when nothing is known.

    >>> option_remedy(1)
    'it needs root or the capability CAP_NET_ADMIN'
    """
    return {
        errno.EPERM: "it needs root or the capability CAP_NET_ADMIN",
        errno.EACCES: "it needs root or the capability CAP_NET_ADMIN",
        errno.ENOPROTOOPT: "this kernel does not know the option",
        errno.EINVAL: "the value is out of the range that this kernel takes",
        errno.ENODEV: "no such interface; see harness interfaces",
        errno.ENXIO: "no such interface; see harness interfaces",
        errno.EADDRNOTAVAIL: "the interface is gone or has no address of this IP version; see harness interfaces",
        errno.ENOBUFS: "ask for a smaller value, or raise the system's limit",
    }.get(number, "")


def membership_error(action: str, membership: Membership, exc: OSError, limit_hint: str) -> MembershipError:
    """Return the error for a refused join or leave.

    Args:
      action: "join" or "leave".
      membership: what was asked for.
      exc: the kernel's refusal.
      limit_hint: what to raise when a socket's memberships are used up, with its present value.
    """
    number = exc.errno or 0
    named = f"name an interface other than {membership.interface}" if membership.interface else "name an interface"
    version = membership.group.version
    no_route = f"no route leads to {membership.group.address}: name an interface (--interface), see harness interfaces"
    remedies = {
        errno.ENOBUFS: limit_hint,
        errno.ENOMEM: limit_hint,
        errno.ENODEV: f"interface {membership.interface} is gone" if membership.interface else no_route,
        errno.ENXIO: f"interface {membership.interface} is gone" if membership.interface else no_route,
        errno.EADDRINUSE: "this socket has joined it already",
        errno.EADDRNOTAVAIL: (
            f"the interface has no IPv{version} address or takes no multicast; {named}"
            if action == "join"
            else "this socket has not joined it"
        ),
        errno.EINVAL: f"{membership.group.address} is no multicast group, or the socket joined it with another source",
        errno.EPERM: "a security policy forbids it; try as root",
        errno.EACCES: "a security policy forbids it; try as root",
        errno.ENOPROTOOPT: f"IPv{version} multicast is not built into this kernel",
    }
    return MembershipError(action, str(membership), number, remedies.get(number, ""))


def sockaddr(address: IPAddress, family: int, has_length: bool) -> bytes:
    """Return a sockaddr of port 0, with a leading length byte where the system's layout has one (BSD)."""
    size = 16 if address.version == 4 else 28
    head = struct.pack("=BB", size, family) if has_length else struct.pack("=H", family)
    body = struct.pack(">H", 0) + (address.packed if address.version == 4 else bytes(4) + address.packed)
    return (head + body).ljust(size, b"\0")


def group_request(index: int, addresses: list[bytes], is_packed: bool) -> bytes:
    """Return a `group_req` (one address) or `group_source_req` (group, source).

    Args:
      index: the interface; 0 lets the kernel choose.
      addresses: sockaddrs, each put into a sockaddr_storage.
      is_packed: the first address stands right behind the index, without padding to 8 bytes (macOS).
    """
    head = struct.pack("=I", index) + (b"" if is_packed else bytes(4))
    return head + b"".join(address.ljust(SOCKADDR_STORAGE_BYTES, b"\0") for address in addresses)


def decode_pktinfo4(data: bytes) -> tuple[int, bytes]:
    """Return interface index and destination of an `in_pktinfo` {index, local address, destination}."""
    index, _, destination = struct.unpack("=I4s4s", data[:12])
    return index, bytes(10) + b"\xff\xff" + destination


def decode_pktinfo6(data: bytes) -> tuple[int, bytes]:
    """Return interface index and destination of an `in6_pktinfo` {destination, index}."""
    destination, index = struct.unpack("=16sI", data[:20])
    return index, destination


def packed(address: str) -> bytes:
    """Return the 16 bytes of DATAGRAM_DTYPE for an address as the socket module gives it, zone and all."""
    version = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(version, address.partition("%")[0])
    return raw if len(raw) == 16 else bytes(10) + b"\xff\xff" + raw
