"""Questions that the system's own words answer: interface, routes, limits, filters, versions, launcher. No packet."""

from __future__ import annotations

from typing import Any

from harness.diagnosis.snapshots import Snapshots
from harness.doctor.line import Line, Patient

WANTED_BUFFER = 8_000_000
USUAL_MEMBERSHIPS = 20
_MAC_BUFFER, _LINUX_BUFFER = "kern.ipc.maxsockbuf", "net.core.rmem_max"


def interface(patient: Patient) -> Line:
    """Whether the interface is up, says that it can multicast, and has an address of the group's IP version."""
    found, version = patient.likely, patient.group.version
    if found is None:
        return Line(
            name="interface",
            status="broken" if patient.sends_by is None else "suspicious",
            text="no interface but loopback is up" if patient.sends_by is not None else "no interface is up",
            remedy="connect a network, then name the interface with --interface",
        )
    if not found.is_up:
        remedy = f"ip link set {found.name} up; check cable and switch port"
        return Line(name="interface", status="broken", text=f"{found.name} is down, or has no carrier", remedy=remedy)
    if found.is_multicast is False and not found.is_loopback:
        remedy = f"ip link set {found.name} multicast on; a tunnel may not carry multicast at all"
        return Line(name="interface", status="broken", text=f"{found.name} has no MULTICAST flag", remedy=remedy)
    address = found.first_address(version)
    if address is None:
        remedy = f"give {found.name} an IPv{version} address"
        text = f"{found.name} is up, and has no IPv{version} address"
        return Line(name="interface", status="broken" if version == 4 else "suspicious", text=text, remedy=remedy)
    return Line(name="interface", status="ok", text=f"{found.name} is up, {address}, MTU {found.mtu or 'unknown'}")


def route(patient: Patient) -> Line:
    """Where a sender that names no interface would send, and whether it may."""
    host, address = Snapshots("", patient.snapshot), patient.group.address
    refused = host.refusing_route(address)
    if refused is None:
        return Line(name="route", status="unknown", text="the routes cannot be read")
    remedy = f"name the interface when sending, or: ip route add {_whole(patient)} dev IF"
    if refused:
        is_pinned = patient.interface is not None
        text = f"{refused}: a sender that names no interface is refused"
        return Line(name="route", status="suspicious" if is_pinned else "broken", text=text, remedy=remedy)
    by = next((str(entry["dev"]) for entry in host.multicast_routes(address) or [] if entry.get("dev")), "")
    if patient.interface is not None and by != patient.interface.name:
        text = f"{address} goes by {by or 'nowhere'} unless --interface {patient.interface.name} is given"
        return Line(name="route", status="suspicious", text=text, remedy=remedy)
    return Line(name="route", status="ok", text=f"{address} goes by {by}")


def _whole(patient: Patient) -> str:
    return "224.0.0.0/4" if patient.group.version == 4 else "ff00::/8"


def memberships(patient: Patient) -> Line:
    """How many groups a socket may join."""
    limit = Snapshots("", patient.snapshot).setting("net.ipv4.igmp_max_memberships")
    if limit is None or not limit.isdecimal():
        return Line(
            name="memberships", status="unknown", text="the system does not tell how many groups a socket may join"
        )
    if int(limit) < USUAL_MEMBERSHIPS:
        text = f"a socket may join {limit} groups, fewer than the usual {USUAL_MEMBERSHIPS}"
        remedy = f"sysctl -w net.ipv4.igmp_max_memberships={USUAL_MEMBERSHIPS}"
        return Line(name="memberships", status="suspicious", text=text, remedy=remedy)
    return Line(name="memberships", status="ok", text=f"a socket may join {limit} groups")


def buffers(patient: Patient) -> Line:
    """Whether a receive buffer of 8 MB would be granted."""
    host = Snapshots("", patient.snapshot)
    for name in (_LINUX_BUFFER, _MAC_BUFFER):
        text = host.setting(name)
        if text is not None and text.isdecimal():
            if int(text) < WANTED_BUFFER:
                remedy = f"sysctl -w {name}={WANTED_BUFFER}"
                text = f"{name} is {int(text):,} bytes: bursts at high rates may overflow the socket"
                return Line(name="buffers", status="suspicious", text=text, remedy=remedy)
            return Line(name="buffers", status="ok", text=f"{name} is {int(text):,} bytes")
    return Line(name="buffers", status="unknown", text="the system does not tell its largest receive buffer")


def reverse_path(patient: Patient) -> Line:
    """Whether packets from a source that is reached by another way are dropped."""
    host, name = Snapshots("", patient.snapshot), patient.likely.name if patient.likely is not None else "all"
    values = [host.setting(f"net.ipv4.conf.{key}.rp_filter") for key in ("all", name)]
    known = [int(value) for value in values if value is not None and value.isdecimal()]
    if not known:
        return Line(name="rp_filter", status="unknown", text="the system does not tell whether it filters by source")
    if max(known) == 1:
        text = f"rp_filter is 1 on {name}: packets from a source that is not reached by {name} are dropped silently"
        remedy = f"sysctl -w net.ipv4.conf.{name}.rp_filter=2 (the larger of it and 'all' counts)"
        return Line(name="rp_filter", status="suspicious", text=text, remedy=remedy)
    return Line(name="rp_filter", status="ok", text=f"rp_filter is {max(known)} on {name}")


def firewall(patient: Patient) -> Line:
    """Whether the packet filter holds a rule or a policy that could meet the group or its membership messages."""
    section = patient.snapshot.get("firewall")
    if isinstance(section, dict) and "state" in section:
        return _application_firewall(section)
    denials = Snapshots("", patient.snapshot).denials()
    if denials is None:
        reason = _error(section)
        remedy = "run harness doctor as root to have the rules read"
        return Line(name="firewall", status="unknown", text=f"the rules cannot be read{reason}", remedy=remedy)
    closed = _closed_chains(section)
    remedy = f"allow UDP to {patient.group} and IGMP or MLD, in and out"
    if closed:
        text = f"chain {closed[0]} drops what no rule allows"
        return Line(name="firewall", status="suspicious", text=text, remedy=remedy)
    if denials:
        text = f"{len(denials)} rules deny something, the first: {denials[0][0]}"
        return Line(name="firewall", status="suspicious", text=text, remedy=remedy)
    return Line(name="firewall", status="ok", text="no rule denies anything")


def _error(section: Any) -> str:
    inner = section.get("nft", section) if isinstance(section, dict) else {}
    reason = inner.get("error", "") if isinstance(inner, dict) else ""
    return f": {reason}" if reason else ""


def _closed_chains(section: Any) -> list[str]:
    """Return the base chains on input and output whose policy is to drop."""
    ruleset = section.get("nft") if isinstance(section, dict) else None
    chains = [item.get("chain") for item in ruleset if isinstance(item, dict)] if isinstance(ruleset, list) else []
    return [
        f"{chain.get('family')} {chain.get('table')} {chain.get('name')}"
        for chain in chains
        if isinstance(chain, dict)
        and chain.get("policy") == "drop"
        and chain.get("hook") in ("input", "output", "ingress")
    ]


def _application_firewall(section: dict[str, Any]) -> Line:
    """macOS: its application firewall decides over unicast and multicast in, by program."""
    state = " ".join(str(section.get("state", "")).split())
    block_all = " ".join(str(section.get("block_all", "")).split())
    if "error" in state:
        return Line(name="firewall", status="unknown", text="the application firewall does not tell its state")
    if "enabled" in block_all.lower() and "disabled" not in block_all.lower():
        text = "the application firewall blocks all incoming connections"
        return Line(name="firewall", status="suspicious", text=text, remedy="allow the program in its settings")
    if "enabled" in state.lower():
        text = "the application firewall is on"
        return Line(name="firewall", status="suspicious", text=text, remedy="allow the program in its settings")
    return Line(name="firewall", status="ok", text="the application firewall is off")


def igmp_version(patient: Patient) -> Line:
    """Which IGMP version the kernel speaks there, and whether one is forced."""
    host, found = Snapshots("", patient.snapshot), patient.likely
    if found is None:
        return Line(name="igmp version", status="unknown", text="there is no interface to ask about")
    forced = host.setting(f"net.ipv4.conf.{found.name}.force_igmp_version")
    if forced not in (None, "0"):
        text = f"IGMPv{forced} is forced on {found.name}"
        remedy = f"sysctl -w net.ipv4.conf.{found.name}.force_igmp_version=0"
        return Line(name="igmp version", status="suspicious", text=text, remedy=remedy)
    version = host.membership_version(found.name, is_after=False)
    if version is None:
        return Line(name="igmp version", status="unknown", text=f"the system does not tell its version on {found.name}")
    if version < 3:
        text = f"{found.name} speaks IGMPv{version}, since an older querier was heard: no source can be asked for"
        remedy = "set the querier to IGMPv3, or join without --source"
        return Line(name="igmp version", status="suspicious", text=text, remedy=remedy)
    return Line(name="igmp version", status="ok", text=f"{found.name} speaks IGMPv3")


def launcher(patient: Patient) -> Line:
    """Who started this program: on some systems that decides whether multicast arrives."""
    told = patient.snapshot.get("launch")
    if not isinstance(told, dict) or "error" in told:
        return Line(name="launcher", status="unknown", text="the system does not tell who started this program")
    parents = told.get("parents")
    names = [str(each.get("name")) for each in parents if isinstance(each, dict)] if isinstance(parents, list) else []
    hints = told.get("hints")
    hints = hints if isinstance(hints, dict) else {}
    text = f"user {told.get('user')}, started by {' < '.join(names[:4]) or 'nobody known'}"
    if hints.get("container") or hints.get("container_files"):
        remedy = "run with the host's network (--network host), or on the host itself"
        return Line(name="launcher", status="suspicious", text=f"{text}; in a container", remedy=remedy)
    if hints.get("manager") == "Aqua" and not told.get("is_over_ssh") and not told.get("is_stdin_tty"):
        remedy = "allow the responsible app under Privacy & Security, Local Network; compare with a run from Terminal"
        text += "; as part of an app, which needs the Local Network permission"
        return Line(name="launcher", status="suspicious", text=text, remedy=remedy)
    return Line(name="launcher", status="ok", text=text)


QUESTIONS = (interface, route, memberships, buffers, reverse_path, firewall, igmp_version, launcher)
