"""Tables of a capture's group memberships: who asks, when nobody asked, who was a member and until when."""

from __future__ import annotations

from datetime import UTC, tzinfo

from harness.model import Summary
from harness.plots.wording import UNDEFINED, clock, count, duration, plural, zone_name
from harness.report.tables import Table

_GAPS = {
    "no_querier": "nobody asked in the whole capture",
    "before_first": "before the first query",
    "between": "between two queries",
    "after_last": "after the last query",
}
_ENDS = {"left": "left", "expired": "expired", "unknown": "still member"}
_STARTS = {"joined": "", "seen": "≤ ", "before": "before "}


def membership_tables(summary: Summary, most: int = 50, zone: tzinfo = UTC) -> list[Table]:
    """Return the tables of queriers, query gaps and members; without rows where there is nothing to say."""
    return [queriers_table(summary, most), gaps_table(summary, most, zone), members_table(summary, most, zone)]


def queriers_table(summary: Summary, most: int = 50) -> Table:
    """Return who sends queries, how often, and for how long a report counts there."""
    timeline = summary.membership
    columns = (
        "querier",
        "interface",
        "version",
        "general",
        "for one group",
        "every",
        "longest",
        "response",
        "lifetime",
    )
    if timeline is None:
        return Table("Queriers", columns, [])
    lifetimes = {(link.interface, link.family): link for link in timeline.links}
    rows = [
        (
            item.address,
            item.interface or UNDEFINED,
            f"{item.family}v{item.version}",
            count(item.general),
            count(item.specific),
            duration(item.interval_ns),
            duration(item.longest_ns),
            duration(item.max_response_ns),
            duration(lifetimes[item.interface, item.family].lifetime_ns),
        )
        for item in timeline.queriers[:most]
    ]
    changes = f"{plural(len(timeline.changes), 'change')} of the querier. " if timeline.changes else ""
    unused = ", ".join(f"{n:,} {reason}" for reason, n in sorted(timeline.unused.items()))
    remark = changes + (f"Messages that say nothing here: {unused}. " if unused else "")
    remark += "Lifetime: how long a report counts, robustness times interval, plus response."
    return Table("Queriers", columns, rows, frozenset(columns[:3]), remark + _rest(len(timeline.queriers), most))


def gaps_table(summary: Summary, most: int = 50, zone: tzinfo = UTC) -> Table:
    """Return the times without a query."""
    gaps = summary.membership.gaps if summary.membership is not None else []
    shown = sorted(sorted(gaps, key=lambda gap: gap.start_ns - gap.end_ns)[:most], key=lambda gap: gap.start_ns)
    name = zone_name(shown[0].start_ns, zone) if shown else "UTC"
    columns = (f"start ({name})", "end", "length", "expected every", "where", "interface", "last asked by")
    rows = [
        (
            clock(gap.start_ns, zone, date=True),
            clock(gap.end_ns, zone),
            duration(gap.end_ns - gap.start_ns),
            duration(gap.expected_ns),
            f"{gap.family}: {_GAPS[gap.kind]}",
            gap.interface or UNDEFINED,
            gap.querier or "nobody",
        )
        for gap in shown
    ]
    words = frozenset({columns[0], "end", "where", "interface", "last asked by"})
    return Table("Times without a membership query", columns, rows, words, _rest(len(gaps), most).strip())


def members_table(summary: Summary, most: int = 50, zone: tzinfo = UTC) -> Table:
    """Return who was a member of which group from when to when, those first that ended without a leave."""
    members = summary.membership.members if summary.membership is not None else []
    every = [(member, item) for member in members for item in member.intervals]
    shown = sorted(every, key=lambda pair: pair[1].end != "expired")[:most]
    shown.sort(key=lambda pair: (pair[0].group, pair[0].host, pair[1].start_ns))
    name = zone_name(shown[0][1].start_ns, zone) if shown else "UTC"
    columns = ("host", "group", "interface", f"from ({name})", "until", "how", "good until", "reports")
    rows = [
        (
            member.host,
            member.group + (f" from {', '.join(member.sources[:3])}" if member.mode == "include" else ""),
            member.interface or UNDEFINED,
            _STARTS[item.start] + clock(item.start_ns, zone, 0, date=True),
            clock(item.end_ns, zone),
            _ENDS[item.end],
            clock(item.expires_ns, zone),
            count(member.reports) + (f" ({member.suppressed:,} suppressed)" if member.suppressed else ""),
        )
        for member, item in shown
    ]
    remark = ""
    if any(item.end == "expired" for _, item in shown):
        remark = "Expired: no report in time, so a querier or snooping switch would have ended it. "
    if any(item.start == "seen" for _, item in shown):
        remark += "≤: a member already, its first report answers a query."
    return Table("Group members", columns, rows, frozenset(columns[:7]), (remark + _rest(len(every), most)).strip())


def _rest(total: int, most: int) -> str:
    return f" {total - most:,} more in summary.json." if total > most else ""
