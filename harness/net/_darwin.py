"""macOS's way with UDP sockets; the numbers are those of its own headers, which Python 3.11 does not export."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import NoReturn

from harness.errors import UsageError
from harness.model.endpoint import Endpoint, IPAddress, Membership
from harness.net import _options
from harness.net._group_requests import GroupOptions, GroupRequests
from harness.net._options import Ancillary, Cmsg, RxSource, set_option

SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 = 0xFFFF, 0, 41
AF_INET6 = 30
SO_REUSEADDR = 0x4
SO_REUSEPORT = 0x200
SO_TIMESTAMP = 0x400
SCM_TIMESTAMP = 2
SO_SNDBUF = 0x1001
SO_RCVBUF = 0x1002
IP_RECVTTL = 24
IP_BOUND_IF = 25
IP_PKTINFO = 26
IP_MULTICAST_IFINDEX = 66
MCAST_JOIN_GROUP = 80
MCAST_LEAVE_GROUP = 81
MCAST_JOIN_SOURCE_GROUP = 82
MCAST_LEAVE_SOURCE_GROUP = 83
IPV6_MULTICAST_IF = 9
IPV6_RECVHOPLIMIT = 37
IPV6_PKTINFO = 46
IPV6_HOPLIMIT = 47
IPV6_RECVPKTINFO = 61
IPV6_BOUND_IF = 125

_JOINS_PER_SOCKET = 512
"""The kernel allows 4095; fewer keep one full buffer from hurting them all."""
_SMALLEST_BUFFER = 4096


class DarwinPlatform(GroupRequests):
    """macOS; see `Platform` for what each method promises."""

    name = "darwin"
    has_batch = False
    _GROUP_OPTIONS = GroupOptions(
        join=MCAST_JOIN_GROUP,
        leave=MCAST_LEAVE_GROUP,
        join_source=MCAST_JOIN_SOURCE_GROUP,
        leave_source=MCAST_LEAVE_SOURCE_GROUP,
        af_inet6=AF_INET6,
        is_packed=True,
        has_length=True,
    )

    def bind_host(self, address: IPAddress) -> IPAddress | None:
        """Bind to anything but the limited broadcast address, which no interface has."""
        return None if str(address) == "255.255.255.255" else address

    def share_port(self, sock: socket.socket) -> None:
        """Set SO_REUSEPORT: every process that shares the port must have set it."""
        set_option(sock, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
        set_option(sock, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT")

    def isolate(self, sock: socket.socket, version: int) -> None:
        """Do nothing: the kernel looks only at this socket's own memberships."""

    def overhear(self, sock: socket.socket, version: int) -> bool:  # noqa: ARG002 (one method set on every system)
        """Return False: a socket hears what it joined itself."""
        return False

    def deafen(self, sock: socket.socket) -> NoReturn:  # noqa: ARG002 (one method set on every system)
        """Refuse: sockets take no filter here."""
        raise UsageError("deafen is not offered on macOS: its UDP sockets take no filter; run this event on Linux")

    def undeafen(self, sock: socket.socket) -> None:
        """Do nothing: no socket is deaf here."""

    def request_ancillary(self, sock: socket.socket, version: int, stamps: RxSource = "kernel") -> RxSource:
        """Ask for everything; only the time stamp, in microseconds here, may be missing."""
        if version == 4:
            set_option(sock, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO")
            set_option(sock, IPPROTO_IP, IP_RECVTTL, 1, "IP_RECVTTL")
        else:
            set_option(sock, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO")
            set_option(sock, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT")
        if stamps == "user":
            return "user"
        try:
            sock.setsockopt(SOL_SOCKET, SO_TIMESTAMP, 1)
        except OSError:
            return "user"
        return "kernel"

    def imply_arrival(self, sock: socket.socket, version: int, *, is_implied: bool) -> bool:  # noqa: ARG002 (one method set on every system)
        """Return False: nothing is known to be gained by not asking."""
        return False

    def hardware_clock(self, interface: str) -> NoReturn:
        """Refuse: programs are given no stamps of network cards here."""
        raise UsageError(
            f"stamps of the network card ({interface}) can be had on Linux only, this is macOS; use --stamps kernel"
        )

    def read_one(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, Sequence[Cmsg], tuple[str, int]]:
        """Scatter into the row and what lies beyond it: a MSG_TRUNC that tells the true length is unknown here."""
        size, messages, _, source = sock.recvmsg_into([row, overflow], 256)
        return size, messages, source[:2]

    def decode(self, messages: Sequence[Cmsg]) -> Ancillary:
        """Read the messages that `request_ancillary` asked for."""
        found = Ancillary()
        for level, kind, data in messages:
            if (level, kind) == (IPPROTO_IP, IP_PKTINFO):
                found.ifindex, found.destination = _options.decode_pktinfo4(data)
            elif (level, kind) == (IPPROTO_IPV6, IPV6_PKTINFO):
                found.ifindex, found.destination = _options.decode_pktinfo6(data)
            elif (level, kind) == (IPPROTO_IP, IP_RECVTTL):
                found.ttl = data[0]
            elif (level, kind) == (IPPROTO_IPV6, IPV6_HOPLIMIT):
                found.ttl = struct.unpack("=i", data[:4])[0]
            elif (level, kind) == (SOL_SOCKET, SCM_TIMESTAMP):
                seconds, microseconds = struct.unpack("=qi", data[:12])
                found.rx_ns = seconds * 1_000_000_000 + microseconds * 1_000
        return found

    def _check_index(self, membership: Membership, index: int) -> None:
        """Refuse index 0 for IPv6: the kernel would take its first interface, whichever that is."""
        if membership.group.version == 6 and index == 0:
            raise OSError(errno.ENODEV, "IPv6 needs the interface")

    def _limit_hint(self, membership: Membership) -> str:  # noqa: ARG002 (one method set on every system)
        """Return the limit, which no setting changes."""
        return "a socket holds 4095 memberships; use more sockets"

    def joins_per_socket(self, version: int) -> int:  # noqa: ARG002 (one method set on every system)
        """Return a number well below the kernel's."""
        return _JOINS_PER_SOCKET

    def pin(self, sock: socket.socket, destination: Endpoint, index: int) -> None:
        """Pin by index throughout; an address would tie the socket to one that DHCP may change."""
        level, option, name = {
            (True, 4): (IPPROTO_IP, IP_MULTICAST_IFINDEX, "IP_MULTICAST_IFINDEX"),
            (True, 6): (IPPROTO_IPV6, IPV6_MULTICAST_IF, "IPV6_MULTICAST_IF"),
            (False, 4): (IPPROTO_IP, IP_BOUND_IF, "IP_BOUND_IF"),
            (False, 6): (IPPROTO_IPV6, IPV6_BOUND_IF, "IPV6_BOUND_IF"),
        }[destination.is_multicast, destination.version]
        set_option(sock, level, option, index, name, f"index {index}")

    def report_errors(self, sock: socket.socket, destination: Endpoint) -> None:
        """Do nothing: a full queue is always reported, as ENOBUFS."""

    def clear_errors(self, sock: socket.socket) -> None:
        """Do nothing: there is no error queue."""

    def set_receive_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Halve the wish until it fits: above kern.ipc.maxsockbuf the kernel refuses rather than cuts."""
        _set_buffer(sock, SO_RCVBUF, n_bytes, "SO_RCVBUF")

    def set_send_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Halve the wish until it fits, as for receiving."""
        _set_buffer(sock, SO_SNDBUF, n_bytes, "SO_SNDBUF")

    def buffer_note(self, asked: int, granted: int) -> str:
        """Compare with the wish itself, which is what reads back."""
        if granted >= asked:
            return ""
        return f"receive buffer of {asked} B asked, {granted} B granted; raise kern.ipc.maxsockbuf (8 MiB by default)"

    def drops(self, sock: socket.socket) -> int | None:
        """Return None: only a count over the whole host exists ("dropped due to full socket buffers")."""

    def queued_bytes(self, sock: socket.socket) -> int | None:
        """Return None: the system does not tell what waits in a socket as it accounts for it."""


def _set_buffer(sock: socket.socket, option: int, n_bytes: int, name: str) -> None:
    size = n_bytes
    while size > _SMALLEST_BUFFER:
        try:
            sock.setsockopt(SOL_SOCKET, option, size)
            return
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                break
            size //= 2
    set_option(sock, SOL_SOCKET, option, size, name)
