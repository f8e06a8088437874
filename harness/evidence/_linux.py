"""Where Linux keeps it: /proc, sysctl files, iproute2 and nft.

Everything is that of the network namespace of the asking thread. So files are read under /proc/thread-self/net:
/proc/net is that of the process's first thread, and /sys/class/net that of whoever mounted /sys.
"""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Any

from harness.evidence.clock import linux_clock_state
from harness.evidence.counters import parse_dev, parse_snmp, parse_snmp6, parse_softnet, snake
from harness.evidence.drivers import drivers
from harness.evidence.firewall import firewall
from harness.evidence.interfaces import interfaces_of_iproute, portable_interfaces
from harness.evidence.machine import boot_arguments, unit_of, virtualisation
from harness.evidence.memberships import parse_igmp, parse_igmp6, parse_mcfilter
from harness.evidence.probe import (
    Ask,
    ProbeError,
    Table,
    answer,
    as_json,
    call,
    command,
    file,
    text_if_any,
    text_of,
    tool,
)
from harness.evidence.sockets import parse_udp, with_owners
from harness.units import NS_PER_S

_NET = "/proc/thread-self/net"
_SYSCTLS = (
    "net/bridge/bridge-nf-call-iptables",
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
    "net/ipv4/udp_early_demux",
    "net/ipv4/ip_forward",
    "net/ipv4/ipfrag_high_thresh",
    "net/ipv4/ipfrag_time",
    "net/ipv6/ip6frag_high_thresh",
    "net/ipv6/mld_qrv",
    "net/ipv6/mld_max_msf",
)
_PER_INTERFACE = (
    ("net/ipv4/conf", ("rp_filter", "force_igmp_version", "mc_forwarding", "accept_local", "arp_ignore")),
    ("net/ipv6/conf", ("force_mld_version", "disable_ipv6", "mc_forwarding", "accept_ra")),
)
_PROC_SYS = Path("/proc/sys")
_DOTTED = str.maketrans("/.", "./")
"""sysctl(8)'s way to write a path with dots; the dot in an interface's name becomes the slash."""
_CONTAINER = "container"
"""The variable in which container managers name themselves, in lower case."""
_GAUGES = ("Forwarding", "DefaultTTL")
"""Settings that the kernel lists among its counters."""
_CONFINEMENT = ("CapEff", "NoNewPrivs", "Seccomp")


def system_name() -> str:
    """Return the distribution's name and version."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def boot_id() -> str:
    """Return the identity of this boot; "" when the kernel does not tell."""
    return text_if_any("/proc/sys/kernel/random/boot_id")


def uptime_ns() -> int:
    """Return the time since the boot, time asleep included, in ns."""
    return round(float(text_of("/proc/uptime").split()[0]) * NS_PER_S)


def clock_state() -> tuple[str, int | None]:
    """Return what disciplines the realtime clock and the bound on its error in ns, None where nobody knows one.

    "chrony", "ntp", "ptp", "synchronised" (by a daemon that is not to be seen from here), "unsynchronised", "unknown".
    """
    return linux_clock_state()


def _interfaces() -> dict[str, Any]:
    """Return the interfaces with their drivers; by psutil, and so with less, where iproute2 is missing."""
    try:
        found = interfaces_of_iproute(as_json(command("ip", "-s", "-s", "-d", "-j", "address", "show")))
    except ProbeError:
        found = portable_interfaces()
    for name, told in drivers().items():
        if name in found:
            found[name] |= told
    return found


def _filters(name: str) -> Any:
    return parse_mcfilter(text_of(f"{_NET}/{name}"), dict(socket.if_nameindex()))


def _settings() -> dict[str, str]:
    """Return the sysctls that decide over multicast reception, by their dotted names; missing ones are left out."""
    names = list(_SYSCTLS)
    for directory, keys in _PER_INTERFACE:
        found = sorted((_PROC_SYS / directory).glob("*"))
        names += [f"{directory}/{entry.name}/{key}" for entry in found for key in keys]
    values = {name: text_if_any(f"{_PROC_SYS}/{name}") for name in names}
    return {name.translate(_DOTTED): " ".join(text.split()) for name, text in values.items() if text}


def _counters() -> dict[str, dict[str, int]]:
    """Return the counters of IP, ICMP, UDP and of the kernel's backlog.

    IPReversePathFilter stands among those of `ip_ext`, where it belongs; the kernel prints it with TCP's.
    """
    extended = parse_snmp(text_if_any(f"{_NET}/netstat"), ("IpExt", "TcpExt"))
    tcp = extended.pop("TcpExt", {})
    found = {
        **parse_snmp(text_if_any(f"{_NET}/snmp"), ("Ip", "Icmp", "Udp")),
        **parse_snmp6(text_if_any(f"{_NET}/snmp6"), ("Ip6", "Icmp6", "Udp6")),
        **extended,
    }
    if "IPReversePathFilter" in tcp:
        found.setdefault("IpExt", {})["IPReversePathFilter"] = tcp["IPReversePathFilter"]
    named = {
        snake(protocol): {name: value for name, value in values.items() if name not in _GAUGES}
        for protocol, values in found.items()
    }
    return named | {"softnet": parse_softnet(text_if_any(f"{_NET}/softnet_stat"))}


def _interface_counters() -> dict[str, dict[str, int]]:
    return parse_dev(text_of(f"{_NET}/dev"), {name: index for index, name in socket.if_nameindex()})


def _sockets() -> dict[str, list[dict[str, Any]]]:
    return {name: parse_udp(text_if_any(f"{_NET}/{name}")) for name in ("udp", "udp6")}


def _boot_arguments() -> list[str]:
    return boot_arguments(text_of("/proc/cmdline"))


def launch_hints() -> dict[str, Any]:
    """Return what tells of containers, service managers and confinement."""
    status = dict(line.split(":", 1) for line in text_if_any("/proc/self/status").splitlines() if ":" in line)
    cgroups = text_if_any("/proc/self/cgroup")
    return {
        "container_files": [path for path in ("/.dockerenv", "/run/.containerenv") if Path(path).exists()],
        "container": os.environ.get(_CONTAINER, ""),
        "is_systemd_service": "INVOCATION_ID" in os.environ,
        "unit": unit_of(cgroups),
        "init": text_if_any("/proc/1/comm"),
        "cgroup": cgroups.splitlines(),
        "network_namespace": answer(lambda: str(Path("/proc/thread-self/ns/net").readlink())),
        "confinement": {name: status[name].strip() for name in _CONFINEMENT if name in status},
    }


COUNTERS: dict[str, Ask] = {
    "counters": call(_counters),
    "interface_counters": call(_interface_counters),
    "sockets": call(_sockets),
}
"""What may be asked often: no process is started for it."""

TABLE: Table = {
    "boot": {"boot_id": call(boot_id), "uptime_ns": call(uptime_ns), "arguments": call(_boot_arguments)},
    "interfaces": call(_interfaces),
    "routes": {
        "inet": tool("ip", "-j", "-4", "route", "show", "table", "all", parse=as_json),
        "inet6": tool("ip", "-j", "-6", "route", "show", "table", "all", parse=as_json),
        "rules": tool("ip", "-j", "-4", "rule", "show", parse=as_json),
        "rules6": tool("ip", "-j", "-6", "rule", "show", parse=as_json),
    },
    "memberships": {
        "inet": file(f"{_NET}/igmp", parse_igmp),
        "inet6": file(f"{_NET}/igmp6", parse_igmp6),
        "filters": call(lambda: _filters("mcfilter")),
        "filters6": call(lambda: _filters("mcfilter6")),
    },
    "bridges": {
        "links": tool("ip", "-d", "-j", "link", "show", "type", "bridge", parse=as_json),
        "mdb": tool("bridge", "-d", "-s", "-j", "mdb", "show", parse=as_json),
    },
    "qdiscs": tool("tc", "-s", "-j", "qdisc", "show", parse=as_json),
    "firewall": call(firewall),
    "settings": call(_settings),
    **COUNTERS,
    "sockets": call(lambda: with_owners(_sockets())),
    "virtualisation": call(virtualisation),
}
"""Section and name of each answer, and who gives it: a probe more is a row more."""
