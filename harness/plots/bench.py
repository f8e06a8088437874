"""The bench as bars: a panel for each discipline, ours first, the limit and the peers beside it."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.model.bench import BenchResult, BenchRow, given_turns
from harness.plots import style
from harness.units import format_duration, format_scaled


@style.styled
def bench_figure(result: BenchResult) -> Figure:
    """Draw the median of every tool in every discipline that has several, with each round as a dot.

    Args:
      result: the bench; without such a row, the figure says so.
    """
    rows = [row for row in result.rows if sum(figure.median is not None for figure in row.figures) > 1]
    known = [row for row in result.rows if row.is_reached is not None]
    title = f"{sum(bool(row.is_reached) for row in known)} of {len(known)} goals reached"
    subtitle = f"Medians of the rounds (bars), and all turns (dots) · {result.place} · {result.n_cpus} CPUs"
    footer = [f"load {' to '.join(f'{value:.1f}' for value in result.load)}; ratios hold within this run only"]
    if not rows:
        return style.message_page(title, subtitle, "No discipline with more than one tool was measured.", footer)
    heights = [0.3 * len(row.figures) + 0.15 for row in rows]
    made = style.page(title, subtitle, heights, footer=footer, gap_in=0.75, head_in=0.4, foot_in=0.5)
    for axes, row in zip(made.panels, rows, strict=True):
        box = axes.get_position()
        axes.set_position((box.x0 + 0.06, box.y0, box.width - 0.06, box.height))
        _bars(axes, row)
        verdict = "" if row.is_reached is None else "goal reached" if row.is_reached else "goal missed"
        style.heading(axes, row.what, verdict)
    return made.figure


def _bars(axes: Axes, row: BenchRow) -> None:
    for place, figure in enumerate(row.figures):
        look: dict[str, Any] = {"color": style.SKY}
        if figure.tool.startswith("ours"):
            look = {"color": style.BLUE}
        elif figure.tool.startswith("bare loop"):
            look = {"facecolor": style.SILENT, "edgecolor": style.FAINT, "hatch": "///", "linewidth": 0.5}
        axes.barh(place, figure.median or 0.0, height=0.7, zorder=2, **look)
        values = given_turns(figure.turns)
        axes.plot(values, [place] * len(values), "o", color=style.INK, markersize=2.5, zorder=3)
    axes.set_yticks(range(len(row.figures)), [figure.tool for figure in row.figures])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _text(value, row.unit)))
    axes.grid(True, axis="x")


def _text(value: float, unit: str) -> str:
    if unit == "ns":
        return format_duration(value)
    return format_scaled(value, unit) if unit in ("pps", "B") else f"{value:,.0f}"
