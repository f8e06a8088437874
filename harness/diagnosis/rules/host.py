"""Causes in the receiving host before its socket: interface, membership, routes, filters."""

from __future__ import annotations

from harness.diagnosis.case import NEAR_NS, Case
from harness.diagnosis.finding import Finding, Rule, Weighing, counted
from harness.diagnosis.rules.pieces import WINDOW, filtered, is_multicast, upstream, witness, words
from harness.diagnosis.symptoms import Symptom, address_of

_DOWN, _UP = ("down", "no carrier", "lost", "removed", "gone"), ("up", "carrier", "added", "new", "appeared")
_REBORN = ("removed", "gone", "deleted", "added", "appeared", "created")


def _is_reborn(case: Case, symptom: Symptom) -> bool | None:
    """Whether the receiver's interface is another one than before, under the same name; None when not told."""
    host, name = case.receiver_host(symptom), case.interface(symptom)
    before, after = (host.interface(name, is_after=is_after) for is_after in (False, True))
    if before.get("index") is not None and after.get("index") is not None:
        return bool(before["index"] != after["index"])
    events = case.changes_near("link", symptom.start_ns, host=host.name)
    return True if any(word in event.text for event in events for word in _REBORN) else None


def _no_others(weighing: Weighing, case: Case, symptom: Symptom) -> None:
    """Add that neither the socket's buffer nor the reverse-path filter took the packets."""
    n_own = case.own_drops(symptom)
    weighing.add(
        0.5,
        n_own < max(1, symptom.n_packets // 2),
        yes="the socket's own buffer dropped nothing of it",
        no=f"the socket's own buffer dropped {counted(n_own, 'packet')}",
        factor=0.2,
    )
    rise = case.receiver_host(symptom).rise("IPReversePathFilter")
    weighing.add(
        0.5,
        None if rise is None else rise < max(1, symptom.n_packets // 2),
        yes="the reverse-path filter dropped none",
        no=f"the reverse-path filter dropped {rise:,}" if rise else "",
        factor=0.2,
    )


def joined_wrong_interface(case: Case, symptom: Symptom) -> Finding | None:
    """The group is joined, on another interface than where it comes."""
    group, source = case.group(symptom), case.source_address(symptom)
    if not (symptom.is_from_start and symptom.is_to_end) or group is None or not group.is_multicast:
        return None
    host, info = case.receiver_host(symptom), case.receiver(symptom)
    wanted = host.interface_towards(source) if source is not None else None
    joined = {name for name, _ in host.memberships_of(group) or []} | case.reported_on(symptom)
    routes = host.multicast_routes(group)
    by = str(routes[0].get("dev", "")) if routes else ""
    is_seen = bool(joined)
    if not joined and info is not None and info.interface is None and by:
        joined = {by}  # what the kernel does with a join that names none
    if wanted is None or not joined or wanted in joined:
        return None
    weighing = words(case, symptom)
    names = ", ".join(sorted(joined))
    text = f"{group} is joined on {names}, and its sender {source} is reached by {wanted}"
    weighing.add(4, True if is_seen else None, yes=text, unknown="on which interface the group is joined")
    is_pinned = info is not None and info.interface is not None
    weighing.add(2, not is_pinned, yes="the join named no interface", no="the join named its interface", factor=0.7)
    weighing.add(
        1,
        None if routes is None else by in joined,
        yes=f"the route to {group} goes by {by}",
        unknown="the host's routes",
    )
    weighing.say(wanted=wanted, joined=names)
    upstream(weighing, case, symptom)
    return weighing.result()


def membership_lost_reopen(case: Case, symptom: Symptom) -> Finding | None:
    """The interface went and came again, and took the membership along."""
    if symptom.is_from_start or not is_multicast(case, symptom):
        return None
    is_reborn = _is_reborn(case, symptom)
    if is_reborn is False:
        return None
    weighing = words(case, symptom)
    name = case.interface(symptom)
    yes = f"{name} is another interface than before, under the same name"
    weighing.add(4, is_reborn, yes=yes, unknown="whether the interface is still the same")
    cure = case.is_cured_by(symptom)
    reopened = case.heard("reopened-socket", symptom)
    if cure is not None:
        weighing.add(3, True, yes=f"it ended with the {cure.kind} at {case.clock(cure.t_ns)}")
    elif is_reborn or reopened:
        witness(weighing, case, symptom, "reopened-socket", wants=True, weight=3, factor=0.5)
    else:
        return None
    witness(weighing, case, symptom, "second-socket", wants=False, weight=1, factor=0.3)
    is_lasting = symptom.is_to_end or cure is not None
    weighing.add(1, is_lasting, yes="it did not heal by itself", no="it healed by itself", factor=0.3)
    errnos = [
        event
        for event in case.summary.events
        if event.kind == "errno" and event.receiver == symptom.receiver and abs(event.t_ns - symptom.start_ns) < NEAR_NS
    ]
    weighing.add(0.5, not errnos, yes="the socket was told no error", no=errnos[0].text if errnos else "")
    return weighing.result()


def link_down(case: Case, symptom: Symptom) -> Finding | None:
    """A link went down and came up again."""
    ends = (
        (case.receiver_host(symptom), case.interface(symptom)),
        (case.sender_host(symptom), _sender_interface(case, symptom)),
    )
    near = [
        event
        for event in case.changes_near("link", symptom.start_ns)
        if any(word in event.text.lower() for word in _DOWN) and not case.is_other_interface(event, symptom)
    ]
    flaps = 0
    for host, name in ends:
        before, after = (host.interface(name, is_after=is_after) for is_after in (False, True))
        if isinstance(before.get("carrier_changes"), int) and isinstance(after.get("carrier_changes"), int):
            flaps = max(flaps, after["carrier_changes"] - before["carrier_changes"])
    if not near and not flaps:
        return None
    weighing = words(case, symptom)
    text = f"{near[0].text} at {case.clock(near[0].t_ns)}" if near else ""
    weighing.add(
        4, True if near else None, yes=text, unknown=f"when the link changed, which it did {counted(flaps, 'time')}"
    )
    up = [
        event
        for event in case.changes_near("link", symptom.end_ns, near_ns=3 * NEAR_NS)
        if event.t_ns > symptom.start_ns
        and any(word in event.text.lower() for word in _UP)
        and (not near or event.t_ns > near[0].t_ns)
        and not case.is_other_interface(event, symptom)
    ]
    weighing.add(
        2,
        bool(up) or (symptom.is_to_end and not up) or None,
        yes=f"{up[0].text} at {case.clock(up[0].t_ns)}, right before it ended" if up else "it lasted to the end",
        unknown="when the link came up again",
    )
    witness(weighing, case, symptom, "unicast-twin", wants=False, weight=1, factor=0.3)
    witness(weighing, case, symptom, "tap", wants=False, weight=1, factor=0.1)
    reborn = _is_reborn(case, symptom)
    weighing.add(0.5, None if reborn is None else not reborn, no="the interface was made anew", factor=0.3)
    return weighing.result()


def _sender_interface(case: Case, symptom: Symptom) -> str | None:
    info = case.sender(symptom)
    return info.interface if info is not None else None


def rp_filter(case: Case, symptom: Symptom) -> Finding | None:
    """The kernel drops packets whose source it would not reach by that interface."""
    host, name = case.receiver_host(symptom), case.interface(symptom)
    rise = host.rise("IPReversePathFilter")
    if rise == 0:
        return None
    tap = case.heard("tap", symptom)
    setting = max(
        (
            int(text)
            for key in ("all", name)
            if (text := host.setting(f"net.ipv4.conf.{key}.rp_filter") or "").isdecimal()
        ),
        default=None,
    )
    if tap is False or (rise is None and (tap is None or not setting)):
        return None
    weighing = words(case, symptom)
    weighing.add(
        4,
        None if rise is None else rise >= symptom.n_packets // 2,
        yes=f"IPReversePathFilter rose by {rise:,} while {counted(symptom.n_packets, 'packet')} went missing"
        if rise
        else "",
        no=f"IPReversePathFilter rose by {rise:,} only" if rise else "",
        unknown="the counter IPReversePathFilter",
        factor=0.4,
    )
    witness(weighing, case, symptom, "tap", wants=True, weight=2, factor=0.1)
    weighing.add(
        1,
        None if setting is None else setting > 0,
        yes=f"rp_filter is {setting} on {name}",
        no="rp_filter is off",
        unknown="the setting rp_filter",
        factor=0.3,
    )
    source = case.source_address(symptom)
    towards = host.interface_towards(source) if source is not None and host.addresses() else name
    weighing.add(1, towards != name, yes=f"the source {source} is not on {name}'s subnet", factor=1.0)
    witness(weighing, case, symptom, "second-socket", wants=False, weight=1, factor=0.4)
    return weighing.result()


def host_filter(case: Case, symptom: Symptom) -> Finding | None:
    """The host's packet filter drops what the tap sees."""
    denied = filtered(case, symptom)
    risen = [(text, rise) for text, rise in denied or [] if rise and 2 * rise >= symptom.n_packets]
    tap = case.heard("tap", symptom)
    if tap is False or (tap is None and not risen):
        return None
    weighing = words(case, symptom)
    witness(weighing, case, symptom, "tap", wants=True, weight=3, factor=0.1)
    if risen:
        met = counted(risen[0][1], "packet")
        weighing.add(3, True, yes=f"a rule of the packet filter met {met}: {risen[0][0]}")
    else:
        rules = "the packet filter's rules"
        rules += "" if denied is None else " at that time: before and after the run, none that drops was there"
        lasting = f"whether this rule met the packets: {denied[0][0]}" if denied else rules
        weighing.add(3, None, unknown=lasting)
    _no_others(weighing, case, symptom)
    witness(weighing, case, symptom, "second-socket", wants=False, weight=1, factor=0.1)
    witness(weighing, case, symptom, "reopened-socket", wants=False, weight=1, factor=0.1)
    others = [
        came
        for stream, came in case.same_stream_elsewhere(symptom)
        if case.is_same_machine(stream.receiver, symptom.receiver)
    ]
    if others:
        no = "another program of this machine heard the same packets"
        weighing.add(0.5, not any(others), yes="no other program of this machine heard it", no=no, factor=0.2)
    return weighing.result()


def membership_limit(case: Case, symptom: Symptom) -> Finding | None:
    """The kernel refused one membership more."""
    group = address_of(symptom.group)
    texts = (
        [symptom.text]
        if symptom.kind == "join-refused"
        else [
            event.text
            for event in case.summary.events
            if event.kind == "errno"
            and "cannot join" in event.text
            and f"{group})" in event.text
            and event.receiver == symptom.receiver
        ]
    )
    refused = next((text for text in texts if "ENOBUFS" in text), None)
    if refused is None or (symptom.kind == "window" and not symptom.is_from_start):
        return None
    weighing = words(case, symptom)
    weighing.add(3, True, yes=refused)
    limit = case.receiver_host(symptom).setting("net.ipv4.igmp_max_memberships")
    info = case.receiver(symptom)
    n_groups = len(info.groups) if info is not None else 0
    joins = sum(event.kind == "join" and event.receiver == symptom.receiver for event in case.summary.events)
    n = max(n_groups, joins)
    weighing.add(
        1,
        None if limit is None or not limit.isdecimal() else n >= int(limit),
        yes=f"{n} groups were joined, igmp_max_memberships is {limit}",
        no=f"only {n} groups were joined, the limit is {limit}",
        unknown="the setting igmp_max_memberships",
    )
    return weighing.result()


RULES = (
    Rule(
        "joined-wrong-interface",
        "{receiver} joined {group} on {joined}, and the sender is behind {wanted}",
        WINDOW,
        joined_wrong_interface,
        "nothing from the first packet on; the group is listed on another interface than the one towards the sender",
        "the same run with --interface",
        "name the interface in the join (--interface IF), or give 224.0.0.0/4 a route by the right one",
        "RFC 1112 7.1; ip(7) IP_ADD_MEMBERSHIP; after a reboot the order of interfaces may differ",
    ),
    Rule(
        "membership-lost-reopen",
        "{interface} was removed and made anew, which ended the membership of {group} without telling {receiver}; "
        "reopening the socket heals ({when})",
        WINDOW,
        membership_lost_reopen,
        "deaf for good without an errno, the interface's index changed, a reopened socket hears",
        "the interface's index before and after; a reopened socket",
        "watch interfaces (netlink, SCNetworkReachability) and join again when one appears",
        "ip(7): memberships belong to an interface index; measured with a veth deleted and made again",
    ),
    Rule(
        "link-down",
        "A link was down while {receiver} heard nothing of {group} ({when})",
        WINDOW,
        link_down,
        "the link's state changed at the edges of the drop-out, unicast was silent too, healed when it came up",
        "the switch port's log and counters",
        "check cable, plug, port and power saving of the interface (EEE, USB suspend)",
        "netlink RTM_NEWLINK; ip-link(8)",
    ),
    Rule(
        "rp-filter",
        "The kernel's reverse-path filter dropped {group} at {interface}: its source would be "
        "reached by another way ({when})",
        WINDOW,
        rp_filter,
        "the tap sees the packets, IPReversePathFilter counts them, sockets hear nothing",
        "sysctl net.ipv4.conf.IF.rp_filter=2 (or 0), and the run again",
        "set net.ipv4.conf.all.rp_filter and that of the interface to 2 (loose), or give the source "
        "a route by {interface}",
        "RFC 3704 2.2, 2.4; Linux ip-sysctl rp_filter",
    ),
    Rule(
        "host-filter",
        "A packet filter on the host of {receiver} dropped {group} ({when})",
        WINDOW,
        host_filter,
        "the tap sees the packets, no socket does, the filter's counters rise, no other counter does",
        "the filter's rules and counters before and after (Linux: `nft list ruleset`, macOS: `pfctl -vsr`), or a run "
        "with the filter off",
        "allow the group's address and port on input (nft, firewalld, ufw, endpoint security)",
        "nft(8); packet(7): a tap sees packets before netfilter",
    ),
    Rule(
        "membership-limit",
        "The kernel refused {receiver} one more group: the limit of memberships of a socket is reached",
        frozenset({"join-refused", "window"}),
        membership_limit,
        "ENOBUFS at a join; as many groups as the limit are joined",
        "sysctl net.ipv4.igmp_max_memberships",
        "raise net.ipv4.igmp_max_memberships (Linux), or spread the groups over several sockets",
        "Linux ip-sysctl igmp_max_memberships; measured: 20 joins, the 21st is ENOBUFS",
    ),
)
