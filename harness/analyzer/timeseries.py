"""The time series of a summary: what came, on the receiver's time line, and what was due and lost, on the sender's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.expectation import Expectation
from harness.analyzer.loss import LossPeriods
from harness.analyzer.series import BinnedSeries, fitting_level
from harness.model import Series

Int64Array = NDArray[np.int64]


def series_of(received: BinnedSeries, periods: LossPeriods, expected: Expectation, max_bins: int) -> Series:
    """Return the series over all bins in which something came or was due.

    Args:
      received: counts of the packets received.
      periods: the loss periods within the numbers expected.
      expected: gives the numbers expected and when each was due.
      max_bins: bins at most; the width is the least power of two that does it.
    """
    spans = []
    if len(received):
        spans.append((received.low << received.level, ((received.low + len(received)) << received.level) - 1))
    is_due = expected.low is not None and expected.high is not None and expected.high > expected.low
    low, high = (expected.low or 0) - expected.origin, (expected.high or 0) - expected.origin
    timeline = expected.timeline
    if is_due and timeline is not None:
        first, last = timeline.due_ns(np.array([low, high - 1])).tolist()
        spans.append((first, last))
    if not spans:
        return Series(start_ns=0, bin_ns=1 << received.level, received=[])
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    level = fitting_level(start, end, max_bins, received.level)
    wide = BinnedSeries(max_bins)
    wide.level, wide.low, wide.table = received.level, received.low, received.table
    wide.coarsen(level)
    bins = (end >> level) - (start >> level) + 1
    table = wide.padded((start >> level), bins)
    due: list[int] = []
    lost: list[int] = []
    if is_due and timeline is not None:
        edges = (np.arange(bins + 1) + (start >> level)) << level
        index = np.clip(timeline.count_before(edges), low, high)
        index[0], index[-1] = low, high
        due = np.diff(index).tolist()
        lost = np.diff(periods.count_below(index + expected.origin)).tolist()
    is_empty = table[0] == 0
    is_undelayed = table[3] > table[4]
    is_unnumbered = table[1] > table[2]
    return Series(
        start_ns=(start >> level) << level,
        bin_ns=1 << level,
        received=table[0].tolist(),
        due=due,
        lost=lost,
        first_seq=_or_none(table[1], is_empty | is_unnumbered),
        last_seq=_or_none(table[2], is_empty | is_unnumbered),
        delay_min_ns=_or_none(table[3], is_empty | is_undelayed),
        delay_max_ns=_or_none(table[4], is_empty | is_undelayed),
    )


def _or_none(values: Int64Array, is_undefined: NDArray[np.bool_]) -> list[int | None]:
    return [None if blank else value for value, blank in zip(values.tolist(), is_undefined.tolist(), strict=True)]
