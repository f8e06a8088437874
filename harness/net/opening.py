"""How memberships are spread over sockets: one socket a group while they are few, many groups a socket beyond."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.model.endpoint import Endpoint, Membership
from harness.net._options import check_buffer
from harness.net.batch import PathChoice, choose_path
from harness.net.platform import PLATFORM, RxSource
from harness.net.receiver import ReceiverSocket, is_shared, membership_index

MOST_GROUP_SOCKETS = 64
"""Up to so many groups get a socket each, bound to the group; a buffer and a drop counter of its own for each."""

DEFAULT_WIDTH = 2048
"""Bytes kept of each datagram: whole ones up to the MTU of nearly every link."""


def open_overhearing(membership: Membership, *, buffer_bytes: int | None = None, capacity: int = 512) -> ReceiverSocket:
    """Open a socket that hears a group as long as other sockets of this host are members, for counting.

    Where the system delivers a group only to the sockets that joined it (not Linux), it joins. One byte is kept of
    each datagram.

    Raises:
      InterfaceError, BindError, MembershipError, SocketOptionError: as for `open_receiver`.
    """
    receiver = ReceiverSocket(
        membership.group,
        ifindex=membership_index(membership),
        is_shared=True,
        buffer_bytes=buffer_bytes,
        width=1,
        capacity=capacity,
        path=choose_path("auto", False),
        offload=False,
    )
    try:
        receiver.overhear(membership)
    except BaseException:
        receiver.close()
        raise
    return receiver


@dataclass(frozen=True, slots=True)
class _Plan:
    """One socket to be opened: where it is bound and what it joins."""

    endpoint: Endpoint
    ifindex: int
    memberships: tuple[Membership, ...]


def open_receiver(
    memberships: Sequence[Membership],
    *,
    buffer_bytes: int | None = None,
    width: int = DEFAULT_WIDTH,
    capacity: int = 512,
    path: PathChoice = "auto",
    offload: bool = False,
    stamps: RxSource = "kernel",
    one_socket: bool = False,
) -> list[ReceiverSocket]:
    """Open as many sockets as the memberships need, and join them all; all or nothing.

    Args:
      memberships: groups, with interface and source; a unicast or broadcast address is received without joining.
      buffer_bytes: receive buffer of each socket; None for the system's default.
      width: bytes of payload kept of each datagram; `meta["size"]` tells the true length.
      capacity: most datagrams of one read.
      path: "batch" (recvmmsg), "portable", or whatever this system can do.
      offload: let the kernel hand over runs of datagrams as one buffer with one time stamp.
      stamps: who stamps arrivals: the kernel (this program, where it does not), the network card, or this program.
      one_socket: join all groups of a port on one socket, whatever the system's limit, as many programs do.

    Raises:
      UsageError: no membership, width, capacity or buffer out of range, or a path that this system does not have;
        stamps of the card with offload, or without a named interface.
      InterfaceError: no such interface, or its card stamps no arrivals.
      BindError: an address or port cannot be bound.
      MembershipError: the kernel refuses to join a group.
      SocketOptionError: the kernel refuses an option.
    """
    if not memberships:
        raise UsageError("nothing to receive: name at least one GROUP:PORT")
    if width < 1 or capacity < 1:
        raise UsageError(f"width {width} and capacity {capacity} must be 1 at least")
    check_buffer(buffer_bytes)
    chosen = choose_path(path, offload)
    if stamps == "hardware" and offload:
        raise UsageError(
            "--stamps hardware with --offload: datagrams of one buffer share a stamp; leave one of them out"
        )
    sockets: list[ReceiverSocket] = []
    try:
        for plan in _plan(memberships, one_socket=one_socket):
            card = PLATFORM.hardware_clock(_card_of(plan)) if stamps == "hardware" else None
            try:
                receiver = ReceiverSocket(
                    plan.endpoint,
                    ifindex=plan.ifindex,
                    is_shared=any(is_shared(one.group) for one in plan.memberships),
                    buffer_bytes=buffer_bytes,
                    width=width,
                    capacity=capacity,
                    path=chosen,
                    offload=offload,
                    stamps=stamps,
                    card=card,
                )
            except BaseException:
                if card is not None:
                    card.close()
                raise
            sockets.append(receiver)
            for membership in plan.memberships:
                receiver.join(membership)
    except BaseException:
        for receiver in sockets:
            receiver.close()
        raise
    return sockets


def _card_of(plan: _Plan) -> str:
    """Return the one interface that a socket's groups are joined on, whose card is to stamp."""
    names = {membership.interface or membership.group.zone for membership in plan.memberships}
    name = next(iter(names))
    if len(names) > 1 or name is None:
        raise UsageError(
            f"--stamps hardware for {plan.endpoint}: name the one interface whose card stamps (--interface)"
        )
    return name


def _plan(memberships: Sequence[Membership], *, one_socket: bool = False) -> list[_Plan]:
    """Return the sockets to open, in order of first mention."""
    indexes: dict[str | None, int] = {}
    per_group: dict[tuple[Endpoint, int], list[Membership]] = {}
    for membership in memberships:
        name = membership.interface or membership.group.zone
        if name not in indexes:
            indexes[name] = membership_index(membership)
        per_group.setdefault((membership.group, indexes[name]), []).append(membership)
    if len(per_group) <= MOST_GROUP_SOCKETS and not one_socket:
        return [_Plan(group, index, tuple(joined)) for (group, index), joined in per_group.items()]
    plans, per_port = [], dict[tuple[int, int], list[Membership]]()
    for (group, index), joined in per_group.items():
        if group.is_multicast:
            per_port.setdefault((group.version, group.port), []).extend(joined)
        else:
            plans.append(_Plan(group, index, tuple(joined)))
    for (version, port), joined in per_port.items():
        wildcard = Endpoint(ipaddress.ip_address("0.0.0.0" if version == 4 else "::"), port)
        limit = len(joined) if one_socket else PLATFORM.joins_per_socket(version)
        plans += [_Plan(wildcard, 0, tuple(joined[n : n + limit])) for n in range(0, len(joined), limit)]
    return plans
