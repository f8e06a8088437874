"""Picture files of a report: one per figure, as a data URI or as a relative link."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StorageError, os_reason

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_CAPTIONS = {
    "timeline": "Timeline: what was delivered, lost and silent, with the events of the run",
    "loss": "Loss ratio over time",
    "sequence": "Packet numbers over time: gaps, reordered, duplicate and late packets",
    "delay": "Delay, its change from packet to packet, and the delay over time",
}
_LARGE = 700_000
"""An SVG above this many bytes gives way to the PNG."""


@dataclass(frozen=True)
class Picture:
    """One figure: caption, and the file that shows it."""

    caption: str
    path: Path


def choose_pictures(plots: Sequence[Path], prefer: str) -> list[Picture]:
    """Return one file for each figure, in the order given: `prefer` (".svg", ".png") where it exists."""
    by_figure: dict[Path, dict[str, Path]] = {}
    for path in plots:
        if path.suffix.lower() in _TYPES:
            by_figure.setdefault(path.with_suffix(""), {})[path.suffix.lower()] = path
    chosen = []
    for figure, files in by_figure.items():
        path = files.get(prefer) or next(iter(files.values()))
        if path.suffix.lower() == ".svg" and ".png" in files and _size(path) > _LARGE:
            path = files[".png"]
        chosen.append(Picture(_CAPTIONS.get(figure.name, figure.name), path))
    return chosen


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def data_uri(path: Path) -> str:
    """Return a picture's bytes as a data URI.

    Raises:
      StorageError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        what = f"cannot read the picture {path}: {os_reason(exc)}"
        raise StorageError(f"{what}; draw it again with harness plot") from exc
    return f"data:{_TYPES[path.suffix.lower()]};base64,{base64.b64encode(data).decode()}"


def relative_link(path: Path, start: Path) -> str:
    """Return a picture's place relative to the report, with forward slashes; its name alone when there is no such way.

    >>> relative_link(Path("results/a/plots/loss.png"), Path("results/a"))
    'plots/loss.png'
    """
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:  # another drive on Windows
        return path.name
