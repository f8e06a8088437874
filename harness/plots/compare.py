"""Recordings on one axis: a strip for each stream of each match, and the loss ratios of a match over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from harness.model import Parameters, StreamSummary, Summary
from harness.model.comparison import Comparison
from harness.plots import style, wording
from harness.plots.clock_axis import Frame, dress, dress_relative, frame_of
from harness.plots.loss import LossScale
from harness.plots.strips import bin_edges, padded
from harness.plots.timeline import StripPainter
from harness.units import NS_PER_S

MOST_MATCHES = 4
MOST_STRIPS = 16
MOST_BINS = 120
_LOOKS: tuple[tuple[str, str], ...] = (
    (style.BLUE, "-"), (style.VERMILLION, "--"), (style.GREEN, "-."), (style.PURPLE, ":"), (style.INK, "-"),
    (style.ORANGE, "--"),
)  # fmt: skip


@style.styled
def compare_figure(comparison: Comparison, streams: Sequence[Sequence[StreamSummary]], *, zone: tzinfo = UTC) -> Figure:
    """Draw a comparison.

    Args:
      comparison: what was found.
      streams: of each of its matches, labelled by recording and on the axis that the comparison names.
      zone: time zone of the wall clock.
    """
    axis = "on the wall clock" if comparison.axis == "absolute" else "each from its own start"
    names = ", ".join(wording.plain(run.name, 30) for run in comparison.runs)
    chosen = _worst(streams)
    hidden = len(streams) - len(chosen)
    subtitle = f"{names}, {axis}" + (f" · the worst {len(chosen)} of {len(streams):,} matches" if hidden else "")
    shown = [stream for place in chosen for stream in streams[place]][:MOST_STRIPS]
    footer = [*comparison.sentence.split("; "), *comparison.notes[:3]]
    title = _title(comparison)
    frame = frame_of(Summary(parameters=Parameters(), streams=shown), zone)
    if frame is None or not shown:
        return style.message_page(title, subtitle, "No stream of one recording corresponds to one of another.", footer)
    is_wall = comparison.axis == "absolute"
    row_in, key_at = 0.68, 0.52 + frame.extra_in
    made = style.page(
        title,
        subtitle,
        [row_in * len(shown), *[1.5] * len(chosen)],
        footer=footer,
        head_in=0.5 if is_wall else 0.15,
        foot_in=style.key_in(8, key_at),
    )
    strips, *panels = made.panels
    strips.set_ylim(row_in * len(shown), 0)
    strips.set_yticks([])
    strips.spines["left"].set_visible(False)
    handles = StripPainter(strips, frame, 0.24).paint(shown, 0.0, row_in, is_roomy=True)
    dress(strips, frame, labels=False)
    coarse = {place: [_coarse(stream, frame) for stream in streams[place]] for place in chosen}
    scale = LossScale(np.concatenate([ratio for drawn in coarse.values() for ratio, _ in drawn]))
    for axes, place in zip(panels, chosen, strict=True):
        members = [member.name for member in comparison.matches[place].members]
        _overlay(axes, members, coarse[place], scale, handles)
        style.heading(axes, f"Loss ratio: {comparison.matches[place].label}", _bins(coarse[place]))
        dress(axes, frame, labels=is_wall and axes is panels[-1])
    if is_wall:
        dress_relative(strips, frame, is_top=True)
    else:
        dress_relative(panels[-1], frame)
        below = panels[-1].child_axes[-1]  # it leaves room for a wall clock, which is not there
        below.spines["bottom"].set_position(("outward", 0))
    style.key(made, handles, key_at)
    return made.figure


def _worst(streams: Sequence[Sequence[StreamSummary]]) -> list[int]:
    """Return the places of the matches to draw, those with the worst stream first chosen, in their order."""
    order = sorted(range(len(streams)), key=lambda place: (min(map(wording.severity, streams[place])), place))
    return sorted(order[:MOST_MATCHES])


def _title(comparison: Comparison) -> str:
    """Return which measures differ significantly, in a few words."""
    if not comparison.matches:
        return comparison.sentence
    findings = [finding for match in comparison.matches for finding in match.findings]
    measures = list(dict.fromkeys(finding.measure for finding in findings if finding.is_significant))
    if measures:
        listed = " and ".join([", ".join(measures[:-1]), measures[-1]] if len(measures) > 1 else measures)
        text = wording.sentence(f"{listed} {'differs' if len(measures) == 1 else 'differ'} significantly")
    elif any(finding.p_value is not None for finding in findings):
        text = "No significant difference"
    else:
        text = "Nothing could be tested for a significant difference"
    return text + _seen(comparison)


def _seen(comparison: Comparison) -> str:
    """Return the losses of the match in which they differ most, ": a 0.1 % lost, b 8 %"; "" without a difference."""
    most, text = 0.0, ""
    for match in comparison.matches:
        ratios = next((figure.values for figure in match.figures if figure.name == "loss ratio"), [])
        known = [ratio for ratio in ratios if ratio is not None]
        if known and max(known) - min(known) > most:
            most = max(known) - min(known)
            pairs = zip(match.members, ratios, strict=True)
            text = ", ".join(f"{wording.plain(member.name, 24)} {wording.percent(ratio)}" for member, ratio in pairs)
    return f"; lost: {text}" if text else ""


Steps = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Loss ratios, NaN where nothing was due, shape (n,), and the edges of their bins in seconds, shape (n + 1,)."""


def _coarse(stream: StreamSummary, frame: Frame) -> Steps:
    """Return a stream's loss ratio in bins so wide that lines over each other can be told apart; empty if unknown."""
    series = stream.series
    n = len(series.received)
    if not series.due or not n:
        return np.zeros(0), np.zeros(1)
    edges = bin_edges(stream, frame.start_ns)
    group = max(1, math.ceil(frame.span_s / MOST_BINS / max(edges[1] - edges[0], 1e-9)))
    at = np.arange(0, n, group)
    due, lost = (np.add.reduceat(np.nan_to_num(padded(each, n)), at) for each in (series.due, series.lost))
    ratio = np.full(len(at), np.nan)
    np.divide(lost, due, out=ratio, where=due > 0)
    return np.clip(ratio, 0, 1), np.append(edges[at], edges[-1])


def _overlay(
    axes: Axes, names: Sequence[str], drawn: Sequence[Steps], scale: LossScale, handles: dict[str, Artist]
) -> None:
    """Draw the loss ratios of a match over each other, each in its own colour and dashes."""
    scale.apply(axes)
    for place, (name, (ratio, edges)) in enumerate(zip(names, drawn, strict=True)):
        if not len(ratio):
            continue
        colour, dashes = _LOOKS[place % len(_LOOKS)]
        look: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.6}
        heights = np.where(ratio > 0, np.maximum(ratio, scale.low), scale.low)
        axes.stairs(heights, edges, baseline=None, zorder=3 + 0.1 * place, **look)
        handles.setdefault(f"loss ratio, {wording.plain(name, 24)}", Line2D([], [], **look))
    if not any(len(ratio) for ratio, _ in drawn):
        axes.text(0.5, 0.5, "no numbers, so no loss ratio", transform=axes.transAxes, ha="center", color=style.FAINT)


def _bins(drawn: Sequence[Steps]) -> str:
    widths = dict.fromkeys(wording.duration((edges[1] - edges[0]) * NS_PER_S) for ratio, edges in drawn if len(ratio))
    return f"lost / due in bins of {', '.join(widths)}" if widths else ""
