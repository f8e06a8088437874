"""IGMP and MLD messages of a capture -> when who asked, answered, joined and left (RFC 2236, 3376, 2710, 3810).

Two passes over the decoded messages: `membership_queries` finds the queriers and with them the timers of each link,
`membership_members` runs every host's membership against those timers. Messages that a router would drop (checksum, hop
limit) are counted and left out; nothing that the network sends raises, and all that is kept has a bound.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.analyzer.membership_members import follow_members
from harness.analyzer.membership_queries import GAP_FACTOR, find_links
from harness.model import UNDEFINED_NS, IPAddress, MembershipTimeline
from protocols.igmp import parse_igmp
from protocols.membership import Message, MessageError, Report
from protocols.mld import parse_mld

MAX_RECORDS = 200_000
"""Group records that are followed; decoding one costs some 20 us."""
MAX_LINKS = 1_024
"""Interfaces that are followed, twice that where both protocols are heard."""

_IGMP_TYPES = (0x11, 0x12, 0x16, 0x17, 0x22)
WRONG_CHECKSUM, MALFORMED, CUT, OTHER = "wrong checksum", "malformed", "cut off by the capture", "of another IGMP type"
HOP_LIMIT, UNTIMED, TOO_MANY = "hop limit other than 1", "without a time", "beyond what is followed"


class RawMessage(Protocol):
    """A message as a capture hands it over; `payload` from its type octet on, `ifindex` 0 or the capture's number."""

    @property
    def kind(self) -> Literal["igmp", "mld"]:
        """The protocol."""

    @property
    def rx_ns(self) -> int:
        """Time stamp of the frame."""

    @property
    def source(self) -> IPAddress:
        """Sender's address."""

    @property
    def destination(self) -> IPAddress:
        """Destination's address."""

    @property
    def ttl(self) -> int:
        """TTL or hop limit."""

    @property
    def ifindex(self) -> int:
        """Number of the interface."""

    @property
    def payload(self) -> bytes:
        """The message."""

    @property
    def is_truncated(self) -> bool:
        """Whether the capture cut it off."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that was understood: when, on which link (interface, family), from whom, and what."""

    t_ns: int
    interface: str
    family: Literal["IGMP", "MLD"]
    host: str
    message: Message


def membership_timeline(
    messages: Sequence[RawMessage], observed: tuple[int, int] | None = None, names: Mapping[int, str] | None = None
) -> MembershipTimeline | None:
    """Return the membership timeline of a capture's messages; None when there is none.

    Args:
      messages: in any order.
      observed: from when to when the capture listened; None for its first and last message.
      names: interface names by ifindex; others are "".
    """
    if not messages:
        return None
    unused: Counter[str] = Counter()
    heard = sorted(_understood(messages, names or {}, unused), key=lambda item: item.t_ns)
    times = [item.t_ns for item in heard] + list(observed or ())
    start_ns, end_ns = (min(times), max(times)) if times else (0, 0)
    queries = find_links(heard, start_ns, end_ns)
    members, notes = follow_members(heard, queries.links, start_ns, end_ns)
    if unused[TOO_MANY]:
        bounds = f"{MAX_RECORDS:,} records on {MAX_LINKS:,} interfaces"
        notes.insert(0, f"{unused[TOO_MANY]:,} membership messages not followed: beyond {bounds}")
    return MembershipTimeline(
        start_ns=start_ns,
        end_ns=end_ns,
        messages=len(messages),
        unused=dict(unused),
        gap_factor=GAP_FACTOR,
        links=queries.links,
        queriers=queries.queriers,
        changes=queries.changes,
        gaps=queries.gaps,
        members=members,
        notes=[*queries.notes, *notes],
    )


def _understood(messages: Iterable[RawMessage], names: Mapping[int, str], unused: Counter[str]) -> list[Heard]:
    """Return the messages that count; count the others by reason."""
    heard: list[Heard] = []
    n_records, interfaces = 0, set[str]()
    for raw in messages:
        interface = names.get(raw.ifindex, "")
        if n_records >= MAX_RECORDS or (interface not in interfaces and len(interfaces) >= MAX_LINKS):
            unused[TOO_MANY] += 1
            continue
        found = _decode(raw)
        if isinstance(found, str):
            unused[found] += 1
            n_records += 1  # decoding it cost as much
            continue
        n_records += max(1, len(found.records)) if isinstance(found, Report) else 1
        family: Literal["IGMP", "MLD"] = "IGMP" if raw.kind == "igmp" else "MLD"
        interfaces.add(interface)
        heard.append(Heard(raw.rx_ns, interface, family, str(raw.source), found))
    return heard


def _decode(raw: RawMessage) -> Message | str:
    """Return the message, or why it does not count."""
    if raw.rx_ns == UNDEFINED_NS:
        return UNTIMED
    if raw.is_truncated:
        return CUT
    try:
        if raw.kind == "igmp":
            if raw.payload[:1] and raw.payload[0] not in _IGMP_TYPES:
                return OTHER
            message = parse_igmp(raw.payload)
        elif isinstance(raw.source, ipaddress.IPv6Address) and isinstance(raw.destination, ipaddress.IPv6Address):
            message = parse_mld(raw.payload, raw.source, raw.destination)
        else:
            return MALFORMED
    except MessageError:
        return MALFORMED
    if message.is_checksum_valid is False:
        return WRONG_CHECKSUM
    # RFC 3810 6.2 and 7.4 drop such a message; IGMP does not ask for it
    return HOP_LIMIT if raw.kind == "mld" and raw.ttl != 1 else message
