"""Where Windows keeps it: netsh and netstat, whose words are in the user's language."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import psutil

from harness.evidence.counters import parse_assignments
from harness.evidence.probe import answer, command
from harness.units import NS_PER_S


def system_name() -> str:
    """Return the system's name and version."""
    return f"Windows {platform.release()} {platform.version()}"


def boot_id() -> str:
    """Return "": Windows offers no identity of a boot, and the boot time moves with the clock."""
    return ""


def uptime_ns() -> int:
    """Return the time since the boot in ns, by the realtime clock."""
    return round((time.time() - psutil.boot_time()) * NS_PER_S)


def clock_state() -> tuple[str, int | None]:
    """Return ("unknown", None): the time service answers administrators only, in the user's language."""
    return "unknown", None


def routes() -> dict[str, Any]:
    """Return the route tables as netstat prints them, line by line."""
    return {"netstat -rn": answer(lambda: command("netstat", "-rn").splitlines())}


def memberships() -> dict[str, Any]:
    """Return the memberships as netsh prints them, line by line."""
    return {
        "inet": answer(lambda: command("netsh", "interface", "ipv4", "show", "joins").splitlines()),
        "inet6": answer(lambda: command("netsh", "interface", "ipv6", "show", "joins").splitlines()),
    }


def settings() -> dict[str, Any]:
    """Return the IPv4 settings as netsh prints them, line by line; IGMP level and version are among them."""
    return {"netsh global": answer(lambda: command("netsh", "interface", "ipv4", "show", "global").splitlines())}


def counters() -> dict[str, Any]:
    """Return the counters of IP and UDP, by their names in the user's language."""
    return {
        "udp": answer(lambda: parse_assignments(command("netstat", "-s", "-p", "udp"))),
        "ip": answer(lambda: parse_assignments(command("netstat", "-s", "-p", "ip"))),
    }


def launch_hints() -> dict[str, Any]:
    """Return what tells of the session: "Services" for a service, "Console" at the machine, "RDP-..." from afar."""
    return {"session": os.environ.get("SESSIONNAME", "")}
