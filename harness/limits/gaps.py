"""The longest time between two arrivals of a stream, as far as a summary tells it."""

from __future__ import annotations

import math

import numpy as np

from harness.model import Parameters, StreamSummary

_BETWEEN_ARRIVALS = {"outage", "stall", "silence"}


def arrival_gap(stream: StreamSummary, parameters: Parameters) -> tuple[float, float] | None:
    """Return the least and the most that the longest time between two arrivals can be, in ns.

    Only packets that came within Tmax count, and of those the first copies. A summary tells the gap of a stream without
    a schedule; where it does not, and for others, it is bounded. Without a schedule a window begins one
    interval after the arrival before it, so it gives the gap exactly, and without a window no gap passes the threshold
    of silence. With a schedule neighbours are due no further apart than the longest loss period allows, and arrive no
    further apart than that and the spread of their delays. The bins of the time series bound all of these: between the
    arrivals around k empty bins lies more than k bins and less than k + 2 of them.

    Returns:
      Equal bounds where the gap is known exactly; None with fewer than two arrivals, between which there is none.
    """
    if stream.received < 2:
        return None
    if stream.longest_gap_ns is not None:
        return float(stream.longest_gap_ns), float(stream.longest_gap_ns)
    interval_ns = stream.schedule.interval_ns
    is_passive = stream.schedule.source == "observed"
    silences = [window.duration_ns for window in stream.windows if window.kind in _BETWEEN_ARRIVALS]
    if is_passive and interval_ns and silences:
        exact = float(max(silences) + interval_ns)
        return exact, exact
    low, high = _by_bins(stream)
    if interval_ns:
        threshold = max(parameters.silence_factor * interval_ns, parameters.silence_floor_ns)
        high = min(high, threshold if is_passive else _by_schedule(stream, interval_ns))
    return min(low, high), high


def _by_bins(stream: StreamSummary) -> tuple[float, float]:
    """Return the bounds that the bins give, and the whole span: n arrivals have a gap of at least its n-1st part."""
    first, last = stream.first_rx_ns, stream.last_rx_ns
    whole = float(last - first) if first is not None and last is not None else math.inf
    mean = whole / (stream.received - 1) if math.isfinite(whole) else 0.0
    heard = np.flatnonzero(np.array(stream.series.received))
    if len(heard) < 2:
        return mean, whole
    step = int(np.diff(heard).max())
    low, high = (step - 1) * stream.series.bin_ns, (step + 1) * stream.series.bin_ns
    return max(mean, float(low)), min(float(high), whole)


def _by_schedule(stream: StreamSummary, interval_ns: int) -> float:
    """Return the bound by what was due: the longest loss period, and the spread of the delays."""
    lowest, highest = stream.delay.minimum_ns, stream.delay.maximum_ns
    if stream.longest_loss_period is None or lowest is None or highest is None:
        return math.inf
    return float((stream.longest_loss_period + 1) * interval_ns + highest - lowest)
