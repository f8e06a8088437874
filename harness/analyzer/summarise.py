"""From the accumulators of one stream to its StreamSummary: classify after the fact, not while receiving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.attribution import attribute
from harness.analyzer.core import Core
from harness.analyzer.dropouts import LossLayers, active_windows, loss_layers
from harness.analyzer.expectation import Expectation, expectation, resolution_notes
from harness.analyzer.loss import LossPeriods, losses_within
from harness.analyzer.passive import edge_windows, silence_threshold, silence_windows
from harness.analyzer.pattern import loss_pattern_of
from harness.analyzer.sentlog import SentLog
from harness.analyzer.timeseries import series_of
from harness.model import StreamSummary, Window
from harness.units import format_duration

Int64Array = NDArray[np.int64]

_NOTHING = LossPeriods(np.zeros(0, np.int64), np.zeros(0, np.int64))


def summarise(
    core: Core,
    *,
    observed: tuple[int, int] | None = None,
    joined_ns: int | None = None,
    log: SentLog | None = None,
    drops: int | None = None,
    max_bins: int = 1024,
) -> StreamSummary:
    """Return the summary of one stream.

    Args:
      core: the stream's packets, folded.
      observed: start and end of the observation, receiver's time line; None when not known.
      joined_ns: when the receiver had joined, receiver's time line; None when not known.
      log: the sender's log of this stream.
      drops: datagrams that this stream's receiver lost in its own socket buffer; None when nobody counted.
      max_bins: bins of the time series at most.
    """
    info = core.info
    if observed is not None and joined_ns is not None and observed[0] < joined_ns < observed[1]:
        observed = joined_ns, observed[1]
    expected = expectation(core, log, observed, joined_ns)
    is_counted = expected.low is not None and expected.high is not None
    low, high = expected.low or 0, expected.high or 0
    periods = losses_within(core.received, low, high) if is_counted else _NOTHING
    windows, is_window, notes = _windows(core, expected, periods, observed)
    layers = loss_layers(periods, is_window, core.parameters.gmin, expected.timeline, expected.origin)
    if not is_counted:
        layers = LossLayers([], 0, 0)
    n_beyond = core.received.count_from(high) if is_counted else 0
    closed = core.received.n_closed_lost
    lost = periods.lost + closed if is_counted else None
    longest = max(int(periods.lengths.max()) if len(periods) else 0, core.received.longest_closed)
    not_sent = int(np.count_nonzero(periods.contain(log.not_sent + expected.origin))) if log is not None else 0
    reordering = core.arrivals.reordering() if core.is_numbered else None
    return StreamSummary(
        number=info.number,
        receiver=info.receiver,
        source=info.source,
        group=info.group,
        interface=info.interface,
        protocol=info.protocol,
        stream_id=info.stream_id,
        epoch=info.epoch,
        key=info.key,
        label=info.label,
        schedule=expected.schedule,
        first_rx_ns=core.first_ns,
        last_rx_ns=core.last_ns,
        expected=high - low if is_counted else None,
        received=core.received.n - n_beyond if core.is_numbered else core.n_bare,
        lost=lost,
        duplicates=core.n_copies - core.n_first,
        reordered=reordering.reordered if reordering else None,
        too_late=core.late.n,
        corrupt=core.n_corrupt,
        misdelivered=core.n_misdelivered,
        loss_ratio=None if lost is None or high == low else lost / (high - low),
        loss_periods=len(periods) + core.received.n_closed_periods if is_counted else None,
        longest_loss_period=longest if is_counted else None,
        windows=windows,
        thinning=layers.thinning,
        isolated=layers.isolated + closed if is_counted else None,
        edge=layers.edge if is_counted else None,
        attribution=attribute(
            lost, late=core.late.n, not_sent=not_sent, own_buffer=drops, misdelivered=core.n_misdelivered
        ),
        delay=core.delay.distribution(lost or 0),
        ipdv=core.arrivals.ipdv.distribution(),
        jitter_ns=core.jitter.value if core.jitter.n else None,
        longest_gap_ns=core.spacings.longest_ns,
        pattern=loss_pattern_of(periods, low, high, core.parameters, expected.interval_ns) if is_counted else None,
        join_delay_ns=_join_delay(core, expected, joined_ns),
        reordering=reordering,
        series=series_of(core.series, periods, expected, max_bins),
        marks=[mark for sample in core.samples() for mark in sample.marks()],
        notes=expected.notes + notes + _notes(core, n_beyond),
    )


def _join_delay(core: Core, expected: Expectation, joined_ns: int | None) -> int | None:
    """Return the time from the join to the first packet of a stream that was being sent when the join came."""
    first_due_ns = expected.schedule.first_due_ns
    if joined_ns is None or core.first_ns is None or first_due_ns is None:
        return None
    if first_due_ns + (core.info.clock_offset_ns or 0) > joined_ns or core.first_ns < joined_ns:
        return None
    return core.first_ns - joined_ns


def _windows(
    core: Core, expected: Expectation, periods: LossPeriods, observed: tuple[int, int] | None
) -> tuple[list[Window], NDArray[np.bool_], list[str]]:
    """Return the windows, which loss periods lie in one, and what is to be said of them."""
    if expected.is_active:
        if expected.timeline is None or expected.low is None or expected.high is None:
            return [], np.zeros(len(periods), np.bool_), resolution_notes(core, np.zeros((0, 4), np.int64), None)
        windows, is_window = active_windows(
            periods,
            expected.low,
            expected.high,
            expected.timeline,
            core.parameters,
            origin=expected.origin,
            interval_ns=expected.interval_ns or 0,
            tail=expected.tail,
        )
        return windows, is_window, resolution_notes(core, np.zeros((0, 4), np.int64), None)
    threshold = silence_threshold(expected.interval_ns, core.parameters)
    windows = edge_windows(core.spacings, expected.interval_ns, threshold, observed)
    is_window = np.zeros(len(periods), np.bool_)
    notes: list[str] = []
    if threshold is not None:
        silences, is_full = core.spacings.silences(threshold)
        gaps = (periods.first, periods.last) if core.is_numbered else None
        found, is_window = silence_windows(silences, expected.interval_ns or 0, gaps)
        if gaps is None:
            is_window = np.zeros(len(periods), np.bool_)
        windows = sorted(windows + found, key=lambda window: window.start_ns)
        notes = resolution_notes(core, silences, expected.interval_ns)
        if is_full:
            notes.append(f"only the {len(silences)} longest silences are listed")
    return windows, is_window, notes


def _notes(core: Core, n_beyond: int) -> list[str]:
    """Return the caveats on what was counted."""
    info, notes = core.info, []
    if n_beyond:
        notes.append(f"{n_beyond} packets numbered beyond the count of {info.sent} left out of the counts")
    if info.clock_offset_ns:
        notes.append(f"clock offset removed: {format_duration(info.clock_offset_ns)}")
    if core.n_negative:
        notes.append(
            f"{core.n_negative} packets have a negative one-way delay: the clocks of sender and receiver disagree, "
            "so delays are good for their differences only"
        )
    if core.late.n and not core.received.n:
        notes.append(
            f"every packet came after Tmax of {format_duration(core.parameters.tmax_ns or 0)}: "
            "rather the clocks disagree; give the clock offset"
        )
    if core.arrivals.n_beyond:
        notes.append(
            f"{core.arrivals.n_beyond} packets came later than the horizon of {core.parameters.horizon} packets; "
            "their extent and late time are bounds"
        )
    if core.n_unsynchronised:
        notes.append(
            f"{core.n_unsynchronised} parts were merged in which packets came later than the horizon of "
            f"{core.parameters.horizon} packets; reordering, delay variation and jitter are approximate"
        )
    if core.received.n_closed_lost:
        notes.append(
            f"more than {core.received.max_runs} loss periods: {core.received.n_closed_lost} losses of the oldest are "
            "counted as isolated, without windows or times"
        )
    if core.n_unusable:
        notes.append(f"{core.n_unusable} packets left out: impossible sequence number or no receive time")
    if core.n_bare and core.is_numbered:
        notes.append(f"{core.n_bare} packets without a sequence number left out of the counts")
    return notes + [
        f"{sample.kind}: {sample.max_marks} of {sample.n} packets are marked, an even sample"
        for sample in core.samples()
        if sample.n > sample.max_marks
    ]
