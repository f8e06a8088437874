"""The lab of a scenario: checked, and with its times stretched to the protocols' real timers."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from harness.errors import ScenarioError, UsageError, nearest
from harness.model.lab import Drop, Duplicate, Impairment, Link, Query, Switch
from harness.model.scenario import Host, Scenario, TimedEvent
from harness.units import parse_duration, parse_rate, parse_ratio, parse_size

REAL_TIMERS = 125 / 3
"""How much longer the real timers are: 125 s for the query interval (RFC 3376 8.2), which scenarios write as 3 s."""

_WITH_LASTS = ("stall", "deafen", "impair")
_TIMES = ("at", "lasts", "after", "start", "duration", "timeout", "linger", "every")


def is_lab(scenario: Scenario) -> bool:
    """Whether a scenario needs a lab to stand in."""
    return any(host.kind in ("lab", "router") for host in scenario.host)


def check_lab(scenario: Scenario, where: str) -> None:
    """Refuse a lab that cannot be built: names that nothing bears, cables without ends, quantities that do not parse.

    Raises:
      ScenarioError: names the file, the table, the key and what is wrong with it.
    """
    lab_hosts = {host.name: host for host in scenario.host if host.kind in ("lab", "router")}
    switches = [switch.name for switch in scenario.switch]
    for name in switches:
        if switches.count(name) > 1 or name in {host.name for host in scenario.host}:
            raise ScenarioError(f"{where}: switch {name!r}: another switch or host has that name")
    if (scenario.switch or scenario.link) and not lab_hosts:
        raise ScenarioError(f'{where}: a switch or a link, and no host of kind = "lab" to stand at it')
    for place, host in enumerate(scenario.host, start=1):
        _check_host(host, lab_hosts, f"{where}: host {place}, {host.name}")
    for place, switch in enumerate(scenario.switch, start=1):
        for key in Switch.__struct_fields__:
            if key.endswith("_interval"):
                _parsed(f"{where}: switch {place}", key, getattr(switch, key), parse_duration)
    for place, link in enumerate(scenario.link, start=1):
        _check_link(link, {*lab_hosts, *switches}, f"{where}: link {place}")
    for place, event in enumerate(scenario.event, start=1):
        _check_event(event, scenario, f"{where}: event {place}")


def _check_host(host: Host, lab_hosts: dict[str, Host], table: str) -> None:
    for key in ("shares", "settings", "routes", "rules"):
        if getattr(host, key) and host.kind not in ("lab", "router"):
            raise ScenarioError(f'{table}: {key} is for kind = "lab" or "router"')
    if host.multicast_routes and host.kind != "router":
        raise ScenarioError(f'{table}: multicast_routes is for kind = "router"')
    if host.shares is not None:
        other = lab_hosts.get(host.shares)
        if other is None or other.shares is not None or other is host:
            raise ScenarioError(f"{table}, shares: {host.shares!r} is no lab host{nearest(host.shares, lab_hosts)}")
        if host.settings or host.routes or host.rules:
            raise ScenarioError(
                f"{table}: settings, routes and rules are those of {host.shares}, whose machine it shares"
            )


def _check_link(link: Link, owners: set[str], table: str) -> None:
    if len(link.ends) != 2:
        raise ScenarioError(f'{table}, ends: two of them, like ["rx:eth0", "sw"]')
    for end in link.ends:
        owner = end.partition(":")[0]
        if owner not in owners:
            raise ScenarioError(f"{table}, ends: no host or switch {owner!r}{nearest(owner, owners)}")


def _check_event(event: TimedEvent, scenario: Scenario, table: str) -> None:
    if (event.action == "impair") != (event.impair is not None):
        raise ScenarioError(f'{table}: action = "impair" and the table impair = {{ kind = ... }} go together')
    if event.lasts is not None and event.action not in _WITH_LASTS:
        raise ScenarioError(f"{table}: lasts means nothing to {event.action}; it is for {', '.join(_WITH_LASTS)}")
    _parsed(table, "lasts", event.lasts, parse_duration)
    if event.impair is None:
        return
    if not is_lab(scenario):
        raise ScenarioError(f'{table}: only a lab can be impaired; this scenario has no host of kind = "lab"')
    _check_impairment(event.impair, scenario, f"{table}, impair")


def _check_impairment(impair: Impairment, scenario: Scenario, table: str) -> None:
    hosts, switches = [host.name for host in scenario.host], [switch.name for switch in scenario.switch]
    values = msgspec.structs.asdict(impair)
    for key, known in (("host", hosts), ("router", hosts), ("switch", switches)):
        if (name := values.get(key)) is not None and name not in known:
            raise ScenarioError(f"{table}, {key}: no {key} {name!r}{nearest(name, known)}")
    if (at := values.get("at")) is not None:
        owner = at.partition(":")[0]
        shared = next((host.shares for host in scenario.host if host.name == owner and host.shares), owner)
        places = [end for link in scenario.link for end in link.ends if ":" in end]
        if at.replace(owner, shared, 1) not in places:
            raise ScenarioError(f"{table}, at: no interface {at!r}{nearest(at, places)}")
    for key in ("response_interval", "query_interval", "after"):
        _parsed(table, key, values.get(key), parse_duration)
    _parsed(table, "rate", values.get("rate"), parse_rate)
    _parsed(table, "queue", values.get("queue"), parse_size)
    if isinstance(impair, Drop | Duplicate):
        _parsed(table, "ratio", impair.ratio, parse_ratio)
        if impair.every is not None and impair.every < 1:
            raise ScenarioError(f"{table}, every: {impair.every}; one of so many packets, so at least 1")
        for pair in impair.sequences or []:
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise ScenarioError(f"{table}, sequences: {pair}; pairs of first and last number, like [[100, 109]]")
    if isinstance(impair, Query):
        _parsed(table, "every", impair.every, parse_duration)


def _parsed(table: str, key: str, value: Any, parse: Any) -> None:
    try:
        parse(value) if value is not None else None
    except UsageError as exc:
        raise ScenarioError(f"{table}, {key}: {exc}") from exc


def as_ipv6(scenario: Scenario) -> Scenario:
    """Return a scenario of the lab with IPv6 in place of IPv4, as far as its addresses go.

    239.77.a.b becomes ff15::77:a:b, 232.77.a.b, which is source-specific, ff35::77:a:b, 10.n.m.h fd77:n:m::h, and the
    sender of a query, which must be link-local there (RFC 2710 section 3), fe80::h.
    """
    document = msgspec.to_builtins(scenario)
    for event in document["event"]:
        if isinstance(impair := event.get("impair"), dict) and impair["kind"] == "query":
            impair["source"] = "fe80::" + impair["source"].rpartition(".")[2]

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: walk(item) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return _to_ipv6(value) if isinstance(value, str) else value

    name = f"{scenario.name}-v6"
    text = {key: document.pop(key) for key in ("description", "expect")}
    return msgspec.convert({**walk(document), **text, "name": name, "families": [6]}, Scenario)


_ADDRESS = re.compile(r"\b(\d+)\.(\d+)\.(\d+)\.(\d+)(/\d+)?(:\d+)?\b")


def _to_ipv6(text: str) -> str:
    def changed(match: re.Match[str]) -> str:
        first, second, third, host, length, port = match.groups()
        prefix = {"239": f"ff15::77:{third}:", "232": f"ff35::77:{third}:"}.get(first, f"fd77:{second}:{third}::")
        if match[0] == "224.0.0.0/4":
            return "ff00::/8"
        return f"[{prefix}{host}]{port}" if port else prefix + host + ("/64" if length else "")

    return _ADDRESS.sub(changed, text)


def stretched(scenario: Scenario, factor: float) -> Scenario:
    """Return a scenario with all its times, and its counts of packets, multiplied.

    >>> from harness.model.scenario import Stream
    >>> stretched(Scenario(stream=[Stream(group="239.1.1.1:5000", duration="2s", count=10)]), 1.5).stream[0].duration
    '3000000us'
    """
    document = msgspec.to_builtins(scenario)

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: item if name == "wire" else walk(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, key) for item in value]
        is_time = key in _TIMES or key.endswith("_interval")
        if isinstance(value, str) and is_time and ":" not in value:  # an impairment's `at` is a place
            return _text(parse_duration(value) * factor)
        return round(value * factor) if key == "count" and isinstance(value, int) else value

    expect = document.pop("expect")
    return msgspec.convert({**walk(document), "expect": expect}, Scenario)


def _text(ns: float) -> str:
    """Return a duration as a scenario writes it, exact to the microsecond."""
    return f"{round(ns / 1000)}us"
