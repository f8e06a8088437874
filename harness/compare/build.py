"""Recordings -> Comparison: match, set side by side, test, and say it in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.compare.events import loss_events
from harness.compare.figures import figures_of
from harness.compare.findings import Side, findings_between, sentence_of
from harness.compare.matching import Column, Union, match_streams
from harness.compare.shared import NOTHING, Received, alignment, due_range, shared_loss
from harness.compare.sources import Subject, received_of
from harness.compare.statistics import holm
from harness.compare.timeline import extent_of, label_of
from harness.errors import UsageError
from harness.model import StreamSummary, Summary
from harness.model.comparison import ComparedRun, Comparison, Match, Member, SharedLoss
from harness.plots.wording import count, percent, plain

ALPHA = 0.05
NO_MATCH = "No stream of one recording corresponds to one of another."
UNTESTED = (
    "Reordered, duplicates and jitter are shown without a test: such packets come in clusters that a summary does not"
    " count, and jitter is a single estimate."
)


def compare(subjects: Sequence[Subject], alpha: float = ALPHA) -> Comparison:
    """Compare recordings.

    Args:
      subjects: at least two, or one in which several receivers heard.
      alpha: level of significance, for all tests together.

    Raises:
      UsageError: there is nothing to compare with each other.
      RecordError: packets cannot be read.
    """
    summaries = [subject.summary for subject in subjects]
    columns = {(run, stream.receiver) for run, summary in enumerate(summaries) for stream in summary.streams}
    if len(subjects) < 2 and len(columns) < 2:
        raise UsageError(f"{subjects[0].path} has one receiver; name a second recording to compare it with")
    unions = match_streams(summaries)
    received = _received(subjects, unions)
    notes: list[str] = []
    matches = [_match(subjects, union, received, alpha, notes) for union in unions if len(union.streams) > 1]
    matches = _corrected(matches, alpha)
    extents = [extent_of(summary) for summary in summaries]
    runs = [
        ComparedRun(
            name=subject.name,
            path=str(subject.path),
            start_ns=extent[0] if extent else None,
            end_ns=extent[1] if extent else None,
        )
        for subject, extent in zip(subjects, extents, strict=True)
    ]
    if len({msgspec.json.encode(summary.parameters) for summary in summaries}) > 1:
        notes.insert(0, "The recordings were analyzed with different thresholds, by which windows differ, too.")
    findings = [finding for match in matches for finding in match.findings]
    labelled = [(match.label if len(matches) > 1 else "", item) for match in matches for item in match.findings]
    n_tests = sum(finding.p_value is not None for finding in findings)
    return Comparison(
        runs=runs,
        axis="absolute" if _share_the_clock(matches, runs) else "relative",
        alpha=alpha,
        matches=matches,
        unmatched=[
            _member(subjects, column, stream)
            for union in unions
            if len(union.streams) == 1
            for column, stream in union.streams.items()
        ],
        sentence=" ".join([sentence_of(labelled, alpha, n_tests), *_seen(matches)]) if matches else NO_MATCH,
        notes=[*notes, *_infinite(summaries), UNTESTED] if matches else notes,
    )


def _received(subjects: Sequence[Subject], unions: Sequence[Union]) -> dict[tuple[int, int], Received]:
    """Return what was received of each stream that several receivers heard, by recording and stream number."""
    wanted: dict[int, list[int]] = {}
    for union in unions:
        for group in union.same:
            for column in group:
                wanted.setdefault(column[0], []).append(union.streams[column].number)
    return {
        (run, number): received
        for run, numbers in wanted.items()
        for number, received in received_of(subjects[run], numbers).items()
    }


def _member(subjects: Sequence[Subject], column: Column, stream: StreamSummary) -> Member:
    run, receiver = column
    several = len({other.receiver for other in subjects[run].summary.streams}) > 1
    name = f"{subjects[run].name} ({receiver})" if several else subjects[run].name
    return Member(run=run, number=stream.number, name=plain(name, 60), label=stream.label)


def _match(
    subjects: Sequence[Subject],
    union: Union,
    received: dict[tuple[int, int], Received],
    alpha: float,
    notes: list[str],
) -> Match:
    columns = sorted(union.streams)
    streams = [union.streams[column] for column in columns]
    members = [_member(subjects, column, union.streams[column]) for column in columns]
    shared: SharedLoss | None = None
    for group in union.same:  # the largest is told
        places = [columns.index(column) for column in sorted(group)]
        found, reason = _shared(places, columns, streams, received)
        if found is not None and (shared is None or len(found.members) > len(shared.members)):
            shared = msgspec.structs.replace(found, sentence=_where(found, members, streams))
        if reason:
            notes.append(f"{plain(streams[0].label, 80)}: {reason}.")
    sides = [
        Side(place, member.name, stream, events, subjects[member.run].has_one_clock)
        for place, (member, stream, events) in enumerate(zip(members, streams, loss_events(streams), strict=True))
    ]
    return Match(
        label=label_of(streams[0]),
        kind="same" if union.is_same else "counterpart",
        by=union.by,
        members=members,
        figures=figures_of(streams),
        shared=shared,
        findings=[item for side in sides[1:] for item in findings_between(sides[0], side, shared, alpha)],
    )


def _shared(
    places: list[int],
    columns: Sequence[Column],
    streams: Sequence[StreamSummary],
    received: dict[tuple[int, int], Received],
) -> tuple[SharedLoss | None, str]:
    """Return the losses of one stream at several receivers, or why they cannot be compared packet by packet."""
    sets = [received.get((columns[place][0], streams[place].number)) for place in places]
    known = [
        NOTHING if each is None and not streams[place].received else each
        for place, each in zip(places, sets, strict=True)
    ]
    if all(each is None for each in sets):
        return None, "lost by all and by some is not known without the packets"
    if any(each is None for each in known):
        return None, "lost by all and by some is not known, since not all of its packets can be placed"
    present = [each for each in known if each is not None]
    reference = next((each for each in present if len(each.starts)), present[0])
    interval_ns = next((streams[p].schedule.interval_ns for p in places if streams[p].schedule.interval_ns), None)
    deltas = [alignment(reference, each, interval_ns) if len(each.starts) else 0 for each in present]
    if any(delta is None for delta in deltas):
        return None, "its numbers wrap too soon to be matched between receivers"
    moves = [delta or 0 for delta in deltas]
    due = [due_range(streams[p], each.moved(d), d) for p, each, d in zip(places, present, moves, strict=True)]
    ranges = [each for each in due if each is not None]
    if len(ranges) < len(places):
        return None, "a receiver heard nothing of it, and what was due is not known"
    found = shared_loss(places, [each.moved(d) for each, d in zip(present, moves, strict=True)], ranges)
    return found, "" if found else "the receivers were never due the same packets"


def _where(shared: SharedLoss, members: Sequence[Member], streams: Sequence[StreamSummary]) -> str:
    """Return what the losses of several receivers point at."""
    n_all, n_some = shared.lost_by_all, shared.lost_by_some
    whole = f"Of {count(shared.packets)} packets, {count(n_all)} were lost by all receivers and {count(n_some)} by some"
    names = [members[place].name for place in shared.members]
    most = max(range(len(names)), key=lambda place: shared.lost[place])
    text = {
        "none": f"{whole}: no loss to place.",
        "source": f"{whole}: that points at the source side, before the paths part.",
        "branch": f"{whole}: that points at a branch, most at that to {names[most]} ({count(shared.lost[most])} lost).",
        "both": f"{whole}: some went missing before the paths part, some in a branch, most at that to {names[most]}.",
    }[shared.points_at]
    not_sent = max(streams[place].attribution.not_sent for place in shared.members)
    if n_all and not_sent:
        text += f" The sender's own log has {count(not_sent)} packets that it did not send."
    for place, name in zip(shared.members, names, strict=True):
        if streams[place].attribution.own_buffer:
            dropped = count(streams[place].attribution.own_buffer)
            text += f" {name}'s own socket buffer dropped {dropped}: that is the host, not the network."
    return text


def _seen(matches: Sequence[Match]) -> list[str]:
    """Return what was seen, whether or not a test calls it more than chance: the largest difference of loss, and where.

    One long drop-out is one event, so that no test can tell it from chance, and yet it is what was looked for.
    """
    spreads: list[tuple[float, Match, list[float | None]]] = []
    for match in matches:
        ratios = next((figure.values for figure in match.figures if figure.name == "loss ratio"), [])
        known = [ratio for ratio in ratios if ratio is not None]
        if known and max(known) > min(known):
            spreads.append((max(known) - min(known), match, ratios))
    if not spreads:
        return []
    _, match, ratios = max(spreads, key=lambda spread: spread[0])
    each = ", ".join(f"{member.name} {percent(ratio)}" for member, ratio in zip(match.members, ratios, strict=True))
    of = f" of {plain(match.label, 80)}" if len(matches) > 1 else ""
    where = [match.shared.sentence] if match.shared and match.shared.points_at != "none" else []
    return [f"The largest difference seen in loss{of}: {each}.", *where]


def _infinite(summaries: Sequence[Summary]) -> list[str]:
    """Return the remark that a percentile of the delay is missing since too many packets are."""
    streams = [stream for summary in summaries for stream in summary.streams]
    if all("99" in stream.delay.percentiles_ns for stream in streams if stream.delay.n):
        return []
    return ["A lost packet's delay is infinite (RFC 7679): with more than 1 % lost the 99th percentile is undefined."]


def _corrected(matches: list[Match], alpha: float) -> list[Match]:
    """Return the matches with p-values corrected for the number of all tests, and what is significant."""
    adjusted = iter(holm([f.p_value for match in matches for f in match.findings if f.p_value is not None]))
    result = []
    for match in matches:
        findings = []
        for finding in match.findings:
            if finding.p_value is not None:
                p = next(adjusted)
                finding = msgspec.structs.replace(finding, p_adjusted=p, is_significant=p <= alpha)
            findings.append(finding)
        result.append(msgspec.structs.replace(match, findings=findings))
    return result


def _share_the_clock(matches: Sequence[Match], runs: Sequence[ComparedRun]) -> bool:
    """Whether the recordings belong on one wall clock: they heard the same stream, or were made at the same time."""
    if len(runs) == 1 or any(match.kind == "same" for match in matches):
        return True
    known = [(run.start_ns, run.end_ns) for run in runs if run.start_ns is not None and run.end_ns is not None]
    if len(known) < 2:
        return True
    common = min(end for _, end in known) - max(start for start, _ in known)
    return 2 * common >= min(end - start for start, end in known)
