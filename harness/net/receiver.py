"""Receiving sockets: opened, joined, read batch by batch, counted and closed."""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import trio

from harness.errors import BindError, InterfaceError, MembershipError, UsageError, errno_text
from harness.model.datagrams import Alike, Batch, Datagrams, address_bytes
from harness.model.endpoint import Endpoint, Membership
from harness.model.packets import PacketArray, PacketFlag
from harness.net._options import NOT_IMPLIED, Arrival, new_udp_socket, set_option
from harness.net.batch import Path, make_reader
from harness.net.interfaces import interface_index, is_broadcast
from harness.net.joined import Wanted, WantedTable
from harness.net.platform import PLATFORM, RxSource

if TYPE_CHECKING:
    from harness.net._hardware import HardwareClock

_MISDELIVERED, _USER_STAMP = np.uint8(PacketFlag.MISDELIVERED), np.uint8(PacketFlag.USER_STAMP)


class ReceiverSocket:
    """One socket that receives; made by `open_receiver`.

    One task at a time may read. The batch that it gets is a view of buffers that the next read overwrites.

    Attributes:
      endpoint: what the socket is bound to; an unspecified address when it serves several groups.
      buffer_asked: receive buffer asked for, bytes; None for the system's default.
      buffer_granted: receive buffer as the kernel reports it, bytes. Linux reports twice what it was asked for.
      buffer_note: which limit cut the buffer short, in one sentence; "" when none did.
      rx_source: who stamps arrivals, "kernel", "hardware" or "user".
      card: the clock that "hardware" stamps are of, which are moved to realtime by it; None otherwise.
      n_without_hardware: datagrams that the card left without a stamp and the kernel stamped instead.
      inode: by which `/proc/net/udp` lists the socket; None where sockets have none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        ifindex: int,
        is_shared: bool,
        buffer_bytes: int | None,
        width: int,
        capacity: int,
        path: Path,
        offload: bool,
        stamps: RxSource = "kernel",
        card: HardwareClock | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.card = card
        self.n_without_hardware = 0
        self.buffer_asked = buffer_bytes
        self._joined: dict[Membership, int] = {}
        self._wanted: dict[Membership, Wanted] = {}
        self._table: WantedTable | None = None  # made from `_wanted` at the first read after a change
        self._certain: PacketArray | None = None  # what batches share that were surely asked for
        self._arrival: Arrival | None = None  # what was asked for first; NOT_IMPLIED after anything else
        self._is_watched = False
        self._final_drops: int | None = None
        self._sock = new_udp_socket(endpoint.version)
        try:
            if is_shared:
                PLATFORM.share_port(self._sock)
            if endpoint.version == 6:
                set_option(self._sock, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1, "IPV6_V6ONLY")
            self.rx_source: RxSource = PLATFORM.request_ancillary(self._sock, endpoint.version, stamps)
            PLATFORM.isolate(self._sock, endpoint.version)
            if buffer_bytes is not None:
                PLATFORM.set_receive_buffer(self._sock, buffer_bytes)
            self.buffer_granted = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            self.buffer_note = PLATFORM.buffer_note(buffer_bytes, self.buffer_granted) if buffer_bytes else ""
            _bind(self._sock, endpoint, ifindex)
            self._reader = make_reader(
                self._sock, path, width=width, capacity=capacity, offload=offload, stamps=self.rx_source
            )
            self.inode = _inode(self._sock)
        except BaseException:
            self._sock.close()
            raise

    @property
    def memberships(self) -> tuple[Membership, ...]:
        """What the socket has joined at present, in order of joining."""
        return tuple(self._joined)

    @property
    def path(self) -> str:
        """How datagrams are read: "batch" or "portable"."""
        return self._reader.path

    @property
    def offload(self) -> bool:
        """Whether the kernel hands over runs of datagrams as one buffer, with one time stamp (UDP_GRO)."""
        return self._reader.offload

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._sock.fileno() == -1

    def join(self, membership: Membership) -> None:
        """Join a group; a unicast or broadcast address needs no joining and is merely noted as wanted.

        Raises:
          UsageError: the socket is bound to another group or port.
          InterfaceError: no such interface.
          MembershipError: the kernel refuses, or the socket has joined it already.
        """
        if membership.group.port != self.endpoint.port:
            raise UsageError(
                f"cannot join {membership} at port {membership.group.port}: this socket is at {self.endpoint}"
            )
        address = self.endpoint.address
        if not address.is_unspecified and membership.group.address != address:
            raise UsageError(
                f"cannot join {membership}: this socket is bound to {self.endpoint}; open another receiver"
            )
        if membership in self._joined:
            raise MembershipError("join", str(membership), errno.EADDRINUSE, "this socket has joined it already")
        index = membership_index(membership)
        if membership.group.is_multicast:
            self._tell_or_imply(Arrival(address_bytes(membership.group.address), index))
            PLATFORM.join(self._sock, membership, index)
        self._joined[membership] = index
        checked_index = index if membership.group.is_multicast else 0
        self._wanted[membership] = Wanted(membership.group.address, checked_index, membership.source)
        self._table = self._certain = None

    def _tell_or_imply(self, arrival: Arrival) -> None:
        """Prepare for what is about to arrive there: it is implied as long as nothing else was ever asked for."""
        if self.endpoint.address.is_unspecified or not arrival.ifindex or (self._arrival or arrival) != arrival:
            arrival = NOT_IMPLIED
        if arrival != self._arrival:
            is_implied = PLATFORM.imply_arrival(
                self._sock, self.endpoint.version, is_implied=arrival is not NOT_IMPLIED
            )
            if is_implied:
                self._reader.imply(arrival)
            self._arrival = arrival

    def overhear(self, membership: Membership) -> None:
        """Hear a group as long as other sockets of this host are members, without becoming one.

        Where the system delivers a group only to the sockets that joined it (not Linux), the socket joins.

        Raises:
          InterfaceError: no such interface.
          SocketOptionError, MembershipError: the kernel refuses.
        """
        self._tell_or_imply(NOT_IMPLIED)
        if not PLATFORM.overhear(self._sock, self.endpoint.version):
            self.join(membership)
            return
        index = membership_index(membership)
        self._wanted[membership] = Wanted(membership.group.address, index, membership.source)
        self._table = self._certain = None

    def deafen(self) -> None:
        """Have the kernel throw away all that arrives from now on, as a policy of the system may; Linux only.

        Raises:
          UsageError: this system does not offer it.
          SocketOptionError: the kernel refuses.
        """
        PLATFORM.deafen(self._sock)

    def undeafen(self) -> None:
        """Hear again; what came meanwhile is gone.

        Raises:
          SocketOptionError: the kernel refuses.
        """
        PLATFORM.undeafen(self._sock)

    def leave(self, membership: Membership) -> None:
        """Leave a group; what arrived before and was not yet read still counts as asked for.

        Raises:
          MembershipError: the socket has not joined it, or the kernel refuses (the interface is gone).
        """
        if membership not in self._joined:
            raise MembershipError("leave", str(membership), errno.EADDRNOTAVAIL, "this socket has not joined it")
        index = self._joined.pop(membership)
        self._wanted[membership] = replace(self._wanted[membership], until_ns=time.time_ns())
        self._table = self._certain = None
        if membership.group.is_multicast:
            PLATFORM.leave(self._sock, membership, index)

    def _tabulate(self) -> WantedTable:
        wants_all = any(one.destination.is_unspecified for one in self._wanted.values())
        self._table = WantedTable([] if wants_all else list(self._wanted.values()))
        return self._table

    def receive_nowait(self) -> Batch | None:
        """Return what waits in the socket, at most its capacity; None when nothing does.

        Rows that were not asked for carry PacketFlag.MISDELIVERED; `arrivals_ns` is realtime (see RunClock). With
        offload the batch is of runs.

        Raises:
          trio.ClosedResourceError: the socket is closed.
          InterfaceError: the kernel refuses to read.
        """
        if self.is_closed:
            raise trio.ClosedResourceError
        try:
            batch = self._reader.read()
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if batch is not None:
            if self.card is not None:
                self._move(batch.heads, self.card)
            shared = batch.shared
            if shared is not None and shared is self._certain:  # nearly always
                return batch
            table = self._table or self._tabulate()
            if table.is_certain(batch.heads):
                self._certain = shared
                return batch
            if isinstance(batch, Alike):  # some may have come after a group was left
                batch = Datagrams(batch.data, batch.kept, batch.meta)
            is_stray = table.is_stray(batch.heads)
            if is_stray.any():
                batch.heads["flags"][is_stray] |= _MISDELIVERED
        return batch

    def _unreadable(self, exc: OSError) -> InterfaceError:
        return InterfaceError(f"cannot read from {self.endpoint}: {errno_text(exc.errno or 0)}")

    @property
    def can_gather(self) -> bool:
        """Whether `gather_nowait` would keep what waits; never where that gains nothing."""
        return self._reader.can_gather

    @property
    def n_gathered(self) -> int:
        """Datagrams that were taken out of the socket and not yet received."""
        return self._reader.n_gathered

    def gather_nowait(self) -> int:
        """Take what waits out of the socket, for the next `receive_nowait`, and return how many datagrams that was.

        To look at datagrams costs the less, the more of them it is at a time; the socket's buffer, which is small and
        the kernel's, has to be emptied before.

        Raises:
          trio.ClosedResourceError: the socket is closed.
          InterfaceError: the kernel refuses to read.
        """
        if self.is_closed:
            raise trio.ClosedResourceError
        try:
            return self._reader.gather()
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def keep_fronts(self, is_enough: bool) -> None:
        """Let go, from the next read on, of all but the first FRONT_BYTES of each datagram, or keep again its `width`.

        The kernel is then spared the copying of what nobody looks at. Datagrams are not marked TRUNCATED for it, but
        `kept` tells what is at hand. Heeded while nothing is gathered, and only where it gains something.
        """
        self._reader.keep_fronts(is_enough)

    def _move(self, meta: PacketArray, card: HardwareClock) -> None:
        """Put the card's stamps in place of the kernel's, moved to realtime."""
        stamps_ns = self._reader.hardware_ns[: len(meta)]
        is_stamped = stamps_ns != 0
        meta["rx_ns"][is_stamped] = card.realtime_of(stamps_ns[is_stamped])
        meta["flags"][is_stamped] &= ~_USER_STAMP
        self.n_without_hardware += len(meta) - int(np.count_nonzero(is_stamped))

    async def receive(self) -> Batch:
        """Return at least one datagram, waiting for it if need be; always a checkpoint, and nothing read is ever lost.

        Raises:
          trio.ClosedResourceError: the socket is, or becomes, closed.
          InterfaceError: the kernel refuses to read.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            batch = self.receive_nowait()
            if batch is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return batch
            self._is_watched = True
            await trio.lowlevel.wait_readable(self._sock)

    def unwatch(self) -> None:
        """Have the event loop no longer watch the socket, until `receive` waits again; call it while none does.

        Trio leaves it registered with epoll, and the kernel then asks for each datagram whether someone is to be woken
        up: a few per cent of what it costs to send one on the same machine.
        """
        if self._is_watched and not self.is_closed:
            self._is_watched = False
            trio.lowlevel.notify_closing(self._sock)

    @property
    def is_full(self) -> bool:
        """Whether the last read took as much as one can, so that more may wait."""
        return self._reader.is_full

    def queued_bytes(self) -> int | None:
        """Return how much of the receive buffer is taken, of `buffer_granted`; None where the system does not say."""
        return None if self.is_closed else PLATFORM.queued_bytes(self._sock)

    def drops(self) -> int | None:
        """Return how many datagrams this socket's full buffer has dropped; None where the system does not say.

        After `close` it is the final count.
        """
        if self.is_closed:
            return self._final_drops
        counted = PLATFORM.drops(self._sock)
        return self._reader.last_drops if counted is None else counted

    def close(self) -> None:
        """Close the socket; a task that waits in `receive` gets ClosedResourceError. Again: does nothing."""
        if self.is_closed:
            return
        self._final_drops = self.drops()
        if trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
        if self.card is not None:
            self.card.close()

    def __enter__(self) -> ReceiverSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _inode(sock: socket.socket) -> int | None:
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:  # on Windows a socket is no file
        return None


def membership_index(membership: Membership) -> int:
    """Return the index of the interface that a membership names, in its own field or as an IPv6 zone; 0 for none.

    Raises:
      InterfaceError: no such interface.
    """
    name = membership.interface or membership.group.zone
    return interface_index(name) if name else 0


def is_shared(endpoint: Endpoint) -> bool:
    """Return whether several sockets may receive the same datagram: multicast and broadcast, but not unicast."""
    return endpoint.is_multicast or is_broadcast(endpoint.address)


def _bind(sock: socket.socket, endpoint: Endpoint, ifindex: int) -> None:
    host = PLATFORM.bind_host(endpoint.address)
    text = "" if host is None or host.is_unspecified else str(host).partition("%")[0]
    try:
        if endpoint.version == 4:
            sock.bind((text, endpoint.port))
        else:
            sock.bind((text, endpoint.port, 0, ifindex if text else 0))
    except OSError as exc:
        number = exc.errno or 0
        remedy = {
            errno.EADDRINUSE: "another program has the port, without sharing it by SO_REUSEADDR (see ss -ulpn)",
            errno.EADDRNOTAVAIL: "no interface has this address; see harness interfaces",
            errno.EACCES: "ports below 1024 need root",
            errno.EPERM: "ports below 1024 need root",
            errno.EINVAL: "a link-local address needs its interface (--interface)",
            errno.ENODEV: "a link-local address needs its interface (--interface)",
        }.get(number, "")
        text = f"cannot bind to {endpoint}: {errno_text(number)}"
        raise BindError(f"{text}; {remedy}" if remedy else text) from exc
