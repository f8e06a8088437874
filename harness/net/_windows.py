"""Windows' way with UDP sockets; the numbers are those of its own headers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Literal

from harness.model.endpoint import Endpoint, IPAddress, Membership
from harness.net import _options
from harness.net._options import Ancillary, Cmsg, set_option

SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 = 0xFFFF, 0, 41
AF_INET, AF_INET6 = 2, 23
SO_REUSEADDR = 0x4
SO_SNDBUF = 0x1001
SO_RCVBUF = 0x1002
IP_MULTICAST_IF = 9
IP_UNICAST_IF = 31
MCAST_JOIN_GROUP = 41
MCAST_LEAVE_GROUP = 42
MCAST_JOIN_SOURCE_GROUP = 45
MCAST_LEAVE_SOURCE_GROUP = 46
IPV6_MULTICAST_IF = 9
IPV6_UNICAST_IF = 31

_JOINS_PER_SOCKET = 20


class WindowsPlatform:
    """Windows; see `Platform` for what each method promises.

    Python offers no WSARecvMsg, so destination, interface, TTL and kernel time of a datagram stay unknown; the system
    delivers to a socket only what it joined itself.
    """

    name = "windows"
    has_batch = False

    def bind_host(self, address: IPAddress) -> IPAddress | None:
        """Bind to unicast addresses only: the system refuses groups."""
        return None if address.is_multicast or str(address).endswith(".255") else address

    def share_port(self, sock: socket.socket) -> None:
        """Set SO_REUSEADDR, which here means what SO_REUSEPORT means elsewhere."""
        set_option(sock, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")

    def isolate(self, sock: socket.socket, version: int) -> None:
        """Do nothing: the system looks only at this socket's own memberships."""

    def request_ancillary(
        self,
        sock: socket.socket,  # noqa: ARG002 (one method set on every system)
        version: int,  # noqa: ARG002 (one method set on every system)
    ) -> Literal["kernel", "user"]:
        """Ask for nothing: Python could not read the answers."""
        return "user"

    def read_one(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, Sequence[Cmsg], tuple[str, int]]:
        """Read into the overflow buffer, which holds any datagram, and copy: a short buffer would lose the length."""
        size, source = sock.recvfrom_into(overflow)
        kept = min(size, len(row))
        row[:kept] = overflow[:kept]
        return size, (), source[:2]

    def decode(self, messages: Sequence[Cmsg]) -> Ancillary:  # noqa: ARG002 (one method set on every system)
        """Return nothing known."""
        return Ancillary()

    def join(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Join by the options that serve IPv4 and IPv6, any source and one source alike."""
        self._change(sock, membership, index, "join", MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP)

    def leave(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Leave what `join` joined."""
        self._change(sock, membership, index, "leave", MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP)

    def _change(
        self, sock: socket.socket, membership: Membership, index: int, action: str, any_source: int, one_source: int
    ) -> None:
        group, source = membership.group.address, membership.source
        addresses = [_sockaddr(group)] + ([_sockaddr(source)] if source else [])
        level = IPPROTO_IP if group.version == 4 else IPPROTO_IPV6
        try:
            sock.setsockopt(
                level, one_source if source else any_source, _options.group_request(index, addresses, False)
            )
        except OSError as exc:
            hint = "this socket's memberships are used up; use more sockets"
            raise _options.membership_error(action, membership, exc, hint) from exc

    def joins_per_socket(self, version: int) -> int:  # noqa: ARG002 (one method set on every system)
        """Return the number that every version of the system has taken."""
        return _JOINS_PER_SOCKET

    def pin(self, sock: socket.socket, destination: Endpoint, index: int) -> None:
        """Give the index in network order for IPv4 and in the host's for IPv6, as the system wants it."""
        level, option, name = {
            (True, 4): (IPPROTO_IP, IP_MULTICAST_IF, "IP_MULTICAST_IF"),
            (True, 6): (IPPROTO_IPV6, IPV6_MULTICAST_IF, "IPV6_MULTICAST_IF"),
            (False, 4): (IPPROTO_IP, IP_UNICAST_IF, "IP_UNICAST_IF"),
            (False, 6): (IPPROTO_IPV6, IPV6_UNICAST_IF, "IPV6_UNICAST_IF"),
        }[destination.is_multicast, destination.version]
        value = struct.pack(">I" if destination.version == 4 else "=I", index)
        set_option(sock, level, option, value, name, f"index {index}")

    def report_errors(self, sock: socket.socket, destination: Endpoint) -> None:
        """Do nothing: there is no such option."""

    def clear_errors(self, sock: socket.socket) -> None:
        """Do nothing: there is no error queue."""

    def set_receive_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Set SO_RCVBUF."""
        set_option(sock, SOL_SOCKET, SO_RCVBUF, n_bytes, "SO_RCVBUF")

    def set_send_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Set SO_SNDBUF."""
        set_option(sock, SOL_SOCKET, SO_SNDBUF, n_bytes, "SO_SNDBUF")

    def buffer_note(self, asked: int, granted: int) -> str:
        """Compare with the wish itself, which is what reads back."""
        return "" if granted >= asked else f"receive buffer of {asked} B asked, {granted} B granted by the system"

    def drops(self, sock: socket.socket) -> int | None:
        """Return None: the system counts no drops of one socket."""


def _sockaddr(address: IPAddress) -> bytes:
    return _options.sockaddr(address, AF_INET if address.version == 4 else AF_INET6, has_length=False)
