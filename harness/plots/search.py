"""Loss over rate: every trial of a search where it was really offered, and the bounds that it came to."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.model.search import SearchResult, SearchTrial, TrialVerdict
from harness.plots import style
from harness.units import format_duration, format_scaled

_MARKS: dict[TrialVerdict, tuple[str, str, str]] = {
    "loss-free": ("o", style.GREEN, "loss-free"),
    "loss": ("X", style.VERMILLION, "lost in the network"),
    "own-buffer": ("s", style.ORANGE, "dropped by the receiver's own buffer"),
    "sender-limited": ("<", style.PURPLE, "sender fell behind: load not offered"),
}

ROOM = 0.08
"""The figure of the highest load that passed stands left of it where there is so much of the axis."""


@style.styled
def search_figure(result: SearchResult, title: str) -> Figure:
    """Draw the loss ratio of each trial over the rate that was really offered.

    A trial whose sender fell behind stands at the rate that it offered, with a thin line to the one it was asked for.

    Args:
      result: the search; without a trial, the figure says so.
      title: what was found.
    """
    subtitle = f"Loss over rate, a mark for each trial of {format_duration(result.trial_ns)}, to {result.group}"
    footer = [
        f"{result.size} B of UDP payload; resolution {format_scaled(result.resolution_pps, 'pps')};"
        f" loss tolerated {result.loss_tolerance * 100:.3g} %; ended: {result.end}.",
        *result.notes,
    ]
    if not result.trials:
        return style.message_page(title, subtitle, "No trial was made to its end.", footer)
    made = style.page(title, subtitle, [3.2], footer=footer, head_in=0.2, foot_in=1.1)
    axes = made.panels[0]
    ratios = np.array([trial.loss_ratio or 0.0 for trial in result.trials]) * 100
    handles: dict[str, Artist] = {}
    for trial, ratio in zip(result.trials, ratios.tolist(), strict=True):
        marker, colour, label = _MARKS[trial.verdict]
        offered = _offered_pps(trial)
        if trial.verdict == "sender-limited":
            axes.plot([offered, trial.asked_pps], [ratio, ratio], color=colour, linewidth=0.8, zorder=1.5)
        (mark,) = axes.plot(
            [offered], [ratio], marker, color=colour, markersize=8, markeredgecolor="white", zorder=3, clip_on=False
        )
        handles.setdefault(label, mark)
    right = 1.04 * _reach_pps(result)
    axes.set_xlim(0, right)
    _bounds(axes, result, right)
    axes.set_ylim(0, max(0.01, float(ratios.max()) * 1.12))
    axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_scaled(value, "pps")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g} %"))
    axes.grid(True, axis="y")
    axes.set_ylabel("lost")
    axes.set_xlabel("rate offered")
    style.key(made, handles, 0.62)
    return made.figure


def _offered_pps(trial: SearchTrial) -> float:
    return trial.offered_pps if trial.offered_pps is not None else trial.asked_pps


def _reach_pps(result: SearchResult) -> float:
    """Return how far the figure reaches: to all that was offered, and as far again at most to what was asked for."""
    offered = [_offered_pps(trial) for trial in result.trials]
    bounds = [bound for bound in (result.throughput_pps, result.upper_bound_pps) if bound is not None]
    behind = [trial.asked_pps for trial in result.trials if trial.verdict == "sender-limited"]
    reached = max(offered + bounds)
    return max(reached, min(max(behind, default=0.0), 2 * reached))


def _bounds(axes: Axes, result: SearchResult, right: float) -> None:
    """Shade the span between the highest load that passed and the lowest that did not; the axis ends at `right`."""
    lower, upper = result.throughput_pps, result.upper_bound_pps
    if lower is not None:
        axes.axvline(lower, color=style.GREEN, linewidth=1.2, zorder=1)
        away, side = (-4, "right") if lower > ROOM * right else (4, "left")
        axes.annotate(
            format_scaled(lower, "pps"), (lower, 1), (away, -4), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha=side, va="top", bbox=style.CLEAR,
        )  # fmt: skip
    if lower is not None and upper is not None:
        axes.axvspan(lower, upper, facecolor=style.WASH, edgecolor=style.PENCIL, hatch="///", linewidth=0.5, zorder=0.5)
