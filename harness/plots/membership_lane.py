"""Queries, reports and memberships of a capture, as a panel of rows on the time axis of the streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.model import Member, MembershipLink, MembershipTimeline, Querier, QueryGap, StreamSummary, Summary
from harness.plots import style, wording
from harness.plots.clock_axis import Frame
from harness.units import NS_PER_S

MOST_LINKS, MOST_MEMBERS = 3, 6
"""Rows at most; the others are counted in the heading."""
N_LABELS = 7
"""Entries that the panel may add to a figure's legend."""
_ROW_IN, _BAR_IN, _PAD_IN = 0.36, 0.12, 0.05
_COLUMNS = 1_200
"""Ticks that fall on one of so many columns are drawn once."""
_CHAR_IN = 0.062
_CLEAR: dict[str, Any] = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.3}
_TEXT: dict[str, Any] = {"fontsize": 7.5, "va": "baseline", "zorder": 8, "bbox": _CLEAR}


@dataclass(frozen=True)
class MembershipLane:
    """What the panel shows.

    Attributes:
      timeline: of the summary.
      links, members: one row each, in this order.
    """

    timeline: MembershipTimeline
    links: list[MembershipLink]
    members: list[Member]

    @property
    def height_in(self) -> float:
        """Height of the panel in inches."""
        return _ROW_IN * (len(self.links) + len(self.members)) + _PAD_IN

    @property
    def finding(self) -> str:
        """What the panel's heading says on its right."""
        timeline = self.timeline
        hidden = len(timeline.members) - len(self.members)
        parts = [wording.plural(len(timeline.gaps), "query gap")] if timeline.gaps else ["no query gap"]
        n_expired = sum(item.end == "expired" for member in timeline.members for item in member.intervals)
        parts += [wording.plural(n_expired, "membership") + " expired"] if n_expired else []
        return ", ".join(parts + ([f"{hidden:,} of {len(timeline.members):,} members not shown"] if hidden > 0 else []))


def membership_lane(summary: Summary, shown: Sequence[StreamSummary]) -> MembershipLane | None:
    """Choose the rows: members of the groups of the streams shown first, then those that ended; None without any."""
    timeline = summary.membership
    if timeline is None or not timeline.links:
        return None
    groups = {stream.group.rpartition(":")[0].strip("[]") for stream in shown}

    def rank(member: Member) -> tuple[bool, bool, str, str, str]:
        has_ended = any(item.end != "unknown" for item in member.intervals)
        return member.group not in groups, not has_ended, member.interface, member.group, member.host

    members = sorted(timeline.members, key=rank)[:MOST_MEMBERS]
    wanted = {(member.interface, member.family) for member in members}
    links = sorted(timeline.links, key=lambda link: ((link.interface, link.family) not in wanted, not link.query_ns))
    return MembershipLane(timeline, links[:MOST_LINKS], members)


def draw_membership(axes: Axes, lane: MembershipLane, frame: Frame, handles: dict[str, Artist]) -> None:
    """Draw the panel; its y is inches from its top. Adds to the legend's entries."""
    axes.set_xlim(0, frame.span_s)
    axes.set_ylim(lane.height_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    painter = _Painter(axes, lane.timeline, frame, handles)
    for row, link in enumerate(lane.links):
        painter.link(link, _ROW_IN * row)
    for row, member in enumerate(lane.members, start=len(lane.links)):
        painter.member(member, _ROW_IN * row)
    style.heading(axes, "Group membership: queries, reports, members", lane.finding)


class _Painter:
    """Paints rows whose top is given in inches."""

    def __init__(self, axes: Axes, timeline: MembershipTimeline, frame: Frame, handles: dict[str, Artist]) -> None:
        self.axes, self.timeline, self.frame, self.handles = axes, timeline, frame, handles

    def link(self, link: MembershipLink, top: float) -> None:
        """Paint the queries of a link, and the times without one."""
        key = (link.interface, link.family)
        queriers = [item for item in self.timeline.queriers if (item.interface, item.family) == key]
        gaps = [item for item in self.timeline.gaps if (item.interface, item.family) == key]
        self._words(top, f"{link.family} queries{_on(link.interface)}", _asking(link, queriers, gaps))
        bottom = top + _ROW_IN - 0.03
        spans = [self._span(gap.start_ns, gap.end_ns) for gap in gaps]
        look: dict[str, Any] = {"facecolor": style.HAZE, "edgecolor": style.PURPLE, "hatch": "\\\\\\", "linewidth": 0.5}
        self._bars(spans, bottom, "no query for too long", look)
        self._ticks(link.query_ns, bottom, _BAR_IN, style.INK, "general query")
        specific = [t_ns for querier in queriers for t_ns in querier.specific_ns]
        self._ticks(specific, bottom, _BAR_IN * 0.6, style.ORANGE, "query for one group")

    def member(self, member: Member, top: float) -> None:
        """Paint when a host was a member, and its reports."""
        self._words(top, f"{member.host} in {member.group}{_on(member.interface)}", self._fate(member))
        bottom = top + _ROW_IN - 0.03
        ends = [self.timeline.end_ns if item.end_ns is None else item.end_ns for item in member.intervals]
        spans = [self._span(item.start_ns, end) for item, end in zip(member.intervals, ends, strict=True)]
        self._bars(spans, bottom, "member", {"facecolor": style.SKY, "linewidth": 0})
        self._ticks(member.report_ns, bottom, _BAR_IN, style.BLUE, "report")
        for how, marker, colour in (("expired", "X", style.VERMILLION), ("left", "|", style.GREEN)):
            moments = [end for item, end in zip(member.intervals, ends, strict=True) if item.end == how]
            x = [self.frame.at(ns) for ns in moments if self.frame.holds(ns)]
            if x:
                look: dict[str, Any] = {"color": colour, "markersize": 6, "markeredgewidth": 0.8, "linestyle": ""}
                if how == "left":
                    look |= {"markersize": 11, "markeredgewidth": 2.2}
                self.axes.plot(x, [bottom - _BAR_IN / 2] * len(x), marker, zorder=6, clip_on=False, **look)
                name = "expired: no report in time" if how == "expired" else "leave"
                self.handles.setdefault(name, Line2D([], [], marker=marker, **look))

    def _fate(self, member: Member) -> str:
        """Return in words how the last membership began and ended."""
        if not member.intervals:
            return ""
        last, zone = member.intervals[-1], self.frame.zone
        at = wording.clock(last.end_ns if last.end_ns is not None else last.expires_ns, zone, 1)
        if last.end == "left":
            return f"left at {at}"
        if last.end == "expired":
            return f"would have expired at {at}: no report in time"
        return f"member to the end, good until {at}"

    def _words(self, top: float, left: str, right: str) -> None:
        room = int(style.PLOT_IN / _CHAR_IN)
        right = wording.plain(right, room * 2 // 3)
        y = top + _ROW_IN - _BAR_IN - 0.07
        self.axes.text(0, y, wording.plain(left, max(20, room - len(right) - 3)), **_TEXT)
        self.axes.text(self.frame.span_s, y, right, ha="right", color=style.FAINT, **_TEXT)

    def _span(self, start_ns: int, end_ns: int) -> tuple[float, float]:
        """Return the start and width of a span, cut to the axis."""
        begin = min(max(start_ns, self.frame.start_ns), self.frame.end_ns)
        end = max(min(end_ns, self.frame.end_ns), begin)
        return self.frame.at(begin), (end - begin) / NS_PER_S

    def _bars(self, spans: Sequence[tuple[float, float]], bottom: float, name: str, look: dict[str, Any]) -> None:
        shown = [span for span in spans if span[1] > 0]
        if shown:
            self.axes.broken_barh(shown, (bottom - _BAR_IN, _BAR_IN), zorder=2, **look)
            self.handles.setdefault(name, Patch(**look))

    def _ticks(self, times: Sequence[int], bottom: float, height: float, colour: str, name: str) -> None:
        inside = np.array([self.frame.at(ns) for ns in times if self.frame.holds(ns)], np.float64)
        if not len(inside):
            return
        column = np.floor(inside / self.frame.span_s * _COLUMNS)
        _, first = np.unique(column, return_index=True)
        self.axes.vlines(inside[first], bottom - height, bottom, colors=colour, linewidth=1.1, zorder=5)
        self.handles.setdefault(name, Line2D([], [], color=colour, marker="|", markersize=9, linestyle=""))


def _on(interface: str) -> str:
    return f" on {interface}" if interface else ""


def _asking(link: MembershipLink, queriers: Sequence[Querier], gaps: Sequence[QueryGap]) -> str:
    """Return who asks, how often, and the longest time without a query."""
    if not link.query_ns:
        return f"nobody asks; memberships last {wording.duration(link.lifetime_ns)}"
    who = ", ".join(querier.address for querier in queriers[:2]) + (" and more" if len(queriers) > 2 else "")
    text = f"{who} every {wording.duration(link.interval_ns)} ({link.interval_source})"
    if not gaps:
        return text
    worst = max(gaps, key=lambda gap: gap.end_ns - gap.start_ns)
    return f"{text}, none for {wording.duration(worst.end_ns - worst.start_ns)}"
