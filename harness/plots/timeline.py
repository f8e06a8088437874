"""The timeline: a strip for each stream, delivered, lost and silent, with the run's events on the same axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.model import StreamSummary, Summary, Window
from harness.plots import style, wording
from harness.plots.clock_axis import Frame, dress, dress_relative, frame_of
from harness.plots.event_lane import draw_events, lane_of
from harness.plots.membership_lane import N_LABELS, draw_membership, membership_lane
from harness.plots.panels import choose
from harness.plots.strips import Spans, bin_edges, covered, delivered, loss_ratio, padded, runs
from harness.units import NS_PER_S

MOST_STREAMS = 24
"""Strips on one page; the others are counted in the subtitle."""
_ROOMY = 8
"""Up to so many strips have a line for the annotations of their windows."""
_CHAR_IN = 0.066
"""Width of an average character at 8 points."""

_CLEAR: dict[str, Any] = {"zorder": 8, "bbox": style.CLEAR}

_MISSING = ("drop-out window: lost", style.VERMILLION, "////", "white")
_STALLED = ("stall: late, none lost", style.YELLOW, "xxxx", style.INK)
_UNKNOWN = ("silence: sent or not, unknown", style.PURPLE, "\\\\\\\\", "white")


def _looks(window: Window) -> tuple[str, str, str, str]:
    if window.kind == "stall":
        return _STALLED
    return _MISSING if wording.is_loss(window) else _UNKNOWN


@style.styled
def timeline_figure(summary: Summary, *, zone: tzinfo = UTC) -> Figure:
    """Draw the timeline of a summary.

    Args:
      summary: what to draw; without a stream, the figure says so.
      zone: time zone of the wall clock.
    """
    frame = frame_of(summary, zone)
    title = wording.sentence(wording.summary_finding(summary))
    footer = [wording.thresholds(summary.parameters)]
    shown, subtitle = choose(summary, MOST_STREAMS, "Timeline: delivered, lost and silent")
    members = membership_lane(summary, shown)
    if frame is None or not (shown or members):
        return style.message_page(title, subtitle, "No packet, no window and no stream to draw.", footer)
    is_roomy = len(shown) <= _ROOMY
    row_in, bar_in = (0.68, 0.24) if is_roomy else (0.36, 0.15)
    lane = lane_of(summary.events, frame)
    lane_in = 0.17 * lane.levels + (0.12 if lane.levels else 0.0)
    strips_in = max(0.12, lane_in + row_in * len(shown))
    if lane.omitted:
        footer.insert(0, lane.omitted)
    made = style.page(
        title,
        subtitle,
        [strips_in, *([members.height_in] if members else [])],
        footer=footer,
        head_in=0.5,
        foot_in=style.key_in(8 + (N_LABELS if members else 0), below_in=0.52 + frame.extra_in),
    )
    axes = made.panels[0]
    axes.set_ylim(strips_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    handles = StripPainter(axes, frame, bar_in).paint(shown, lane_in, row_in, is_roomy=is_roomy)
    dress(axes, frame, labels=members is None)
    if members is not None:
        draw_membership(made.panels[1], members, frame, handles)
        dress(made.panels[1], frame)
    draw_events(axes, lane, lane_in, strips_in)
    dress_relative(axes, frame, is_top=True)
    style.key(made, handles, below_in=0.52 + frame.extra_in)
    return made.figure


class StripPainter:
    """Paints strips into an axes whose y is inches from its top."""

    def __init__(self, axes: Axes, frame: Frame, bar_in: float) -> None:
        self.axes, self.frame, self.bar_in = axes, frame, bar_in
        self.handles: dict[str, Artist] = {}

    def paint(
        self, streams: Sequence[StreamSummary], top_in: float, row_in: float, *, is_roomy: bool
    ) -> dict[str, Artist]:
        """Paint one row for each stream; return the legend's entries."""
        for row, stream in enumerate(streams):
            bottom = top_in + row_in * (row + 1) - 0.06
            self._label(stream, top_in + row_in * row, is_roomy=is_roomy)
            self._strip(stream, bottom)
            if is_roomy:
                self._annotate(stream.windows, bottom - self.bar_in - 0.03)
        return self.handles

    def _label(self, stream: StreamSummary, top: float, *, is_roomy: bool) -> None:
        size = 9.0 if is_roomy else 7.5
        worst = wording.longest(stream.windows)
        finding = wording.stream_finding(stream)
        if worst is not None and not is_roomy:
            finding += f", at {wording.clock(worst.start_ns, self.frame.zone)}"
        label, finding = style.fit(stream.label, finding, size)
        y = top + (0.17 if is_roomy else 0.12)
        self.axes.text(0, y, label, fontsize=size, fontweight="bold", va="baseline", **_CLEAR)
        self.axes.text(self.frame.span_s, y, finding, fontsize=size, va="baseline", ha="right", **_CLEAR)

    def _boxes(self, spans: Spans, bottom: float, name: str, **look: Any) -> None:
        if not len(spans):
            return
        top = bottom - self.bar_in
        corners = [[(a, bottom), (a, top), (b, top), (b, bottom)] for a, b in spans]
        self.axes.add_collection(PolyCollection(corners, **look), autolim=False)
        self.handles.setdefault(name, Patch(**look))

    def _strip(self, stream: StreamSummary, bottom: float) -> None:
        frame = self.frame
        whole = np.array([(frame.at(max(frame.origin_ns, frame.start_ns)), frame.at(frame.last_ns))])
        spans = delivered(stream, frame.start_ns)
        self._boxes(spans, bottom, "delivered", facecolor=style.BLUE, linewidth=0, zorder=2)
        heard = float(np.diff(spans).sum()) + sum(window.duration_ns for window in stream.windows) / NS_PER_S
        is_silent = float(np.diff(whole).sum()) - heard > frame.span_s / 400
        self._boxes(
            whole if is_silent else whole[:0], bottom, "nothing due", facecolor=style.SILENT, linewidth=0, zorder=1
        )
        self._partial(stream, bottom)
        burst = [
            (frame.at(item.start_ns), frame.at(item.end_ns))
            for item in stream.thinning
            if item.start_ns is not None and item.end_ns is not None
        ]
        if burst:
            y = np.full(len(burst), bottom + 0.03)
            starts, ends = np.array(burst).T
            self.axes.hlines(y, starts, ends, colors=style.ORANGE, linewidth=3, zorder=3)
            self.handles.setdefault("thinning: scattered loss", Patch(facecolor=style.ORANGE))
        for looks in (_UNKNOWN, _STALLED, _MISSING):
            name, colour, hatch, stroke = looks
            chosen = [window for window in stream.windows if _looks(window) == looks]
            boxes = np.array([(frame.at(window.start_ns), frame.at(window.end_ns)) for window in chosen])
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": stroke, "hatch": hatch, "linewidth": 0}
            self._boxes(boxes, bottom, name, zorder=4, **look)
            self._outline(boxes, bottom, colour)

    def _outline(self, spans: Spans, bottom: float, colour: str) -> None:
        """Draw an edge around spans: dark, or in their colour where they are too thin to show it themselves."""
        top = bottom - self.bar_in
        corners = [[(a, bottom), (a, top), (b, top), (b, bottom)] for a, b in spans]
        thin = self.frame.span_s / 150
        edges = [style.INK if b - a > thin else colour for a, b in spans]
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": edges, "linewidth": 1.0, "zorder": 4.5}
        self.axes.add_collection(PolyCollection(corners, **look), autolim=False)

    def _partial(self, stream: StreamSummary, bottom: float) -> None:
        """Fill each bin from its top by the share that is lost, a quarter at least, so that one packet shows."""
        ratio = loss_ratio(stream)
        if len(ratio):  # loss that the windows explain to within a packet would only blur their edges
            share = covered(stream, self.frame.start_ns)
            one = 1 / np.maximum(padded(stream.series.due, len(ratio)), 1)
            ratio[(share > 0) & (ratio <= share + one)] = 0
        if not np.any(ratio > 0):
            return
        edges = bin_edges(stream, self.frame.start_ns)
        least = self.frame.span_s / 900  # a pixel
        corners = []
        for begin, end in runs(ratio > 0):
            top = bottom - self.bar_in
            depth = top + self.bar_in * np.maximum(0.25, ratio[begin:end])
            x = np.repeat(edges[begin : end + 1], 2)[1:-1]
            x[-1] = max(x[-1], x[0] + least)
            y = np.repeat(depth, 2)
            corners.append([(x[0], top), *zip(x, y, strict=True), (x[-1], top)])
        look: dict[str, Any] = {"facecolor": style.VERMILLION, "linewidth": 0}
        self.axes.add_collection(PolyCollection(corners, zorder=3, **look), autolim=False)
        self.handles.setdefault("some lost (height = share)", Patch(**look))

    def _annotate(self, windows: Sequence[Window], y: float) -> None:
        """Write start, length and class over the windows, longest first, where there is room; else a marker."""
        frame = self.frame
        per_char = _CHAR_IN * frame.span_s / style.PLOT_IN
        taken: list[tuple[float, float]] = []
        bare: list[float] = []
        for window in sorted(windows, key=lambda item: (-item.duration_ns, item.start_ns))[:200]:
            text = (
                f"{wording.clock(window.start_ns, frame.zone)} · {wording.duration(window.duration_ns)}"
                f" · {wording.CLASS_WORDS[window.kind]}"
            )
            width = len(text) * per_char
            middle = (frame.at(window.start_ns) + frame.at(window.end_ns)) / 2
            left = min(max(0.0, middle - width / 2), frame.span_s - width)
            if all(left > end + per_char or left + width < begin - per_char for begin, end in taken):
                taken.append((left, left + width))
                self.axes.text(left, y, text, fontsize=8, va="baseline", **_CLEAR)
            else:
                bare.append(middle)
        free = [x for x in bare if all(not begin <= x <= end for begin, end in taken)]
        self.axes.plot(free, [y - 0.03] * len(free), "v", color=style.VERMILLION, markersize=3.5, zorder=5)
