"""Causes in an operating system's policy towards one program."""

from __future__ import annotations

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, Weighing
from harness.diagnosis.rules.pieces import filtered, witness, words
from harness.diagnosis.symptoms import Symptom, SymptomKind

_POLICY_ERRNOS = {"EHOSTUNREACH", "EPERM", "ENETUNREACH", "EACCES"}
_LOG_WORDS = ("com.apple.networkextension", "local network", "NECP")
_SYMPTOMS: frozenset[SymptomKind] = frozenset({"window", "send-refused"})


def os_policy_suspected(case: Case, symptom: Symptom) -> Finding | None:
    """The program is deaf or refused, and everything around it works.

    On macOS there is a name for it, with evidence of its own: there this one stays behind.
    """
    return _refused(case, symptom) if symptom.kind == "send-refused" else _deaf(case, symptom)


def _deaf(case: Case, symptom: Symptom) -> Finding | None:
    rise = case.receiver_host(symptom).rise("IPReversePathFilter")
    other = _other_launcher_hears(case, symptom)
    if case.heard("tap", symptom) is not True and other is not True:
        return None
    if case.own_drops(symptom) > symptom.n_packets // 2 or (rise and rise >= symptom.n_packets // 2):
        return None
    weighing = words(case, symptom)
    witness(weighing, case, symptom, "tap", wants=True, weight=3, factor=0.1)
    witness(weighing, case, symptom, "second-socket", wants=False, weight=1, factor=0.1)
    witness(weighing, case, symptom, "reopened-socket", wants=False, weight=1, factor=0.1)
    witness(weighing, case, symptom, "unicast-twin", wants=True, weight=1, factor=0.5)
    weighing.add(
        3,
        other,
        yes="a program of another launcher on the same machine heard it meanwhile",
        no="no program of this machine heard it",
        unknown="the same program under another launcher",
        factor=0.2,
    )
    _no_filter(weighing, case, symptom)
    return weighing.result(0.8 if case.receiver_host(symptom).is_macos else 1.0)


def _no_filter(weighing: Weighing, case: Case, symptom: Symptom) -> None:
    denied = filtered(case, symptom)
    counted = [text for text, rise in denied or [] if rise and 2 * rise >= symptom.n_packets]
    weighing.add(
        1,
        None if denied is None else not counted,
        yes="no rule of the packet filter counted it",
        no=f"a rule of the packet filter counted it: {counted[0]}" if counted else "",
        unknown="the packet filter's rules",
        factor=0.6,
    )


def _other_launcher_hears(case: Case, symptom: Symptom) -> bool | None:
    """Whether another program of the receiver's machine heard the same stream; None when none listened."""
    heard = [
        came
        for stream, came in case.same_stream_elsewhere(symptom)
        if case.is_same_machine(stream.receiver, symptom.receiver)
        and stream.receiver.partition("/")[0] != symptom.receiver.partition("/")[0]
    ]
    return any(heard) if heard else None


def _refused(case: Case, symptom: Symptom) -> Finding | None:
    sender, group, info = symptom.sender, case.group(symptom), case.sender(symptom)
    names = set(sender.errnos) & _POLICY_ERRNOS if sender is not None else set()
    if sender is None or not names or group is None or not group.is_multicast:
        return None
    host = case.sender_host(symptom)
    route = host.refusing_route(group)
    weighing = words(case, symptom)
    weighing.add(2, True, yes=f"{sender.refused:,} sends were refused with {', '.join(sorted(names))}")
    weighing.add(
        2,
        None if route is None else not route,
        yes="the sender's routes lead to the group",
        no=f"the sender has {route}",
        unknown="the sender's routes",
        factor=0.1,
    )
    others = [each for each in case.summary.senders if each is not sender and each.sent]
    hosts = {(each.stream_id, each.epoch): each.host for each in case.manifest.senders}
    mine = info.host if info is not None else ""
    unicast = [
        each
        for each in others
        if hosts.get((each.stream_id, each.epoch)) == mine
        and not each.refused
        and (address := case.address(each.group.rpartition(":")[0].strip("[]"))) is not None
        and not address.is_multicast
    ]
    launchers = [
        each
        for each in others
        if (name := hosts.get((each.stream_id, each.epoch), mine)) != mine and case.is_same_machine(name, mine)
    ]
    weighing.add(
        1,
        True if unicast else None,
        yes="unicast of the same program was not refused",
        unknown="unicast of the same program",
    )
    weighing.add(
        3,
        any(not each.refused for each in launchers) if launchers else None,
        yes="a program of another launcher on the same machine sends to groups",
        no="every program of this machine is refused",
        unknown="the same program under another launcher",
        factor=0.2,
    )
    denied = [text for text, rise in host.denials() or [] if rise and "output" in text]
    weighing.add(
        1,
        None if host.denials() is None else not denied,
        yes="no rule on output counted it",
        no=denied[0] if denied else "",
        unknown="the packet filter's rules",
        factor=0.2,
    )
    again = any(
        event.kind == "errno" and "works again" in event.text and symptom.group in event.text
        for event in case.summary.events
    )
    weighing.add(1, not again, no="sending worked again by itself", factor=0.4)
    return weighing.result(0.8 if host.is_macos else 1.0)


def macos_local_network(case: Case, symptom: Symptom) -> Finding | None:
    """Local Network privacy of macOS: only with errno 65 or its log lines, and the comparison of two launchers."""
    host = case.sender_host(symptom) if symptom.kind == "send-refused" else case.receiver_host(symptom)
    if not host.is_macos:
        return None
    names = set(symptom.sender.errnos) if symptom.sender is not None else set()
    errnos = [event.text for event in case.summary.events if event.kind == "errno" and "EHOSTUNREACH" in event.text]
    logs = [line for line in host.log_lines() if any(word in line for word in _LOG_WORDS)]
    finding = os_policy_suspected(case, symptom)
    launchers = [text for text in (finding.is_for if finding is not None else []) if "another launcher" in text]
    if finding is None or not launchers or not ("EHOSTUNREACH" in names or errnos or logs):
        return None
    weighing = words(case, symptom)
    weighing.add(3, True, yes=launchers[0])
    text = errnos[0] if errnos else "sends were refused with EHOSTUNREACH (65)" if names else logs[0]
    weighing.add(3, True, yes=text)
    weighing.add(
        1, bool(logs) or None, yes=logs[0] if logs else "", unknown="the log lines of nehelper and UserEventAgent"
    )
    for sentence in finding.is_for:
        if sentence not in launchers:
            weighing.add(0.5, True, yes=sentence)
    return weighing.result()


RULES = (
    Rule(
        "os-policy-suspected",
        "The operating system seems to keep {group} from this program and not from others on its machine ({when})",
        _SYMPTOMS,
        os_policy_suspected,
        "the program is deaf or refused, reopening is useless, the tap and unicast work, a program "
        "of another launcher hears",
        "the same script under two launchers at the same time; on macOS a LaunchAgent in gui/UID and "
        "a root LaunchDaemon",
        "allow the program in the system's privacy or security settings; on Linux look at its cgroup's BPF programs, "
        "SELinux, AppArmor and filters by uid",
        "cgroup BPF (bpf(2)), nft meta skuid; TN3179 for macOS",
    ),
    Rule(
        "macos-local-network",
        "macOS Local Network privacy keeps multicast from this program ({group}, {when})",
        _SYMPTOMS,
        macos_local_network,
        "errno 65 or the log lines of networkextension, and a root LaunchDaemon of the same script is not concerned",
        "the same script as LaunchAgent in gui/UID and as root LaunchDaemon at the same time; /usr/bin/log of nehelper",
        "System Settings, Privacy & Security, Local Network: allow the responsible app; then open new sockets",
        "Apple TN3179",
    ),
)
