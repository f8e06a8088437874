"""Packet numbers over time: the band of numbers in each bin, gaps, and single packets that were out of the ordinary."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.model import StreamSummary, Summary
from harness.plots import style, wording
from harness.plots.clock_axis import Frame, dress, dress_relative, frame_of
from harness.plots.panels import choose, shade, thousands
from harness.plots.strips import bin_edges, padded

MOST_STREAMS = 4
_MARKS = {
    "reordered": ("^", style.PURPLE, "reordered"),
    "duplicate": ("s", style.GREEN, "duplicate"),
    "too_late": ("x", style.INK, "too late (after Tmax)"),
    "corrupt": ("D", style.ORANGE, "corrupt"),
}
_EXACT = 2**31
"""Numbers above this are drawn relative to the smallest, to keep the axis readable and the floats exact."""


@style.styled
def sequence_figure(summary: Summary, *, zone: tzinfo = UTC) -> Figure:
    """Draw the packet numbers over time of the worst streams.

    Args:
      summary: what to draw; without a numbered stream, the figure says so.
      zone: time zone of the wall clock.
    """
    frame = frame_of(summary, zone)
    title = wording.sentence(wording.summary_finding(summary))
    footer = [wording.thresholds(summary.parameters)]
    shown, subtitle = choose(summary, MOST_STREAMS, "Packet numbers over time")
    if frame is None or not shown:
        return style.message_page(title, subtitle, "No packet, no window and no stream to draw.", footer)
    height_in = 4.2 if len(shown) == 1 else 2.4
    made = style.page(
        title, subtitle, [height_in] * len(shown), footer=footer, head_in=0.38, foot_in=style.key_in(7) + frame.extra_in
    )
    handles: dict[str, Artist] = {}
    for axes, stream in zip(made.panels, shown, strict=True):
        _panel(axes, stream, frame, handles)
        style.heading(axes, stream.label, _finding(stream))
        dress(axes, frame, labels=axes is made.panels[-1])
    dress_relative(made.panels[-1], frame)
    style.key(made, handles, 1.08 + frame.extra_in)
    return made.figure


def _finding(stream: StreamSummary) -> str:
    if not stream.received or stream.reordered is None:
        return wording.stream_finding(stream)
    named = (
        (stream.reordered, "reordered"),
        (stream.duplicates, "duplicate"),
        (stream.too_late, "too late"),
        (stream.corrupt, "corrupt"),
    )
    counts = ", ".join(f"{wording.count(number)} {word}" for number, word in named if number)
    extent = stream.reordering.extent_max if stream.reordering else None
    if not counts:
        return "in order, no duplicate"
    return counts + (f"; reordered by up to {wording.plural(extent, 'packet')}" if extent else "")


def _panel(axes: Axes, stream: StreamSummary, frame: Frame, handles: dict[str, Artist]) -> None:
    series = stream.series
    gaps = [window for window in stream.windows if window.first_seq is not None and window.last_seq is not None]
    numbers = [low for low in series.first_seq if low is not None]
    numbers += [window.first_seq for window in gaps if window.first_seq is not None]
    if not numbers:
        text = "no packet numbers" if stream.received else "nothing received"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", bbox=style.CLEAR)
        axes.set_yticks([])
        shade(axes, stream.windows, frame, handles)
        return
    base = min(numbers) if max(numbers) > _EXACT else 0
    shade(axes, stream.windows, frame, handles)
    _band(axes, stream, frame, base, handles)
    missing = [
        [(frame.at(gap.start_ns), gap.first_seq - base), (frame.at(gap.end_ns), gap.last_seq + 1 - base)]
        for gap in gaps
        if wording.is_loss(gap) and gap.first_seq is not None and gap.last_seq is not None
    ]
    if missing:
        dashes = (0, (1.5, 0.8))
        lines = LineCollection(missing, colors=style.VERMILLION, linewidths=2.2, linestyles=[dashes], zorder=4)
        axes.add_collection(lines)
        handles.setdefault("missing", Line2D([], [], color=style.VERMILLION, linewidth=2.2, linestyle=dashes))
    for kind, (marker, colour, name) in _MARKS.items():
        points = [(frame.at(mark.rx_ns), mark.seq - base) for mark in stream.marks if mark.kind == kind]
        if points:
            x, y = np.array(points, dtype=np.float64).T
            look: dict[str, Any] = {"marker": marker, "color": colour, "markersize": 5, "linestyle": "none"}
            look |= {"markeredgewidth": 1.2, "fillstyle": "full" if marker == "x" else "none", "zorder": 5}
            (line,) = axes.plot(x, y, **look)
            handles.setdefault(name, line)
    axes.autoscale_view(scalex=False)
    axes.margins(y=0.06)
    thousands(axes)
    axes.grid(True, axis="y")
    axes.set_ylabel(f"packet number\nminus {base:,}" if base else "packet number")


def _band(axes: Axes, stream: StreamSummary, frame: Frame, base: int, handles: dict[str, Artist]) -> None:
    """Draw the range of numbers of each bin that heard something; a bin that heard nothing leaves a gap."""
    series = stream.series
    edges = bin_edges(stream, frame.start_ns)
    low, high = (
        padded([None if number is None else number - base for number in numbers], len(edges) - 1)
        for numbers in (series.first_seq, series.last_seq)
    )
    if len(edges) > 1:
        axes.stairs(high, edges, baseline=low, fill=True, color=style.BLUE, linewidth=0, zorder=3)
        for bound in (low, high):
            axes.stairs(bound, edges, baseline=None, color=style.BLUE, linewidth=1.2, zorder=3)
    handles.setdefault("received (range of each bin)", Line2D([], [], color=style.BLUE, linewidth=3))
