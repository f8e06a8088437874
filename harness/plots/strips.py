"""What a stream's strip shows: stretches of time delivered, and spans that were not, from its bins and windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.model import StreamSummary
from harness.units import NS_PER_S

Spans = NDArray[np.float64]
"""Begin and end in seconds on the figure's axis, shape (n, 2)."""


def padded(values: list[int] | list[int | None], n: int) -> NDArray[np.float64]:
    """Return n values, NaN where there is none; a shorter list is filled up.

    >>> padded([1, None], 3)
    array([ 1., nan, nan])
    """
    filled = np.full(n, np.nan, dtype=np.float64)
    filled[: len(values)] = [np.nan if value is None else float(value) for value in values[:n]]
    return filled


def bin_edges(stream: StreamSummary, start_ns: int) -> NDArray[np.float64]:
    """Return the edges of a stream's bins in seconds after `start_ns`, shape (bins + 1,)."""
    series = stream.series
    offset = (series.start_ns - start_ns) / NS_PER_S
    return offset + np.arange(len(series.received) + 1, dtype=np.float64) * (series.bin_ns / NS_PER_S)


def delivered(stream: StreamSummary, start_ns: int) -> Spans:
    """Return the spans in which the stream was heard.

    Where it is known what was due, a bin counts as heard when something that was due in it came, however late. A bin
    between two packets of a slow stream is no silence: bins with nothing due and nothing received count as heard when
    they are few (three bins, or three intervals of the stream).
    """
    series = stream.series
    n = len(series.received)
    received = padded(series.received, n)
    due = padded(series.due, n) if series.due else np.zeros(n)
    is_heard = (received > 0) | (due > (padded(series.lost, n) if series.due else 0))
    is_idle = ~is_heard & ~(due > 0)
    edges = bin_edges(stream, start_ns)
    interval_ns = stream.schedule.interval_ns or 0
    few = max(3, 3 * -(-interval_ns // series.bin_ns)) if n and series.bin_ns > 0 else 3
    for begin, end in runs(is_idle):
        if begin > 0 and end < n and is_heard[begin - 1] and end - begin <= few:
            is_heard[begin:end] = True
    return np.array([(edges[begin], edges[end]) for begin, end in runs(is_heard)]).reshape(-1, 2)


def runs(is_set: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open index ranges of consecutive true values.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    steps = np.flatnonzero(np.diff(np.concatenate(([0], is_set.astype(np.int8), [0]))))
    return [(int(begin), int(end)) for begin, end in steps.reshape(-1, 2)]


def covered(stream: StreamSummary, start_ns: int) -> NDArray[np.float64]:
    """Return which share of each bin lies in a window, shape (bins,); windows of a stream do not overlap."""
    windows = sorted(stream.windows, key=lambda window: window.start_ns)
    edges = bin_edges(stream, start_ns)
    if not windows or len(edges) < 2:
        return np.zeros(len(edges) - 1)
    bounds = [bound - start_ns for window in windows for bound in (window.start_ns, window.end_ns)]
    inside = np.cumsum([float(window.duration_ns) for window in windows])
    before = np.concatenate(([0.0], np.repeat(inside, 2)[:-1]))
    reached = np.interp(edges, np.array(bounds, dtype=np.float64) / NS_PER_S, before / NS_PER_S)
    return np.diff(reached) / np.maximum(np.diff(edges), 1e-9)


def loss_ratio(stream: StreamSummary) -> NDArray[np.float64]:
    """Return lost / due of each bin, NaN where nothing was due; shape (0,) when due times are not known."""
    series = stream.series
    if not series.due:
        return np.zeros(0)
    n = len(series.received)
    due, lost = padded(series.due, n), padded(series.lost, n)
    is_due = due > 0
    ratio = np.full(n, np.nan)
    ratio[is_due] = np.clip(lost[is_due] / due[is_due], 0, 1)
    return ratio
