"""The look: colours that colour-blind readers tell apart, hatches for grey print, page layout, saving.

Colours are Okabe and Ito's. A page is laid out in inches by hand: title on top, panels below each other, footer with
the thresholds; that is faster than a layout engine and the same everywhere.
"""

from __future__ import annotations

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harness.errors import storage_error
from harness.plots.wording import plain

P = ParamSpec("P")
T = TypeVar("T")

BLUE, VERMILLION, ORANGE, YELLOW = "#0072B2", "#D55E00", "#E69F00", "#F0E442"
SKY, GREEN, PURPLE = "#56B4E9", "#009E73", "#CC79A7"
SILENT, INK, FAINT = "#D9D9D9", "#222222", "#666666"
WASH, HAZE, PENCIL = "#FBE3D3", "#E6E0EE", "#B9A79C"

CLEAR: dict[str, Any] = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.4}
"""Box behind text that a line or a hatch must not cross."""

WIDTH_IN, LEFT_IN, RIGHT_IN = 11.0, 0.85, 0.5
PLOT_IN = WIDTH_IN - LEFT_IN - RIGHT_IN
"""Width of a panel that spans the page."""

_SETTINGS: Any = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "text.parse_math": False,  # a "$" in a host name is no formula
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": "#E4E4E4",
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "multicast-harness",
    "path.simplify": True,
}


_UNIT = re.compile(r"(\d) (%|ns|µs|ms|s|min|h|d)(?!\w)")
"""A number and its unit, which stay on one line."""


@contextmanager
def look() -> Iterator[None]:
    """Set the look for a while, whatever the user's matplotlibrc says; not for several threads at once."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws, so that it draws with the look."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with look():
            return draw(*args, **kwargs)

    return wrapper


@dataclass
class Page:
    """A figure under construction.

    Attributes:
      figure: the figure, with a canvas that needs no window system.
      height_in: its height in inches.
      panels: one axes for each height that was asked for, from the top.
    """

    figure: Figure
    height_in: float
    panels: list[Axes] = field(default_factory=list)

    def add(self, left_in: float, top_in: float, width_in: float, height_in: float) -> Axes:
        """Add an axes; inches from the top left corner."""
        x, y = left_in / WIDTH_IN, 1 - (top_in + height_in) / self.height_in
        return self.figure.add_axes((x, y, width_in / WIDTH_IN, height_in / self.height_in))


def page(
    title: str,
    subtitle: str,
    heights_in: list[float],
    *,
    footer: list[str],
    gap_in: float = 0.45,
    head_in: float = 0.3,
    foot_in: float = 0.85,
) -> Page:
    """Return a page with full-width panels below each other.

    Args:
      title: what was found; wrapped.
      subtitle: what the figure shows.
      heights_in: height of each panel in inches.
      footer: lines at the bottom, each wrapped.
      gap_in: between panels, for their headings.
      head_in: between subtitle and first panel.
      foot_in: between last panel and footer, for the time axis and a legend.
    """
    title_lines = textwrap.wrap(_UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", plain(title, 260)), 88) or [""]
    foot_lines = [piece for line in footer for piece in textwrap.wrap(plain(line, 600), 160)]
    top = 0.22 + 0.27 * len(title_lines) + 0.22 + head_in
    height = top + sum(heights_in) + gap_in * (len(heights_in) - 1) + foot_in + 0.18 * len(foot_lines) + 0.1
    figure = Figure(figsize=(WIDTH_IN, height), facecolor="white")
    FigureCanvasAgg(figure)
    made = Page(figure, height)
    left = 0.3 / WIDTH_IN
    for row, line in enumerate(title_lines):
        figure.text(left, 1 - (0.2 + 0.27 * row) / height, line, fontsize=14, fontweight="bold", va="top")
    figure.text(left, 1 - (0.22 + 0.27 * len(title_lines)) / height, plain(subtitle, 160), color=FAINT, va="top")
    for row, line in enumerate(reversed(foot_lines)):
        figure.text(left, (0.1 + 0.18 * row) / height, line, fontsize=8, color=FAINT, va="bottom")
    for panel_height in heights_in:
        made.panels.append(made.add(LEFT_IN, top, PLOT_IN, panel_height))
        top += panel_height + gap_in
    return made


_REGULAR_EM, _BOLD_EM = 0.51, 0.6
"""Width of an average character of a label, in parts of the font's size."""


def fit(label: str, finding: str, size_pt: float = 9.0) -> tuple[str, str]:
    """Return a bold label and a finding, cut so that both stand on one line of a panel's width."""
    room = (PLOT_IN - 0.2) * 72 / size_pt
    right = plain(finding, int(room * 0.7 / _REGULAR_EM))
    return plain(label, max(20, int((room - len(right) * _REGULAR_EM) / _BOLD_EM))), right


def heading(axes: Axes, label: str, finding: str) -> None:
    """Write a panel's heading: what it shows on the left, what was found on the right."""
    left, right = fit(label, finding)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(left, (0, 1), (0, 4), fontweight="bold", ha="left", **place)
    axes.annotate(right, (1, 1), (0, 4), ha="right", **place)


def key(made: Page, handles: dict[str, Artist], below_in: float = 1.08) -> None:
    """Put a legend, four labels to a line, `below_in` under the last panel."""
    bottom = made.panels[-1].get_position().y0
    made.figure.legend(
        list(handles.values()),
        list(handles),
        loc="upper left",
        bbox_to_anchor=(LEFT_IN / WIDTH_IN, bottom - below_in / made.height_in),
        ncols=4,
        borderaxespad=0.0,
        borderpad=0.0,
        handlelength=1.6,
        columnspacing=1.6,
    )


def key_in(n_labels: int, below_in: float = 1.08) -> float:
    """Return the height in inches that the time axes and a legend of n labels take under the last panel."""
    return below_in + 0.1 + 0.2 * -(-n_labels // 4)


def message_page(title: str, subtitle: str, message: str, footer: list[str]) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    made = page(title, subtitle, [1.6], footer=footer, foot_in=0.3)
    axes = made.panels[0]
    axes.set_axis_off()
    text = "\n".join(textwrap.wrap(plain(message, 400), 90))
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, color=FAINT)
    return made.figure


_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)
"""File formats that a figure can be written in."""


def encode(figure: Figure, image_format: str, dpi: int = 130) -> bytes:
    """Return a figure as a file of one of FORMATS; the same figure gives the same bytes."""
    buffer = BytesIO()
    with look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)  # a box is drawn
        figure.savefig(buffer, format=image_format, dpi=dpi, metadata=_METADATA[image_format])
    return buffer.getvalue()


def write(path: Path, figure: Figure, image_format: str, dpi: int = 130) -> None:
    """Write a figure to a file, see `encode`; its directory is made when missing.

    Raises:
      StorageError: it could not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(figure, image_format, dpi))
    except OSError as exc:
        raise storage_error(exc, path, "does the directory exist, is it yours?") from exc
