"""Queriers: who asks, how often, who takes over, and when nobody does (RFC 2236 3, RFC 3376 6.6 and 8, RFC 3810 9)."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness.model import MembershipLink, Querier, QuerierChange, QueryGap
from harness.units import NS_PER_S
from protocols.membership import Query

if TYPE_CHECKING:
    from harness.analyzer.membership import Heard
    from harness.model.membership import Family

DEFAULT_INTERVAL_NS = 125 * NS_PER_S
"""Query interval (RFC 2236 8.2, RFC 3376 8.2)."""
DEFAULT_RESPONSE_NS = 10 * NS_PER_S
"""Query response interval (RFC 3376 8.3)."""
DEFAULT_ROBUSTNESS = 2
"""Robustness variable (RFC 3376 8.1)."""
GAP_FACTOR = 1.5
"""Query intervals without a query from which on it counts as a gap: one query at least is missing then."""

MAX_TIMES = 20_000
"""Times of queries kept of a link or a querier; further ones are only counted."""
MAX_QUERIERS = 256
MAX_LISTED = 1_000
_ENOUGH_SPACINGS = 3
"""A querier starts with queries at a quarter of the interval (RFC 3376 8.6); fewer spacings may be those."""

LinkKey = tuple[str, "Family"]


@dataclass(slots=True)
class Queries:
    """What the queries of a capture tell; fields as in MembershipTimeline."""

    links: list[MembershipLink] = field(default_factory=list)
    queriers: list[Querier] = field(default_factory=list)
    changes: list[QuerierChange] = field(default_factory=list)
    gaps: list[QueryGap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_links(heard: Sequence[Heard], start_ns: int, end_ns: int) -> Queries:
    """Return the links of a capture with their timers, queriers and gaps.

    Args:
      heard: messages in the order of time.
      start_ns: when the capture began to listen.
      end_ns: and when it ended.
    """
    found = Queries()
    by_link: dict[LinkKey, list[Heard]] = {}
    for item in heard:
        queries = by_link.setdefault((item.interface, item.family), [])
        if isinstance(item.message, Query):
            queries.append(item)
    for (interface, family), queries in sorted(by_link.items()):
        queriers = _queriers(interface, family, queries, found.notes)
        general = [item for item in queries if _is_general(item)]
        link = _link(interface, family, general, queriers)
        found.links.append(link)
        found.queriers += queriers
        found.changes += _changes(interface, family, general)
        found.gaps += _gaps(link, general, start_ns, end_ns)
    for name in ("changes", "gaps"):
        listed = getattr(found, name)
        if len(listed) > MAX_LISTED:
            found.notes.append(f"only the first {MAX_LISTED:,} of {len(listed):,} query {name} are listed")
            del listed[MAX_LISTED:]
    return found


def _is_general(item: Heard) -> bool:
    return isinstance(item.message, Query) and item.message.group is None


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def _spacings(times: Sequence[int]) -> list[int]:
    """Return the spacings of ascending times, sorted."""
    return sorted(later - earlier for earlier, later in itertools.pairwise(times))


def _median(spacings: Sequence[int]) -> int | None:
    return spacings[(len(spacings) - 1) // 2] if spacings else None


def _queriers(interface: str, family: Family, queries: Sequence[Heard], notes: list[str]) -> list[Querier]:
    """Return the senders of queries in the order in which they were first heard."""
    by_address: dict[str, list[tuple[int, Query]]] = defaultdict(list)
    for item in queries:
        if isinstance(item.message, Query) and (item.host in by_address or len(by_address) < MAX_QUERIERS):
            by_address[item.host].append((item.t_ns, item.message))
    if len(by_address) == MAX_QUERIERS:
        notes.append(f"{interface or 'the capture'}: only the first {MAX_QUERIERS} {family} queriers are listed")
    return [_querier(interface, family, address, asked) for address, asked in by_address.items()]


def _querier(interface: str, family: Family, address: str, asked: Sequence[tuple[int, Query]]) -> Querier:
    general = [(t_ns, query) for t_ns, query in asked if query.group is None]
    specific = [(t_ns, query) for t_ns, query in asked if query.group is not None]
    spacings = _spacings([t_ns for t_ns, _ in general])
    last = general[-1][1] if general else asked[-1][1]
    return Querier(
        interface=interface,
        family=family,
        address=address,
        version=last.version,
        general=len(general),
        specific=len(specific),
        first_ns=asked[0][0],
        last_ns=asked[-1][0],
        interval_ns=_median(spacings),
        longest_ns=spacings[-1] if spacings else None,
        stated_interval_ns=_ns(last.interval_s) if last.interval_s else None,
        robustness=last.robustness or None,
        max_response_ns=_ns(last.max_response_s) if general else None,
        general_ns=[t_ns for t_ns, _ in general[:MAX_TIMES]],
        specific_ns=[t_ns for t_ns, _ in specific[:MAX_TIMES]],
        specific_groups=[str(query.group) for _, query in specific[:MAX_TIMES]],
    )


def _link(interface: str, family: Family, general: Sequence[Heard], queriers: Sequence[Querier]) -> MembershipLink:
    """Return the timers: the last querier's word, else what is measured, else the defaults."""
    last = next((q for q in queriers if general and q.address == general[-1].host), None)
    spacings = _spacings([item.t_ns for item in general])
    source: Literal["stated", "measured", "default"] = "default"
    interval_ns, measured = DEFAULT_INTERVAL_NS, _median(spacings)
    if last is not None and last.stated_interval_ns:
        interval_ns, source = last.stated_interval_ns, "stated"
    elif measured and len(spacings) >= _ENOUGH_SPACINGS:
        interval_ns, source = measured, "measured"
    robustness = (last.robustness if last else None) or DEFAULT_ROBUSTNESS
    response = last.max_response_ns if last and last.max_response_ns is not None else DEFAULT_RESPONSE_NS
    return MembershipLink(
        interface=interface,
        family=family,
        interval_ns=interval_ns,
        interval_source=source,
        robustness=robustness,
        max_response_ns=response,
        lifetime_ns=robustness * interval_ns + response,
        query_ns=[item.t_ns for item in general[:MAX_TIMES]],
    )


def _changes(interface: str, family: Family, general: Sequence[Heard]) -> list[QuerierChange]:
    """Return where the address that asks changes; a source of 0.0.0.0 takes no part in elections (RFC 4541 2.1.1)."""
    asking = [item for item in general if item.host not in ("0.0.0.0", "::")]
    return [
        QuerierChange(interface=interface, family=family, t_ns=later.t_ns, before=earlier.host, after=later.host)
        for earlier, later in itertools.pairwise(asking)
        if earlier.host != later.host
    ]


def _gaps(link: MembershipLink, general: Sequence[Heard], start_ns: int, end_ns: int) -> list[QueryGap]:
    """Return the times without a general query that are too long."""
    longest = GAP_FACTOR * link.interval_ns
    edges = [(start_ns, ""), *((item.t_ns, item.host) for item in general), (end_ns, "")]
    gaps = []
    for place, ((begin, querier), (end, _)) in enumerate(itertools.pairwise(edges)):
        if end - begin <= longest:
            continue
        kind: Literal["no_querier", "before_first", "between", "after_last"] = "between"
        if not general:
            kind = "no_querier"
        elif place == 0:
            kind = "before_first"
        elif place == len(edges) - 2:
            kind = "after_last"
        gaps.append(
            QueryGap(
                interface=link.interface,
                family=link.family,
                kind=kind,
                start_ns=begin,
                end_ns=end,
                expected_ns=link.interval_ns,
                querier=querier,
            )
        )
    return gaps
