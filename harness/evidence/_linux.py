"""Where Linux keeps it: /proc, sysctl files and iproute2."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from harness.evidence.clock import linux_clock_state
from harness.evidence.counters import parse_snmp, parse_snmp6
from harness.evidence.memberships import parse_igmp, parse_igmp6
from harness.evidence.probe import ProbeError, answer, command, text_of
from harness.units import NS_PER_S

_SYSCTLS = (
    "net/core/rmem_max",
    "net/core/rmem_default",
    "net/core/wmem_max",
    "net/core/wmem_default",
    "net/core/netdev_max_backlog",
    "net/ipv4/igmp_max_memberships",
    "net/ipv4/igmp_max_msf",
    "net/ipv4/igmp_qrv",
    "net/ipv4/igmp_link_local_mcast_reports",
    "net/ipv4/udp_mem",
    "net/ipv4/udp_rmem_min",
    "net/ipv4/ip_forward",
    "net/ipv6/mld_qrv",
    "net/ipv6/mld_max_msf",
)
_PER_INTERFACE = (
    ("net/ipv4/conf", ("rp_filter", "force_igmp_version", "mc_forwarding", "accept_local")),
    ("net/ipv6/conf", ("force_mld_version", "disable_ipv6", "mc_forwarding")),
)
_PROC_SYS = Path("/proc/sys")
_DOTTED = str.maketrans("/.", "./")
"""sysctl(8)'s way to write a path with dots; the dot in an interface's name becomes the slash."""
_CONTAINER = "container"
"""The variable in which container managers name themselves, in lower case."""
_CONFINEMENT = ("CapEff", "NoNewPrivs", "Seccomp")


def system_name() -> str:
    """Return the distribution's name and version."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def boot_id() -> str:
    """Return the identity of this boot; "" when the kernel does not tell."""
    try:
        return text_of("/proc/sys/kernel/random/boot_id")
    except ProbeError:
        return ""


def uptime_ns() -> int:
    """Return the time since the boot, time asleep included, in ns."""
    return round(float(text_of("/proc/uptime").split()[0]) * NS_PER_S)


def clock_state() -> tuple[str, int | None]:
    """Return what disciplines the realtime clock and the bound on its error in ns, None where nobody knows one.

    "chrony", "ntp", "ptp", "synchronised" (by a daemon that is not to be seen from here), "unsynchronised", "unknown".
    """
    return linux_clock_state()


def routes() -> dict[str, Any]:
    """Return all route tables and the rules between them, IPv4 and IPv6, as iproute2 describes them."""
    return {
        "inet": answer(lambda: _ip("-4", "route", "show", "table", "all")),
        "inet6": answer(lambda: _ip("-6", "route", "show", "table", "all")),
        "rules": answer(lambda: _ip("-4", "rule", "show")),
        "rules6": answer(lambda: _ip("-6", "rule", "show")),
    }


def memberships() -> dict[str, Any]:
    """Return the multicast memberships of all interfaces."""
    return {
        "inet": answer(lambda: parse_igmp(text_of("/proc/net/igmp"))),
        "inet6": answer(lambda: parse_igmp6(text_of("/proc/net/igmp6"))),
    }


def settings() -> dict[str, str]:
    """Return the sysctls that decide over multicast reception, by their dotted names; missing ones are left out."""
    names = list(_SYSCTLS)
    for directory, keys in _PER_INTERFACE:
        found = sorted((_PROC_SYS / directory).glob("*"))
        names += [f"{directory}/{entry.name}/{key}" for entry in found for key in keys]
    values = {name: _text_if_any(f"{_PROC_SYS}/{name}") for name in names}
    return {name.translate(_DOTTED): " ".join(text.split()) for name, text in values.items() if text}


def counters() -> dict[str, dict[str, int]]:
    """Return the counters of IP and UDP, and of what the reverse-path filter dropped."""
    extended = parse_snmp(_text_if_any("/proc/net/netstat"), ("IpExt", "TcpExt"))
    tcp = extended.pop("TcpExt", {})
    return {
        **parse_snmp(_text_if_any("/proc/net/snmp"), ("Ip", "Udp")),
        **parse_snmp6(_text_if_any("/proc/net/snmp6"), ("Ip6", "Udp6")),
        **extended,
        "TcpExt": {name: value for name, value in tcp.items() if name == "IPReversePathFilter"},
    }


def launch_hints() -> dict[str, Any]:
    """Return what tells of containers, service managers and confinement."""
    status = dict(line.split(":", 1) for line in _text_if_any("/proc/self/status").splitlines() if ":" in line)
    return {
        "container_files": [path for path in ("/.dockerenv", "/run/.containerenv") if Path(path).exists()],
        "container": os.environ.get(_CONTAINER, ""),
        "is_systemd_service": "INVOCATION_ID" in os.environ,
        "cgroup": _text_if_any("/proc/self/cgroup").splitlines(),
        "network_namespace": answer(lambda: str(Path("/proc/self/ns/net").readlink())),
        "confinement": {name: status[name].strip() for name in _CONFINEMENT if name in status},
    }


def _ip(*arguments: str) -> Any:
    """Return what iproute2 prints as JSON."""
    text = command("ip", "-j", *arguments)
    try:
        return msgspec.json.decode(text or "[]")
    except msgspec.DecodeError as exc:
        raise ProbeError(f"ip {' '.join(arguments)} prints no JSON; iproute2 is too old") from exc


def _text_if_any(path: str) -> str:
    """Return a file's text, "" where the kernel has none: IPv6 may be off, a sysctl newer than the kernel."""
    try:
        return text_of(path)
    except ProbeError:
        return ""
