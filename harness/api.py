"""The Python API: open a recording, iterate over its chunks, analyze, plot. Four lines in a notebook."""

from __future__ import annotations

from pathlib import Path

from harness.analysis import analyze_recording
from harness.model import PACKET_DTYPE, Parameters, Summary
from harness.plots import plot_summary
from harness.store import RunReader as Recording
from harness.store import open_run

__all__ = ["PACKET_DTYPE", "Parameters", "Recording", "Summary", "analyze", "open", "plot"]


def open(path: str | Path) -> Recording:  # noqa: A001 - used as harness.open, like gzip.open
    """Open a recording on disk; its `packets()` yields arrays of PACKET_DTYPE.

    Raises:
      RecordError: no recording there, or one that cannot be read.
    """
    return open_run(Path(path))


def analyze(recording: Recording | str | Path, parameters: Parameters | None = None) -> Summary:
    """Return the summary of a recording; nothing is written.

    Raises:
      RecordError: no recording there, or one that cannot be read.
    """
    return analyze_recording(recording if isinstance(recording, Recording) else Path(recording), parameters)


def plot(summary: Summary, directory: str | Path) -> list[Path]:
    """Draw the figures of a summary as PNG and SVG into a directory, and return the files.

    Raises:
      StorageError: a file cannot be written.
    """
    return plot_summary(summary, Path(directory))
