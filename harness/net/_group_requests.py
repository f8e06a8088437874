"""Joining and leaving by the protocol-independent requests of RFC 3678 section 5, which every system here has."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from harness.model.endpoint import IPAddress, Membership
from harness.net import _options

IPPROTO_IP, IPPROTO_IPV6 = 0, 41
AF_INET = 2


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """A system's numbers for these requests, and how it lays out their structures.

    Attributes:
      join, leave: of a group from any source. join_source, leave_source: from one.
      af_inet6: its address family of IPv6.
      is_packed: whether addresses follow the index at once, not at the next multiple of eight.
      has_length: whether a socket address begins with its own length.
    """

    join: int
    leave: int
    join_source: int
    leave_source: int
    af_inet6: int
    is_packed: bool = False
    has_length: bool = False

    def request(self, membership: Membership, index: int) -> bytes:
        """Return the `group_req` or `group_source_req` of a membership."""
        addresses = [membership.group.address] + ([membership.source] if membership.source else [])
        return _options.group_request(index, [self._address(one) for one in addresses], self.is_packed)

    def _address(self, address: IPAddress) -> bytes:
        return _options.sockaddr(address, AF_INET if address.version == 4 else self.af_inet6, self.has_length)


class GroupRequests:
    """What the platforms have in common: `join` and `leave`; each says its numbers and what a refusal may mean."""

    _GROUP_OPTIONS: GroupOptions

    def join(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Join by the options that serve IPv4 and IPv6, any source and one source alike."""
        options = self._GROUP_OPTIONS
        self._change(sock, membership, index, "join", options.join_source if membership.source else options.join)

    def leave(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Leave what `join` joined."""
        options = self._GROUP_OPTIONS
        self._change(sock, membership, index, "leave", options.leave_source if membership.source else options.leave)

    def _change(self, sock: socket.socket, membership: Membership, index: int, action: str, option: int) -> None:
        level = IPPROTO_IP if membership.group.version == 4 else IPPROTO_IPV6
        try:
            self._check_index(membership, index)
            sock.setsockopt(level, option, self._GROUP_OPTIONS.request(membership, index))
        except OSError as exc:
            raise _options.membership_error(action, membership, exc, self._limit_hint(membership)) from exc

    def _check_index(self, membership: Membership, index: int) -> None:
        """Refuse an interface index that the system would misread, as the system itself refuses. Raises OSError."""

    def _limit_hint(self, membership: Membership) -> str:
        """Return what to do where the system's limit of memberships is reached."""
        raise NotImplementedError
