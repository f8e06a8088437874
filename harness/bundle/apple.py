"""What Apple asks for beside a report about multicast: which of it is in the bundle, and how to get the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something to attach: what it is, how to get it, and the words by which evidence shows that it is there."""

    what: str
    command: str
    words: tuple[str, ...]


WANTED = (
    Wanted("system version and build", "sw_vers", ("sw_vers", "identity.system", "macos")),
    Wanted("code signature of the interpreter", "codesign -dvvv $(which python3)", ("codesign", "identity.signature")),
    Wanted("UUIDs of the interpreter", "dwarfdump --uuid $(which python3)", ("dwarfdump", "identity.uuid")),
    Wanted("process ancestry", "ps -axo pid,ppid,user,command", ("launch.parents",)),
    Wanted("launch method", "say: Terminal, ssh, LaunchAgent, LaunchDaemon or app", ("launch.hints", "launch.uid")),
    Wanted("address static or by DHCP", "ipconfig getsummary en0", ("ipconfig", "dhcp", "configmethod", ".origin")),
    Wanted("system extensions", "systemextensionsctl list", ("systemextensionsctl", "identity.extensions")),
    Wanted("group memberships", "netstat -g", ("netstat -g", "memberships.groups")),
    Wanted("UDP counters", "netstat -s -p udp", ("netstat -s -p udp", "counters.udp")),
    Wanted("IGMP counters", "netstat -s -p igmp", ("netstat -s -p igmp", "counters.igmp")),
    Wanted("routes", "netstat -rn", ("netstat -rn", "routes.netstat")),
    Wanted("a sysdiagnose taken right after the fault", "sudo sysdiagnose", ()),
)
"""The list of PLATFORM facts about Local Network privacy; a capture and the time are known from the run itself."""
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """Something wanted, whether it is there, and where or how to get it."""

    what: str
    is_there: bool
    where: str


def asked_for(documents: dict[str, Any], capture: str | None, occurred: str | None) -> list[Asked]:
    """Return everything that is wanted, with where it stands.

    Args:
      documents: JSON evidence by file name; sections that hold only an error count as missing.
      capture: name of the capture in the bundle, or None.
      occurred: when the fault began, in words, or None.
    """
    places = {name: list(_paths(value)) for name, value in documents.items()}
    found = [_asked(wanted, places) for wanted in WANTED]
    wire = "tcpdump -i en0 -w fault.pcapng igmp or udp"
    found.insert(-1, Asked("a capture", capture is not None, capture or wire))
    found.insert(-1, Asked("time of the occurrence", occurred is not None, occurred or "say when it happened"))
    return found


def _asked(wanted: Wanted, places: Mapping[str, Sequence[str]]) -> Asked:
    for name, paths in places.items():
        if any(word in path for word in wanted.words for path in paths):
            return Asked(wanted.what, True, name)
    return Asked(wanted.what, False, wanted.command)


def _paths(value: Any, at: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the paths of keys that hold something, and short texts, all in lower case."""
    if isinstance(value, dict):
        if set(value) == {"error"}:
            return
        for key, item in value.items():
            path = f"{at}.{key}".lower()
            if item not in (None, "", [], {}) and not (isinstance(item, dict) and set(item) == {"error"}):
                yield path
            if depth < _DEEPEST:
                yield from _paths(item, path, depth + 1)
    elif isinstance(value, list):
        for item in value[:50]:
            if depth < _DEEPEST:
                yield from _paths(item, at, depth + 1)
    elif isinstance(value, str) and len(value) < 80:
        yield value.lower()
