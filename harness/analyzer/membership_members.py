"""Members: each host's joins, reports and leaves, run against the timers of its link.

A querier or snooping switch believes a report for the group membership interval, and for a much shorter time once it
has asked for that one group (RFC 3376 6.4, 6.6.3; RFC 2236 3). What it would believe is what is followed here. In
IGMPv1, IGMPv2 and MLDv1 a host that hears another's report for its group keeps quiet (RFC 2236 3, RFC 2710 4), so there
the report of one counts for all; in later versions every host answers for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness.model import Member, MemberInterval, MembershipLink
from protocols.membership import Leave, Query, Record, RecordKind, Report

if TYPE_CHECKING:
    from harness.analyzer.membership import Heard
    from harness.model.membership import Family

MAX_MEMBERS = 4_096
"""(host, group, interface) that are followed; further ones are only counted."""
MAX_TIMES = 100_000
"""Times of reports kept of all members together."""
MAX_INTERVALS = 1_000
MAX_STEPS = 5_000_000
"""Looks at single members; only a capture made to be slow needs as many."""
MAX_SOURCES = 64

_OWN_ANSWER = {"IGMP": 3, "MLD": 2}
"""The first version in which every member answers for itself."""
_ASKED = (RecordKind.MODE_IS_INCLUDE, RecordKind.MODE_IS_EXCLUDE)


@dataclass(slots=True, eq=False)
class _Host:
    """One host in one group."""

    address: str
    version: int = 0
    is_include: bool = False
    sources: frozenset[str] = frozenset()
    n_reports: int = 0
    n_suppressed: int = 0
    report_ns: list[int] = field(default_factory=list)
    intervals: list[MemberInterval] = field(default_factory=list)
    start_ns: int | None = None
    start: Literal["joined", "seen", "before"] = "joined"
    expires_ns: int = 0
    last_round: int = -1
    silent_since: int = 0
    """Rounds that the group had answered when this host last did."""


@dataclass(slots=True)
class _Group:
    """One group on one link."""

    address: str
    link: MembershipLink
    hosts: dict[str, _Host] = field(default_factory=dict)
    asked_ns: int | None = None
    response_ns: int = 0
    n_asked: int = 0
    last_round: int = -1
    n_answered: int = 0


def follow_members(
    heard: Sequence[Heard], links: Sequence[MembershipLink], start_ns: int, end_ns: int
) -> tuple[list[Member], list[str]]:
    """Return the members of all groups, by interface, group and host, and notes on what was left out.

    Args:
      heard: messages in the order of time.
      links: those on which they were heard, with their timers.
      start_ns: when the capture began to listen.
      end_ns: and when it ended.
    """
    follower = _Follower(links, start_ns)
    for item in heard:
        follower.take(item)
    return follower.finish(end_ns)


class _Follower:
    def __init__(self, links: Sequence[MembershipLink], start_ns: int) -> None:
        self._links = {(link.interface, link.family): link for link in links}
        self._asked: dict[tuple[str, Family], tuple[int, int]] = {}
        self._n_general: dict[tuple[str, Family], int] = {}
        self._groups: dict[tuple[str, Family, str], _Group] = {}
        self._start_ns = start_ns
        self._n_members = self._n_times = self._n_steps = 0
        self._n_beyond = self._n_unlisted = self._n_passed = 0

    def take(self, item: Heard) -> None:
        """Take the next message."""
        if self._n_steps > MAX_STEPS:
            self._n_passed += 1
            return
        key, message = (item.interface, item.family), item.message
        if isinstance(message, Query):
            response_ns = round(message.max_response_s * 1e9)
            if message.group is None:
                self._asked[key] = (item.t_ns, response_ns)
                self._n_general[key] = self._n_general.get(key, 0) + 1
            else:
                self._ask(item, message, response_ns)
        elif isinstance(message, Leave):
            self._leave(self._group(item, str(message.group)), item, message.version)
        elif isinstance(message, Report):
            for record in message.records:
                self._record(item, message.version, record)

    def finish(self, end_ns: int) -> tuple[list[Member], list[str]]:
        """Return all members, and what was left out."""
        members = []
        for (interface, family, _), group in sorted(self._groups.items()):
            self._expire(group, end_ns)
            for host in sorted(group.hosts.values(), key=lambda host: host.address):
                self._close(host, None, "unknown")
                members.append(_member(interface, family, group, host))
        notes = []
        if self._n_beyond:
            notes.append(f"{self._n_beyond:,} group records beyond the first {MAX_MEMBERS:,} members left out")
        if self._n_unlisted:
            notes.append(f"{self._n_unlisted:,} reports counted without their time, {MAX_TIMES:,} are listed")
        if self._n_passed:
            notes.append(f"{self._n_passed:,} membership messages not followed: too many members change too often")
        return members, notes

    def _group(self, item: Heard, address: str) -> _Group:
        key = (item.interface, item.family, address)
        group = self._groups.get(key)
        if group is None:
            group = _Group(address, self._links[item.interface, item.family])
            if len(self._groups) < MAX_MEMBERS:
                self._groups[key] = group
        return group

    def _host(self, group: _Group, address: str) -> _Host | None:
        host = group.hosts.get(address)
        if host is None:
            if self._n_members >= MAX_MEMBERS:
                self._n_beyond += 1
                return None
            self._n_members += 1
            host = group.hosts[address] = _Host(address)
        return host

    def _ask(self, item: Heard, query: Query, response_ns: int) -> None:
        """Shorten the timers of a group that is asked for by name (RFC 3376 6.6.3.1); sources have their own."""
        group = self._groups.get((item.interface, item.family, str(query.group)))
        if group is None or query.sources:
            return
        self._expire(group, item.t_ns)
        group.asked_ns, group.response_ns, group.n_asked = item.t_ns, response_ns, group.n_asked + 1
        if not query.is_router_suppressed:
            until = item.t_ns + (query.robustness or group.link.robustness) * response_ns
            for host in self._members(group):
                host.expires_ns = min(host.expires_ns, until)

    def _members(self, group: _Group) -> list[_Host]:
        self._n_steps += len(group.hosts)
        return [host for host in group.hosts.values() if host.start_ns is not None]

    def _expire(self, group: _Group, now_ns: int) -> None:
        """End the memberships whose time has run out."""
        for host in self._members(group):
            if host.expires_ns <= now_ns:
                self._close(host, host.expires_ns, "expired")

    def _close(self, host: _Host, t_ns: int | None, how: Literal["left", "expired", "unknown"]) -> None:
        if host.start_ns is None:
            return
        if len(host.intervals) < MAX_INTERVALS:
            host.intervals.append(
                MemberInterval(
                    start_ns=host.start_ns, end_ns=t_ns, start=host.start, end=how, expires_ns=host.expires_ns
                )
            )
        host.start_ns = None

    def _leave(self, group: _Group, item: Heard, version: int) -> None:
        self._expire(group, item.t_ns)
        host = self._host(group, item.host)
        if host is None:
            return
        host.version = host.version or version
        if host.start_ns is None and not host.intervals and not host.n_reports:
            host.start_ns, host.start, host.expires_ns = self._start_ns, "before", item.t_ns + group.link.lifetime_ns
        host.sources = frozenset()
        self._close(host, item.t_ns, "left")

    def _record(self, item: Heard, version: int, record: Record) -> None:
        if not isinstance(record.kind, RecordKind) or not record.group.is_multicast:
            return
        group = self._group(item, str(record.group))
        known = group.hosts.get(item.host)
        sources, is_include = _filter(record, known)
        if is_include and not sources:
            # a source blocked by a host whose filter is not known: it may want others still
            is_told = record.kind != RecordKind.BLOCK_OLD_SOURCES or (known is not None and known.start_ns is not None)
            if is_told:
                self._leave(group, item, version)
            return
        self._expire(group, item.t_ns)
        host = self._host(group, item.host)
        if host is None:
            return
        host.version, host.sources, host.is_include = version, sources, is_include
        self._report(group, host, item, is_answer=self._is_answer(group, item, version, record))

    def _is_answer(self, group: _Group, item: Heard, version: int, record: Record) -> bool:
        """Whether a report answers a query; the old versions do not say, there the time since the query decides."""
        if version >= _OWN_ANSWER[item.family]:
            return record.kind in _ASKED
        asked = [self._asked.get((item.interface, item.family)), (group.asked_ns, group.response_ns)]
        return any(at and at[0] is not None and item.t_ns - at[0] <= at[1] for at in asked)

    def _report(self, group: _Group, host: _Host, item: Heard, *, is_answer: bool) -> None:
        this_round = self._n_general.get((item.interface, item.family), 0) + group.n_asked
        if group.last_round != this_round:
            group.last_round, group.n_answered = this_round, group.n_answered + 1
        if host.start_ns is None:
            host.start_ns, host.start = item.t_ns, "seen" if is_answer else "joined"
        elif host.last_round != this_round and host.version < _OWN_ANSWER[item.family]:
            host.n_suppressed += max(0, group.n_answered - 1 - host.silent_since)
        host.last_round, host.silent_since = this_round, group.n_answered
        host.n_reports += 1
        if self._n_times < MAX_TIMES:
            self._n_times += 1
            host.report_ns.append(item.t_ns)
        else:
            self._n_unlisted += 1
        host.expires_ns = until = item.t_ns + group.link.lifetime_ns
        if host.version < _OWN_ANSWER[item.family]:
            for other in self._members(group):
                if other.version < _OWN_ANSWER[item.family]:
                    other.expires_ns = max(other.expires_ns, until)


def _filter(record: Record, known: _Host | None) -> tuple[frozenset[str], bool]:
    """Return the sources after a record, and whether they are the wanted ones (RFC 3376 4.2.12)."""
    sources = frozenset(str(source) for source in record.sources[:MAX_SOURCES])
    if record.kind in (RecordKind.MODE_IS_INCLUDE, RecordKind.CHANGE_TO_INCLUDE):
        return sources, True
    if record.kind in (RecordKind.MODE_IS_EXCLUDE, RecordKind.CHANGE_TO_EXCLUDE):
        return sources, False
    is_known = known is not None and known.start_ns is not None
    had = known.sources if known is not None and is_known else frozenset()
    is_include = known.is_include if known is not None and is_known else True
    is_added = (record.kind == RecordKind.ALLOW_NEW_SOURCES) == is_include
    now = had | sources if is_added else had - sources
    return frozenset(sorted(now)[:MAX_SOURCES]), is_include


def _member(interface: str, family: Family, group: _Group, host: _Host) -> Member:
    # rounds that others answered after this host's last report count as long as it was a member by them
    is_open = bool(host.intervals) and host.intervals[-1].end != "left" and host.n_reports > 0
    is_quiet = is_open and host.version < _OWN_ANSWER[family]
    since = group.n_answered - host.silent_since if is_quiet else 0
    return Member(
        interface=interface,
        family=family,
        host=host.address,
        group=group.address,
        version=host.version,
        mode="include" if host.is_include else "exclude",
        sources=sorted(host.sources),
        reports=host.n_reports,
        suppressed=host.n_suppressed + since,
        report_ns=host.report_ns,
        intervals=host.intervals,
    )
