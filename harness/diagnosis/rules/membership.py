"""Causes in group membership, the asking half: who sends queries, and whom they reach (RFC 2236, 3376, 4541)."""

from __future__ import annotations

from harness.diagnosis.case import NEAR_NS, Case
from harness.diagnosis.finding import Finding, Rule, Weighing, counted
from harness.diagnosis.igmp import EXACT_NS, View
from harness.diagnosis.rules.pieces import NO_IGMP, WINDOW, filtered, is_multicast, upstream, words
from harness.diagnosis.symptoms import Symptom
from harness.units import format_duration


def asked(weighing: Weighing, symptom: Symptom, view: View, *, wants: bool) -> None:
    """Add whether queries still came when the packets stopped."""
    start_ns = symptom.start_ns
    last_ns = view.last_query_before(start_ns)
    asked = (
        "no general query was heard before it"
        if last_ns is None
        else (
            f"the last general query came {format_duration(start_ns - last_ns)} before it, "
            f"the interval is {format_duration(view.interval_ns)}"
        )
    )
    is_silent = view.is_silent_at(start_ns) if view.is_watched else None
    weighing.add(
        3, None if is_silent is None else is_silent is not wants, yes=asked, no=asked, unknown=NO_IGMP, factor=0.1
    )


def _expiry(weighing: Weighing, case: Case, symptom: Symptom, view: View, weight: float = 3) -> None:
    """Add whether the packets stopped one membership lifetime after a report."""
    last_ns = view.last_report_before(symptom.start_ns)
    if not view.is_watched or last_ns is None:
        weighing.add(weight, None, unknown="a report of this host before it" if view.is_watched else NO_IGMP)
        return
    age = format_duration(symptom.start_ns - last_ns)
    expired_ns = view.expired_report(symptom.start_ns)
    if expired_ns is not None:
        text = f"it began {format_duration(symptom.start_ns - expired_ns)} after this host's report at "
        text += f"{case.clock(expired_ns)}; a report counts for {format_duration(view.lifetime_ns)}"
        weighing.add(weight, True, yes=text)
    elif view.is_lifetime_known:
        text = f"it began {age} after this host's last report, which counts for {format_duration(view.lifetime_ns)}"
        weighing.add(weight, False, no=text, factor=0.4)
    else:
        same = _same_age(case, symptom, view)
        yes = f"each time it began {age} after this host's last report"
        unknown = f"how long a report counts here (it began {age} after the last one)"
        weighing.add(weight, same, yes=yes, unknown=unknown)


def _same_age(case: Case, symptom: Symptom, view: View) -> bool | None:
    """Whether other drop-outs began as long after a report; None when there is no other to compare with."""
    starts = [each.start_ns for each in case.windows(symptom.receiver, symptom.group) if not each.is_from_start]
    ages = [start_ns - last for start_ns in starts if (last := view.last_report_before(start_ns)) is not None]
    if len(ages) < 2:
        return None
    return True if max(ages) - min(ages) <= max(EXACT_NS, max(ages) // 10) else None


def _asked_elsewhere(
    weighing: Weighing, case: Case, symptom: Symptom, view: View, *, wants: bool, weight: float
) -> None:
    """Add whether other interfaces of this network heard queries that this host did not."""
    last_ns = view.last_query_before(symptom.start_ns)
    start_ns = (last_ns + view.interval_ns // 2) if last_ns is not None else symptom.start_ns - view.lifetime_ns
    n_heard = case.asked_elsewhere(symptom, start_ns, symptom.start_ns)
    is_long = symptom.start_ns - start_ns >= view.interval_ns
    heard = f"another interface of this network heard {counted(n_heard or 0, 'query')} meanwhile"
    silent = "no other interface of this network heard a query meanwhile, either"
    weighing.add(
        weight,
        None if n_heard is None or not (n_heard or is_long) else (n_heard > 0) is wants,
        yes=heard if wants else silent,
        no=silent if wants else heard,
        unknown="whether queries were sent: no other tap on this network",
        factor=0.1,
    )


def membership_expired(case: Case, symptom: Symptom) -> Finding | None:
    """Nobody asks, and the switch forgets."""
    view = case.igmp(symptom)
    if symptom.is_from_start or not is_multicast(case, symptom):
        return None
    if not view.is_watched and case.heard("unicast-twin", symptom) is not True:
        return None  # nothing at all points to membership
    weighing = words(case, symptom)
    asked(weighing, symptom, view, wants=False)
    _expiry(weighing, case, symptom, view)
    upstream(weighing, case, symptom)
    _asked_elsewhere(weighing, case, symptom, view, wants=False, weight=1)
    was_regular = view.was_regular_before(symptom.start_ns)
    weighing.add(
        1,
        None if not view.is_watched else not was_regular,
        no="queries had come regularly before",
        factor=0.5,
        yes="there was no regular querier before it",
        unknown=NO_IGMP,
    )
    cure = case.is_cured_by(symptom)
    weighing.add(
        0.5, True if cure else None, yes=f"it ended with the {cure.kind} at {case.clock(cure.t_ns)}" if cure else ""
    )
    return weighing.result()


def querier_lost(case: Case, symptom: Symptom) -> Finding | None:
    """There was a querier, and there is none any more."""
    view = case.igmp(symptom)
    if not view.was_regular_before(symptom.start_ns) or not view.is_silent_at(symptom.start_ns):
        return None
    weighing = words(case, symptom)
    last_ns = view.last_query_before(symptom.start_ns) or 0
    n = view.queries_in(0, symptom.start_ns)
    text = f"{n} general queries came every {format_duration(view.interval_ns)}, the last at {case.clock(last_ns)}"
    weighing.add(3, True, yes=text)
    _expiry(weighing, case, symptom, view)
    upstream(weighing, case, symptom)
    _asked_elsewhere(weighing, case, symptom, view, wants=False, weight=1)
    taken = [each for each in view.changes if each.t_ns <= symptom.start_ns]
    weighing.add(1, not taken, no="another querier had taken over before", factor=0.3)
    return weighing.result()


def queries_not_reaching(case: Case, symptom: Symptom) -> Finding | None:
    """Somebody asks, and this host does not hear it."""
    view = case.igmp(symptom)
    denied = filtered(case, symptom, is_igmp=True)
    is_input = any(_is_inward(text) for text, _ in denied or [])
    if symptom.is_from_start or not view.is_watched:
        return None
    is_silent = view.is_silent_at(symptom.start_ns)
    if not is_silent and not is_input:
        return None
    weighing = words(case, symptom)
    if is_input and denied:
        text, rise = denied[0]
        weighing.add(
            7, True, yes=f"a rule of the receiver's packet filter denies IGMP ({counted(rise or 0, 'packet')}): {text}"
        )
    else:
        asked(weighing, symptom, view, wants=False)
        _asked_elsewhere(weighing, case, symptom, view, wants=True, weight=4)
    _expiry(weighing, case, symptom, view, weight=2)
    upstream(weighing, case, symptom)
    return weighing.result()


def _is_inward(text: str) -> bool:
    return any(word in text.partition(": ")[0].lower() for word in ("in", "ingress", "pre")) and "output" not in text


def querier_changed(case: Case, symptom: Symptom) -> Finding | None:
    """Another querier took over, and then did not ask."""
    view = case.igmp(symptom)
    taken = [each for each in view.changes if each.t_ns <= symptom.start_ns]
    if symptom.is_from_start or not taken:
        return None
    weighing = words(case, symptom)
    change = taken[-1]
    is_recent = symptom.start_ns - change.t_ns <= view.lifetime_ns + view.interval_ns
    text = f"{change.after} took over the queries from {change.before} at {case.clock(change.t_ns)}, "
    text += f"{format_duration(symptom.start_ns - change.t_ns)} before it"
    weighing.add(3, is_recent, yes=text, no=text, factor=0.3)
    asked(weighing, symptom, view, wants=False)
    _expiry(weighing, case, symptom, view, weight=2)
    upstream(weighing, case, symptom)
    back = [each for each in view.query_ns if symptom.start_ns < each <= symptom.end_ns + NEAR_NS]
    weighing.add(
        1,
        bool(back) or None,
        yes=f"queries came again at {case.clock(back[0])}" if back else "",
        unknown="when queries came again",
    )
    return weighing.result()


RULES = (
    Rule(
        "membership-expired",
        "{group} stopped at {receiver} because nobody on the network asks for members and the switch let the "
        "membership run out ({when})",
        WINDOW,
        membership_expired,
        "packets stop one membership interval after the host's last report, no general query is "
        "heard, unicast from the "
        "same sender goes on, a new join brings one interval more",
        "a capture of IGMP at the receiver over two query intervals, and `harness doctor`'s line on the querier",
        "enable an IGMP querier on one switch or router of this VLAN, or turn IGMP snooping off there",
        "RFC 3376 8.4; RFC 4541 2.1.1; measured: silent 5.4 s after the last report with a 5 s interval",
    ),
    Rule(
        "querier-lost",
        "{group} stopped at {receiver} one membership interval after the querier fell silent ({when})",
        WINDOW,
        querier_lost,
        "regular general queries, then none; packets stop one membership interval after the last report",
        "the log of the switch or router that was the querier",
        "bring the querier back, and give the network a second one that takes over",
        "RFC 3376 6.6.2, 8.5",
    ),
    Rule(
        "queries-not-reaching-host",
        "Queries are sent on this network and do not reach {interface} of {receiver}, so that its membership ran out "
        "({when})",
        WINDOW,
        queries_not_reaching,
        "another interface of this network hears queries, the receiver's tap sees none; packets stop after a "
        "membership interval",
        "a capture of IGMP at the switch's port and at the receiver at the same time",
        "allow IGMP (protocol 2) and MLD to this host: ACLs, access point's multicast filter, packet filter on ingress",
        "RFC 4541 2.1.1",
    ),
    Rule(
        "querier-changed",
        "Another querier took over and did not go on asking, so that {group} stopped at {receiver} ({when})",
        WINDOW,
        querier_changed,
        "a query from another address, then none; packets stop when the remaining membership is used up",
        "who owns the new querier's address",
        "remove the second querier, or give the intended one the lowest address",
        "RFC 3376 6.6.2, 8.5",
    ),
)
