"""The hosts of a scenario: what each kind needs, who is meant by a receiver's name, and hosts given from outside."""

from __future__ import annotations

import re
import tomllib

import msgspec

from harness.errors import ScenarioError, UsageError, nearest
from harness.model.scenario import Host, Receiver, Scenario
from harness.units import parse_duration

LOCAL = Host(name="local")
"""This machine, for streams and receivers that name no host in a run over several."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
_PLACE = re.compile(r"[^\s-]\S*")
_OF_KIND = {
    "local": {"python"},
    "lab": {"python"},
    "router": set(),
    "namespace": {"namespace", "python"},
    "ssh": {"address", "user", "port", "identity", "known_hosts", "python"},
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "local": (),
    "lab": (),
    "router": (),
    "namespace": ("namespace",),
    "ssh": ("address",),
}


def receiver_label(host: str, receiver: str) -> str:
    """Return a receiver's name in a run over several hosts.

    >>> receiver_label("rx", "a"), receiver_label("rx", "")
    ('rx/a', 'rx')
    """
    return f"{host}/{receiver}" if receiver else host


def host_of(scenario: Scenario, name: str | None) -> Host:
    """Return the host that a stream or a receiver names; None is this machine, as declared or as it is."""
    return next((host for host in scenario.host if host.name == (name or LOCAL.name)), LOCAL)


def is_meant(event_receiver: str, host: str, receiver: Receiver) -> bool:
    """Whether an event's `receiver` means this one on that host."""
    return event_receiver in ("", receiver.name, receiver_label(host, receiver.name))


def with_host(scenario: Scenario, text: str, where: str) -> Scenario:
    """Return a scenario with one of its hosts given anew, so that one file runs anywhere.

    Args:
      scenario: as parsed.
      text: the host's name and what it is now, as TOML: 'rx = { kind = "namespace", namespace = "blue" }'.
      where: who says so, for messages.

    Raises:
      ScenarioError: not such a text, or no such host in the scenario.
    """
    try:
        ((name, keys),) = tomllib.loads(text).items()
        host = msgspec.convert({**keys, "name": name}, Host)
    except (tomllib.TOMLDecodeError, ValueError, TypeError) as exc:
        example = '\'rx = { kind = "namespace", namespace = "blue" }\''
        raise ScenarioError(f"{where} {text!r}: {exc}; write {example}") from exc
    names = [known.name for known in scenario.host]
    if name not in names:
        raise ScenarioError(f"{where} {text!r}: the scenario has no host {name!r}{nearest(name, names)}")
    hosts = [host if known.name == name else known for known in scenario.host]
    return msgspec.structs.replace(scenario, host=hosts)


def check_hosts(scenario: Scenario, where: str) -> None:
    """Refuse hosts that lack what their kind needs, and names that nothing bears or that two bear.

    Raises:
      ScenarioError: names the file, the table, the key and what is wrong with it.
    """
    hosts = [host.name for host in scenario.host]
    for place, host in enumerate(scenario.host, start=1):
        table = f"{where}: host {place}"
        if not _NAME.fullmatch(host.name):
            raise ScenarioError(f"{table}, name: {host.name!r} is no name of letters, digits, '.', '_' and '-'")
        if hosts.count(host.name) > 1:
            raise ScenarioError(f"{table}, name: {host.name!r} names more than one host")
        _check_keys(host, table)
    routers = {host.name for host in scenario.host if host.kind == "router"}
    for name in [*(stream.host for stream in scenario.stream), *(receiver.host for receiver in scenario.receiver)]:
        _check_known(name, hosts, where)
        if name in routers:
            raise ScenarioError(f"{where}: {name} is a router, which forwards and runs nothing")
    names = [(host_of(scenario, receiver.host).name, receiver.name) for receiver in scenario.receiver]
    for host_name, name in names:
        on_it = [other for its, other in names if its == host_name]
        if on_it.count(name) > 1 or (scenario.host and name == "" and len(on_it) > 1):
            on = f" of host {host_name}" if scenario.host else ""
            raise ScenarioError(f"{where}: {name!r} names more than one receiver{on}; give each its own name")
        if scenario.host and name and not _NAME.fullmatch(name):
            raise ScenarioError(f"{where}: receiver {name!r} is no name of letters, digits, '.', '_' and '-'")
    for place, event in enumerate(scenario.event, start=1):
        pairs = [(host_of(scenario, receiver.host).name, receiver) for receiver in scenario.receiver]
        if event.receiver and not any(is_meant(event.receiver, name, receiver) for name, receiver in pairs):
            known = [name for _, name in names] + [receiver_label(*pair) for pair in names if scenario.host]
            raise ScenarioError(
                f"{where}: event {place}: no receiver {event.receiver!r}{nearest(event.receiver, known)}"
            )


def _check_known(name: str | None, hosts: list[str], where: str) -> None:
    if name is not None and name not in hosts:
        raise ScenarioError(f"{where}: no host {name!r}{nearest(name, hosts)}")


def _check_keys(host: Host, table: str) -> None:
    for key in ("namespace", "address", "user", "port", "identity", "known_hosts", "python"):
        value = getattr(host, key)
        if value is None and key in _NEEDED[host.kind]:
            raise ScenarioError(f'{table}, {host.name}: kind = "{host.kind}" needs {key} = "..."')
        if value is not None and key not in _OF_KIND[host.kind]:
            raise ScenarioError(f'{table}, {host.name}: {key} means nothing to kind = "{host.kind}"')
        if key in ("namespace", "address", "user") and value is not None and not _PLACE.fullmatch(value):
            raise ScenarioError(f"{table}, {host.name}: {key} {value!r} begins with '-', is empty or has white space")
    if host.port is not None and not 1 <= host.port <= 65535:
        raise ScenarioError(f"{table}, {host.name}: port {host.port} lies outside 1 to 65535")
    try:
        parse_duration(host.retry)
    except UsageError as exc:
        raise ScenarioError(f"{table}, {host.name}, retry: {exc}") from exc
