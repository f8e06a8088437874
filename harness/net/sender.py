"""Sending sockets: pinned to an interface, with TTL and DSCP set, refusals told packet by packet."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable

import numpy as np
import trio
from numpy.typing import NDArray

from harness.errors import BindError, HarnessError, UsageError, errno_text
from harness.model.endpoint import Endpoint
from harness.net._options import check_buffer, new_udp_socket, set_option
from harness.net.batch import PathChoice, choose_path, make_tx_stamps, make_writer
from harness.net.interfaces import interface_index
from harness.net.platform import PLATFORM
from harness.net.ready import ReadyRows


class SenderSocket:
    """One socket that sends to one destination; made by `open_sender`.

    A unicast destination is connected, so that "port unreachable" comes back as ECONNREFUSED. A group is not: the
    kernel chooses route and source address anew for each datagram, as it does for any program that sends so, unless
    `ready` is told to hold a route.

    Attributes:
      destination: where every datagram goes.
      interface: the name of the interface that it is pinned to; None when the routes decide.
      buffer_asked, buffer_granted: send buffer in bytes, as for ReceiverSocket.
    """

    def __init__(
        self,
        destination: Endpoint,
        *,
        interface: str | None,
        ttl: int,
        dscp: int,
        loop: bool,
        buffer_bytes: int | None,
        path: PathChoice,
        offload: bool,
        tx_stamps: bool,
    ) -> None:
        chosen = choose_path(path, offload, tx_stamps)
        self._scratch: socket.socket | None = None
        self.destination = destination
        self.interface = interface
        self.buffer_asked = buffer_bytes
        self._ifindex = interface_index(interface) if interface else 0
        self._sock = self._pinned_socket()
        try:
            _set_marks(self._sock, destination, ttl, dscp, loop)
            if buffer_bytes is not None:
                PLATFORM.set_send_buffer(self._sock, buffer_bytes)
            self.buffer_granted = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            if destination.is_multicast:
                PLATFORM.report_errors(self._sock, destination)
                _bind_to_free_port(self._sock, destination.version)
                address: tuple[str | int, ...] | None = self._address
                packed = _packed_sockaddr(destination, self._ifindex)
            else:
                self._connect(self._sock)
                address, packed = None, None
            self._stamps = make_tx_stamps(self._sock) if tx_stamps else None
            self._writer = make_writer(self._sock, chosen, address, packed, offload=offload, stamps=self._stamps)
            self._port: int = self._sock.getsockname()[1]
        except BaseException:
            self._sock.close()
            raise

    @property
    def _address(self) -> tuple[str | int, ...]:
        host = str(self.destination.address).partition("%")[0]
        tail = () if self.destination.version == 4 else (0, self._ifindex)
        return (host, self.destination.port, *tail)

    def _pinned_socket(self) -> socket.socket:
        sock = new_udp_socket(self.destination.version)
        try:
            if self._ifindex:
                PLATFORM.pin(sock, self.destination, self._ifindex)
            if self.destination.version == 4 and not self.destination.is_multicast:
                set_option(sock, socket.SOL_SOCKET, socket.SO_BROADCAST, 1, "SO_BROADCAST")
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect(self, sock: socket.socket) -> None:
        try:
            sock.connect(self._address)
        except OSError as exc:
            where = f" through {self.interface}" if self.interface else ""
            raise BindError(
                f"cannot send to {self.destination}{where}: {errno_text(exc.errno or 0)}; "
                f"no route leads there: name an interface (--interface), see harness interfaces"
            ) from exc

    @property
    def path(self) -> str:
        """How datagrams are sent: "batch" or "portable"."""
        return self._writer.path

    @property
    def offload(self) -> bool:
        """Whether runs go to the kernel as one buffer (UDP_SEGMENT); becomes False when it refuses their size."""
        return self._writer.offload

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._sock.fileno() == -1

    @property
    def local(self) -> Endpoint:
        """Source address and port as used at this moment; the unspecified address when no route leads out.

        For a group the kernel is asked afresh, by a second socket pinned alike: the address may have changed.
        """
        if not self.destination.is_multicast and not self.is_closed:
            host = str(self._sock.getsockname()[0])
        else:
            host = self._find_source() or ("0.0.0.0" if self.destination.version == 4 else "::")
        return Endpoint(ipaddress.ip_address(host.partition("%")[0]), self._port)

    def _find_source(self) -> str | None:
        """Return the source address that the route has at this moment; None when no route leads out."""
        with self._pinned_socket() as scout:
            try:
                scout.connect(self._address)
            except OSError:
                return None
            return str(scout.getsockname()[0])

    def send_nowait(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send every row as one datagram, without waiting.

        Args:
          data: shape (n, size), uint8.

        Returns:
          Shape (n,): errno of each datagram, 0 where it went out. EAGAIN: the send buffer is full, and this and all
          that follow were not tried; await `wait_writable`. Any other: this one was refused, the next were tried.

        Raises:
          trio.ClosedResourceError: the socket is closed.
        """
        if self.is_closed:
            raise trio.ClosedResourceError
        return self._writer.send(data)

    def one(self, row: NDArray[np.uint8]) -> Callable[[], int]:
        """Return what sends one row as it then stands, with nothing but the system call, and returns the errno.

        For a stream that stamps each datagram right before it leaves; not with `tx_stamps`. A closed socket's errno is
        EBADF.

        Args:
          row: shape (1, size), uint8, contiguous, alive as long as this is used.
        """
        return self._writer.one(row)

    def front_bytes(self, size: int) -> int:
        """Return how many bytes of rows of a size `ready` wants of each, where the rest of all of them is the same."""
        return self._writer.front_bytes(size)

    def ready(self, fronts: NDArray[np.uint8], rest: NDArray[np.uint8]) -> ReadyRows:
        """Return what sends rows again and again as they then stand; for a stream at full rate, not with `tx_stamps`.

        Args:
          fronts: the first `front_bytes` of each row, shape (n, k), uint8, contiguous, alive as long as this is used.
          rest: what follows in each of them, shape (size - k,), uint8.
        """
        return self._writer.ready(fronts, rest, self._find_source)

    def rehearsal(self, size: int) -> Callable[[], bool]:
        """Return what goes the way of what `one` returns without sending, and returns whether it is refused.

        What has not run for a while is no longer in the processor's caches: a first call in a millisecond takes up to
        20 us longer than one that was rehearsed shortly before. The kernel counts a missing route each time. Where the
        system has no such way, or no further socket, it does nothing.

        Args:
          size: of the datagrams in bytes.
        """
        try:
            return self._writer.rehearsal(self._open_scratch, size)
        except (OSError, HarnessError):
            return lambda: False

    def _open_scratch(self) -> socket.socket:
        """Return a socket like this one that lives as long, the same each time."""
        if self._scratch is None:
            self._scratch = self._pinned_socket()
            if not self.destination.is_multicast:
                self._connect(self._scratch)
        return self._scratch

    def run_length(self, size: int) -> int:
        """Return how many datagrams of a size go out as one buffer, 1 without offload."""
        return self._writer.run_length(size)

    @property
    def next_number(self) -> int:
        """With `tx_stamps`, number of the first row of the next `send_nowait`; each has one, whatever becomes of it."""
        return self._writer.next_number

    def take_tx_stamps(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return numbers and kernel transmit stamps (realtime) that came since the last call, shapes (n,).

        Nothing comes for a datagram that the kernel refused; for one that it took, the stamp may stay out. Empty
        without `tx_stamps`, and when the socket is closed.
        """
        if self._stamps is None or self.is_closed:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return self._stamps.take()

    async def wait_writable(self) -> None:
        """Wait until the send buffer has room; always a checkpoint.

        Raises:
          trio.ClosedResourceError: the socket is, or becomes, closed.
        """
        if self.is_closed:
            raise trio.ClosedResourceError
        if self._stamps is not None:
            self._stamps.collect()
        else:
            PLATFORM.clear_errors(self._sock)
        await trio.lowlevel.wait_writable(self._sock)

    def close(self) -> None:
        """Close the socket; a task in `wait_writable` gets ClosedResourceError. Again: does nothing."""
        if self.is_closed:
            return
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
        if self._scratch is not None:
            self._scratch.close()

    def __enter__(self) -> SenderSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_sender(
    group: Endpoint,
    *,
    interface: str | None = None,
    ttl: int = 1,
    dscp: int = 0,
    loop: bool = True,
    buffer_bytes: int | None = None,
    path: PathChoice = "auto",
    offload: bool = False,
    tx_stamps: bool = False,
) -> SenderSocket:
    """Open a socket that sends to a group, a unicast or a broadcast address.

    Args:
      group: the destination.
      interface: name, address or index of the interface to send by; None lets the routes decide.
      ttl: TTL or hop limit, 0 to 255; 1 stays on the link, 0 on this machine.
      dscp: differentiated services code point, 0 to 63 (RFC 2474).
      loop: whether receivers on this machine hear a group's datagrams too.
      buffer_bytes: send buffer; None for the system's default.
      path: "batch" (sendmmsg), "portable", or whatever this system can do.
      offload: hand runs of datagrams to the kernel as one buffer (UDP_SEGMENT).
      tx_stamps: have the kernel stamp each datagram as it passes it to the interface; see `take_tx_stamps`.

    Raises:
      UsageError: ttl, dscp or buffer out of range, a path that this system does not have, or transmit stamps without
        the batch path or with offload.
      InterfaceError: no such interface.
      BindError: no route leads to a unicast destination.
      SocketOptionError: the kernel refuses an option.
    """
    if not 0 <= ttl <= 255 or (ttl == 0 and not group.is_multicast):
        raise UsageError(f"TTL {ttl} is not a number from {0 if group.is_multicast else 1} to 255")
    if not 0 <= dscp <= 63:
        raise UsageError(f"DSCP {dscp} is not a number from 0 to 63; 46 is expedited forwarding")
    check_buffer(buffer_bytes)
    return SenderSocket(
        group,
        interface=interface or group.zone,
        ttl=ttl,
        dscp=dscp,
        loop=loop,
        buffer_bytes=buffer_bytes,
        path=path,
        offload=offload,
        tx_stamps=tx_stamps,
    )


def _bind_to_free_port(sock: socket.socket, version: int) -> None:
    """Bind to a free port by its number: one that the kernel chose by itself is lost when a connection is (Linux)."""
    anywhere = "" if version == 4 else "::"
    if not PLATFORM.has_batch:
        sock.bind((anywhere, 0))
        return
    with new_udp_socket(version) as scout:  # holds the port until `sock` has it
        scout.bind((anywhere, 0))
        for one in (scout, sock):
            set_option(one, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1, "SO_REUSEADDR")
        sock.bind((anywhere, scout.getsockname()[1]))
    set_option(sock, socket.SOL_SOCKET, socket.SO_REUSEADDR, 0, "SO_REUSEADDR")


def _set_marks(sock: socket.socket, destination: Endpoint, ttl: int, dscp: int, loop: bool) -> None:
    """Set TTL, DSCP and loopback, by the options that go with the destination."""
    if destination.version == 4:
        level = socket.IPPROTO_IP
        set_option(sock, level, socket.IP_TOS, dscp << 2, "IP_TOS", f"DSCP {dscp}")
        if destination.is_multicast:
            set_option(sock, level, socket.IP_MULTICAST_TTL, ttl, "IP_MULTICAST_TTL")
            set_option(sock, level, socket.IP_MULTICAST_LOOP, int(loop), "IP_MULTICAST_LOOP")
        else:
            set_option(sock, level, socket.IP_TTL, ttl, "IP_TTL")
        return
    level = socket.IPPROTO_IPV6
    set_option(sock, level, socket.IPV6_TCLASS, dscp << 2, "IPV6_TCLASS", f"DSCP {dscp}")
    if destination.is_multicast:
        set_option(sock, level, socket.IPV6_MULTICAST_HOPS, ttl, "IPV6_MULTICAST_HOPS")
        set_option(sock, level, socket.IPV6_MULTICAST_LOOP, int(loop), "IPV6_MULTICAST_LOOP")
    else:
        set_option(sock, level, socket.IPV6_UNICAST_HOPS, ttl, "IPV6_UNICAST_HOPS")


def _packed_sockaddr(endpoint: Endpoint, ifindex: int) -> bytes:
    """Return Linux's sockaddr_in or sockaddr_in6, as sendmmsg takes it."""
    if endpoint.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", endpoint.port, endpoint.address.packed)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", endpoint.port, 0)
    return head + endpoint.address.packed + struct.pack("=I", ifindex)
