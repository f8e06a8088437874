"""All figures of a Summary to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from pathlib import Path

from matplotlib.figure import Figure

from harness.errors import UsageError, nearest
from harness.model import Summary
from harness.plots.delay import delay_figure
from harness.plots.loss import loss_figure
from harness.plots.sequence import sequence_figure
from harness.plots.style import FORMATS, write
from harness.plots.timeline import timeline_figure

__all__ = ["FIGURES", "FORMATS", "plot_summary"]

FIGURES: dict[str, Callable[..., Figure]] = {
    "timeline": timeline_figure,
    "loss": loss_figure,
    "sequence": sequence_figure,
    "delay": delay_figure,
}
"""Every figure by the stem of its file, in the order in which a report shows them."""


def plot_summary(
    summary: Summary,
    directory: Path,
    *,
    formats: Sequence[str] = ("png", "svg"),
    zone: tzinfo = UTC,
    dpi: int = 130,
) -> list[Path]:
    """Write every figure in every format, `timeline.png`, `timeline.svg`, `loss.png` and so on.

    The same Summary gives the same bytes with the same version of matplotlib. Only the worst streams are drawn, so
    the time does not grow with their number.

    Args:
      summary: what to draw; an empty one gives figures that say so.
      directory: where to; made when missing, files of these names are replaced.
      formats: some of FORMATS.
      zone: time zone of the wall clock.
      dpi: resolution of the png files.

    Returns:
      The files written, figure by figure.

    Raises:
      UsageError: a format that is not known.
      StorageError: a file could not be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"cannot plot as {name!r}{nearest(name, FORMATS)}")
    written = []
    for stem, draw in FIGURES.items():
        figure = draw(summary, zone=zone)
        for name in formats:
            path = directory / f"{stem}.{name}"
            write(path, figure, name, dpi)
            written.append(path)
    return written
