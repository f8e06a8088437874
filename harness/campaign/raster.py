"""A boot's row of the raster: the stretches in which its streams were delivered, lost or silent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from harness.model import StreamSummary
from harness.model.boots import RasterSpan
from harness.units import NS_PER_S

N_CELLS = 400
"""Cells of a row: more than a figure can show, and few enough that a thousand boots fit into one file."""

_NOTHING, _DELIVERED, _SILENT, _LOST = range(4)
"""What a cell shows is the worst of its streams."""
_NAMES = ("", "delivered", "silent", "lost")


def spans_of(streams: Sequence[StreamSummary]) -> list[RasterSpan]:
    """Return the row of all streams together; [] for none.

    A stretch is lost where a drop-out window says how many packets are missing, silent where nobody knows what was due.
    """
    edges = [edge for stream in streams for edge in _extent(stream)]
    if not edges:
        return []
    start_ns, end_ns = min(edges), max(edges)
    cell_ns = max(1, -(-(end_ns - start_ns) // N_CELLS))
    row = np.zeros(max(1, -(-(end_ns - start_ns) // cell_ns)), np.int8)
    for stream in streams:
        np.maximum(row, _cells(stream, start_ns, cell_ns, len(row)), out=row)
    steps = np.flatnonzero(np.diff(row)) + 1
    bounds = [0, *steps.tolist(), len(row)]
    return [
        RasterSpan(
            kind=cast(Literal["delivered", "lost", "silent"], _NAMES[row[begin]]),
            start_ns=start_ns + begin * cell_ns,
            end_ns=min(end_ns, start_ns + end * cell_ns),
        )
        for begin, end in itertools.pairwise(bounds)
        if row[begin]
    ]


def _extent(stream: StreamSummary) -> list[int]:
    times = [time for time in (stream.first_rx_ns, stream.last_rx_ns) if time is not None]
    return times + [edge for window in stream.windows for edge in (window.start_ns, window.end_ns)]


def _cells(stream: StreamSummary, start_ns: int, cell_ns: int, n: int) -> NDArray[np.int8]:
    """Return what each cell shows of one stream."""
    cells = np.zeros(n, np.int8)
    series = stream.series
    received = np.asarray(series.received, np.int64)
    at = np.flatnonzero(received)
    if len(at):
        first = (series.start_ns + at * series.bin_ns - start_ns) // cell_ns
        last = (series.start_ns + (at + 1) * series.bin_ns - 1 - start_ns) // cell_ns
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            cells[max(0, begin) : max(0, end + 1)] = _DELIVERED
        _close(cells, max(1, int(3 * (stream.schedule.interval_ns or NS_PER_S // 3) // cell_ns)))
    for window in stream.windows:
        begin = max(0, (window.start_ns - start_ns) // cell_ns)
        end = max(begin + 1, (window.end_ns - start_ns) // cell_ns)
        cells[begin:end] = _LOST if window.packets else _SILENT
    return cells


def _close(cells: NDArray[np.int8], most: int) -> None:
    """Fill gaps of at most so many cells between delivered ones: between two packets of a slow stream is no silence."""
    at = np.flatnonzero(cells)
    for before, after in itertools.pairwise(at.tolist()):
        if 1 < after - before <= most + 1:
            cells[before:after] = _DELIVERED
