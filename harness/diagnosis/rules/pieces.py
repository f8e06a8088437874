"""Pieces of evidence that several rules weigh, so that they are put into words once."""

from __future__ import annotations

from harness.diagnosis.allotment import MOST
from harness.diagnosis.case import WITNESSES, Case
from harness.diagnosis.finding import Weighing, counted
from harness.diagnosis.symptoms import Symptom, SymptomKind
from harness.model.witness import WitnessKind

WINDOW: frozenset[SymptomKind] = frozenset({"window"})
LOSS: frozenset[SymptomKind] = frozenset({"window", "scattered"})
FULL_QUEUE = {"ENOBUFS", "EAGAIN", "ENOMEM"}
"""Errnos of a send that found its way out full."""
NO_IGMP = "IGMP and MLD at the receiver, which nobody captured"


def witness(
    weighing: Weighing, case: Case, symptom: Symptom, kind: WitnessKind, wants: bool, weight: float, factor: float
) -> bool | None:
    """Add what a witness heard; `factor` applies when it heard the opposite of what the cause `wants`. Return it."""
    hearing = case.hearing(kind, symptom)
    name = WITNESSES[kind]
    heard = f"{name} heard {counted(hearing.n, 'packet')} meanwhile"
    silent = (
        f"{name} heard nothing either"
        if hearing.n == 0
        else f"{name} heard only {counted(hearing.n, 'packet')} meanwhile"
    )
    weighing.add(
        weight,
        None if hearing.is_heard is None else hearing.is_heard is wants,
        yes=heard if wants else silent,
        no=silent if wants else heard,
        unknown=f"{name}: {hearing.why}",
        factor=factor,
    )
    return hearing.is_heard


ASTRAY = 0.5
"""In so much of a drop-out at least packets have to go astray to be its cause."""


def upstream(weighing: Weighing, case: Case, symptom: Symptom) -> None:
    """Add the pieces of everything that is lost on the way because the network takes no multicast here."""
    unheard(weighing, case, symptom)
    egress = case.egress(symptom)
    if egress is not None and egress.overlap(symptom.start_ns, symptom.end_ns) >= ASTRAY:
        no = f"packets left the sender by {egress.astray[0][0]} meanwhile, and not by {egress.expected}"
        weighing.add(0, False, no=no, factor=0.3)


def unheard(weighing: Weighing, case: Case, symptom: Symptom) -> None:
    """Add the pieces of packets that do not come to this host, while the host itself is reached."""
    witness(weighing, case, symptom, "tap", wants=False, weight=2, factor=0.1)
    witness(weighing, case, symptom, "unicast-twin", wants=True, weight=1, factor=0.5)
    n_own = case.own_drops(symptom)
    is_own = n_own >= MOST * symptom.n_packets
    weighing.add(0, not is_own, no=f"the socket's own buffer dropped {counted(n_own, 'packet')} of it", factor=0.1)


def words(case: Case, symptom: Symptom) -> Weighing:
    """Return an empty weighing with the words that every sentence may use."""
    return Weighing(**case.words(symptom))


def is_multicast(case: Case, symptom: Symptom) -> bool:
    """Whether a symptom's packets are sent to a group."""
    group = case.group(symptom)
    return group is not None and group.is_multicast


def filtered(case: Case, symptom: Symptom, *, is_igmp: bool = False) -> list[tuple[str, int | None]] | None:
    """Return the denying rules of the receiver's packet filter whose counters rose, or that count nothing.

    None when they cannot be read. Rules about IGMP and those about data are kept apart by their words.
    """
    denials = case.receiver_host(symptom).denials()
    if denials is None:
        return None
    return [(text, rise) for text, rise in denials if rise != 0 and ("igmp" in text) is is_igmp]
