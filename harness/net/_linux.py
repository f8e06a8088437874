"""Linux's way with UDP sockets."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.model.endpoint import Endpoint, IPAddress, Membership
from harness.net import _options
from harness.net._group_requests import GroupOptions, GroupRequests
from harness.net._options import Ancillary, Cmsg, RxSource, set_option

if TYPE_CHECKING:
    from harness.net._hardware import HardwareClock

IP_TTL = 2
IP_PKTINFO = 8
IP_RECVERR = 11
IP_RECVTTL = 12
IP_MULTICAST_IF = 32
MCAST_JOIN_GROUP = 42
MCAST_LEAVE_GROUP = 45
MCAST_JOIN_SOURCE_GROUP = 46
MCAST_LEAVE_SOURCE_GROUP = 47
IP_MULTICAST_ALL = 49
IP_UNICAST_IF = 50
IPV6_MULTICAST_IF = 17
IPV6_RECVERR = 25
IPV6_MULTICAST_ALL = 29
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
IPV6_RECVHOPLIMIT = 51
IPV6_HOPLIMIT = 52
IPV6_UNICAST_IF = 76
SO_RCVBUF = 8
SO_SNDBUF = 7
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35 if ctypes.sizeof(ctypes.c_long) == 8 else 64
"""The variant whose two fields are 64 bits wide."""
SO_TIMESTAMPING = 37 if ctypes.sizeof(ctypes.c_long) == 8 else 65
"""Likewise; the control message has the same number and holds three stamps: software, unused, the card's own."""
STAMPING_TX_SOFTWARE = 1 << 1
STAMPING_RX_HARDWARE = 1 << 2
STAMPING_RX_SOFTWARE = 1 << 3
STAMPING_SOFTWARE = 1 << 4
STAMPING_RAW_HARDWARE = 1 << 6
STAMPING_OPT_ID = 1 << 7
STAMPING_OPT_TSONLY = 1 << 11
SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
SO_RXQ_OVFL = 40
SO_MEMINFO = 55
SOL_UDP = 17
UDP_CORK = 1
UDP_SEGMENT = 103
UDP_GRO = 104
MSG_ERRQUEUE = 0x2000
AF_INET6 = 10
SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6 = 1, 0, 41

_MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")
_MAX_SOURCES = Path("/proc/sys/net/ipv4/igmp_max_msf")
_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
_V6_JOINS_PER_SOCKET = 100
"""IPv6 has no count; the socket's option memory (net.core.optmem_max, 20 KiB at least) holds this many."""


class LinuxPlatform(GroupRequests):
    """Linux; see `Platform` for what each method promises."""

    name = "linux"
    has_batch = True
    _GROUP_OPTIONS = GroupOptions(
        join=MCAST_JOIN_GROUP,
        leave=MCAST_LEAVE_GROUP,
        join_source=MCAST_JOIN_SOURCE_GROUP,
        leave_source=MCAST_LEAVE_SOURCE_GROUP,
        af_inet6=AF_INET6,
    )

    def bind_host(self, address: IPAddress) -> IPAddress | None:
        """Bind to anything: unicast, group or broadcast address."""
        return address

    def share_port(self, sock: socket.socket) -> None:
        """Set SO_REUSEADDR, which is enough, and never SO_REUSEPORT.

        With SO_REUSEPORT a recent kernel (measured on 6.18) that finds exactly one member of a group passes the
        datagram on to any socket that shares the port, joined or not: it looks lost here and stray there.
        """
        set_option(sock, SOL_SOCKET, socket.SO_REUSEADDR, 1, "SO_REUSEADDR")

    def isolate(self, sock: socket.socket, version: int) -> None:
        """Switch off the default by which a wildcard socket hears what any process joined."""
        if version == 4:
            set_option(sock, IPPROTO_IP, IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL")
        else:
            set_option(sock, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0, "IPV6_MULTICAST_ALL")

    def overhear(self, sock: socket.socket, version: int) -> bool:
        """Ask for the default again, so that the socket hears without a membership of its own."""
        if version == 4:
            set_option(sock, IPPROTO_IP, IP_MULTICAST_ALL, 1, "IP_MULTICAST_ALL")
        else:
            set_option(sock, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 1, "IPV6_MULTICAST_ALL")
        return True

    def deafen(self, sock: socket.socket) -> None:
        """Attach a filter that keeps nothing of any datagram; what it drops is in no counter of the socket."""
        with attached_program([(_RET, 0, 0, 0)]) as program:
            set_option(sock, SOL_SOCKET, SO_ATTACH_FILTER, program, "SO_ATTACH_FILTER", "ret 0")

    def undeafen(self, sock: socket.socket) -> None:
        """Take the filter off."""
        set_option(sock, SOL_SOCKET, SO_DETACH_FILTER, 0, "SO_DETACH_FILTER", "no filter")

    def request_ancillary(self, sock: socket.socket, version: int, stamps: RxSource = "kernel") -> RxSource:
        """Ask for everything; only the time stamp may be missing.

        With "hardware" the kernel's stamp is asked for as well, for datagrams that the card leaves without.

        When no other socket of the machine has asked for stamps, the kernel takes some milliseconds to begin: until
        then a datagram is stamped when it is read.
        """
        if version == 4:
            set_option(sock, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO")
            set_option(sock, IPPROTO_IP, IP_RECVTTL, 1, "IP_RECVTTL")
        else:
            set_option(sock, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO")
            set_option(sock, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1, "IPV6_RECVHOPLIMIT")
        set_option(sock, SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL")
        if stamps == "hardware":
            wanted = STAMPING_RX_HARDWARE | STAMPING_RAW_HARDWARE | STAMPING_RX_SOFTWARE | STAMPING_SOFTWARE
            set_option(sock, SOL_SOCKET, SO_TIMESTAMPING, wanted, "SO_TIMESTAMPING")
        elif stamps == "kernel":
            try:
                sock.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
            except OSError:
                return "user"
        return stamps

    def imply_arrival(self, sock: socket.socket, version: int, *, is_implied: bool) -> bool:
        """Switch IP_PKTINFO: to answer it the kernel looks up each multicast datagram's source in the routing table.

        It does so while the datagram arrives, which is a part of what sending costs on the same machine. With
        IP_MULTICAST_ALL off it delivers by (group, interface) of the socket's own memberships in any case. For IPv6
        there is nothing to look up.
        """
        if version == 4:
            set_option(sock, IPPROTO_IP, IP_PKTINFO, int(not is_implied), "IP_PKTINFO")
        return version == 4 and is_implied

    def hardware_clock(self, interface: str) -> HardwareClock:
        """Ask the driver what it offers, switch it on, and compare the card's clock with realtime."""
        from harness.net._hardware import open_hardware_clock  # needs fcntl, which other systems lack

        return open_hardware_clock(interface)

    def read_one(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, Sequence[Cmsg], tuple[str, int]]:
        """Scatter into the row and what lies beyond it, so that the size read is the true one."""
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
            elif (level, kind) in ((IPPROTO_IP, IP_TTL), (IPPROTO_IPV6, IPV6_HOPLIMIT)):
                found.ttl = struct.unpack("=i", data[:4])[0]
            elif (level, kind) == (SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("=qq", data[:16])
                found.rx_ns = seconds * 1_000_000_000 + nanoseconds
            elif (level, kind) == (SOL_SOCKET, SO_TIMESTAMPING):
                software, _, card = (s * 1_000_000_000 + ns for s, ns in struct.iter_unpack("=qq", data[:48]))
                found.rx_ns, found.hardware_ns = software or None, card or None
            elif (level, kind) == (SOL_SOCKET, SO_RXQ_OVFL):
                found.drops = struct.unpack("=I", data[:4])[0]
            elif (level, kind) == (SOL_UDP, UDP_GRO):
                found.segment = struct.unpack("=i", data[:4])[0]
        return found

    def _limit_hint(self, membership: Membership) -> str:
        """Return the settings that limit memberships, with their values now."""
        if membership.group.version == 6:
            return "raise net.core.optmem_max"
        hint = f"raise net.ipv4.igmp_max_memberships (now {self.joins_per_socket(4)})"
        if membership.source:
            hint += f" or net.ipv4.igmp_max_msf, the sources of one group (now {_read_number(_MAX_SOURCES, 10)})"
        return hint

    def joins_per_socket(self, version: int) -> int:
        """Read the limit afresh: it is a setting of the network namespace."""
        return max(1, _read_number(_MEMBERSHIPS, 20)) if version == 4 else _V6_JOINS_PER_SOCKET

    def pin(self, sock: socket.socket, destination: Endpoint, index: int) -> None:
        """Pin multicast by its own option, which bypasses the routes; the rest by the unicast one."""
        if destination.is_multicast and destination.version == 4:
            request = struct.pack("=4s4si", bytes(4), bytes(4), index)
            set_option(sock, IPPROTO_IP, IP_MULTICAST_IF, request, "IP_MULTICAST_IF", f"index {index}")
        elif destination.is_multicast:
            set_option(sock, IPPROTO_IPV6, IPV6_MULTICAST_IF, index, "IPV6_MULTICAST_IF", f"index {index}")
        elif destination.version == 4:
            order = struct.pack(">I", index)
            set_option(sock, IPPROTO_IP, IP_UNICAST_IF, order, "IP_UNICAST_IF", f"index {index}")
        else:
            order = struct.pack(">I", index)
            set_option(sock, IPPROTO_IPV6, IPV6_UNICAST_IF, order, "IPV6_UNICAST_IF", f"index {index}")

    def report_errors(self, sock: socket.socket, destination: Endpoint) -> None:
        """Without this option Linux reports a datagram as sent that a full queue of the interface dropped."""
        if destination.version == 4:
            set_option(sock, IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR")
        else:
            set_option(sock, IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR")

    def clear_errors(self, sock: socket.socket) -> None:
        """Read the error queue empty; a socket with something in it counts as ready for ever."""
        for _ in range(1024):
            try:
                sock.recvmsg(1, 512, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except OSError:
                return

    def set_receive_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Exceed net.core.rmem_max when privileged."""
        _set_buffer(sock, n_bytes, SO_RCVBUFFORCE, SO_RCVBUF, "SO_RCVBUF")

    def set_send_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Exceed net.core.wmem_max when privileged."""
        _set_buffer(sock, n_bytes, SO_SNDBUFFORCE, SO_SNDBUF, "SO_SNDBUF")

    def buffer_note(self, asked: int, granted: int) -> str:
        """Compare with twice the wish: the kernel doubles it for its own bookkeeping, and reads back the double."""
        if granted >= 2 * asked:
            return ""
        limit = _read_number(_RMEM_MAX, 0) or "unreadable"
        return f"receive buffer of {asked} B asked, {granted // 2} B granted; raise net.core.rmem_max (now {limit})"

    def drops(self, sock: socket.socket) -> int | None:
        """Read SK_MEMINFO_DROPS: the counter in the control messages lags behind the last datagram delivered."""
        try:
            return int(struct.unpack("=9I", sock.getsockopt(SOL_SOCKET, SO_MEMINFO, 36))[8])
        except (OSError, struct.error):
            return None

    def queued_bytes(self, sock: socket.socket) -> int | None:
        """Read SK_MEMINFO_RMEM_ALLOC."""
        try:
            return int(struct.unpack_from("=I", sock.getsockopt(SOL_SOCKET, SO_MEMINFO, 36))[0])
        except (OSError, struct.error):
            return None


Instruction = tuple[int, int, int, int]
"""One instruction of classic BPF: code, jump if true, jump if false, constant."""

_RET = 0x06


@contextmanager
def attached_program(instructions: Sequence[Instruction]) -> Iterator[bytes]:
    """Yield a `sock_fprog` that points to a program of classic BPF, for SO_ATTACH_FILTER within the block."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    yield struct.pack("@HP", len(instructions), ctypes.addressof(buffer))


def _set_buffer(sock: socket.socket, n_bytes: int, forced: int, plain: int, name: str) -> None:
    try:
        sock.setsockopt(SOL_SOCKET, forced, n_bytes)
    except OSError:  # not privileged
        set_option(sock, SOL_SOCKET, plain, n_bytes, name)


def _read_number(path: Path, default: int) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not mounted, or hidden from this user
        return default
