"""A campaign in three figures: boots over time, the first packet of each boot, and the fault's rate by variable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.model.boots import BootMeasures, CampaignSummary, Outcome, Rate
from harness.plots import style, wording
from harness.units import NS_PER_S

MOST_LABELLED = 40
"""Rows that get a label each; more are drawn thinner, with every so many numbered."""
_CHAR_IN = 0.072

_OUTCOMES: dict[Outcome, tuple[str, str, str]] = {
    "reproduced": ("X", style.VERMILLION, "fault reproduced"),
    "ok": ("o", style.GREEN, "without the fault"),
    "not_run": ("s", style.SILENT, "could not run"),
    "hung": ("D", style.PURPLE, "hung"),
    "crashed": ("P", style.INK, "cut short: crash or power cut"),
}
_SPANS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("delivered", "delivered", {"facecolor": style.BLUE, "linewidth": 0}),
    ("silent", "silent, due unknown", {"facecolor": style.YELLOW, "edgecolor": style.PENCIL, "linewidth": 0}),
    ("lost", "lost", {"facecolor": style.VERMILLION, "edgecolor": "white", "hatch": "///", "linewidth": 0}),
)
_MARKS: dict[str, tuple[str, str, str]] = {
    "join": ("|", style.INK, "join"),
    "leave": ("x", style.INK, "leave"),
    "reopen": ("v", style.ORANGE, "sockets reopened"),
    "cure": ("*", style.GREEN, "cured by that"),
}


@style.styled
def raster_figure(summary: CampaignSummary) -> Figure:
    """Draw one row for each boot: delivered, lost, silent; joins, reopenings and cures.

    Time 0 of each row is the boot's own first join. Boots that could not run have an empty row, and keep their place.
    """
    subtitle = f"A row for each boot, from its join · {wording.plain(summary.name, 60)}"
    footer = _footer(summary)
    boots = summary.boots
    seen = [boot for boot in boots if boot.origin_ns is not None]
    if not seen:
        return style.message_page(_title(summary), subtitle, "No boot has a recording yet.", footer)
    is_roomy = len(boots) <= MOST_LABELLED
    row_in = 0.26 if is_roomy else min(0.09, max(0.024, 9.0 / len(boots)))
    labels = [_label(boot) for boot in boots]
    label_in = min(3.2, max(0.3, _CHAR_IN * max(map(len, labels)))) if is_roomy else 0.2
    made = style.page(
        _title(summary),
        subtitle,
        [row_in * len(boots) + 0.1],
        footer=footer,
        head_in=0.15,
        foot_in=style.key_in(12, 0.62),
    )
    axes = made.panels[0]
    box = axes.get_position()
    shift = label_in / style.WIDTH_IN
    axes.set_position((box.x0 + shift, box.y0, box.width - shift, box.height))
    axes.set_ylim(len(boots) + 0.1, -0.1)
    handles: dict[str, Artist] = {}
    _spans(axes, boots, handles, is_roomy=is_roomy)
    ends = [boot.end_ns - boot.origin_ns for boot in seen if boot.end_ns and boot.origin_ns is not None]
    begins = [span.start_ns - boot.origin_ns for boot in seen for span in boot.spans if boot.origin_ns is not None]
    low, high = min([0, *begins]) / NS_PER_S, max([1, *ends]) / NS_PER_S
    axes.set_xlim(low - 0.01 * (high - low), high * 1.005)
    _marks(axes, boots, handles, size=6.5 if is_roomy else max(2.0, row_in * 60))
    _outcomes(axes, boots, handles, size=6.0 if is_roomy else max(1.8, row_in * 55))
    _rows(axes, labels if is_roomy else [str(boot.boot) for boot in boots], is_roomy=is_roomy)
    axes.set_xlabel("time since the join of each boot [s]")
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    style.key(made, handles, 0.62)
    return made.figure


def _title(summary: CampaignSummary) -> str:
    return wording.sentence(summary.statistics.sentence)


def _footer(summary: CampaignSummary) -> list[str]:
    telling_nothing = len(summary.boots) - summary.statistics.total.ran
    made = wording.plural(len(summary.boots), "boot")
    lines = [f"{made} made, {summary.planned} planned; {summary.ended or 'still under way'}."]
    if telling_nothing:
        lines.append(f"{wording.plural(telling_nothing, 'boot')} could not tell of the fault; no rate counts them.")
    return lines


def _label(boot: BootMeasures) -> str:
    return wording.plain(" ".join([*boot.values.values(), str(boot.boot)]), 44)


def _spans(axes: Axes, boots: Sequence[BootMeasures], handles: dict[str, Artist], *, is_roomy: bool) -> None:
    inset = 0.14 if is_roomy else 0.0
    for kind, name, look in _SPANS:
        corners = []
        for row, boot in enumerate(boots):
            for span in boot.spans:
                if span.kind == kind and boot.origin_ns is not None:
                    a, b = ((edge - boot.origin_ns) / NS_PER_S for edge in (span.start_ns, span.end_ns))
                    top, bottom = row + inset, row + 1 - inset
                    corners.append([(a, bottom), (a, top), (b, top), (b, bottom)])
        drawn = {key: value for key, value in look.items() if is_roomy or key not in ("hatch", "edgecolor")}
        if corners:
            axes.add_collection(PolyCollection(corners, zorder=2, antialiased=is_roomy, **drawn), autolim=False)
            handles.setdefault(name, Patch(**drawn))


def _marks(axes: Axes, boots: Sequence[BootMeasures], handles: dict[str, Artist], size: float) -> None:
    for kind, (marker, colour, name) in _MARKS.items():
        points = [
            ((mark.t_ns - boot.origin_ns) / NS_PER_S, row + 0.5)
            for row, boot in enumerate(boots)
            for mark in boot.marks
            if mark.kind == kind and boot.origin_ns is not None
        ]
        if not points:
            continue
        x, y = np.array(points).T
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour, "markersize": size}
        if marker in "v*":
            look |= {"markeredgecolor": style.INK if size > 4 else colour, "markeredgewidth": 0.6}
        if marker == "*":
            look["markersize"] = size * 1.5
        axes.plot(x, y, zorder=5, clip_on=False, **look)
        handles.setdefault(name, Line2D([], [], **{**look, "markersize": max(6.0, look["markersize"])}))


def _outcomes(axes: Axes, boots: Sequence[BootMeasures], handles: dict[str, Artist], size: float) -> None:
    """Put the outcome of each boot to the left of its row."""
    for outcome, (marker, colour, name) in _OUTCOMES.items():
        rows = [row + 0.5 for row, boot in enumerate(boots) if boot.outcome == outcome]
        if rows:
            look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour, "markersize": size}
            look |= {"markeredgecolor": style.FAINT if outcome == "not_run" else colour, "markeredgewidth": 0.5}
            axes.plot([-0.012] * len(rows), rows, transform=axes.get_yaxis_transform(), clip_on=False, zorder=5, **look)
            handles.setdefault(name, Line2D([], [], **{**look, "markersize": 6.0}))


def _rows(axes: Axes, labels: Sequence[str], *, is_roomy: bool) -> None:
    """Label every row, or every so many; the topmost is the first boot."""
    step = 1 if is_roomy else next(each for each in (10, 20, 25, 50, 100, 250, 1000, 10**6) if len(labels) / each < 26)
    places = range(len(labels)) if is_roomy else range(step - 1, len(labels), step)
    axes.set_yticks([place + 0.5 for place in places], [labels[place] for place in places])
    axes.tick_params(axis="y", length=0, pad=16)
    axes.spines[["left", "top"]].set_visible(False)
    if not is_roomy:
        axes.set_ylabel("boot")


_TIMES = (
    ("boot_to_first_ns", "from boot", "from the boot to the first packet"),
    ("link_to_first_ns", "from link up", "from link up to the first packet"),
    ("join_to_first_ns", "from join", "from the join to the first packet"),
)


@style.styled
def first_packet_figure(summary: CampaignSummary) -> Figure:
    """Draw the time to the first packet of each boot: from boot, from link up, from join; what is known of them.

    A boot that ran and heard nothing has a cross at the top, since its time is not known but long.
    """
    subtitle = f"Time to the first packet, boot by boot · {wording.plain(summary.name, 60)}"
    boots = summary.boots
    kinds = [entry for entry in _TIMES if any(getattr(boot, entry[0]) is not None for boot in boots)]
    if not kinds:
        text = "No boot heard a packet at a known time."
        return style.message_page(_title(summary), subtitle, text, _footer(summary))
    made = style.page(
        _title(summary),
        subtitle,
        [1.7] * len(kinds),
        footer=_footer(summary),
        foot_in=style.key_in(6, 0.62),
        gap_in=0.5,
    )
    handles: dict[str, Artist] = {}
    for axes, (key, _, name) in zip(made.panels, kinds, strict=True):
        times = [getattr(boot, key) for boot in boots]
        known = np.array([time for time in times if time is not None], np.float64) / NS_PER_S
        top = float(known.max()) * 1.25 if known.max() > 0 else 1.0
        is_wide = known.min() > 0 and known.max() > 50 * known.min()
        for outcome, (marker, colour, label) in _OUTCOMES.items():
            chosen = [
                (boot.boot, time / NS_PER_S)
                for boot, time in zip(boots, times, strict=True)
                if boot.outcome == outcome and time is not None
            ]
            _dots(axes, chosen, marker, colour, label, handles)
        silent = [boot.boot for boot in boots if boot.join_to_first_ns is None and boot.is_counted]
        if silent:
            look: dict[str, Any] = {"linestyle": "none", "marker": "^", "color": style.VERMILLION, "markersize": 6}
            place = axes.get_xaxis_transform()
            axes.plot(silent, [0.96] * len(silent), transform=place, clip_on=False, zorder=4, **look)
            handles.setdefault("never, on this boot", Line2D([], [], **look))
        if is_wide:
            axes.set_yscale("log")
            axes.set_ylim(float(known.min()) / 1.5, float(known.max()) * 4)
        else:
            axes.set_ylim(0, top)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.duration(value * NS_PER_S)))
        axes.set_xlim(0.5, max(2, len(boots)) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.spines["top"].set_visible(False)
        axes.grid(True, axis="y")
        middle = wording.duration(float(np.median(known)) * NS_PER_S)
        style.heading(
            axes, wording.sentence(name), f"median {middle}, longest {wording.duration(known.max() * NS_PER_S)}"
        )
    made.panels[-1].set_xlabel("boot")
    style.key(made, handles, 0.62)
    return made.figure


def _dots(
    axes: Axes, points: list[tuple[int, float]], marker: str, colour: str, name: str, handles: dict[str, Artist]
) -> None:
    if not points:
        return
    x, y = np.array(points).T
    look: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
    look |= {"markersize": 6.5 if len(x) < 60 else 4.0, "markeredgecolor": "white", "markeredgewidth": 0.4}
    axes.plot(x, y, zorder=3, clip_on=False, **look)
    handles.setdefault(name, Line2D([], [], **{**look, "markersize": 7.0}))


@style.styled
def rates_figure(summary: CampaignSummary) -> Figure:
    """Draw the rate of reproduction over all boots and for each value of each variable, with its bounds."""
    found = summary.statistics
    subtitle = f"How often the fault was reproduced, with {found.confidence * 100:.0f} % bounds (Clopper-Pearson)"
    if not found.total.ran:
        return style.message_page(_title(summary), subtitle, "No boot can tell of the fault yet.", _footer(summary))
    groups: list[tuple[str, str, list[Rate]]] = [("all boots", "", [found.total])]
    for test in found.variables:
        said = ""
        if test.p_adjusted is not None:
            said = "p < 0.0001" if test.p_adjusted < 0.0001 else f"p = {test.p_adjusted:.2g}"
            said += ", significant" if test.is_significant else ", not significant"
        groups.append((test.variable, said or "not tested", test.rates))
    footer = [*([wording.sentence(found.further) + "."] if found.further else []), *_footer(summary)]
    heights = [0.42 * len(rates) + 0.12 for _, _, rates in groups]
    made = style.page(_title(summary), subtitle, heights, footer=footer, head_in=0.3, foot_in=0.62, gap_in=0.42)
    for axes, (name, said, rates) in zip(made.panels, groups, strict=True):
        box = axes.get_position()
        axes.set_position((box.x0 + 1.1 / style.WIDTH_IN, box.y0, box.width - 3.6 / style.WIDTH_IN, box.height))
        axes.set_ylim(len(rates) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        for row, rate in enumerate(rates):
            _rate(axes, row, rate)
        names = [wording.plain(rate.value or "all", 24) for rate in rates]
        axes.set_yticks(range(len(rates)), names)
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "top"]].set_visible(False)
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(10))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        axes.tick_params(axis="x", labelbottom=axes is made.panels[-1])
        style.heading(axes, wording.plain(name, 40), said)
    made.panels[-1].set_xlabel("boots on which the fault was reproduced")
    return made.figure


def _rate(axes: Axes, row: int, rate: Rate) -> None:
    text = f"{rate.reproduced} of {rate.ran}" if rate.ran else "no boot ran"
    if rate.rate is not None and rate.low is not None and rate.high is not None:
        axes.plot(
            [rate.low * 100, rate.high * 100], [row, row], color=style.SKY, linewidth=5, solid_capstyle="butt", zorder=2
        )
        for edge in (rate.low, rate.high):
            axes.plot([edge * 100] * 2, [row - 0.18, row + 0.18], color=style.BLUE, linewidth=1.4, zorder=2)
        axes.plot([rate.rate * 100], [row], "o", color=style.VERMILLION, markersize=8, zorder=3, clip_on=False)
        text += f": {rate.rate * 100:.0f} % ({rate.low * 100:.0f} to {rate.high * 100:.0f} %)"
    if rate.not_run:
        text += f", {rate.not_run} not counted"
    axes.annotate(text, (1, row), (10, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center")


FIGURES = {"raster": raster_figure, "first-packet": first_packet_figure, "rates": rates_figure}
"""Every figure by the stem of its file."""


def plot_campaign(
    summary: CampaignSummary, directory: Path, *, formats: Sequence[str] = ("png", "svg"), dpi: int = 130
) -> list[Path]:
    """Write every figure in every format and return the files.

    Raises:
      StorageError: a file could not be written.
    """
    written = []
    for stem, draw in FIGURES.items():
        figure = draw(summary)
        for name in formats:
            path = directory / f"{stem}.{name}"
            style.write(path, figure, name, dpi)
            written.append(path)
    return written
