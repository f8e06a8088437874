"""Windows' way with UDP sockets; the numbers are those of its own headers."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import NoReturn

from harness.errors import UsageError
from harness.model.endpoint import Endpoint, IPAddress, Membership
from harness.net import _options
from harness.net._group_requests import GroupOptions, GroupRequests
from harness.net._options import Ancillary, Cmsg, RxSource, set_option
from harness.net._wsarecvmsg import MessageReceiver, find_function

SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 = 0xFFFF, 0, 41
AF_INET6 = 23
SO_REUSEADDR = 0x4
SO_SNDBUF = 0x1001
SO_RCVBUF = 0x1002
IP_TTL = 4
IP_MULTICAST_IF = 9
PKTINFO = 19
HOPLIMIT = 21
"""Both the same for IPv4 and IPv6, as option and as type of the control message."""

IP_UNICAST_IF = 31
MCAST_JOIN_GROUP = 41
MCAST_LEAVE_GROUP = 42
MCAST_JOIN_SOURCE_GROUP = 45
MCAST_LEAVE_SOURCE_GROUP = 46
IPV6_MULTICAST_IF = 9
IPV6_UNICAST_IF = 31

_JOINS_PER_SOCKET = 20


class WindowsPlatform(GroupRequests):
    """Windows; see `Platform` for what each method promises.

    Where WSARecvMsg cannot be had, destination, interface and TTL of a datagram stay unknown. The system stamps no
    arrivals.
    """

    name = "windows"
    has_batch = False
    _GROUP_OPTIONS = GroupOptions(
        join=MCAST_JOIN_GROUP,
        leave=MCAST_LEAVE_GROUP,
        join_source=MCAST_JOIN_SOURCE_GROUP,
        leave_source=MCAST_LEAVE_SOURCE_GROUP,
        af_inet6=AF_INET6,
    )

    def __init__(self) -> None:
        self._receiver: MessageReceiver | None = None

    def bind_host(self, address: IPAddress) -> IPAddress | None:
        """Bind to unicast addresses only: the system refuses groups."""
        return None if address.is_multicast or str(address).endswith(".255") else address

    def share_port(self, sock: socket.socket) -> None:
        """Set SO_REUSEADDR, which here means what SO_REUSEPORT means elsewhere."""
        set_option(sock, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")

    def isolate(self, sock: socket.socket, version: int) -> None:
        """Do nothing: the system looks only at this socket's own memberships."""

    def overhear(self, sock: socket.socket, version: int) -> bool:  # noqa: ARG002 (one method set on every system)
        """Return False: a socket hears what it joined itself."""
        return False

    def deafen(self, sock: socket.socket) -> NoReturn:  # noqa: ARG002 (one method set on every system)
        """Refuse: sockets take no filter here."""
        raise UsageError("deafen is not offered on Windows: its UDP sockets take no filter; run this event on Linux")

    def undeafen(self, sock: socket.socket) -> None:
        """Do nothing: no socket is deaf here."""

    def request_ancillary(
        self,
        sock: socket.socket,
        version: int,
        stamps: RxSource = "kernel",  # noqa: ARG002 (the system stamps no arrivals, whoever asks)
    ) -> RxSource:
        """Ask for destination and interface, and for the TTL where the system is new enough."""
        try:
            self._receiver = self._receiver or MessageReceiver(find_function(sock))
        except (OSError, AttributeError):
            return "user"
        level, name = (IPPROTO_IP, "IP_PKTINFO") if version == 4 else (IPPROTO_IPV6, "IPV6_PKTINFO")
        set_option(sock, level, PKTINFO, 1, name)
        with contextlib.suppress(OSError):
            sock.setsockopt(level, HOPLIMIT, 1)
        return "user"

    def imply_arrival(self, sock: socket.socket, version: int, *, is_implied: bool) -> bool:  # noqa: ARG002 (one method set on every system)
        """Return False: nothing is known to be gained by not asking."""
        return False

    def hardware_clock(self, interface: str) -> NoReturn:
        """Refuse: programs are given no stamps of network cards here."""
        raise UsageError(
            f"stamps of the network card ({interface}) can be had on Linux only, this is Windows; use --stamps kernel"
        )

    def read_one(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, Sequence[Cmsg], tuple[str, int]]:
        """Read by WSARecvMsg, or else into the overflow buffer and copy: a short buffer would lose the length."""
        if self._receiver is not None:
            return self._receiver.read(sock, row, overflow)
        size, source = sock.recvfrom_into(overflow)
        kept = min(size, len(row))
        row[:kept] = overflow[:kept]
        return size, (), source[:2]

    def decode(self, messages: Sequence[Cmsg]) -> Ancillary:
        """Read the messages that `request_ancillary` asked for; `in_pktinfo` begins with the address here."""
        found = Ancillary()
        for level, kind, data in messages:
            if (level, kind) == (IPPROTO_IP, PKTINFO):
                address, found.ifindex = struct.unpack("=4sI", data[:8])
                found.destination = bytes(10) + b"\xff\xff" + address
            elif (level, kind) == (IPPROTO_IPV6, PKTINFO):
                found.ifindex, found.destination = _options.decode_pktinfo6(data)
            elif (level, kind) in ((IPPROTO_IP, IP_TTL), (IPPROTO_IP, HOPLIMIT), (IPPROTO_IPV6, HOPLIMIT)):
                found.ttl = struct.unpack("=i", data[:4])[0]
        return found

    def _limit_hint(self, membership: Membership) -> str:  # noqa: ARG002 (one method set on every system)
        """Return the only way out: the limit is no setting."""
        return "this socket's memberships are used up; use more sockets"

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

    def queued_bytes(self, sock: socket.socket) -> int | None:
        """Return None: the system does not tell what waits in a socket as it accounts for it."""
