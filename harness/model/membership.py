"""Who asked for group members and who answered, over the time of a capture, as values; part of the Summary.

The words are those of RFC 2236, RFC 3376 (IGMP) and RFC 2710, RFC 3810 (MLD). Times are ns on the receiver's time line.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Family = Literal["IGMP", "MLD"]


class MembershipLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One interface of the capture and one of the two protocols: the timers that hold there, and the general queries.

    Attributes:
      interface: name in the capture, "" when it has none.
      interval_ns: time between general queries, as the last querier states it, else measured, else the RFCs' default.
      interval_source: which of these.
      robustness, max_response_ns: stated by the querier, else the defaults, 2 and 10 s.
      lifetime_ns: group membership interval, robustness * interval + max response (RFC 3376 8.4): how long a querier
        or snooping switch believes a report; 260 s by default.
      query_ns: times of the general queries, ascending.
    """

    interface: str
    family: Family
    interval_ns: int
    interval_source: Literal["stated", "measured", "default"]
    robustness: int
    max_response_ns: int
    lifetime_ns: int
    query_ns: list[int]


class Querier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender of queries on a link.

    Attributes:
      address: of the querier; 0.0.0.0 is a snooping switch that asks in place of a router (RFC 4541 2.1.1).
      version: of its last query.
      general, specific: how many queries, for all groups and for one.
      interval_ns: lower median of the spacings of its general queries; None with fewer than two.
      longest_ns: the largest of those spacings.
      stated_interval_ns, robustness: what its last query says (QQIC, QRV); None in versions that cannot, or when 0.
      max_response_ns: of its last general query; None without one.
      general_ns: times of the general queries.
      specific_ns, specific_groups: times of the queries for one group, and which.
    """

    interface: str
    family: Family
    address: str
    version: int
    general: int
    specific: int
    first_ns: int
    last_ns: int
    interval_ns: int | None
    longest_ns: int | None
    stated_interval_ns: int | None
    robustness: int | None
    max_response_ns: int | None
    general_ns: list[int]
    specific_ns: list[int]
    specific_groups: list[str]


class QuerierChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another address took over the general queries: the lower one wins, or the other fell silent (RFC 3376 6.6.2)."""

    interface: str
    family: Family
    t_ns: int
    before: str
    after: str


class QueryGap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time without a general query that is longer than `gap_factor` query intervals.

    Attributes:
      kind: "no_querier" (none in the whole capture), or where in the capture: before the first query, between two,
        after the last.
      start_ns, end_ns: the queries around it, or the edges of the capture.
      expected_ns: the query interval that it is held against.
      querier: who asked last before it, "" when nobody had.
    """

    interface: str
    family: Family
    kind: Literal["no_querier", "before_first", "between", "after_last"]
    start_ns: int
    end_ns: int
    expected_ns: int
    querier: str


class MemberInterval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of time in which a host was a member, as far as its messages tell a querier or a switch.

    Attributes:
      start: "joined" by a report that nobody asked for or a change record; "seen" when the first report answers a
        query, so that it was a member for longer; "before" when its first message is a leave: since before the capture.
      end: "left" by its own message; "expired" when no report came for `lifetime_ns`, whatever the host itself
        believes; "unknown" when it is still a member as the capture ends.
      start_ns, end_ns: half-open; end_ns is None for "unknown".
      expires_ns: when the last report that counts runs out; for "left", when it would have.
    """

    start_ns: int
    end_ns: int | None
    start: Literal["joined", "seen", "before"]
    end: Literal["left", "expired", "unknown"]
    expires_ns: int


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host in one group on one interface.

    Attributes:
      version: of its last report. Below IGMPv3 and MLDv2 a host keeps quiet when another answers for the group, so
        that another's report counts for it too.
      mode, sources: filter of its last record that says so; the sources wanted ("include") or unwanted ("exclude").
      reports: how many it sent for the group.
      suppressed: query rounds that others answered and it did not, while a member.
      report_ns: times of its reports.
      intervals: when it was a member, in order.
    """

    interface: str
    family: Family
    host: str
    group: str
    version: int
    mode: Literal["include", "exclude"]
    sources: list[str] = []
    reports: int
    suppressed: int
    report_ns: list[int]
    intervals: list[MemberInterval]


class MembershipTimeline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queries, reports, joins and leaves of a capture.

    Attributes:
      start_ns, end_ns: when the capture listened.
      messages: of IGMP and MLD, all of them.
      unused: messages that say nothing here, by reason {"wrong checksum": 2}; they are part of `messages`.
      gap_factor: a time without a query counts as a gap above so many query intervals.
      changes: of the querier.
      notes: what was left out to stay within bounds.
    """

    start_ns: int
    end_ns: int
    messages: int
    unused: dict[str, int]
    gap_factor: float
    links: list[MembershipLink]
    queriers: list[Querier]
    changes: list[QuerierChange]
    gaps: list[QueryGap]
    members: list[Member]
    notes: list[str] = []
