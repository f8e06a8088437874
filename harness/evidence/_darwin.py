"""Where macOS keeps it: sysctl(8), netstat(1), ifconfig(8), ipconfig(8), log(1), and codesign(1) of the interpreter.

Receiving multicast is gated per program there (Local Network privacy, Apple TN3179), so the program's own identity,
code signature and UUID, is evidence, and so are the system's lines about it.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Any

import psutil

from harness.evidence.bsd import parse_ifconfig, parse_netstat_groups, parse_netstat_routes, parse_sysctl
from harness.evidence.counters import parse_statistics
from harness.evidence.interfaces import portable_counters
from harness.evidence.probe import Ask, ProbeError, Table, answer, call, command, tool
from harness.units import NS_PER_S

_SYSCTLS = ("kern.ipc.maxsockbuf", "net.inet.udp", "net.inet.igmp", "net.inet.ip.mcast", "net.inet6.mld")
_LOG_LIMIT_NS = 4 * NS_PER_S
_LAST = "5m"
"""How far back the system's log is searched."""
_LOG_PREDICATES = {
    "network-extension": 'process == "UserEventAgent" AND subsystem == "com.apple.networkextension"',
    "nehelper": 'process == "nehelper" AND eventMessage CONTAINS[c] "local network"',
    "kernel": 'process == "kernel" AND eventMessage CONTAINS "NECP"',
}


def system_name() -> str:
    """Return the system's name and version."""
    return f"macOS {platform.mac_ver()[0]}".strip()


def boot_id() -> str:
    """Return the identity of this boot; "" when the kernel does not tell. The boot time would move with the clock."""
    try:
        return command("sysctl", "-n", "kern.bootsessionuuid").strip()
    except ProbeError:
        return ""


def uptime_ns() -> int:
    """Return the time since the boot in ns, by the realtime clock."""
    return round((time.time() - psutil.boot_time()) * NS_PER_S)


def clock_state() -> tuple[str, int | None]:
    """Return ("unknown", None): macOS publishes neither the state of its time daemon nor a bound on the error."""
    return "unknown", None


def _interfaces(limit_ns: int) -> dict[str, Any]:
    """Return the interfaces as ifconfig lists them; `ipconfig getpacket` answers only for a lease of DHCP."""
    found = parse_ifconfig(command("ifconfig", "-a", limit_ns=limit_ns))
    for name, entry in found.items():
        v4 = [address for address in entry["addresses"] if address["family"] == "inet" and address["scope"] == "global"]
        if v4:
            origin = "dynamic" if _has_lease(name, limit_ns) else "static"
            for address in v4:
                address["origin"] = origin
    return found


def _has_lease(interface: str, limit_ns: int) -> bool:
    try:
        return "yiaddr" in command("ipconfig", "getpacket", interface, limit_ns=limit_ns)
    except ProbeError:
        return False


def _settings() -> dict[str, str]:
    """Return the sysctls about sockets and multicast, by name; what this release does not know is left out."""
    found: dict[str, str] = {}
    for tree in _SYSCTLS:
        try:
            found |= parse_sysctl(command("sysctl", tree))
        except ProbeError:
            continue
    return found


def launch_hints() -> dict[str, Any]:
    """Return what tells of launchd, of the app that answers for this process, and of its terminal.

    `manager` is launchd's session: "Aqua" for a user's, "Background", "System" for daemons.
    """
    names = ("XPC_SERVICE_NAME", "__CFBundleIdentifier", "TERM_PROGRAM")
    return {
        "environment": {name: os.environ[name] for name in names if name in os.environ},
        "manager": answer(lambda: command("launchctl", "managername").strip()),
    }


def _log(predicate: str) -> Ask:
    return tool(
        "/usr/bin/log", "show", "--style", "compact", "--last", _LAST, "--predicate", predicate, limit_ns=_LOG_LIMIT_NS
    )


COUNTERS: dict[str, Ask] = {"interface_counters": call(portable_counters)}
"""What may be asked often: no process is started for it."""

TABLE: Table = {
    "boot": {
        "boot_id": call(boot_id),
        "uptime_ns": call(uptime_ns),
        "arguments": tool("sysctl", "-n", "kern.bootargs", parse=str.split),
    },
    "interfaces": _interfaces,
    "routes": {"netstat": tool("netstat", "-rn", parse=parse_netstat_routes)},
    "memberships": {
        "groups": tool("netstat", "-gn", parse=parse_netstat_groups),
        "forwarding": tool("netstat", "-gs"),
    },
    "services": {"order": tool("networksetup", "-listnetworkserviceorder")},
    "firewall": {
        "state": tool("/usr/libexec/ApplicationFirewall/socketfilterfw", "--getglobalstate"),
        "block_all": tool("/usr/libexec/ApplicationFirewall/socketfilterfw", "--getblockall"),
        "stealth": tool("/usr/libexec/ApplicationFirewall/socketfilterfw", "--getstealthmode"),
        "pf": tool("pfctl", "-s", "rules"),
    },
    "settings": call(_settings),
    "counters": {
        name: tool("netstat", "-s", "-p", name, parse=parse_statistics) for name in ("ip", "udp", "igmp", "ip6")
    },
    **COUNTERS,
    "identity": {
        "system": tool("sw_vers"),
        "signature": tool("codesign", "-dvvv", sys.executable, has_both=True),
        "uuid": tool("dwarfdump", "--uuid", sys.executable),
        "extensions": tool("systemextensionsctl", "list"),
    },
    "log": {name: _log(predicate) for name, predicate in _LOG_PREDICATES.items()},
    "virtualisation": {"is_hypervisor_flag_set": tool("sysctl", "-n", "kern.hv_vmm_present", parse=str.strip)},
}
"""Section and name of each answer, and who gives it: a probe more is a row more."""
