"""What the figures with a panel for each stream share: choice of streams, shaded windows, captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from harness.model import StreamSummary, Summary, Window
from harness.plots import style, wording
from harness.plots.clock_axis import Frame
from harness.units import NS_PER_S


def choose(
    summary: Summary, most: int, subtitle: str, *, among: Sequence[StreamSummary] | None = None
) -> tuple[list[StreamSummary], str]:
    """Return the worst streams, and the subtitle with a word on those that are not shown and on the path.

    Args:
      summary: of all streams.
      most: how many to choose.
      subtitle: what the figure shows.
      among: the streams that the figure has something to say of; all by default.
    """
    shown = wording.worst_first(summary.streams if among is None else among)[:most]
    hidden = len(summary.streams) - len(shown)
    if hidden and shown:
        subtitle += f" · the worst {len(shown)} of {len(summary.streams):,} streams, {hidden:,} not shown"
    if summary.path:
        subtitle += f" · {wording.plain(summary.path, 60)}"
    return shown, subtitle


def shade(axes: Axes, windows: Sequence[Window], frame: Frame, handles: dict[str, Artist]) -> None:
    """Shade the windows over the whole height of a panel; hatched, so that grey print shows them too."""
    for name, colour, is_chosen in (("drop-out window", style.WASH, True), ("stall or silence", style.HAZE, False)):
        chosen = [window for window in windows if wording.is_loss(window) == is_chosen]
        spans = [(frame.at(window.start_ns), window.duration_ns / NS_PER_S) for window in chosen]
        if spans:
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": style.PENCIL, "hatch": "///", "linewidth": 0.5}
            axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), zorder=0.5, **look)
            handles.setdefault(name, Patch(**look))


def thousands(axes: Axes, *, most: int = 4) -> None:
    """Label the y axis with few whole numbers, their thousands set apart."""
    axes.yaxis.set_major_locator(MaxNLocator(most, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def nice_top(values: NDArray[np.float64]) -> float:
    """Return a limit a little above the largest finite value; 1.0 without one above 0."""
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if len(finite) else 0.0
    return top * 1.12 if top > 0 else 1.0
