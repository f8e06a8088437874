"""Drop-out windows of a stream whose schedule is known, and the losses around them in layers.

A window is a maximal run of packets not received, long enough by `min_packets` and `min_duration`: the half-open time
from when its first packet was due to when the packet after its last was due, on the sender's time line, so that delay
and stalls do not move its edges. Losses in no window are thinning (an RFC 3611 burst without a window), edge (in a
burst with one) or isolated; the four add up to all losses.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.bursts import loss_groups
from harness.analyzer.loss import LossPeriods
from harness.analyzer.timeline import Timeline
from harness.model import Parameters, Thinning, Window
from harness.model.summary import WindowClass

Int64Array = NDArray[np.int64]

MAX_MULTIPLE = 3  # of the period, that a distance between two windows of a train may be


@dataclass(frozen=True, slots=True)
class LossLayers:
    """All losses of a stream outside windows."""

    thinning: list[Thinning]
    edge: int
    isolated: int


def period_of(starts_ns: list[int], interval_ns: int) -> tuple[int, list[bool]] | None:
    """Return the period of a train of windows, and which windows belong to it; None when it is no train.

    With d the distances of successive starts and P their lower median, d conforms within max(P / 10, 2 I) of m P for m
    of 1 to 3. A train has at least three windows, at least 60 % of d conform, at least half of those with m = 1.

    Args:
      starts_ns: starts of the mid-run windows, ascending.
      interval_ns: I, time between packets; 0 when the stream has no fixed one.

    >>> period_of([0, 100, 200, 400], 1)
    (100, [True, True, True, True])
    >>> period_of([0, 100], 1) is None
    True
    """
    if len(starts_ns) < MAX_MULTIPLE:
        return None
    distances = [b - a for a, b in itertools.pairwise(starts_ns)]
    median = sorted(distances)[(len(distances) - 1) // 2]
    if median <= 0:
        return None
    multiples = [min(max(round(d / median), 1), MAX_MULTIPLE) for d in distances]
    slack = max(median, 20 * interval_ns)  # ten times the tolerance, to stay with integers
    fits = [10 * abs(d - m * median) <= slack for d, m in zip(distances, multiples, strict=True)]
    n_fit = sum(fits)
    n_single = sum(fit and m == 1 for fit, m in zip(fits, multiples, strict=True))
    if 10 * n_fit < 6 * len(distances) or 2 * n_single < n_fit:
        return None
    total = sum(d for d, fit in zip(distances, fits, strict=True) if fit)
    rounds = sum(m for m, fit in zip(multiples, fits, strict=True) if fit)
    is_member = [a or b for a, b in zip([False, *fits], [*fits, False], strict=True)]
    return round(total / rounds), is_member


def active_windows(
    periods: LossPeriods,
    low: int,
    high: int,
    timeline: Timeline,
    parameters: Parameters,
    *,
    origin: int = 0,
    interval_ns: int = 0,
    tail: WindowClass = "stopped_or_ended",
) -> tuple[list[Window], NDArray[np.bool_]]:
    """Return the drop-out windows of a stream with a schedule, and which loss periods are windows.

    Args:
      periods: the loss periods within low .. high - 1, the numbers expected.
      low: the first number expected.
      high: the number after the last one expected.
      timeline: when packet 0, 1, 2, ... were due.
      parameters: `min_packets` and `min_duration_ns`.
      origin: the number of packet 0.
      interval_ns: the schedule's interval, 0 when aperiodic.
      tail: class of a window that holds the last packet.
    """
    start = timeline.due_ns(periods.first - origin)
    end = timeline.due_ns(periods.last + 1 - origin)
    is_window = (periods.lengths >= parameters.min_packets) & (end - start >= parameters.min_duration_ns)
    chosen = np.flatnonzero(is_window)
    kinds: list[WindowClass] = []
    for a, b in zip(periods.first[chosen].tolist(), periods.last[chosen].tolist(), strict=True):
        if a == low and b == high - 1:
            kinds.append("never_received")
        else:
            kinds.append("late_start" if a == low else tail if b == high - 1 else "mid_run")
    starts = start[chosen].tolist()
    middle = [index for index, kind in enumerate(kinds) if kind == "mid_run"]
    train = period_of([starts[index] for index in middle], interval_ns)
    members = {index for index, is_member in zip(middle, train[1], strict=True) if is_member} if train else set()
    windows = [
        Window(
            kind="periodic" if index in members else kinds[index],
            first_seq=int(periods.first[at]),
            last_seq=int(periods.last[at]),
            start_ns=starts[index],
            end_ns=int(end[at]),
            packets=int(periods.last[at] - periods.first[at] + 1),
            period_ns=train[0] if train and index in members else None,
            is_interpolated=timeline.is_interpolated,
        )
        for index, at in enumerate(chosen.tolist())
    ]
    return windows, is_window


def loss_layers(
    periods: LossPeriods,
    is_window: NDArray[np.bool_],
    gmin: int,
    timeline: Timeline | None,
    origin: int = 0,
) -> LossLayers:
    """Return the losses outside windows: thinning, edge and isolated.

    Args:
      periods: all loss periods of the stream.
      is_window: which of them are (part of) a window, shape (k,).
      gmin: packets received in a row that end a burst (RFC 3611 4.7.2).
      timeline: gives thinning its times; None leaves them undefined.
      origin: the number of packet 0.
    """
    if not len(periods):
        return LossLayers([], 0, 0)
    groups = loss_groups(periods.first, periods.last, gmin)
    opens = np.flatnonzero(np.diff(groups.group, prepend=-1))
    holds_window = np.logical_or.reduceat(is_window, opens)
    in_windows = np.add.reduceat(np.where(is_window, periods.lengths, 0), opens)
    is_thinning = groups.is_burst & ~holds_window
    first, last, lost = groups.first[is_thinning], groups.last[is_thinning], groups.lost[is_thinning]
    start = end = [None] * len(first)
    if timeline is not None:
        start, end = timeline.due_ns(first - origin).tolist(), timeline.due_ns(last + 1 - origin).tolist()
    thinning = [
        Thinning(first_seq=a, last_seq=b, lost=n, density=n / (b - a + 1), start_ns=t, end_ns=u)
        for a, b, n, t, u in zip(first.tolist(), last.tolist(), lost.tolist(), start, end, strict=True)
    ]
    edge = int((groups.lost - in_windows)[holds_window].sum())
    isolated = int(np.count_nonzero(~groups.is_burst & ~holds_window))
    return LossLayers(thinning, edge, isolated)
