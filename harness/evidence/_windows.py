"""Where Windows keeps it: PowerShell's objects as JSON, netsh and netstat, whose words are in the user's language."""

from __future__ import annotations

import ipaddress
import os
import platform
import time
from typing import Any

import psutil

from harness.evidence.counters import parse_assignments
from harness.evidence.interfaces import portable_counters, portable_interfaces
from harness.evidence.probe import Ask, ProbeError, Table, as_json, call, tool
from harness.units import NS_PER_S

_ADDRESSES = (
    "Get-NetIPAddress | Select-Object InterfaceAlias,InterfaceIndex,IPAddress,PrefixLength,"
    "@{n='PrefixOrigin';e={\"$($_.PrefixOrigin)\"}},@{n='AddressState';e={\"$($_.AddressState)\"}}"
)
_FIREWALL = (
    "Get-NetFirewallProfile | Select-Object Name,@{n='Enabled';e={\"$($_.Enabled)\"}},"
    "@{n='DefaultInboundAction';e={\"$($_.DefaultInboundAction)\"}},"
    "@{n='AllowUnicastResponseToMulticast';e={\"$($_.AllowUnicastResponseToMulticast)\"}}"
)
_NETWORKS = "Get-NetConnectionProfile | Select-Object InterfaceAlias,@{n='Category';e={\"$($_.NetworkCategory)\"}}"
_POWERSHELL_LIMIT_NS = 4 * NS_PER_S
_DYNAMIC = ("Dhcp", "RouterAdvertisement")


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


def launch_hints() -> dict[str, Any]:
    """Return what tells of the session: "Services" for a service, "Console" at the machine, "RDP-..." from afar."""
    return {"session": os.environ.get("SESSIONNAME", "")}


def _powershell(script: str) -> Ask:
    """Return the question to PowerShell; values stand as text, for an enumeration as a number means little."""
    words = ("powershell", "-NoProfile", "-NonInteractive", "-Command", f"@({script}) | ConvertTo-Json -Compress")
    return tool(*words, parse=parse_objects, limit_ns=_POWERSHELL_LIMIT_NS)


def parse_objects(text: str) -> list[dict[str, Any]]:
    """Return the objects that ConvertTo-Json printed; one alone comes without its list.

    Raises:
      ProbeError: no JSON.

    >>> parse_objects('{"Name":"Public","Enabled":"True"}')
    [{'Name': 'Public', 'Enabled': 'True'}]
    """
    found = as_json(text)
    return [entry for entry in (found if isinstance(found, list) else [found]) if isinstance(entry, dict)]


def _interfaces(limit_ns: int) -> dict[str, Any]:
    """Return the interfaces as psutil sees them, with each address's origin where PowerShell tells it."""
    found = portable_interfaces()
    try:
        told = _powershell(_ADDRESSES)(limit_ns)
    except ProbeError:
        return found
    return with_origins(found, told)


def with_origins(interfaces: dict[str, Any], told: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the interfaces with index and origins as `Get-NetIPAddress` tells them."""
    by_address = {(entry.get("InterfaceAlias"), str(entry.get("IPAddress")).partition("%")[0]): entry for entry in told}
    for name, entry in interfaces.items():
        for address in entry["addresses"]:
            source = by_address.get((name, address["address"]))
            if source is not None:
                entry["index"] = source.get("InterfaceIndex", entry["index"])
                if address["origin"] != "link-local":
                    address["origin"] = "dynamic" if source.get("PrefixOrigin") in _DYNAMIC else "static"
                if source.get("AddressState") not in (None, "Preferred"):
                    address["flags"] = [str(source["AddressState"]).lower()]
    return interfaces


def parse_routes(text: str) -> list[dict[str, str]]:
    r"""Return the routes of `route print`, by the form of its rows: its headings are in the user's language.

    >>> parse_routes("  224.0.0.0   240.0.0.0   Auf Verbindung   192.168.1.5   281\n 12 281 ff00::/8 On-link\n")
    [{'family': 'inet', 'dst': '224.0.0.0/4', 'gateway': 'Auf Verbindung', 'dev': '192.168.1.5', 'metric': '281'},
     {'family': 'inet6', 'dst': 'ff00::/8', 'gateway': 'On-link', 'dev': '12', 'metric': '281'}]
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        try:
            if len(words) >= 5 and "." in words[0] and words[-1].isdecimal():
                dst = str(ipaddress.IPv4Network(f"{words[0]}/{words[1]}"))
                row = ("inet", dst, " ".join(words[2:-2]), words[-2], words[-1])
            elif len(words) >= 3 and words[0].isdecimal() and words[1].isdecimal():
                row = ("inet6", str(ipaddress.IPv6Network(words[2])), " ".join(words[3:]), words[0], words[1])
            else:
                continue
        except ValueError:
            continue
        found.append(dict(zip(("family", "dst", "gateway", "dev", "metric"), row, strict=True)))
    return found


def parse_joins(text: str) -> list[dict[str, Any]]:
    r"""Return the memberships of `netsh interface ip show joins`, by the form of its rows.

    The interface is the end of the last heading line before them, as it stands there.

    >>> parse_joins("Interface 12: Ethernet\n\nScope  References  Last  Address\n0  1  Yes  224.0.0.1\n")
    [{'interface': 'Ethernet', 'group': '224.0.0.1', 'users': 1}]
    """
    found, interface = [], ""
    for line in text.splitlines():
        words = line.split()
        head, colon, name = line.partition(": ")
        if colon and head.split()[-1:] and head.split()[-1].isdecimal():
            interface = name.strip()
            continue
        try:
            if len(words) >= 3 and ipaddress.ip_address(words[-1].partition("%")[0]).is_multicast:
                group = words[-1].partition("%")[0]
                found.append({"interface": interface, "group": group, "users": int(words[1])})
        except ValueError:
            continue
    return found


COUNTERS: dict[str, Ask] = {"interface_counters": call(portable_counters)}
"""What may be asked often: no process is started for it."""

TABLE: Table = {
    "boot": {"boot_id": call(boot_id), "uptime_ns": call(uptime_ns)},
    "interfaces": _interfaces,
    "routes": {"print": tool("route", "print", parse=parse_routes)},
    "memberships": {
        "inet": tool("netsh", "interface", "ipv4", "show", "joins", parse=parse_joins),
        "inet6": tool("netsh", "interface", "ipv6", "show", "joins", parse=parse_joins),
    },
    "firewall": {"profiles": _powershell(_FIREWALL), "networks": _powershell(_NETWORKS)},
    "settings": {"netsh global": tool("netsh", "interface", "ipv4", "show", "global")},
    "counters": {name: tool("netstat", "-s", "-p", name, parse=parse_assignments) for name in ("udp", "ip")},
    **COUNTERS,
}
"""Section and name of each answer, and who gives it: a probe more is a row more."""
