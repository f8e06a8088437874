"""One host's own words before and after a run (`environment.json`), read by name and with nothing taken for granted.

Every part of a snapshot may be missing, be {"error": reason}, or have the form of another version; then the answer is
None or empty, never an exception: "cannot tell" is for the rules to say.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.model import IPAddress
from harness.model.witness import HostEvidence, WitnessSeries

_COUNTER_SECTIONS = ("counters", "qdiscs", "qdisc", "interface_counters", "sockets")
_DENIALS = ("drop", "reject")
_NO_ROUTE = ("unreachable", "prohibit", "blackhole", "throw")


@dataclass(frozen=True)
class Snapshots:
    """A host's snapshots and witnesses; `name` as in the run, "" for this machine."""

    name: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    witnesses: list[WitnessSeries] = field(default_factory=list)

    @classmethod
    def of(cls, host: HostEvidence) -> Snapshots:
        """Return the snapshots of a host's evidence."""
        return cls(host.name, host.before, host.after, host.witnesses)

    @property
    def is_macos(self) -> bool:
        """Whether the host says that it runs macOS."""
        versions = _section(self.before or self.after, "versions")
        text = f"{versions.get('system', '')} {versions.get('kernel', '')}" if isinstance(versions, dict) else ""
        return "macOS" in text or "Darwin" in text

    @cached_property
    def _rises(self) -> dict[str, list[tuple[str, int]]]:
        """Rises of all counters, by their bare names: [(where, rise)]."""
        found: dict[str, list[tuple[str, int]]] = {}
        for section in _COUNTER_SECTIONS:
            was = dict(_numbers(_section(self.before, section)))
            for path, now in _numbers(_section(self.after, section)):
                if self.before:
                    rise = now - was.get(path, 0)
                    found.setdefault(_bare(path[-1]), []).append((" ".join(path[:-1]), rise))
        return found

    def rise(self, *names: str) -> int | None:
        """Return by how much counters of these names rose, all together; None where the host has none of them.

        >>> was, now = {"counters": {"Udp": {"RcvbufErrors": 3}}}, {"counters": {"Udp": {"RcvbufErrors": 10}}}
        >>> Snapshots("", was, now).rise("rcvbuf_errors"), Snapshots("", was, now).rise("ReasmFails")
        (7, None)
        """
        rises = [rise for name in names for _, rise in self._rises.get(_bare(name), [])]
        return sum(max(0, rise) for rise in rises) if rises else None

    def qdisc_drops(self) -> dict[str, int] | None:
        """Return the drops of the queueing disciplines that dropped something, by interface; None when not told."""
        sections = [_section(snapshot, name) for snapshot in (self.before, self.after) for name in ("qdiscs", "qdisc")]
        if not any(sections):
            return None
        was, now = (
            {_queue_name(entry): entry for section in pair for entry in _entries(section) if "drops" in entry}
            for pair in (sections[:2], sections[2:])
        )
        found: dict[str, int] = {}
        for name, entry in now.items():
            rise = int(entry["drops"]) - int(was.get(name, {}).get("drops", 0))
            if rise > 0:
                interface = str(entry.get("dev", entry.get("interface", name)))
                found[interface] = found.get(interface, 0) + rise
        return found

    def interface(self, name: str | None, *, is_after: bool = False) -> dict[str, Any]:
        """Return an interface's entry; {} where it has none."""
        found = _section(self.after if is_after else self.before, "interfaces")
        entry = found.get(name or "", {}) if isinstance(found, dict) else {}
        return entry if isinstance(entry, dict) else {}

    def addresses(self, interface: str | None = None, *, is_after: bool = False) -> list[tuple[str, IPAddress, int]]:
        """Return (interface, address, prefix length) of the host's addresses, of one interface or of all."""
        found = _section(self.after if is_after else self.before, "interfaces")
        result = []
        for name, entry in found.items() if isinstance(found, dict) else ():
            if (interface is None or name == interface) and isinstance(entry, dict):
                for item in _entries(entry.get("addresses", [])):
                    parsed = _address(item.get("address"))
                    if parsed is not None:
                        result.append((name, parsed, _prefix(item, parsed)))
        return result

    def interface_towards(self, address: IPAddress) -> str | None:
        """Return the interface on whose own subnet an address lies; None when there is none, or nobody tells."""
        for name, own, prefix in self.addresses() or self.addresses(is_after=True):
            if own.version == address.version and not own.is_loopback and prefix:
                network = ipaddress.ip_network(f"{own}/{prefix}", strict=False)
                if address in network:
                    return name
        return None

    @property
    def hardware(self) -> set[str]:
        """The addresses that tell whether two hosts of a run are one machine: those of all links but loopback."""
        found = _section(self.before or self.after, "interfaces")
        entries = found.items() if isinstance(found, dict) else ()
        macs = {str(entry.get("mac")) for _, entry in entries if isinstance(entry, dict) and entry.get("mac")}
        return macs - {"00:00:00:00:00:00"}

    def memberships_of(self, group: IPAddress) -> list[tuple[str, str]] | None:
        """Return (interface, IGMP version or "") where the group is listed before or after; None when not told."""
        key = "inet" if group.version == 4 else "inet6"
        sections = [_section(snapshot, "memberships") for snapshot in (self.before, self.after)]
        tables = [section.get(key) for section in sections if isinstance(section, dict)]
        if not any(isinstance(table, list) for table in tables):
            return None
        found = {
            (str(entry.get("interface")), str(entry.get("version", "")))
            for table in tables
            for entry in _entries(table)
            if _address(entry.get("group")) == group
        }
        return sorted(found)

    def membership_version(self, interface: str | None, *, is_after: bool) -> int | None:
        """Return the IGMP version that the kernel speaks on an interface, 1 to 3; None when not told."""
        section = _section(self.after if is_after else self.before, "memberships")
        for entry in _entries(section.get("inet", []) if isinstance(section, dict) else []):
            digits = str(entry.get("version", "")).strip("Vv")
            if entry.get("interface") == interface and digits.isdecimal():
                return int(digits)
        return None

    def setting(self, name: str) -> str | None:
        """Return a setting's text after the run, else before it; None when not told."""
        for snapshot in (self.after, self.before):
            section = _section(snapshot, "settings")
            if isinstance(section, dict) and name in section:
                return str(section[name])
        return None

    def multicast_routes(self, group: IPAddress) -> list[dict[str, Any]] | None:
        """Return the routes that match a group, the longest prefix first, before and after; None when not told."""
        key = "inet" if group.version == 4 else "inet6"
        sections = [_section(snapshot, "routes") for snapshot in (self.before, self.after)]
        tables = [section.get(key) for section in sections if isinstance(section, dict)]
        if not any(isinstance(table, list) for table in tables):
            return None
        found = []
        for table in tables:
            for entry in _entries(table):
                prefix = _network(str(entry.get("dst", "")), group.version)
                if prefix is not None and group in prefix and (entry.get("type", "unicast") not in ("multicast",)):
                    found.append((prefix.prefixlen, entry))
        return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])]

    def refusing_route(self, group: IPAddress) -> str | None:
        """Return a route that refuses the group, as text; "" for none, None when the routes are not told."""
        routes = self.multicast_routes(group)
        if routes is None:
            return None
        for entry in routes:
            if entry.get("type") in _NO_ROUTE:
                return f"{entry['type']} {entry.get('dst')}"
        return "" if routes else f"no route to {group}"

    def policy_rules(self) -> list[str] | None:
        """Return the routing rules beside the three that every Linux has, as text; None when not told."""
        sections = [_section(snapshot, name) for snapshot in (self.before, self.after) for name in ("routes", "rules")]
        found: list[str] = []
        is_told = False
        for section in sections:
            lists = [section] if isinstance(section, list) else []
            if isinstance(section, dict):
                lists += [section[key] for key in ("rules", "rules6", "inet", "inet6") if key in section]
            for entry in [entry for each in lists for entry in _entries(each) if "priority" in entry]:
                is_told = True
                if entry.get("priority") not in (0, 32766, 32767):
                    words = {key: value for key, value in entry.items() if value not in (None, "")}
                    found.append(", ".join(f"{key} {value}" for key, value in words.items()))
        return list(dict.fromkeys(found)) if is_told else None

    def log_lines(self) -> list[str]:
        """Return the lines of the system's log that a snapshot holds about network permissions; [] for none."""
        lines: list[str] = []
        for snapshot in (self.before, self.after):
            section = _section(snapshot, "log")
            parts = section.values() if isinstance(section, dict) else [section]
            lines += [str(line) for part in parts if isinstance(part, list) for line in part]
        return lines

    def denials(self) -> list[tuple[str, int | None]] | None:
        """Return the packet filter's rules that deny something: (text, by how much its counter rose or None).

        A rule that came or went during the run is among them. None when the rules cannot be read.
        """
        was, now = (_rules(_section(snapshot, "firewall")) for snapshot in (self.before, self.after))
        if was is None and now is None:
            return None
        found = []
        for key, (text, packets) in {**(was or {}), **(now or {})}.items():
            before = (was or {}).get(key, ("", 0))[1] or 0
            found.append((text, None if packets is None else max(0, packets - before)))
        return sorted(found)


def _section(snapshot: dict[str, Any], name: str) -> Any:
    found = snapshot.get(name, {})
    return {} if isinstance(found, dict) and "error" in found else found


def _bare(name: str) -> str:
    return name.replace("_", "").replace(" ", "").lower()


def _numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield every number in nested objects and lists, with the path to it."""
    if isinstance(value, bool):
        return
    if isinstance(value, int) and path:
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _numbers(each, (*path, str(key)))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            name = each.get("dev", each.get("name", place)) if isinstance(each, dict) else place
            yield from _numbers(each, (*path, str(name)))


def _entries(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, or those of lists by name."""
    if isinstance(value, dict):
        return [
            {"dev": name, **entry} if isinstance(entry, dict) else entry
            for name, each in value.items()
            for entry in (each if isinstance(each, list) else [each])
            if isinstance(entry, dict)
        ]
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _queue_name(entry: dict[str, Any]) -> str:
    return " ".join(str(entry.get(key, "")) for key in ("dev", "interface", "kind", "handle", "parent"))


def _address(text: object) -> IPAddress | None:
    try:
        return ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        return None


def _prefix(entry: dict[str, Any], address: IPAddress) -> int:
    if isinstance(entry.get("prefix"), int):
        return int(entry["prefix"])
    mask = _address(entry.get("netmask"))
    return int(mask).bit_count() if mask is not None else address.max_prefixlen


def _network(text: str, version: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if text == "default":
        text = "0.0.0.0/0" if version == 4 else "::/0"
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return found if found.version == version else None


def _rules(firewall: Any) -> dict[str, tuple[str, int | None]] | None:
    """Return the denying rules of nftables' JSON by place and handle; None when there is none to read."""
    ruleset = firewall.get("nft", firewall.get("nftables")) if isinstance(firewall, dict) else firewall
    if isinstance(ruleset, dict):
        ruleset = ruleset.get("nftables")
    if not isinstance(ruleset, list):
        return None
    found: dict[str, tuple[str, int | None]] = {}
    for item in ruleset:
        rule = item.get("rule") if isinstance(item, dict) else None
        parts = [part for part in rule.get("expr", []) if isinstance(part, dict)] if isinstance(rule, dict) else []
        if not isinstance(rule, dict) or not any(word in part for part in parts for word in _DENIALS):
            continue
        place = " ".join(str(rule.get(key, "")) for key in ("family", "table", "chain"))
        packets = next(
            (part["counter"].get("packets") for part in parts if isinstance(part.get("counter"), dict)), None
        )
        lasting = [part for part in parts if "counter" not in part]
        found[f"{place} {rule.get('handle')}"] = (f"{place}: {json.dumps(lasting, sort_keys=True)[:160]}", packets)
    return found
