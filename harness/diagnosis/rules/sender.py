"""Causes at the sender: refusals, a new address, packets that left another way or never."""

from __future__ import annotations

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules.pieces import ASTRAY, FULL_QUEUE, WINDOW, unheard, words
from harness.diagnosis.symptoms import Symptom
from harness.units import format_duration


def _errnos(symptom: Symptom) -> set[str]:
    return set(symptom.sender.errnos) if symptom.sender is not None else set()


def _works_again(case: Case, symptom: Symptom) -> bool:
    """Whether the sender said that sending works again, or did so without saying."""
    texts = [event.text for event in case.summary.events if event.kind == "errno" and symptom.group in event.text]
    return any("works again" in text for text in texts)


def send_refused_locally(case: Case, symptom: Symptom) -> Finding | None:
    """The sender's own system refuses each send."""
    sender, names = symptom.sender, _errnos(symptom) - FULL_QUEUE - {"ECONNREFUSED"}
    if sender is None or not names:
        return None
    weighing = words(case, symptom)
    weighing.say(errno=", ".join(sorted(names)))
    text = f"{sender.refused:,} of {sender.scheduled:,} sends were refused: {', '.join(sorted(names))}"
    weighing.add(3, sender.refused >= 0.9 * sender.scheduled, yes=text, no=text, factor=0.5)
    host, group = case.sender_host(symptom), case.group(symptom)
    route = host.refusing_route(group) if group is not None else None
    denied = [text for text, rise in host.denials() or [] if rise and "output" in text]
    if denied or route:
        by_filter = f"the sender's packet filter denies it: {denied[0]}" if denied else ""
        weighing.add(3, True, yes=by_filter or f"the sender's routes: {route}")
    else:
        no = "the sender's routes lead to the group and no filter counted"
        weighing.add(3, None if route is None else False, no=no, unknown="the sender's routes", factor=0.5)
    info = case.sender(symptom)
    weighing.add(
        1,
        info is not None and info.interface is None,
        yes="the sender named no interface",
        no="the sender named its interface",
    )
    weighing.add(
        1, not _works_again(case, symptom), yes="it was refused to the end", no="sending worked again later", factor=0.3
    )
    return weighing.result()


def transient_local_refusal(case: Case, symptom: Symptom) -> Finding | None:
    """The system refused for a while, and a retry worked."""
    sender, names = symptom.sender, _errnos(symptom) - FULL_QUEUE - {"ECONNREFUSED"}
    if sender is None or not names or not sender.sent:
        return None
    weighing = words(case, symptom)
    weighing.say(errno=", ".join(sorted(names)))
    works = _works_again(case, symptom)
    text = f"{sender.refused:,} sends were refused ({', '.join(sorted(names))}), {sender.sent:,} left"
    weighing.add(3, works or None, yes=f"{text}; sending worked again", unknown="when sending worked again")
    weighing.add(2, sender.refused < 0.9 * sender.scheduled, yes="" if works else text, no=text, factor=0.4)
    n = sum(
        event.kind == "errno" and "refused" in event.text and symptom.group in event.text
        for event in case.summary.events
    )
    weighing.add(
        1, 0 < n <= 3, yes=f"refused in {n} stretch{'es' if n > 1 else ''}", no=f"refused in {n} stretches", factor=0.8
    )
    routes = case.changes("route", case.sender_host(symptom).name)
    yes = f"a route changed: {routes[0].text}" if routes else ""
    weighing.add(0.5, True if routes else None, yes=yes, unknown="whether a route changed")
    return weighing.result()


def unicast_path_only(case: Case, symptom: Symptom) -> Finding | None:
    """A dead unicast peer beside a healthy group."""
    group = case.group(symptom)
    if group is None or group.is_multicast:
        return None
    refused = sum(each.errnos.get("ECONNREFUSED", 0) for each in case.summary.senders if each.group == symptom.group)
    if not refused:
        return None
    weighing = words(case, symptom)
    weighing.add(
        3, True, yes=f"{counted(refused, 'send')} to {symptom.group} met ECONNREFUSED: nobody listens on that port"
    )
    groups = [
        each
        for each in case.summary.streams
        if (found := case.address(each.group.rpartition(":")[0].strip("[]"))) and found.is_multicast
    ]
    fine = [each for each in groups if each.received and (each.lost or 0) <= 0.1 * (each.expected or each.received)]
    weighing.add(
        3,
        bool(fine) if groups else None,
        yes=f"{fine[0].group} went on beside it" if fine else "",
        no="the groups beside it stopped as well",
        unknown="a group beside it",
        factor=0.5,
    )
    return weighing.result()


def egress_mismatch(case: Case, symptom: Symptom) -> Finding | None:
    """Packets leave by another interface than the plain route says, from the first one on."""
    egress = case.egress(symptom)
    if egress is None or not egress.astray or egress.is_moved:
        return None
    name = max(egress.astray, key=lambda each: each[3])[0]
    weighing = words(case, symptom)
    weighing.say(astray=name, expected=egress.expected)
    yes = f"{counted(egress.n_astray, 'packet')} left by {name}, none by {egress.expected}"
    weighing.add(4, True, yes=yes)
    rules = case.sender_host(symptom).policy_rules()
    text = next((text for text in rules or [] if "dport" in text or "ipproto" in text or "fwmark" in text), "")
    weighing.add(
        2,
        None if rules is None else bool(text or rules),
        yes=f"a routing rule of the sender: {text or (rules or [''])[0]}",
        no="the sender has no routing rules of its own",
        unknown="the sender's routing rules",
        factor=0.8,
    )
    others = [case.egress_of_info(info) for info in case.manifest.senders if info.group != symptom.group]
    fine = [each for each in others if each is not None and not each.astray]
    yes = f"other streams of the same sender left by {egress.expected}"
    weighing.add(1, bool(fine) or None, yes=yes, unknown="a stream that leaves as it should")
    if symptom.kind == "window":
        unheard(weighing, case, symptom)
    return weighing.result()


def egress_moved(case: Case, symptom: Symptom) -> Finding | None:
    """Packets left by another interface for a while."""
    egress = case.egress(symptom)
    if egress is None or not egress.astray or not egress.is_moved:
        return None
    name, start_ns, end_ns, n = max(egress.astray, key=lambda each: each[3])
    overlap = egress.overlap(symptom.start_ns, symptom.end_ns)
    if symptom.kind == "window" and overlap < ASTRAY:
        return None
    weighing = words(case, symptom)
    weighing.say(astray=name, expected=egress.expected)
    text = f"{counted(n, 'packet')} left by {name} from {case.clock(start_ns)} to {case.clock(end_ns)} UTC, "
    text += format_duration(end_ns - start_ns)
    weighing.add(4, True, yes=f"{text}, before or after that by {egress.expected}")
    near = (
        case.changes_near("route", start_ns) + case.changes_near("rule", start_ns) + case.changes_near("link", start_ns)
    )
    yes = f"{near[0].text} at {case.clock(near[0].t_ns)}" if near else ""
    weighing.add(2, True if near else None, yes=yes, unknown="a change of routes at that time")
    no = "the sender named its interface"
    weighing.add(
        1, not egress.is_pinned, yes="the sender named no interface, so that it follows its routes", no=no, factor=0.3
    )
    if symptom.kind == "window":
        unheard(weighing, case, symptom)
    return weighing.result()


def sender_stopped(case: Case, symptom: Symptom) -> Finding | None:
    """The sender's own account ends early."""
    return _not_sent(case, symptom, is_at_end=True)


def not_sent(case: Case, symptom: Symptom) -> Finding | None:
    """The sender's own account has holes."""
    return _not_sent(case, symptom, is_at_end=False)


def _not_sent(case: Case, symptom: Symptom, *, is_at_end: bool) -> Finding | None:
    sender = symptom.sender
    if sender is None or (symptom.kind == "send-refused" and not _errnos(symptom) & FULL_QUEUE):
        return None
    windows = symptom.stream.windows if symptom.stream is not None else []
    tail = [each for each in windows if each.kind in ("stopped", "stopped_or_ended", "never_received")]
    ends_early = bool(tail) and (tail[-1].packets or 0) >= 0.8 * symptom.n_packets
    if symptom.kind == "send-refused" and is_at_end:
        return None
    weighing = words(case, symptom)
    missing = sender.refused if symptom.kind == "send-refused" else sender.not_sent
    text = f"by its own log the sender did not send {missing:,} of {sender.scheduled:,} packets"
    queue = ", ".join(sorted(_errnos(symptom) & FULL_QUEUE))
    weighing.add(3, True, yes=text + (f" ({queue}: its queue was full)" if queue else ""))
    drops = case.sender_host(symptom).qdisc_drops() or {}
    if queue and drops and len(case.manifest.senders) > 1:
        weighing.add(1, False, no=f"the queue of {next(iter(drops))} dropped, which several streams share", factor=0.6)
    yes = "they are the last ones" if is_at_end else "they are not just the last ones"
    no = "they are not just the last ones" if is_at_end else "they are the last ones"
    weighing.add(1, ends_early is is_at_end, yes=yes, no=no, factor=0.6)
    return weighing.result()


def source_changed(case: Case, symptom: Symptom) -> Finding | None:
    """A receiver that wants one source hears nothing of its new address."""
    info, source = case.receiver(symptom), case.source_address(symptom)
    if info is None or info.source is None:
        return None
    weighing = words(case, symptom)
    host = case.sender_host(symptom)
    before, after = (
        {str(address) for _, address, _ in host.addresses(is_after=is_after)} for is_after in (False, True)
    )
    near = case.changes_near("address", symptom.start_ns)
    others = {
        each.source.rpartition(":")[0].strip("[]")
        for each in case.summary.streams
        if each.group == symptom.group and each.received and each.source
    } | {
        each.source.rpartition(":")[0].strip("[]")
        for one in case.evidence.hosts
        for each in one.witnesses
        if each.group == symptom.group and each.kind == "tap" and each.source
    }
    new = sorted(others - {info.source, ""})
    if info.source in before and after and info.source not in after:
        weighing.add(
            4,
            True,
            yes=f"the sender had {info.source} before the run and "
            f"{', '.join(sorted(after - before)) or 'not'} after it",
        )
    elif near or new:
        text = f"{near[0].text} at {case.clock(near[0].t_ns)}" if near else f"the group is sent from {', '.join(new)}"
        weighing.add(4, True, yes=text)
    elif info.source in after:
        return None
    else:
        weighing.add(4, None, unknown="the sender's addresses")
    weighing.say(source=info.source, new=", ".join(new) or "another address")
    weighing.add(2, True, yes=f"the receiver wants {info.source} only")
    asm = [
        each
        for each in case.summary.streams
        if each.group == symptom.group
        and each.receiver != symptom.receiver
        and each.last_rx_ns is not None
        and each.last_rx_ns > symptom.start_ns + symptom.duration_ns // 2
    ]
    who = f"receiver {asm[0].receiver}" if asm and asm[0].receiver else "another receiver"
    yes = f"{who} heard the group on from {asm[0].source}" if asm else ""
    weighing.add(2, True if asm else None, yes=yes, unknown="a receiver that takes any source")
    if source is not None and str(source) != info.source:
        weighing.add(1, True, yes=f"its packets come from {source}")
    weighing.add(1, symptom.is_to_end or None, yes="it did not heal by itself")
    return weighing.result() if near or new or after else None


RULES = (
    Rule(
        "send-refused-locally",
        "The sender's own system refuses to send to {group} ({errno})",
        frozenset({"send-refused"}),
        send_refused_locally,
        "an errno on every send; a route that refuses the group, none at all, or a filter on output",
        "`ip route get GROUP` on the sender, and the run with --interface",
        "name the interface (--interface IF), or give the group a route (Linux: ip route add 224.0.0.0/4 "
        "dev IF, macOS: route add -net 224.0.0.0/4 -interface IF); allow it on output",
        "ip(7) EHOSTUNREACH, ENETUNREACH; measured: IP_MULTICAST_IF bypasses an unreachable route, "
        "nft output gives EPERM",
    ),
    Rule(
        "transient-local-refusal",
        "The sender's own system refused to send to {group} for a while ({errno}), and then did not any more",
        frozenset({"send-refused"}),
        transient_local_refusal,
        "an immediate errno, then sending works without anything done",
        "the route and link changes of the sender at that time",
        "retry a refused send (as after wake, unlock or a new lease) instead of giving up",
        "TN3179 (transient EHOSTUNREACH); netlink RTM_NEWROUTE",
    ),
    Rule(
        "unicast-path-only",
        "Nobody listens at the unicast address {group}; the groups beside it are not concerned",
        frozenset({"peer-refused", "window"}),
        unicast_path_only,
        "ECONNREFUSED on the unicast socket, multicast goes on",
        "whether the peer's process listens on that port",
        "start the peer, or ignore ECONNREFUSED on that socket: it says nothing about multicast",
        "udp(7) ECONNREFUSED; RFC 1122 4.1.3.3",
    ),
    Rule(
        "egress-mismatch",
        "Packets to {group} leave by {astray} instead of {expected}",
        frozenset({"egress", "window"}),
        egress_mismatch,
        "the sender's tap sees them on another interface than the plain route names, from the first one on",
        "`ip route get GROUP ipproto udp dport PORT` and `ip rule` on the sender",
        "name the interface (--interface IF), or change the policy rule that sends this port or mark another way",
        "ip-rule(8) ipproto, dport, fwmark",
    ),
    Rule(
        "egress-moved",
        "Packets to {group} left by {astray} instead of {expected} for a while",
        frozenset({"egress", "window"}),
        egress_moved,
        "the sender's tap sees them on another interface for a time, a route changed then, pinned "
        "senders are not concerned",
        "the sender's route changes at that time: a tunnel that came up, a second uplink",
        "name the interface (--interface IF), or keep 224.0.0.0/4 and ff00::/8 out of the tunnel",
        "ip(7) IP_MULTICAST_IF; measured with a better default route",
    ),
    Rule(
        "sender-stopped",
        "The sender stopped before its schedule ended: {n} packets to {group} were not sent",
        frozenset({"not-sent"}),
        sender_stopped,
        "the sender's own log ends early",
        "the sender's log (sent.bin) and why it ended",
        "look at the sender's events and its host's load, not at the network",
        "the sender's log is the witness of what left it",
    ),
    Rule(
        "not-sent",
        "The sender did not send {n} packets to {group} by its own log",
        frozenset({"not-sent", "send-refused"}),
        not_sent,
        "holes in the sender's own log, or a full queue at the sender (ENOBUFS)",
        "the sender's log (sent.bin)",
        "a lower rate, a larger send buffer, or a faster sender",
        "the sender's log is the witness of what left it; send(2) ENOBUFS",
    ),
    Rule(
        "source-changed",
        "{receiver} wants {source} only, and the sender of {group} has changed its address ({when})",
        WINDOW,
        source_changed,
        "a source-specific receiver goes silent when the sender's address changes, others hear on",
        "the sender's address now",
        "give the sender a fixed address, join the new source, or join without --source",
        "RFC 4607 3; RFC 2131 (a new lease)",
    ),
)
