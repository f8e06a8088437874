"""The cause that a run brings along: its own scenario has the sender leave packets out."""

from __future__ import annotations

from dataclasses import replace

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, Weighing, counted
from harness.diagnosis.rules.pieces import words
from harness.diagnosis.symptoms import LEFT_OUT, LeftOut, Symptom
from harness.model import StreamSummary
from harness.model.witness import SenderImpairment
from harness.units import format_duration

_EDGE_NS = 50_000_000
"""How far the edges of a drop-out may lie from where the scenario puts it."""
_SHOWN = 3


def impaired_at_sender(case: Case, symptom: Symptom) -> Finding | None:
    """The sender left packets out because its scenario says so."""
    impairment, stream = case.impairment(symptom), symptom.stream
    if impairment is None or stream is None:
        return None
    weighing = words(case, symptom)
    lost = stream.lost or symptom.n_packets
    weighing.say(n=f"{symptom.n_packets:,}", m=f"{lost:,}")
    if symptom.kind == "impaired":
        _by_record(weighing, symptom, impairment, lost)
        _by_tap(weighing, case, symptom, stream, impairment)
    elif impairment.dropped is not None or not _is_asked(case, symptom, impairment):
        return None
    else:
        weighing.add(3, True, yes=f"the scenario asks for it: {_asked(impairment)}")
        weighing.add(1, None, unknown="what the sender did: the run has no truth.jsonl, as after it was killed")
    return weighing.result()


def _by_record(weighing: Weighing, symptom: Symptom, impairment: SenderImpairment, lost: int) -> None:
    """Add what the sender's record and the scenario say."""
    dropped, n_corrupted = counted(len(impairment.dropped or ()), "packet"), len(impairment.corrupted or ())
    damaged = f" and damaged {n_corrupted:,}" if n_corrupted else ""
    record = f"by its own record, truth.jsonl, the sender left out {dropped}{damaged}"
    weighing.add(4, True, yes=f"{record}; {symptom.n_packets:,} of the {lost:,} missing are among them")
    asked = _asked(impairment)
    weighing.add(1, True if asked else None, yes=f"the scenario asks for it: {asked}", unknown="what was asked for")
    n_else = lost - symptom.n_packets
    weighing.add(0, n_else <= 0, no=f"the sender did not leave out the other {n_else:,}")


def _by_tap(
    weighing: Weighing, case: Case, symptom: Symptom, stream: StreamSummary, impairment: SenderImpairment
) -> None:
    """Add whether the sender's tap saw packets leave in the longest drop-out that the sender made."""
    left_out = LeftOut.of(stream, [impairment])
    made = [each for each in stream.windows if each.packets and left_out.within(each) >= LEFT_OUT * each.packets]
    if not made:
        return
    longest = max(made, key=lambda each: each.duration_ns)
    left = case.left(replace(symptom, start_ns=longest.start_ns, end_ns=longest.end_ns, n_packets=longest.packets or 1))
    weighing.add(
        1,
        None if left.is_heard is None else not left.is_heard,
        yes="the sender's tap saw nothing leave in the longest drop-out",
        no=f"the sender's tap saw {counted(left.n, 'packet')} leave in the longest drop-out",
        unknown=f"the sender's tap: {left.why}",
        factor=0.3,
    )


def _asked(impairment: SenderImpairment) -> str:
    """Return what the scenario asks for, as text."""
    parts = [
        f"a drop-out from {format_duration(start_ns)} to {format_duration(end_ns)}"
        for start_ns, end_ns in impairment.dropouts_ns[:_SHOWN]
    ]
    n_more = len(impairment.dropouts_ns) - _SHOWN
    parts += [f"{counted(n_more, 'further drop-out')}"] if n_more > 0 else []
    parts += [f"{ratio} {name}" for ratio, name in _ratios(impairment)]
    return ", ".join(parts)


def _ratios(impairment: SenderImpairment) -> list[tuple[str, str]]:
    named = ((impairment.loss, "loss"), (impairment.corrupt, "damage"))
    return [(ratio, name) for ratio, name in named if ratio.strip("0.% ")]


def _is_asked(case: Case, symptom: Symptom, impairment: SenderImpairment) -> bool:
    """Whether the scenario asks for a symptom, where no record says what was done."""
    if symptom.kind == "scattered":
        return bool(_ratios(impairment))
    info = case.sender(symptom)
    starts_ns = info.first_due_ns if info is not None else 0
    for start_ns, end_ns in impairment.dropouts_ns:
        late_ns = symptom.end_ns - starts_ns - end_ns
        is_cut = symptom.is_to_end and late_ns < 0
        if abs(starts_ns + start_ns - symptom.start_ns) <= _EDGE_NS and (abs(late_ns) <= _EDGE_NS or is_cut):
            return True
    return False


RULES = (
    Rule(
        "impaired-at-sender",
        "The sender itself left out {n} of the {m} packets of {group} missing at {receiver} on purpose: this run's own "
        "scenario impairs the stream",
        frozenset({"impaired", "window", "scattered"}),
        impaired_at_sender,
        "the sender's own record of what it left out or damaged (`truth.jsonl`) names the missing packets; the "
        "scenario has a table `[stream.impair]`",
        "the same run without `[stream.impair]`",
        "take `[stream.impair]` out of the scenario; as it is, the run tests the harness and not the network",
        "the sender's record is the witness of what it left out",
    ),
)
