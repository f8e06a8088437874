"""Which packets of a stream should have come, and when each was due: from the best schedule at hand.

Order of trust: the sender's log, the schedule that probes carry or the user gives, the stamps of the packets that came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.core import Core
from harness.analyzer.passive import silence_threshold
from harness.analyzer.runs import RunSet
from harness.analyzer.sentlog import SentLog
from harness.analyzer.sequence import LIMIT
from harness.analyzer.timeline import KnotTimeline, PeriodicTimeline, Timeline, due_before
from harness.model import Schedule
from harness.model.summary import WindowClass
from harness.units import format_duration

Int64Array = NDArray[np.int64]
ScheduleSource = Literal["probe", "log", "given", "observed", "interpolated"]

SILENT_END_NS = 100_000_000
"""A stream without a known end has stopped when its last packet lies this long, and silence_factor intervals, back."""


@dataclass(slots=True)
class Expectation:
    """What should have come.

    Attributes:
      schedule: for the summary.
      is_active: a schedule is known, so the rules for a known schedule apply.
      interval_ns: time between packets; None when not known, 0 when there is no fixed one.
      timeline: due times; None when nothing came and nothing is known.
      origin: the number of packet 0.
      low, high: the numbers expected are low .. high - 1; None when that cannot be known.
      tail: class of a window that holds the last packet expected.
      notes: caveats.
    """

    schedule: Schedule
    is_active: bool
    interval_ns: int | None
    timeline: Timeline | None
    origin: int
    low: int | None = None
    high: int | None = None
    tail: WindowClass = "stopped_or_ended"
    notes: list[str] = field(default_factory=list)


def expectation(
    core: Core, log: SentLog | None, observed: tuple[int, int] | None, joined_ns: int | None
) -> Expectation:
    """Return which packets of the stream were expected.

    Args:
      core: the stream's packets, folded.
      log: the sender's log of this stream.
      observed: start and end of the observation, receiver's time line.
      joined_ns: when the receiver had joined, receiver's time line.
    """
    info = core.info
    log = log if log is not None and log.n else None
    count = max(info.sent or 0, log.scheduled) if log is not None else info.sent
    if (info.first_due_ns is None and log is None) or (core.n_bare and not core.is_numbered):
        return _observed(core, count)
    interval = info.interval_ns or 0
    origin = _origin(core)
    timeline: Timeline | None
    if interval and info.first_due_ns is not None:
        timeline = PeriodicTimeline(info.first_due_ns, interval)
    elif log is not None and len(log.seq):
        is_whole = log.n == log.scheduled
        timeline = KnotTimeline(log.seq, log.due_ns, is_interpolated=not is_whole)
    else:
        timeline = _between_stamps(core.received, origin, info.first_due_ns)
    first_due_ns = info.first_due_ns
    if first_due_ns is None and log is not None and len(log.due_ns):
        first_due_ns = int(log.due_ns[0])
    source: ScheduleSource = "probe" if info.protocol == "probe" else "given"
    if log is not None and (interval or len(log.seq)):
        source = "log"
    elif not interval:
        source = "interpolated"
    result = Expectation(
        schedule=Schedule(
            source=source,
            first_due_ns=first_due_ns,
            interval_ns=info.interval_ns,
            sent=count,
        ),
        is_active=True,
        interval_ns=interval,
        timeline=timeline,
        origin=origin,
    )
    _bound(result, core, log, observed, joined_ns)
    return result


def _observed(core: Core, count: int | None) -> Expectation:
    """Return the expectation without a schedule: lowest to highest number received, or the count given."""
    info = core.info
    interval = info.interval_ns or core.spacings.interval_ns(info.clock_rate)
    result = Expectation(
        schedule=Schedule(source="given" if info.interval_ns else "observed", interval_ns=interval, sent=count),
        is_active=False,
        interval_ns=interval,
        timeline=_between_stamps(core.received, 0, None),
        origin=0,
    )
    if not core.is_numbered or core.extender.highest is None:
        return result
    result.low, result.high = _lowest(core), core.extender.highest + 1
    if count is not None:
        first = info.sequence_first
        if first <= result.low and result.high <= first + count:
            result.low, result.high = first, first + count
        else:
            result.notes.append(
                f"the count of {count} packets does not fit numbers {result.low} to {result.high - 1}; "
                "lowest to highest number received are taken as expected"
            )
    return result


def _origin(core: Core) -> int:
    """Return the number of packet 0: a source whose numbers start anywhere, as in RTP, shows it by the time."""
    info, first = core.info, core.info.sequence_first
    modulus = core.extender.modulus
    if info.protocol == "probe" or not info.interval_ns or info.first_due_ns is None or modulus is None:
        return first
    if not len(core.received):
        return first
    number, t_ns = int(core.received.starts[0]), int(core.received.start_ns[0])
    due = (t_ns - info.first_due_ns) // info.interval_ns
    is_near = abs(number - first - due) <= modulus // 16 or abs(due) >= LIMIT // 4
    return first if is_near else number - due


def _lowest(core: Core) -> int:
    return min(int(runs.starts[0]) for runs in (core.received, core.late) if len(runs))


def _between_stamps(received: RunSet, origin: int, first_due_ns: int | None) -> KnotTimeline | None:
    """Return a time line through the stamps at the ends of each run received."""
    index = np.stack((received.starts, received.ends - 1), axis=1).ravel() - origin
    t_ns = np.stack((received.start_ns, received.end_ns), axis=1).ravel()
    if first_due_ns is not None and (not len(index) or index[0] > 0):
        index, t_ns = np.append(0, index), np.append(first_due_ns, t_ns)
    if not len(index):
        return None
    is_new = np.append(True, np.diff(index) > 0)
    return KnotTimeline(index[is_new], t_ns[is_new], is_interpolated=True)


def _bound(
    result: Expectation,
    core: Core,
    log: SentLog | None,
    observed: tuple[int, int] | None,
    joined_ns: int | None,
) -> None:
    """Set the range expected, its tail's class and the notes that go with them."""
    origin, count = result.origin, result.schedule.sent
    reached = origin if core.extender.highest is None else core.extender.highest + 1
    high = None if count is None else min(origin + count, LIMIT)
    if high is not None and core.info.sent is None and reached > high:
        result.notes.append(f"numbers up to {reached - 1} came, beyond the {count} packets that the sender logged")
        high = reached
    due = None if observed is None else _due_by(result, core, observed[1])
    if due is not None and (high is None or not _is_over(result, core, observed, high)):
        is_silent = core.last_ns is None or (
            observed is not None and observed[1] - core.last_ns > _patience(result, core)
        )
        if high is None and is_silent and due > reached:
            result.notes.append(
                f"no end-of-stream packet and no sender's log: the {due - reached} packets due from the last one until "
                "the end of the observation count as lost, but the sender may have ended"
            )
        high = max(reached, due) if is_silent else reached
    elif high is None and core.n_first:
        high = reached
        result.notes.append("how many packets were sent is not known: a loss after the last one received does not show")
    if high is None:
        result.notes.append("nothing came, and neither the sender's count nor the time observed is known")
        return
    result.low, result.high = min(_first_expected(result, core, joined_ns), high), high
    if result.low == result.high and not core.n_first:
        result.notes.append("nothing was due while the receiver listened")
    is_beyond_log = log is None or (count or 0) > log.scheduled
    is_going_on = count is not None if is_beyond_log or log is None else log.went_on(reached - origin)
    result.tail = "stopped" if is_going_on else "stopped_or_ended"


def _first_expected(result: Expectation, core: Core, joined_ns: int | None) -> int:
    """Return the first number expected: packet 0, or the first one due after the join, or the lowest that came."""
    low = result.origin
    if joined_ns is not None and result.timeline is not None:
        joined_ns -= (core.info.clock_offset_ns or 0) + (core.delay.minimum or 0)
        low += due_before(result.timeline, joined_ns)
    return min(low, _lowest(core)) if core.n_first else low


def _patience(result: Expectation, core: Core) -> int:
    threshold = silence_threshold(result.interval_ns or None, core.parameters) or 0
    return max(SILENT_END_NS, threshold)


def _is_over(result: Expectation, core: Core, observed: tuple[int, int] | None, high: int) -> bool:
    """Return whether the observation went on until the last packet of a known count could have come."""
    due = None if observed is None else _due_by(result, core, observed[1], core.delay.minimum or 0)
    return due is None or due >= high


def _due_by(result: Expectation, core: Core, end_ns: int, delay_ns: float | None = None) -> int | None:
    """Return the number after the last packet that should have come by `end_ns`; None when that is not known."""
    if result.timeline is None or result.schedule.source == "interpolated":
        return None
    delay = core.delay.percentile("99.9") or 0 if delay_ns is None else delay_ns
    end_ns -= (core.info.clock_offset_ns or 0) + round(delay)
    return result.origin + due_before(result.timeline, end_ns)


def resolution_notes(core: Core, silences: Int64Array, interval_ns: int | None) -> list[str]:
    """Return what is to be said of the numbering's width: jumps that are, or may be, ambiguous."""
    extender, bits = core.extender, core.info.sequence_bits
    notes = []
    if extender.n_undecidable:
        notes.append(f"{extender.n_undecidable} jumps of half the {bits}-bit range, taken forward: undecidable")
    if extender.n_resolved:
        notes.append(f"{extender.n_resolved} jumps beyond half the {bits}-bit range, resolved by time and interval")
    if extender.n_unresolved:
        notes.append(
            f"{extender.n_unresolved} pauses outlast half the {bits}-bit range and fit no whole range: undecidable"
        )
    if extender.modulus and interval_ns and not core.info.interval_ns and len(silences):
        half_ns = extender.modulus // 2 * interval_ns
        longest = int((silences[:, 1] - silences[:, 0]).max())
        if longest > half_ns:
            notes.append(
                f"a silence of {format_duration(longest)} outlasts half the {bits}-bit numbering "
                f"({format_duration(half_ns)}): the loss in it may be larger by multiples of {extender.modulus}; "
                "--interval resolves it"
            )
    return notes
