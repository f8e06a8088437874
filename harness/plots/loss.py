"""Loss ratio over time: a panel for each stream, in steps of one bin, windows shaded."""

from __future__ import annotations

from datetime import UTC, tzinfo

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from harness.model import StreamSummary, Summary
from harness.plots import style, wording
from harness.plots.clock_axis import Frame, dress, dress_relative, frame_of
from harness.plots.membership_lane import N_LABELS, draw_membership, membership_lane
from harness.plots.panels import choose, nice_top, shade
from harness.plots.strips import bin_edges, loss_ratio, padded

MOST_STREAMS = 6
_DECADES = 30
"""When the largest ratio of a bin exceeds the smallest above zero by more than this, the axis is logarithmic."""


@style.styled
def loss_figure(summary: Summary, *, zone: tzinfo = UTC) -> Figure:
    """Draw the loss ratio over time of the worst streams.

    A stream without numbers has no loss ratio; its panel shows the rate of packets received instead. One scale serves
    all panels, so that they compare.

    Args:
      summary: what to draw; without a stream, the figure says so.
      zone: time zone of the wall clock.
    """
    frame = frame_of(summary, zone)
    title = wording.sentence(wording.summary_finding(summary))
    footer = [wording.thresholds(summary.parameters)]
    shown, subtitle = choose(summary, MOST_STREAMS, "Loss ratio over time: lost / due in each bin")
    if frame is None or not shown:
        return style.message_page(title, subtitle, "No packet, no window and no stream to draw.", footer)
    height_in = 2.6 if len(shown) == 1 else 1.5
    members = membership_lane(summary, shown)
    made = style.page(
        title,
        subtitle,
        [height_in] * len(shown) + ([members.height_in] if members else []),
        footer=footer,
        head_in=0.38,
        foot_in=style.key_in(3 + (N_LABELS if members else 0)) + frame.extra_in,
    )
    scale = LossScale(np.concatenate([loss_ratio(stream) for stream in shown]))
    handles: dict[str, Artist] = {}
    for axes, stream in zip(made.panels[: len(shown)], shown, strict=True):
        if stream.series.due:
            _ratio(axes, stream, frame, scale, handles)
        else:
            _rate(axes, stream, frame, handles)
        shade(axes, stream.windows, frame, handles)
        style.heading(axes, stream.label, wording.stream_finding(stream))
        dress(axes, frame, labels=axes is made.panels[-1])
    if members is not None:
        draw_membership(made.panels[-1], members, frame, handles)
        dress(made.panels[-1], frame)
    dress_relative(made.panels[-1], frame)
    style.key(made, handles, 1.08 + frame.extra_in)
    return made.figure


class LossScale:
    """The y axis of all panels: linear, or logarithmic when losses differ by decades."""

    def __init__(self, ratio: NDArray[np.float64]) -> None:
        above = ratio[ratio > 0]
        self.is_log = bool(len(above)) and float(above.max()) > _DECADES * float(above.min())
        self.low = 10.0 ** np.floor(np.log10(float(above.min())) - 0.2) if self.is_log else 0.0
        self.high = min(1.0, nice_top(ratio)) if len(above) else 0.01
        self.high = 1.0 if self.high > 0.5 else self.high

    def apply(self, axes: Axes) -> None:
        """Set the scale of one panel."""
        if self.is_log:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylim(self.low, self.high * (1.3 if self.is_log else 1.0))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.4g} %"))
        axes.grid(True, axis="y")
        axes.set_ylabel("lost, log" if self.is_log else "lost")


def _ratio(axes: Axes, stream: StreamSummary, frame: Frame, scale: LossScale, handles: dict[str, Artist]) -> None:
    ratio = loss_ratio(stream)
    edges = bin_edges(stream, frame.start_ns)
    scale.apply(axes)
    bars = np.where(ratio > 0, np.maximum(ratio, scale.low), scale.low)
    axes.stairs(bars, edges, baseline=scale.low, fill=True, color=style.VERMILLION, linewidth=0, zorder=2)
    axes.stairs(bars, edges, baseline=scale.low, color=style.VERMILLION, linewidth=1.0, zorder=2.1)
    width = wording.duration(stream.series.bin_ns)
    handles.setdefault("lost / due", Patch(color=style.VERMILLION))
    empty = "" if np.any(ratio > 0) else "no loss in any bin, "
    axes.text(
        0.995, 0.95, f"{empty}bins of {width}",
        transform=axes.transAxes, ha="right", va="top", color=style.FAINT, bbox=style.CLEAR, zorder=8,
    )  # fmt: skip


def _rate(axes: Axes, stream: StreamSummary, frame: Frame, handles: dict[str, Artist]) -> None:
    series = stream.series
    rate = padded(series.received, len(series.received)) / (max(series.bin_ns, 1) / 1e9)
    axes.stairs(rate, bin_edges(stream, frame.start_ns), fill=True, color=style.BLUE, linewidth=0, zorder=2)
    axes.set_ylim(0, nice_top(rate))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylabel("received / s")
    handles.setdefault("received per second (no numbers, so no loss ratio)", Patch(color=style.BLUE))
