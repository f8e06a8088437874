"""The confusion matrix: scenarios down, the verdict that came first across."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from harness.model.matrix import Matrix
from harness.plots import style

_MISSED, _ERROR = "no verdict", "did not run"


@style.styled
def matrix_figure(matrix: Matrix) -> Figure:
    """Draw how often each verdict came first in the runs of each scenario; a right one stands on the diagonal.

    Args:
      matrix: the trials; without any, the figure says so.
    """
    trials = matrix.trials
    trials = [trial for trial in trials if " + " not in trial.expected]  # of two causes, either may come first
    n_right = sum(trial.is_named for trial in trials)
    title = f"{n_right} of {len(trials)} runs named their cause first"
    subtitle = f"false alarms: {matrix.n_false_alarms} · {matrix.jobs} labs side by side · {matrix.seconds:.0f} s"
    if not trials:
        return style.message_page(title, subtitle, "No run was done.", [])
    rows = list(dict.fromkeys(trial.row for trial in trials))
    causes = list(dict.fromkeys(trial.expected for trial in trials))
    found = [_ERROR if trial.error is not None else trial.first or _MISSED for trial in trials]
    columns = causes + sorted(set(found) - set(causes))
    counts = np.zeros((len(rows), len(columns)))
    for trial, verdict in zip(trials, found, strict=True):
        counts[rows.index(trial.row), columns.index(verdict)] += 1
    footer = ["rows: scenarios; columns: verdict that came first; the figure is the number of runs"]
    made = style.page(title, subtitle, [0.17 * len(rows) + 0.2], footer=footer, gap_in=0.3, head_in=0.2, foot_in=1.9)
    (axes,) = made.panels
    box = axes.get_position()
    axes.set_position((box.x0 + 0.12, box.y0, box.width - 0.12, box.height))
    shades = LinearSegmentedColormap.from_list("counts", ["#ffffff", style.SKY, style.BLUE])
    axes.imshow(counts, aspect="auto", cmap=shades, vmin=0, vmax=max(1.0, counts.max()))
    for row, column in zip(*np.nonzero(counts), strict=True):
        is_right = columns[column] == next(trial.expected for trial in trials if trial.row == rows[row])
        look: dict[str, Any] = {"weight": "normal" if is_right else "bold"}
        look["color"] = "white" if counts[row, column] > 0.6 * counts.max() else style.INK
        axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=6.5, **look)
        if not is_right:
            axes.plot(column, row, "s", markersize=11, fillstyle="none", color=style.VERMILLION, zorder=3)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=6.5)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", linewidth=0.4)
    axes.tick_params(which="both", length=0)
    return made.figure
