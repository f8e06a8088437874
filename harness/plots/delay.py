"""Delay: density of one-way delay and of its variation with their percentiles, and the delay over time."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from numpy.typing import NDArray

from harness.model import Distribution, StreamSummary, Summary
from harness.plots import style, wording
from harness.plots.clock_axis import Frame, dress, dress_relative, frame_of
from harness.plots.panels import choose, shade
from harness.plots.scale import TimeScale, time_scale
from harness.plots.strips import bin_edges, padded

MOST_STREAMS = 3
_CAVEAT = (
    "One-way delay contains the difference between the two hosts' clocks; IPDV, its change from packet to packet,"
    " does not."
)
_PERCENTILES = (("50", "-", "median"), ("99", "--", "p99"), ("99.9", ":", "p99.9"))
_BINS = 120
"""Bins of a density at most, so that each is some pixels wide."""
_SQUEEZED = 0.12
"""A histogram whose middle nine tenths take less than this of its width gets a logarithmic density."""
_TAIL = 0.0005
"""Share of the packets at either end that may lie outside the picture; what does is said beside it."""


@style.styled
def delay_figure(summary: Summary, *, zone: tzinfo = UTC) -> Figure:
    """Draw delay and IPDV of the worst streams that have any.

    Args:
      summary: what to draw; without a delay or an IPDV, the figure says so.
      zone: time zone of the wall clock.
    """
    frame = frame_of(summary, zone)
    timed = [stream for stream in summary.streams if stream.delay.n or stream.ipdv.n]
    shown, subtitle = choose(
        summary, MOST_STREAMS, "Delay: density, change from packet to packet (IPDV), over time", among=timed
    )
    footer = [_CAVEAT, wording.thresholds(summary.parameters)]
    if frame is None or not shown:
        message = "No packet carried a usable send time." if summary.streams else "No stream to draw."
        return style.message_page("No delay was measured", subtitle, message, footer)
    notes = [note for stream in shown for note in stream.notes if "clock" in note or "delay" in note]
    footer[1:1] = [f"Note: {note}" for note in list(dict.fromkeys(notes))[:3]]
    if not any(stream.delay.n for stream in shown):
        return _variation_only(shown, subtitle, footer)
    heights = [1.5, 1.3] * len(shown)
    made = style.page(
        _title(shown),
        subtitle,
        heights,
        footer=footer,
        gap_in=0.78,
        head_in=0.42,
        foot_in=style.key_in(3) + frame.extra_in,
    )
    handles: dict[str, Artist] = {}
    for stream, upper, lower in zip(shown, made.panels[::2], made.panels[1::2], strict=True):
        box = upper.get_position()
        width = box.width * 0.455
        upper.set_position((box.x0, box.y0, width, box.height))
        right = made.figure.add_axes((box.x1 - width, box.y0, width, box.height))
        _density(upper, stream.delay, "one-way delay", style.BLUE)
        _density(right, stream.ipdv, "IPDV", style.GREEN)
        _label(upper, stream)
        _over_time(lower, stream, frame, handles)
        dress(lower, frame, labels=lower is made.panels[-1])
    dress_relative(made.panels[-1], frame)
    style.key(made, handles, 1.08 + frame.extra_in)
    return made.figure


def _variation_only(shown: list[StreamSummary], subtitle: str, footer: list[str]) -> Figure:
    """Draw IPDV alone: the packets carry a media clock, which says nothing of the delay itself."""
    heights = [1.8] * len(shown)
    made = style.page(_title(shown), subtitle, heights, footer=footer, gap_in=0.95, head_in=0.42, foot_in=0.7)
    for stream, axes in zip(shown, made.panels, strict=True):
        _density(axes, stream.ipdv, "IPDV", style.GREEN)
        _label(axes, stream)
    return made.figure


def _label(axes: Axes, stream: StreamSummary) -> None:
    text = wording.plain(stream.label, 100)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(text, (0, 1), (0, 17), fontweight="bold", va="bottom", **place)


def _title(streams: list[StreamSummary]) -> str:
    measured = [stream for stream in streams if stream.delay.n]
    lowest = min((stream.delay.minimum_ns for stream in measured if stream.delay.minimum_ns is not None), default=0)
    if lowest < 0:
        return f"Negative one-way delay, down to {wording.duration(lowest)}: the hosts' clocks disagree"
    first = measured[0] if measured else streams[0]
    name, what = ("One-way delay", first.delay) if measured else ("IPDV", first.ipdv)
    of = " of the worst stream" if len(streams) > 1 else ""
    figures = [
        f"{word} {wording.duration(what.percentiles_ns[key])}"
        for key, _, word in _PERCENTILES
        if key != "99" and key in what.percentiles_ns
    ]
    return f"{name}{of}: {', '.join([*figures, f'most {wording.duration(what.maximum_ns)}'])}"


def _view(values: Distribution, edges: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """Return what to show: everything, unless few packets would squeeze the others into a corner."""
    share = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(share, _TAIL, side="right"))
    last = min(int(np.searchsorted(share, 1 - _TAIL, side="left")), len(counts) - 1)
    low, high = float(edges[min(first, last)]), float(edges[last + 1])
    core = max(high - low, abs(high) * 0.02, 1.0)
    if values.minimum_ns is not None and low - values.minimum_ns <= core:
        low = float(min(low, values.minimum_ns))
    if values.maximum_ns is not None and values.maximum_ns - high <= core:
        high = float(max(high, values.maximum_ns))
    margin = max(0.05 * (high - low), 0.02 * core)
    return low - margin, high + margin


def _core(edges: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return the width in ns that holds the middle nine tenths of the packets."""
    share = np.cumsum(counts) / counts.sum()
    first, last = (int(np.searchsorted(share, part)) for part in (0.05, 0.95))
    return float(edges[last + 1] - edges[first])


def _merged(
    edges: NDArray[np.float64], counts: NDArray[np.float64], least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge neighbouring bins until each is at least so wide: density in narrower ones is noise."""
    kept = [0]
    for k in range(1, len(edges)):
        if edges[k] - edges[kept[-1]] >= least:
            kept.append(k)
    if kept[-1] != len(edges) - 1:
        kept.append(len(edges) - 1)
    return edges[kept], np.add.reduceat(counts, kept[:-1])


def _density(axes: Axes, values: Distribution, name: str, colour: str) -> None:
    """Draw one histogram as a density, so that bins of different widths compare."""
    lost = [word for key, _, word in _PERCENTILES if values.percentiles_ns and key not in values.percentiles_ns]
    caption = f"{name}, {wording.plural(values.n, 'packet')}"
    caption += f"; {' and '.join(lost)} not defined: too many lost" if lost else ""
    axes.annotate(caption, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", va="bottom")
    axes.set_yticks([])
    edges, counts = np.array(values.edges_ns, dtype=np.float64), np.array(values.counts, dtype=np.float64)
    if not values.n or not counts.sum() or len(edges) != len(counts) + 1:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color=style.FAINT)
        return
    low, high = _view(values, edges, counts)
    scale = time_scale(low, high)
    edges, counts = _merged(edges, counts, (high - low) / _BINS)
    density = counts / counts.sum() * 100 / np.maximum(np.diff(edges), 1e-3) * scale.unit_ns
    x = (edges - scale.base_ns) / scale.unit_ns
    axes.stairs(density, x, fill=True, color=colour, alpha=0.85, linewidth=0)
    axes.stairs(density, x, color=colour, linewidth=0.8)
    axes.set_xlim(scale(low), scale(high))
    is_squeezed = _core(edges, counts) < _SQUEEZED * (high - low)
    if is_squeezed:
        axes.set_yscale("log")
        axes.set_ylim(float(density[density > 0].min()) / 2, float(density.max()) * 3)
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))
    else:
        axes.set_ylim(0, float(density.max()) * 1.1)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(scale.title(name))
    axes.set_ylabel(f"% of packets\nper {scale.unit}" + (", log" if is_squeezed else ""))
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    _percentile_lines(axes, values, scale)
    _outside(axes, values, low, high)


def _percentile_lines(axes: Axes, values: Distribution, scale: TimeScale) -> None:
    for name, dashes, word in _PERCENTILES:
        value = values.percentiles_ns.get(name)
        if value is not None:
            axes.axvline(
                scale(value), color=style.INK, linestyle=dashes, linewidth=1.3, label=f"{word} {scale.text(value)}"
            )
    low, high = axes.get_xlim()
    median = values.percentiles_ns.get("50")
    is_left = median is not None and scale(median) > (low + high) / 2
    place: Any = "upper left" if is_left else "upper right"
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc=place, fontsize=8, handlelength=2.2, borderaxespad=0.2, frameon=True, edgecolor="none"
    )


def _outside(axes: Axes, values: Distribution, low: float, high: float) -> None:
    ends = []
    if values.minimum_ns is not None and values.minimum_ns < low:
        ends.append(f"least {wording.duration(values.minimum_ns)}")
    if values.maximum_ns is not None and values.maximum_ns > high:
        ends.append(f"most {wording.duration(values.maximum_ns)}")
    if ends:
        axes.annotate(
            f"outside the picture: {', '.join(ends)}", (1, 1), (0, 3), xycoords="axes fraction",
            textcoords="offset points", ha="right", va="bottom", color=style.FAINT, fontsize=8,
        )  # fmt: skip


def _over_time(axes: Axes, stream: StreamSummary, frame: Frame, handles: dict[str, Artist]) -> None:
    """Draw least to most delay of each bin as a band."""
    n = len(stream.series.received)
    low, high = padded(stream.series.delay_min_ns, n), padded(stream.series.delay_max_ns, n)
    shade(axes, stream.windows, frame, handles)
    if not np.isfinite(low).any():
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no delay over time", transform=axes.transAxes, ha="center", va="center", bbox=style.CLEAR)
        return
    least, most = float(np.nanmin(low)), float(np.nanmax(high))
    scale = time_scale(least, most)
    low, high = ((bound - scale.base_ns) / scale.unit_ns for bound in (low, high))
    edges = bin_edges(stream, frame.start_ns)
    axes.stairs(high, edges, baseline=low, fill=True, color=style.BLUE, linewidth=0)
    for bound in (low, high):
        axes.stairs(bound, edges, baseline=None, color=style.BLUE, linewidth=0.9)
    if least > 0 and most > 100 * least:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(True, axis="y")
    title = scale.title("delay") if not scale.base_ns else scale.title("delay").replace(" minus ", "\nminus ")
    axes.set_ylabel(title + (", log" if axes.get_yscale() == "log" else ""))
    handles.setdefault("one-way delay, least to most of a bin", Patch(color=style.BLUE))
