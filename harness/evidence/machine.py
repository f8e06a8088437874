"""The machine under the system (Linux): how its kernel was started, and whether it is a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness.evidence.probe import text_if_any

_SECRET = re.compile(r"(?i)^([^=]*(?:pass|secret|token|key|credential)[^=]*)=.*")
_CPUINFO_BYTES = 8_192
_DMI = Path("/sys/class/dmi/id")
_UNIT = re.compile(r"[^/]+\.(?:service|scope|slice)$")


def boot_arguments(text: str) -> list[str]:
    """Return the words of a kernel's command line, with the values left out that look like secrets.

    >>> boot_arguments("quiet ipv6.disable=1 luks.key=abc")
    ['quiet', 'ipv6.disable=1', 'luks.key=...']
    """
    return [_SECRET.sub(r"\1=...", word) for word in text.split()]


def unit_of(cgroups: str) -> str:
    r"""Return the systemd unit in which a process runs, from /proc/self/cgroup; "" when no path names one.

    >>> unit_of("0::/system.slice/harness.service")
    'harness.service'
    >>> unit_of("1:name=systemd:/user.slice/user-1000.slice/session-3.scope\n0::/")
    'session-3.scope'
    """
    for line in cgroups.splitlines():
        names = [name for name in line.split("/") if _UNIT.fullmatch(name)]
        if names:
            return names[-1]
    return ""


def virtualisation() -> dict[str, Any]:
    """Return hints at a virtual machine: the processor's own flag, and what the firmware calls vendor and product."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
            head = cpuinfo.read(_CPUINFO_BYTES)
    except OSError:
        head = ""
    flags = next((line for line in head.splitlines() if line.startswith(("flags", "Features"))), "")
    return {
        "is_hypervisor_flag_set": "hypervisor" in flags.split() if flags else None,
        "hypervisor": text_if_any("/sys/hypervisor/type"),
        "vendor": text_if_any(f"{_DMI}/sys_vendor"),
        "product": text_if_any(f"{_DMI}/product_name"),
    }
