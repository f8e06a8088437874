"""TOML text -> the nouns of `scenario`, with errors that name table, key and the nearest valid spelling."""

from __future__ import annotations

import re
import tomllib
from typing import Any, get_args

import msgspec

from harness.errors import ScenarioError, UsageError, nearest
from harness.model.endpoint import parse_endpoint
from harness.model.lab import Impairment, Link, MulticastRoute, Switch
from harness.model.scenario import Dropout, Expect, Host, Impair, Receiver, Scenario, Stream, TimedEvent
from harness.model.scenario_hosts import check_hosts
from harness.model.scenario_lab import check_lab
from harness.units import parse_duration, parse_rate, parse_ratio, parse_size


def parse_scenario(text: str, where: str) -> Scenario:
    """Return the scenario in a TOML text.

    Args:
      text: the file's content.
      where: the file's name, for messages.

    Raises:
      ScenarioError: not TOML, an unknown key, a value of the wrong type, or a quantity that does not parse.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(f"{where}: not valid TOML: {exc}") from exc
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as exc:
        raise ScenarioError(f"{where}: {_readable(str(exc))}") from exc
    check_scenario(scenario, where)
    return scenario


_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?")
_AT = re.compile(r"(.*?) - at `\$\.?(.*)`")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": Scenario,
    "host": Host,
    "host.multicast_routes": MulticastRoute,
    "switch": Switch,
    "link": Link,
    "stream": Stream,
    "receiver": Receiver,
    "event": TimedEvent,
    "expect": Expect,
    "stream.impair": Impair,
    "stream.impair.dropouts": Dropout,
}


def _readable(message: str) -> str:
    """Turn msgspec's message into one that names table, key and the nearest valid key."""
    unknown = _UNKNOWN.fullmatch(message)
    if unknown:
        key, path = unknown.group(1), unknown.group(2) or ""
        table = re.sub(r"\[[^]]*\]", "", path)
        fields = _TABLES[table].__struct_fields__ if table in _TABLES else ()
        if table == "event.impair":
            fields = tuple({name for kind in get_args(Impairment) for name in kind.__struct_fields__})
        return f"unknown key {key!r} in {_place(path)}{nearest(key, fields)}"
    at = _AT.fullmatch(message)
    hint = '; quantities are strings with a unit, such as "50pps"' if "`str`, got `int`" in message else ""
    return f"{at.group(1)} at {_place(at.group(2))}{hint}" if at else message


def _place(path: str) -> str:
    """Return a path as a person counts: stream[0].rate is "stream 1, rate"."""
    if not path:
        return "the top level"
    numbered = re.sub(r"\[(\d+)\]", lambda match: f" {int(match.group(1)) + 1}", path)
    return numbered.replace("[...]", "").replace(".", ", ")


def check_scenario(scenario: Scenario, where: str) -> None:
    """Refuse quantities that do not parse and names that nothing bears.

    Raises:
      ScenarioError: names the file, the table, the key and what is wrong with it.
    """

    def check(table: str, noun: msgspec.Struct, **parsers: Any) -> None:
        for key, parse in parsers.items():
            value = getattr(noun, key)
            for item in value if isinstance(value, list) else [value]:
                try:
                    parse(item) if item is not None else None
                except UsageError as exc:
                    raise ScenarioError(f"{where}: {table}, {key}: {exc}") from exc

    check("the top level", scenario, duration=parse_duration, timeout=parse_duration, linger=parse_duration)
    for place, stream in enumerate(scenario.stream, start=1):
        table = f"stream {place}"
        check(table, stream, group=parse_endpoint, rate=parse_rate, size=parse_size)
        check(table, stream, duration=parse_duration, start=parse_duration)
        if stream.impair:
            check(table, stream.impair, loss=parse_ratio, duplicate=parse_ratio, reorder=parse_ratio)
            check(table, stream.impair, corrupt=parse_ratio)
            for dropout in stream.impair.dropouts:
                check(f"{table}, dropouts", dropout, at=parse_duration, lasts=parse_duration)
    for place, receiver in enumerate(scenario.receiver, start=1):
        check(f"receiver {place}", receiver, groups=parse_endpoint, buffer=parse_size, start=parse_duration)
        if not receiver.groups:
            raise ScenarioError(f"{where}: receiver {place}, groups: empty; name at least one GROUP:PORT")
    for place, event in enumerate(scenario.event, start=1):
        check(f"event {place}", event, at=parse_duration, group=parse_endpoint)
    check_hosts(scenario, where)
    check_lab(scenario, where)
    expect = scenario.expect
    check("expect", expect, max_loss=parse_ratio, max_reordered=parse_ratio, max_duplicate_ratio=parse_ratio)
    check("expect", expect, max_dropout=parse_duration, max_gap=parse_duration, max_ipdv=parse_duration)
    check("expect", expect, max_pdv=parse_duration, max_jitter=parse_duration, max_join_delay=parse_duration)
    check("expect", expect, max_unavailability=parse_ratio)
    if not scenario.stream and not scenario.receiver:
        raise ScenarioError(f"{where}: nothing to do; add a [[stream]] to send or a [[receiver]]")
