"""Where macOS keeps it: sysctl(8), netstat(1), sw_vers."""

from __future__ import annotations

import functools
import os
import platform
import time
from typing import Any

import psutil

from harness.evidence.counters import parse_statistics
from harness.evidence.probe import ProbeError, answer, command
from harness.units import NS_PER_S

_SYSCTLS = ("kern.ipc.maxsockbuf", "net.inet.udp", "net.inet.igmp", "net.inet.ip.mcast", "net.inet6.mld")
_PROTOCOLS = ("ip", "udp", "igmp", "ip6")


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


def routes() -> dict[str, Any]:
    """Return the route tables as netstat prints them, line by line."""
    return {"netstat -rn": answer(lambda: command("netstat", "-rn").splitlines())}


def memberships() -> dict[str, Any]:
    """Return the memberships as netstat prints them, line by line."""
    return {"netstat -gn": answer(lambda: command("netstat", "-gn").splitlines())}


def settings() -> dict[str, str]:
    """Return the sysctls about sockets and multicast, by name; what this release does not know is left out."""
    found: dict[str, str] = {}
    for tree in _SYSCTLS:
        try:
            lines = command("sysctl", tree).splitlines()
        except ProbeError:
            continue
        for line in lines:
            name, colon, value = line.partition(": ")
            if colon:
                found[name] = value
    return found


def counters() -> dict[str, Any]:
    """Return the counters of IP, UDP and IGMP; the host's only word on full socket buffers is among them."""
    return {name: answer(functools.partial(_statistics, name)) for name in _PROTOCOLS}


def launch_hints() -> dict[str, Any]:
    """Return what tells of launchd, of the app that answers for this process, and of its terminal."""
    names = ("XPC_SERVICE_NAME", "__CFBundleIdentifier", "TERM_PROGRAM")
    return {"environment": {name: os.environ[name] for name in names if name in os.environ}}


def _statistics(protocol: str) -> dict[str, int]:
    return parse_statistics(command("netstat", "-s", "-p", protocol))
