"""How many independent events a stream's losses amount to, so that one fault does not count as a thousand proofs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.model import StreamSummary
from harness.plots.strips import covered, padded

FEWEST_BLOCKS = 8


def loss_events(streams: Sequence[StreamSummary]) -> list[int | None]:
    """Return how many events the losses of each stream amount to; None where losses cannot be known.

    A drop-out window is one. The losses outside of windows are divided by their dispersion, so that a burst of
    scattered losses weighs about as one, and losses that fall independently count each. All streams are divided by one
    figure, the largest: it is an estimate, and its own error must not make a difference. There are never more events
    than loss periods (RFC 3357), and at least one where anything was lost.
    """
    common = max((dispersion(_scattered(stream)) for stream in streams), default=1.0)
    return [_events(stream, common) for stream in streams]


def _events(stream: StreamSummary, common: float) -> int | None:
    if stream.lost is None:
        return None
    windows = [window.packets or 0 for window in stream.windows if window.packets != 0]
    events = len(windows) + round(max(0, stream.lost - sum(windows)) / common)
    most = stream.loss_periods if stream.loss_periods is not None else events
    return max(min(events, most), int(stream.lost > 0))


def dispersion(counts: NDArray[np.float64]) -> float:
    """Return the largest ratio of variance to mean of counts in time, over blocks of all lengths; at least 1.

    Independent events have 1 at every length of block, up to chance. Events that come in clusters have the more the
    larger the clusters are, at lengths about theirs.

    Args:
      counts: events in equal bins of time, shape (n,).

    >>> round(dispersion(np.array([0.0, 0.0, 8.0, 8.0, 0.0, 0.0, 0.0, 0.0])), 1)
    6.9
    """
    found, size = 1.0, 1
    while len(counts) // size >= FEWEST_BLOCKS:
        blocks = counts[: len(counts) // size * size].reshape(-1, size).sum(axis=1)
        if blocks.any():
            found = max(found, float(blocks.var(ddof=1) / blocks.mean()))
        size *= 2
    return found


def _scattered(stream: StreamSummary) -> NDArray[np.float64]:
    """Return the losses outside of windows in each bin of the time series, shape (bins,)."""
    series = stream.series
    n = len(series.received)
    if not series.due or not n:
        return np.zeros(0)
    due, lost = (np.nan_to_num(padded(values, n)) for values in (series.due, series.lost))
    share = covered(stream, series.start_ns)
    # a bin at a window's edge holds some of its packets, by the share that it covers only roughly
    explained = np.where(share > 0, np.ceil(share * due), 0)
    return np.maximum(0, lost - explained)
