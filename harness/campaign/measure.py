"""What was measured on one boot: from its directory on disk alone, so that it can be made again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from harness.campaign import directory as layout
from harness.campaign.raster import spans_of
from harness.campaign.recordings import Heard, recordings, witnesses_of
from harness.errors import RecordError
from harness.evidence.difference import difference
from harness.model import StreamSummary, Window
from harness.model.boots import (
    MEASURES_VERSION,
    BootDropout,
    BootFacts,
    BootMeasures,
    Outcome,
    RasterMark,
)
from harness.model.campaign import ReproducedWhen
from harness.model.evidence_change import Change
from harness.store.documents import read_document, read_json, write_document
from harness.units import format_duration, parse_duration

_ERRNO = re.compile(r"\bE[A-Z0-9]{3,}\b")
_FOR_GOOD = ("never_received", "stopped", "stopped_or_ended", "silent_end")
"""Classes of windows that reach to the end: what was silent then was not cured."""


def measure(
    path: Path, sign: ReproducedWhen | None = None, *, cut_short: tuple[Outcome, str] | None = None
) -> BootMeasures:
    """Return what was measured on a boot.

    Args:
      path: of the boot's directory, with its `boot.json`; its neighbours are what its evidence is held against.
      sign: what a boot looks like that shows the fault.
      cut_short: outcome and reason of a boot that has no end of its own: crashed, or hung.

    Raises:
      RecordError: there is no `boot.json`, or it cannot be read.
    """
    facts = read_document(path / layout.BOOT, BootFacts, MEASURES_VERSION)
    heard, trouble = recordings(path, facts)
    notes = [warning for one in heard for warning in one.summary.notes]
    previous, good = _changes(path, facts)
    measures = BootMeasures(
        boot=facts.boot,
        boot_id=facts.boot_id,
        values=facts.values,
        arrival=facts.arrival,
        outcome="ok",
        began_ns=facts.began_ns,
        changes_previous=previous,
        changes_good=good,
        notes=notes,
    )
    if heard:
        measures = _with_recordings(measures, facts, heard)
    outcome, reason = cut_short or _outcome(facts, heard, trouble, sign or ReproducedWhen())
    return msgspec.structs.replace(measures, outcome=outcome, reason=reason)


def write_measures(path: Path, measures: BootMeasures) -> None:
    """Write `measures.json` of a boot's directory.

    Raises:
      StorageError: it cannot be written.
    """
    write_document(path / layout.MEASURES, measures, "is the disk full?")


def read_measures(path: Path) -> BootMeasures:
    """Return `measures.json` of a boot's directory.

    Raises:
      RecordError: it is missing, damaged, or of another version.
    """
    return read_document(path / layout.MEASURES, BootMeasures, MEASURES_VERSION)


def _with_recordings(measures: BootMeasures, facts: BootFacts, heard: list[Heard]) -> BootMeasures:
    subjects = [stream for one in heard for stream in one.subjects]
    joined = [entry for one in heard for entry in one.joined()]
    origin_ns = min((joined_ns for *_, joined_ns in joined), default=heard[0].manifest.clocks.realtime_ns)
    first_ns = min((stream.first_rx_ns for stream in subjects if stream.first_rx_ns is not None), default=None)
    end = heard[-1].manifest.end
    windows = [(stream, window) for stream in subjects for window in stream.windows]
    end_ns = end.t_ns if end else max((stream.last_rx_ns or 0 for stream in subjects), default=0) or None
    link_ns = next((step.link_up_ns for step in facts.steps if step.link_up_ns is not None), None)
    reopened_ns, is_cured, cure_ns = _cure(heard, windows)
    marks = _marks(heard)
    if is_cured and reopened_ns is not None and cure_ns is not None:
        marks.append(RasterMark(kind="cure", t_ns=reopened_ns + cure_ns))
    expected = [stream.expected for stream in subjects]
    lost = [stream.lost for stream in subjects]
    is_known = bool(subjects) and None not in expected and None not in lost
    return msgspec.structs.replace(
        measures,
        origin_ns=origin_ns,
        end_ns=end_ns,
        boot_to_first_ns=_since(facts.booted_ns if facts.is_fresh else None, first_ns),
        link_to_first_ns=_since(link_ns, first_ns),
        join_to_first_ns=_since(origin_ns if joined else None, first_ns),
        expected=sum(number or 0 for number in expected) if is_known else None,
        received=sum(stream.received for stream in subjects),
        lost=sum(number or 0 for number in lost) if is_known else None,
        dropouts=[
            BootDropout(
                kind=window.kind,
                receiver=stream.receiver,
                group=stream.group,
                start_ns=window.start_ns,
                end_ns=window.end_ns,
                packets=window.packets,
            )
            for stream, window in windows
        ],
        witnesses=witnesses_of(heard),
        reopened_ns=reopened_ns,
        is_cured=is_cured,
        cure_ns=cure_ns,
        first_send_errno=_first_errno(heard),
        spans=spans_of(subjects),
        marks=sorted(marks, key=lambda mark: mark.t_ns),
    )


def _since(from_ns: int | None, to_ns: int | None) -> int | None:
    return None if from_ns is None or to_ns is None else to_ns - from_ns


def _cure(
    heard: list[Heard], windows: Iterable[tuple[StreamSummary, Window]]
) -> tuple[int | None, bool | None, int | None]:
    """Return when sockets were first opened anew, whether that cured a silence, and after how long."""
    reopened = [
        event.t_ns
        for one in heard
        for event in one.events
        if event.kind == "reopen" and not (event.receiver and event.receiver in one.witnesses)
    ]
    if not reopened:
        return None, None, None
    first_ns = min(reopened)
    over = [window for stream, window in windows if window.start_ns < first_ns < window.end_ns + _slack_ns(stream)]
    if not over:
        return first_ns, None, None
    if any(window.kind in _FOR_GOOD for window in over):
        return first_ns, False, None
    return first_ns, True, max(0, max(window.end_ns for window in over) - first_ns)


def _slack_ns(stream: StreamSummary) -> int:
    """Return how long before a cure its window may seem to end: a window ends when the next packet was due."""
    return max(20_000_000, 2 * (stream.schedule.interval_ns or 0))


_MARKED = {"join": "join", "leave": "leave", "reopen": "reopen"}


def _marks(heard: list[Heard]) -> list[RasterMark]:
    marks = {
        (event.kind, event.t_ns)
        for one in heard
        for event in one.events
        if event.kind in _MARKED and event.receiver not in one.witnesses - {""}
    }
    return [msgspec.convert({"kind": kind, "t_ns": t_ns}, RasterMark) for kind, t_ns in marks]


def _first_errno(heard: list[Heard]) -> str | None:
    refused = sorted((event.t_ns, event.text) for one in heard for event in one.events if event.kind == "errno")
    for _, text in refused:
        name = _ERRNO.search(text)
        if name:
            return name.group(0)
    return next((name for one in heard for sender in one.summary.senders for name in sender.errnos), None)


def _changes(path: Path, facts: BootFacts) -> tuple[list[Change] | None, list[Change] | None]:
    """Return what changed against the boot before and against the last good one."""
    now = _environment(path)
    before = [layout.boot_path(path.parent.parent, number) for number in range(facts.boot - 1, 0, -1)]
    previous = next((found for other in before if (found := _environment(other)) is not None), None)
    good = next((found for other in before if _is_good(other) and (found := _environment(other)) is not None), None)
    if now is None:
        return None, None
    return (
        None if previous is None else difference(previous, now),
        None if good is None else difference(good, now),
    )


def _environment(path: Path) -> dict[str, object] | None:
    try:
        found = read_json(path / layout.ENVIRONMENT)
    except RecordError:  # a boot that hung before it began has none
        return None
    return found if isinstance(found, dict) else None


def _is_good(path: Path) -> bool:
    try:
        return read_measures(path).outcome == "ok"
    except RecordError:
        return False


def _outcome(facts: BootFacts, heard: list[Heard], trouble: str, sign: ReproducedWhen) -> tuple[Outcome, str]:
    """Return whether the fault was seen, and by what."""
    if facts.error is not None or (trouble and not heard):
        return "not_run", facts.error or trouble
    seen = []
    expects = sign.expect_failed
    if expects is None:
        expects = sign.first_packet_after is None and sign.verdict is None
    if expects:
        failed = [limit for one in heard for limit in one.summary.limits if limit.is_passed is False]
        seen += [f"{limit.name} {limit.measured}, limit {limit.limit}" for limit in failed]
    if sign.first_packet_after is not None:
        seen += _late_firsts(heard, parse_duration(sign.first_packet_after))
    if sign.verdict is not None:
        firsts = [one.summary.verdicts[0] for one in heard if one.summary.verdicts]
        seen += [f"verdict {verdict.name}" for verdict in firsts if verdict.name == sign.verdict]
    return ("reproduced", "; ".join(seen)) if seen else ("ok", "")


def _late_firsts(heard: list[Heard], limit_ns: int) -> list[str]:
    late = []
    for one in heard:
        for receiver, group, joined_ns in one.joined():
            first_ns = one.first_ns(receiver, group)
            where = f"{group} at {receiver}" if receiver else group
            if first_ns is None:
                late.append(f"nothing of {where}")
            elif first_ns - joined_ns > limit_ns:
                late.append(f"first packet of {where} after {format_duration(first_ns - joined_ns)}")
    return late
