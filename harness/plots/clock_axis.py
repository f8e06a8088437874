"""The common time axis: wall clock below, time since the start above, ticks on round values of either.

Positions are seconds since the frame's start, as floats: nanoseconds since 1970 do not fit a float.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo

from matplotlib.axes import Axes

from harness.model import StreamSummary, Summary
from harness.plots.wording import clock, moment, zone_name
from harness.units import NS_PER_S

_DAY = 86_400 * NS_PER_S
_YEAR = 366 * _DAY
_WALL_STEPS = [
    *(mantissa * 10**power for power in range(9) for mantissa in (1, 2, 5)),
    *(seconds * NS_PER_S for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)),
    *(hours * 3600 * NS_PER_S for hours in (2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 91 * 24, 365 * 24)),
]
_UNITS = (("ns", 1), ("µs", 10**3), ("ms", 10**6), ("s", NS_PER_S), ("min", 60 * NS_PER_S), ("h", 3600 * NS_PER_S))
QUIET = {"start", "end", "stream", "end_of_stream"}
"""Kinds of events that every run has, and that the strips show anyway."""
_NOT_A_SPAN = 3650 * _DAY
"""A time stamp ten years from the others is a damaged one."""


@dataclass(frozen=True)
class Frame:
    """The stretch of time that a figure shows.

    Attributes:
      start_ns, end_ns: what is shown, end after start.
      origin_ns: the moment that relative times count from: the earliest of the streams.
      last_ns: the latest of the streams.
      zone: of the wall clock.
    """

    start_ns: int
    end_ns: int
    origin_ns: int
    last_ns: int
    zone: tzinfo

    def at(self, ns: int) -> float:
        """Return the position of a moment on the axis."""
        return (ns - self.start_ns) / NS_PER_S

    @property
    def span_s(self) -> float:
        """Length of the axis in seconds."""
        return (self.end_ns - self.start_ns) / NS_PER_S

    @property
    def extra_in(self) -> float:
        """Height in inches of the second line of the wall clock's labels, the date, which a long run needs."""
        return 0.16 if self.end_ns - self.start_ns > _DAY else 0.0

    def holds(self, ns: int) -> bool:
        """Whether a moment is on the axis."""
        return self.start_ns <= ns <= self.end_ns


def _moments(stream: StreamSummary) -> Iterator[int]:
    series = stream.series
    if series.received:
        yield series.start_ns
        yield series.start_ns + series.bin_ns * len(series.received)
    for window in stream.windows:
        yield window.start_ns
        yield window.end_ns
    yield from (ns for ns in (stream.first_rx_ns, stream.last_rx_ns) if ns is not None)


def frame_of(summary: Summary, zone: tzinfo = UTC) -> Frame | None:
    """Return the frame that holds all streams, and events at most a quarter of that outside; None without a moment."""
    moments = sorted(ns for stream in summary.streams for ns in _moments(stream))
    if not moments and summary.membership is not None:
        moments = [summary.membership.start_ns, summary.membership.end_ns]
    events = sorted(event.t_ns for event in summary.events if event.kind not in QUIET)
    anchor = moments[len(moments) // 2] if moments else events[len(events) // 2] if events else None
    if anchor is None:
        return None
    near = [ns for ns in moments or events if abs(ns - anchor) <= _NOT_A_SPAN]
    first, last = near[0], near[-1]
    if moments:
        margin = max((last - first) // 4, NS_PER_S)
        seen = [ns for ns in events if first - margin <= ns <= last + margin]
    else:
        seen = near
    start, end = min([first, *seen]), max([last, *seen])
    pad = max((end - start) // 400, 1_000_000 if start == end else 1)
    return Frame(start - pad, end + pad, first, last, zone)


def _ticks(low: int, high: int, step: int, zero: int) -> list[int]:
    first = zero + -(-(low - zero) // step) * step
    return list(range(first, high + 1, step))


def _wall_label(ns: int, step: int, span: int, zone: tzinfo) -> str:
    if step >= _DAY:
        return clock(ns, zone, 0, date=True)[5:10]
    digits = 0 if step >= NS_PER_S else 3 if step >= 10**6 else 6 if step >= 10**3 else 9
    text = clock(ns, zone, digits)
    text = text[:5] if step >= 60 * NS_PER_S else text
    return f"{clock(ns, zone, 0, date=True)[5:10]}\n{text}" if span > _DAY else text


def dress(axes: Axes, frame: Frame, *, most: int = 9, labels: bool = True) -> None:
    """Give an axes the wall clock as its time axis, with a grid; labels only where asked."""
    span = frame.end_ns - frame.start_ns
    step = next((step for step in _WALL_STEPS if span / step <= most), _WALL_STEPS[-1])
    when = moment(frame.start_ns, frame.zone)
    offset = (when.utcoffset() if when else None) or timedelta(0)
    ticks = _ticks(frame.start_ns, frame.end_ns, step, -round(offset.total_seconds()) * NS_PER_S)
    axes.set_xlim(0, frame.span_s)
    axes.set_xticks([frame.at(ns) for ns in ticks])
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    if not labels:
        axes.tick_params(axis="x", labelbottom=False)
        return
    axes.set_xticklabels([_wall_label(ns, step, span, frame.zone) for ns in ticks])
    axes.set_xlabel(_wall_title(frame))


def _wall_title(frame: Frame) -> str:
    if 0 <= frame.origin_ns < _YEAR:
        return "time stamps of the recording (counted from 0, no date)"
    first, last = (clock(ns, frame.zone, 0, date=True)[:10] for ns in (frame.origin_ns, frame.last_ns))
    days = first if first == last else f"{first} to {last}"
    return f"wall clock, {zone_name(frame.start_ns, frame.zone)}, {days}"


def dress_relative(axes: Axes, frame: Frame, *, most: int = 11, is_top: bool = False) -> None:
    """Add the time since the start, in the unit that fits: along the top, or below the wall clock."""
    span = frame.end_ns - frame.start_ns
    unit, size = max((pair for pair in _UNITS if pair[1] * 3 <= span), key=lambda pair: pair[1], default=_UNITS[0])
    steps = [max(1, size * mantissa // 10) for mantissa in (1, 2, 5)]
    steps += [size * nice for nice in (1, 2, 5, 10, 15, 30, 60, 100, 200, 500)]
    steps += [size * 10**power * nice for power in range(3, 9) for nice in (1, 2, 5)]
    step = next((step for step in steps if span / step <= most), span)
    ticks = _ticks(frame.start_ns, frame.end_ns, step, frame.origin_ns)
    second = axes.secondary_xaxis("top" if is_top else "bottom")
    second.set_xticks([frame.at(ns) for ns in ticks])
    second.set_xticklabels([f"{(ns - frame.origin_ns) / size:.6g}" for ns in ticks])
    second.set_xlabel(f"time since the start [{unit}]", fontsize=8.5, labelpad=3)
    second.tick_params(labelsize=8, length=3)
    if is_top:
        second.spines["top"].set_visible(False)
    else:
        second.spines["bottom"].set_position(("outward", 46 if span > _DAY else 36))
