"""A snapshot as facts that can be compared: things by name, each with its properties as text.

What changes by itself is left out here: uptime, process ids, lifetimes of addresses and routes, timers, counters.
A facet reads one part of the snapshot; a further part is one more row of `FACETS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.evidence.firewall import rule_texts
from harness.model.evidence_change import ChangeKind

Facts = dict[str, dict[str, str]]
"""Properties by name, by thing; a thing that is one value has the property ""."""

_VOLATILE_FLAGS = frozenset(("UP", "LOWER_UP", "RUNNING", "NO-CARRIER", "DORMANT"))
_ROUTE_VOLATILE = frozenset(("expires", "age", "used", "users", "flags", "error", "pref", "cache"))
_ROUTE_KEYS = ("type", "dst", "dev", "gateway", "table", "metric", "family")
_ROUTE_WORDS = {"gateway": "via"}
_DERIVED_ROUTES = ("local", "broadcast", "anycast")
"""Routes that the kernel makes of each address; the address tells it already."""
_SAVED_COUNTERS = re.compile(r"\[\d+:\d+\]")
_LAUNCH = ("user", "uid", "executable", "is_stdin_tty", "is_over_ssh")
_HINTS = ("container", "is_systemd_service", "unit", "init", "manager", "environment", "session")
_SESSION = re.compile(r"session-\w+\.scope")


@dataclass(frozen=True, slots=True)
class Facet:
    """One row: the kind of its changes, where in the snapshot it reads, how, and whether things come and go in it."""

    kind: ChangeKind
    path: tuple[str, ...]
    read: Callable[[Any], Facts]
    has_only_changes: bool = False


def _text(value: object) -> str:
    """Return a JSON value as a few words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ".join(_text(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def in_words(facts: Facts) -> Facts:
    """Return facts with every name and value as one line of text, whatever a snapshot from disk held."""
    return {
        _line(thing): {_line(name): _line(value) for name, value in fields.items()} for thing, fields in facts.items()
    }


def _line(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else " ".join(_text(value).split())


def _single(value: Any) -> Facts:
    return {"": {"": _text(value)}}


def _services(value: list[str]) -> Facts:
    return {"order of services": {"": _text(value)}}


def _settings(value: dict[str, Any]) -> Facts:
    return {name: {"": _text(each)} for name, each in value.items()}


def _words(value: list[str]) -> Facts:
    return {word: {} for word in value}


def _interfaces(value: dict[str, Any]) -> Facts:
    found = {}
    for name, entry in value.items():
        carrier = "no carrier" if entry.get("has_carrier") is False else "up"
        state = carrier if entry.get("is_up") else "switched off"
        told = {"state": state, "flags": sorted(set(entry.get("flags", [])) - _VOLATILE_FLAGS)}
        told |= {key: entry.get(key) for key in ("index", "kind", "mac", "mtu", "driver", "master", "qdisc")}
        told["mcast_flood"] = entry.get("port", {}).get("mcast_flood")
        found[name] = {key: _text(each) for key, each in told.items()}
    return found


def _addresses(value: dict[str, Any]) -> Facts:
    found = {}
    for name, entry in value.items():
        for address in entry["addresses"]:
            told = {"origin": _text(address.get("origin")), "flags": _text(address.get("flags", []))}
            found[f"{address['address']}/{_text(address.get('prefix'))} on {name}"] = told
    return found


def _routes(value: list[dict[str, Any]]) -> Facts:
    found = {}
    for entry in value:
        if entry.get("type") in _DERIVED_ROUTES:
            continue
        words = [
            str(entry[key]) if key in ("type", "dst") else f"{_ROUTE_WORDS.get(key, key)} {entry[key]}"
            for key in _ROUTE_KEYS
            if key in entry
        ]
        rest = {k: _text(each) for k, each in entry.items() if k not in _ROUTE_VOLATILE and k not in _ROUTE_KEYS}
        found[" ".join(words)] = rest
    return found


def _whole(value: list[dict[str, Any]]) -> Facts:
    return {_text(entry): {} for entry in value}


def _groups(value: list[dict[str, Any]]) -> Facts:
    return {f"{entry['group']} on {entry['interface']}": {} for entry in value}


def _filters(value: list[dict[str, Any]]) -> Facts:
    return {
        f"({entry['source']}, {entry['group']}) on {entry['interface']}": {
            "filter": "include" if entry["include"] else "exclude"
        }
        for entry in value
    }


def _igmp_versions(value: list[dict[str, Any]]) -> Facts:
    return {entry["interface"]: {"": entry["version"]} for entry in value}


def _ruleset(value: list[dict[str, Any]]) -> Facts:
    return {name: {"": text} if text else {} for name, text in rule_texts(value)}


def _saved_rules(value: list[str]) -> Facts:
    lines = (_SAVED_COUNTERS.sub("", line).strip() for line in value if not line.startswith("#"))
    return {line: {} for line in lines if line}


def _bridges(value: list[dict[str, Any]]) -> Facts:
    found = {}
    for entry in value:
        info = entry.get("linkinfo", {}).get("info_data", {})
        kept = {key: each for key, each in info.items() if key.startswith("mcast_") or key == "vlan_filtering"}
        found[entry["ifname"]] = {key: _text(each) for key, each in kept.items()}
    return found


def _mdb(value: list[dict[str, Any]]) -> Facts:
    return {
        f"{entry['grp']} on {entry['port']} of {entry['dev']}": {"state": _text(entry.get("state"))}
        for table in value
        for entry in table["mdb"]
    }


def _qdiscs(value: list[dict[str, Any]]) -> Facts:
    found = {}
    for entry in value:
        place = "root" if entry.get("root") else f"parent {entry.get('parent', '-')}"
        found[f"{entry['dev']} {place}"] = {"kind": entry["kind"], "options": _text(entry.get("options", {}))}
    return found


def _launch(value: dict[str, Any]) -> Facts:
    hints = value.get("hints", {})
    told = {key: value.get(key) for key in _LAUNCH} | {key: hints.get(key) for key in _HINTS}
    told["unit"] = _SESSION.sub("session", str(told["unit"] or ""))
    told["has_terminal"] = value.get("terminal") is not None
    told["parents"] = [parent["name"] for parent in value.get("parents", [])]
    told |= hints.get("confinement", {})
    return {name: {"": _text(each)} for name, each in told.items()}


def _sync(value: dict[str, Any]) -> Facts:
    return {"sync": {"": _text(value["sync"])}}


FACETS = (
    Facet("host", ("host",), _single),
    Facet("version", ("versions",), _settings),
    Facet("boot", ("boot", "boot_id"), _single),
    Facet("boot_argument", ("boot", "arguments"), _words),
    Facet("clock", ("clock",), _sync),
    Facet("interface", ("interfaces",), _interfaces),
    Facet("address", ("interfaces",), _addresses),
    Facet("route", ("routes", "inet"), _routes),
    Facet("route", ("routes", "inet6"), _routes),
    Facet("route", ("routes", "netstat"), _routes),
    Facet("route", ("routes", "print"), _routes),
    Facet("rule", ("routes", "rules"), _whole),
    Facet("rule", ("routes", "rules6"), _whole),
    Facet("membership", ("memberships", "inet"), _groups),
    Facet("membership", ("memberships", "inet6"), _groups),
    Facet("membership", ("memberships", "groups"), _groups),
    Facet("membership", ("memberships", "filters"), _filters),
    Facet("membership", ("memberships", "filters6"), _filters),
    Facet("igmp_version", ("memberships", "inet"), _igmp_versions, has_only_changes=True),
    Facet("bridge", ("bridges", "links"), _bridges),
    Facet("mdb", ("bridges", "mdb"), _mdb),
    Facet("qdisc", ("qdiscs",), _qdiscs),
    Facet("firewall", ("firewall", "nft"), _ruleset),
    Facet("firewall", ("firewall", "iptables"), _saved_rules),
    Facet("firewall", ("firewall", "ip6tables"), _saved_rules),
    *(Facet("firewall", ("firewall", name), _words) for name in ("state", "block_all", "stealth", "pf")),
    *(Facet("firewall", ("firewall", name), _whole) for name in ("profiles", "networks")),
    Facet("setting", ("settings",), _settings, has_only_changes=True),
    *(Facet("identity", ("identity", name), _words) for name in ("system", "signature", "uuid", "extensions")),
    Facet("interface", ("services", "order"), _services),
    Facet("virtualisation", ("virtualisation",), _settings),
    Facet("launch", ("launch",), _launch),
)
"""Every part of a snapshot that is compared."""
