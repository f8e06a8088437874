"""Causes in group membership, the answering half: reports, and what the switch makes of them (RFC 3376, 4541)."""

from __future__ import annotations

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, Weighing, counted
from harness.diagnosis.igmp import EXACT_NS, View
from harness.diagnosis.rules.membership import asked
from harness.diagnosis.rules.pieces import WINDOW, filtered, upstream, words
from harness.diagnosis.symptoms import Symptom
from harness.units import format_duration

HEAL_NS = 300_000_000
"""A report that heals does so at once: packets come again within this, and one interval."""


def reports_lost(case: Case, symptom: Symptom) -> Finding | None:
    """Queries come, and the answers are lost."""
    view = case.igmp(symptom)
    start_ns = symptom.start_ns
    last_ns = view.last_report_before(start_ns)
    if symptom.is_from_start or not view.is_watched or view.is_silent_at(start_ns) or last_ns is None:
        return None
    weighing = words(case, symptom)
    asked(weighing, symptom, view, wants=True)
    unanswered = view.queries_in(last_ns + 1, start_ns)
    exact = view.expired_just(start_ns)
    if unanswered and start_ns - last_ns >= view.lifetime_ns - max(view.lifetime_ns // 10, 1_500_000_000):
        text = f"{counted(unanswered, 'query')} stayed unanswered after this host's last report, "
        text += (
            f"{format_duration(start_ns - last_ns)} before it; a report counts for {format_duration(view.lifetime_ns)}"
        )
        weighing.add(3, True, yes=text)
    else:
        n_after = view.reports_in(exact[-1] + 1, start_ns) if exact else 0
        yes = f"it began {format_duration(start_ns - exact[-1])} after a report, " if exact else ""
        yes += f"whose lifetime is {format_duration(view.lifetime_ns)}, "
        yes += f"as if no report since had arrived ({n_after:,} of them)"
        no = "it did not begin a report's lifetime after any report"
        weighing.add(3, bool(exact) and n_after > 0, yes=yes, no=no, factor=0.3)
    healed = _healing_report(view, symptom)
    n_useless = view.reports_in(start_ns, (healed or symptom.end_ns) - 1)
    weighing.add(
        1,
        n_useless > 0 if healed or symptom.is_to_end else None,
        yes=f"{counted(n_useless, 'report')} during it changed nothing",
        unknown="which report ended it",
    )
    weighing.add(2, healed is not None, yes=_healing_text(case, symptom, healed), no="no report ended it", factor=0.8)
    denied = filtered(case, symptom, is_igmp=True)
    yes = f"a rule of the receiver's packet filter denies IGMP: {denied[0][0]}" if denied else ""
    weighing.add(1, True if denied else None, yes=yes)
    _same_version(weighing, case, symptom)
    upstream(weighing, case, symptom)
    return weighing.result()


def _same_version(weighing: Weighing, case: Case, symptom: Symptom) -> None:
    """Add that the host did not change the version of its reports meanwhile, which a switch may take ill."""
    was, now = case.versions(symptom)
    if was is not None and now is not None:
        weighing.add(0.5, now >= was, no=f"the host fell back from version {was} to version {now}", factor=0.5)


def snooping_state_lost(case: Case, symptom: Symptom) -> Finding | None:
    """The switch forgets a member that had answered."""
    view = case.igmp(symptom)
    start_ns = symptom.start_ns
    last_ns = view.last_report_before(start_ns)
    if symptom.is_from_start or not view.is_watched or last_ns is None or view.is_silent_at(start_ns):
        return None
    age_ns = start_ns - last_ns
    if age_ns > view.lifetime_ns - EXACT_NS:
        return None
    weighing = words(case, symptom)
    text = (
        f"this host's last report was {format_duration(age_ns)} old, and counts for {format_duration(view.lifetime_ns)}"
    )
    weighing.add(3, True, yes=text)
    exact = view.expired_just(start_ns)
    weighing.add(1, not exact, no="it began a lifetime after an earlier report", factor=0.6)
    healed = _healing_report(view, symptom)
    n_useless = view.reports_in(start_ns, (healed or symptom.end_ns) - 1)
    is_first = healed is not None and n_useless == 0
    no = "no report ended it" if healed is None else f"{counted(n_useless, 'report')} during it changed nothing"
    weighing.add(3, is_first, yes=_healing_text(case, symptom, healed), no=no, factor=0.3)
    limit_ns = view.interval_ns + (view.link.max_response_ns if view.link is not None else 0) + EXACT_NS
    weighing.add(
        1,
        symptom.duration_ns <= limit_ns,
        yes="it lasted no longer than to the next query and its answer",
        no="it lasted longer than to the next query and its answer",
        factor=0.5,
    )
    flaps = [each for each in case.changes_near("link", start_ns) if not case.is_other_interface(each, symptom)]
    weighing.add(0.5, not flaps, no="a link changed as it began", factor=0.3)
    _same_version(weighing, case, symptom)
    upstream(weighing, case, symptom)
    return weighing.result()


def _fall(case: Case, symptom: Symptom, before: int, after: int) -> str:
    group, name = case.group(symptom), case.interface(symptom)
    if group is not None and group.version == 6:
        if after == 1:
            return f"{name} reported in MLDv1 at last"
        text = f"{name} spoke IGMPv{before} before the run and IGMPv{after} after it: its querier was set back"
        return f"{text}; MLD's version is not told"
    return f"{name} spoke IGMPv{before} before the run and IGMPv{after} after it"


def _healing_report(view: View, symptom: Symptom) -> int | None:
    """Return the report right before the packets came again; None when there is none."""
    if symptom.is_to_end:
        return None
    spread = symptom.stream.schedule.interval_ns if symptom.stream is not None else 0
    earliest = symptom.end_ns - HEAL_NS - (spread or 0)
    near = [each for each in view.report_ns if earliest <= each <= symptom.end_ns + 50_000_000]
    return near[0] if near else None


def _healing_text(case: Case, symptom: Symptom, healed: int | None) -> str:
    if healed is None:
        return ""
    return f"it ended {format_duration(abs(symptom.end_ns - healed))} after this host's report at {case.clock(healed)}"


def igmp_downgraded(case: Case, symptom: Symptom) -> Finding | None:
    """An older querier made the host speak an older version."""
    host, interface = case.receiver_host(symptom), case.interface(symptom)
    before, after = case.versions(symptom)
    if before is None or after is None or after >= before:
        return None
    info = case.receiver(symptom)
    is_ssm = info is not None and info.source is not None
    if symptom.kind == "window" and not is_ssm:
        return None
    weighing = words(case, symptom)
    weighing.add(4, True, yes=_fall(case, symptom, before, after))
    view = case.igmp(symptom)
    newest = {"IGMP": before, "MLD": 2}
    old = [each for each in view.queriers if each.version < newest[each.family]]
    yes = f"querier {old[0].address} asks in version {old[0].version}" if old else ""
    weighing.add(
        2,
        (bool(old) or None) if view.is_watched else None,
        yes=yes,
        unknown="who asked in an older version",
    )
    forced = host.setting(f"net.ipv4.conf.{interface}.force_igmp_version")
    weighing.add(
        1,
        None if forced is None else forced == "0",
        yes="no version is forced on this host",
        no=f"version {forced} is forced on this host",
        unknown="whether a version is forced",
        factor=0.3,
    )
    yes = f"the receiver wants one source only ({info.source if info else ''}), which the older version cannot say"
    weighing.add(2, is_ssm, yes=yes, no="no receiver asks for one source only", factor=0.9)
    return weighing.result()


RULES = (
    Rule(
        "reports-lost",
        "{receiver} is asked and its reports do not arrive, so that {group} stopped until one did ({when})",
        WINDOW,
        reports_lost,
        "queries are heard, answers are missing or change nothing, packets stop one lifetime after "
        "the last report that "
        "arrived and come again with a later one",
        "a capture of IGMP at the switch's port and at the receiver at the same time",
        "allow IGMP (protocol 2) and MLD from this host: packet filter on output, access point, port security",
        "RFC 3376 5.2, 8.4",
    ),
    Rule(
        "snooping-state-lost",
        "The switch forgot that {receiver} wants {group} although it had reported in time ({when})",
        WINDOW,
        snooping_state_lost,
        "the last report was younger than a lifetime; packets come again with the first report after the next query",
        'the switch\'s log: topology change, leave processing ("fast leave"), flushed or full multicast table',
        "turn fast leave off on ports with more than one receiver; mark host ports as edge ports; "
        "check the table's size",
        "RFC 4541 2.1.1 (topology change), RFC 3376 8.8",
    ),
    Rule(
        "igmp-downgraded",
        "{interface} of {receiver} fell back to an older IGMP version, in which a source cannot be asked for",
        frozenset({"window", "igmp-version"}),
        igmp_downgraded,
        "the kernel speaks v2 where it spoke v3, a v2 query was heard",
        "who sends queries of the older version (`harness doctor` names the querier)",
        "set the querier to IGMPv3, or join without --source; the host returns to v3 when no older "
        "query comes for 400 s",
        "RFC 3376 7.2.1",
    ),
)
