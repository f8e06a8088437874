"""What is said where no cause is found: the network took it, or nobody can tell."""

from __future__ import annotations

from typing import get_args

from harness.diagnosis.case import WITNESSES, Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules.pieces import LOSS, witness, words
from harness.diagnosis.symptoms import Symptom, SymptomKind
from harness.diagnosis.witnesses import Hearing
from harness.model.witness import WitnessKind
from harness.units import format_duration

_ALL: frozenset[SymptomKind] = frozenset(get_args(SymptomKind))
_ASKED: tuple[WitnessKind, ...] = ("tap", "second-socket", "unicast-twin")


def network_outage(case: Case, symptom: Symptom) -> Finding | None:
    """Nothing reached the interface, and nothing says why."""
    tap = case.heard("tap", symptom)
    if tap is not False:
        return None
    weighing = words(case, symptom)
    witness(weighing, case, symptom, "tap", wants=False, weight=2, factor=0.1)
    left = case.left(symptom)
    yes = f"the sender's tap saw {counted(left.n, 'packet')} leave meanwhile"
    weighing.add(
        1,
        left.is_heard,
        yes=yes,
        no="the sender's tap saw none leave",
        unknown=f"the sender's tap: {left.why}",
        factor=0.5,
    )
    weighing.say(sent=_sent(case, symptom, left))
    twin = case.hearing("unicast-twin", symptom)
    yes = (
        "unicast from the same sender stopped as well"
        if twin.is_heard is False
        else f"unicast went on: {counted(twin.n, 'packet')}"
    )
    weighing.add(1, None if twin.is_heard is None else True, yes=yes, unknown=f"the unicast twin: {twin.why}")
    return weighing.result(0.4)


def _sent(case: Case, symptom: Symptom, left: Hearing) -> str:
    """Return what is known of whether the packets were sent, as a clause."""
    if left.is_heard:
        return "they left the sender's host"
    if left.is_heard is False:
        return "the sender's tap saw none leave"
    if symptom.stream is not None and any(each.epoch == symptom.stream.epoch for each in case.summary.senders):
        return "by its own log the sender sent them"
    return "whether they were sent at all is not known here"


def cannot_tell(case: Case, symptom: Symptom) -> Finding | None:
    """What is there says too little."""
    weighing = words(case, symptom)
    missing: list[str] = []
    if symptom.kind in ("window", "scattered"):
        what = (
            f"{counted(symptom.n_packets, 'packet')} of {symptom.group} went missing"
            if symptom.stream and symptom.stream.expected
            else (f"nothing came of {symptom.group}")
        )
        missing += [WITNESSES[kind] for kind in _ASKED if case.heard(kind, symptom) is None]
        if case.summary.membership is None:
            missing.append("a capture of IGMP and MLD")
        if case.sender(symptom) is None:
            missing.append("the sender's log")
    elif symptom.kind == "bursty":
        what = f"{symptom.group} came in bursts {format_duration(symptom.period_ns or 0)} apart"
    else:
        what = symptom.text or f"a {symptom.kind.replace('-', ' ')}"
    nobody = f"there is no word from {', '.join(missing[:3])}"
    weighing.say(what=what, why=nobody if missing else "the evidence contradicts every known cause")
    for name in missing:
        weighing.add(0, None, unknown=name)
    weighing.add(1, True, yes=f"{what}, {case.when(symptom)}" if symptom.end_ns > symptom.start_ns else what)
    return weighing.result(0.2)


RULES = (
    Rule(
        "network-outage",
        "Packets of {group} did not reach {interface} of {receiver}, and nothing says why; {sent} ({when})",
        LOSS,
        network_outage,
        "the tap at the receiver is silent, and no other cause fits",
        "the sender's own log or tap (`--sent RUN`), and a tap half-way, at the switch's mirror port, at the same time",
        "make sure that the sender was sending then, to this group and port; if it was, look at the switch and the "
        "links between",
        "packet(7): what the tap does not see did not arrive",
        is_fallback=True,
    ),
    Rule(
        "cannot-tell",
        "Cannot tell why {what}: {why}",
        _ALL,
        cannot_tell,
        "no cause's evidence is there",
        "the run with witnesses: tap (needs privileges), second socket, unicast twin",
        "run `harness doctor`, then repeat with witnesses on both hosts",
        "undefined is not zero",
        is_fallback=True,
    ),
)
