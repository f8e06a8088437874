"""TOML text -> a Campaign, its steps with the variables filled in, with errors that name table, key and remedy."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.errors import ScenarioError, UsageError, nearest
from harness.model.campaign import (
    Campaign,
    Command,
    Doctor,
    Join,
    Leave,
    Note,
    Reboot,
    Receive,
    RemoteHost,
    Reopen,
    ReproducedWhen,
    Sleep,
    Step,
    Stop,
    Wait,
    WaitForLink,
)
from harness.model.endpoint import parse_endpoint
from harness.model.scenario import Scenario
from harness.model.scenario_text import check_scenario
from harness.units import parse_duration, parse_size

MOST_BOOTS = 100_000
"""A plan with more boots is a slip of the keyboard."""

LAUNCHER = "launcher"
"""The variable that the campaign itself looks at."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?")
_AT = re.compile(r"(.*?) - at `\$\.?(.*)`")
_STEPS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (WaitForLink, Doctor, Receive, Reopen, Leave, Join, Note, Wait, Sleep, Command, Reboot)
}
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": Campaign, "stop": Stop, "reproduced_when": ReproducedWhen, "host": RemoteHost,
    "step.scenario": Scenario,
}  # fmt: skip


def step_kind(step: Step) -> str:
    """Return how a step is written.

    >>> step_kind(Wait(duration="1s"))
    'wait'
    """
    return str(step.__struct_config__.tag)


def is_timed(step: Step) -> bool:
    """Whether a step happens within the recording above it."""
    return isinstance(step, Reopen | Leave | Join) or (isinstance(step, Note) and step.at is not None)


def parse_campaign(text: str, where: str) -> Campaign:
    """Return the campaign in a TOML text.

    Args:
      text: the file's content.
      where: the file's name, for messages.

    Raises:
      ScenarioError: not TOML, an unknown key, a value of the wrong type, a variable that the matrix has not, a quantity
        that does not parse, or steps in an order that cannot be.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(f"{where}: not valid TOML: {exc}") from exc
    _check_kinds(document, where)
    try:
        campaign = msgspec.convert(document, Campaign)
    except msgspec.ValidationError as exc:
        raise ScenarioError(f"{where}: {_readable(str(exc), document)}") from exc
    _check(campaign, where)
    return campaign


def combinations(campaign: Campaign) -> list[dict[str, str]]:
    """Return every combination of the matrix, the last variable changing fastest; one empty one without a matrix."""
    return [dict(zip(campaign.matrix, chosen, strict=True)) for chosen in itertools.product(*campaign.matrix.values())]


def filled(steps: list[Step], values: Mapping[str, str], where: str = "step") -> list[Step]:
    """Return steps with the variables of a boot in place of their names; "{{" and "}}" stand for braces.

    Raises:
      ScenarioError: a variable that does not exist.

    >>> filled([Doctor(interface="{nic}")], {"nic": "eth1"})
    [Doctor(interface='eth1')]
    """

    def fill(value: Any, place: str) -> Any:
        if isinstance(value, str):

            def chosen(match: re.Match[str]) -> str:
                name = match.group(1)
                if name is None:
                    return match.group(0)[0]
                if name not in values:
                    raise ScenarioError(f"{place}: no variable {name!r} in [matrix]{nearest(name, values)}")
                return values[name]

            return _PLACEHOLDER.sub(chosen, value)
        if isinstance(value, list):
            return [fill(item, place) for item in value]
        if isinstance(value, dict):
            return {key: fill(item, place) for key, item in value.items()}
        return value

    return [
        msgspec.convert(fill(msgspec.to_builtins(step), f"{where} {number}"), type(step))
        for number, step in enumerate(steps, 1)
    ]


def _check_kinds(document: dict[str, Any], where: str) -> None:
    """Refuse a step without a known `do`, for which msgspec's own sentence is a riddle."""
    steps = document.get("step")
    for number, step in enumerate(steps if isinstance(steps, list) else [], 1):
        kind = step.get("do") if isinstance(step, dict) else None
        if not isinstance(kind, str) or kind not in _STEPS:
            said = "has no do" if kind is None else f"does {kind!r}, which is no step"
            raise ScenarioError(f"{where}: step {number} {said}{nearest(str(kind), _STEPS)}")


def _readable(message: str, document: dict[str, Any]) -> str:
    """Turn msgspec's message into one that names table, key and the nearest valid key."""
    unknown = _UNKNOWN.fullmatch(message)
    if unknown:
        key, path = unknown.group(1), unknown.group(2) or ""
        return f"unknown key {key!r} in {_place(path)}{_near(key, path, document)}"
    at = _AT.fullmatch(message)
    return f"{at.group(1)} at {_place(at.group(2))}" if at else message


def _near(key: str, path: str, document: dict[str, Any]) -> str:
    """Return the nearest key of the table at a path; of steps, a step that has it, since the kinds are many."""
    table = re.sub(r"\[[^]]*\]", "", path)
    if table == "step":
        fields = {name for step in document.get("step", []) for name in _STEPS[step["do"]].__struct_fields__}
    else:
        fields = set(_TABLES[table].__struct_fields__) if table in _TABLES else set()
    return nearest(key, fields)


def _place(path: str) -> str:
    numbered = re.sub(r"\[(\d+)\]", lambda match: f" {int(match.group(1)) + 1}", path)
    return numbered.replace("[...]", "").replace(".", ", ") or "the top level"


def _check(campaign: Campaign, where: str) -> None:
    if not _NAME.fullmatch(campaign.name):
        raise ScenarioError(f"{where}: name {campaign.name!r} names a folder; use letters, digits, '.', '_' and '-'")
    for key in ("repeats", "replacements"):
        value = getattr(campaign, key)
        if not (1 if key == "repeats" else 0) <= value <= MOST_BOOTS:
            raise ScenarioError(f"{where}: {key} {value} is not a sensible number")
    for key in ("countdown", "boot_limit", "back_within", "boot_time"):
        _parse(parse_duration, getattr(campaign, key), f"{where}: {key}")
    _parse(parse_size, campaign.min_free, f"{where}: min_free")
    _check_matrix(campaign, where)
    _check_order(campaign, where)
    for values in combinations(campaign):
        for number, step in enumerate(filled(campaign.step, values, f"{where}: step"), 1):
            _check_step(step, f"{where}: step {number}", values)
    stop, sign = campaign.stop, campaign.reproduced_when
    _parse(parse_duration, stop.time, f"{where}: stop, time")
    _parse(parse_duration, sign.first_packet_after, f"{where}: reproduced_when, first_packet_after")
    for key in ("reproductions", "boots"):
        value = getattr(stop, key)
        if value is not None and value < 1:
            raise ScenarioError(f"{where}: stop, {key}: {value} would end the campaign before it begins")
    _check_remote(campaign, where)


def _check_matrix(campaign: Campaign, where: str) -> None:
    n_boots = campaign.repeats
    for name, values in campaign.matrix.items():
        if not _VARIABLE.fullmatch(name):
            raise ScenarioError(f"{where}: matrix: {name!r} is no name of a variable; use letters, digits and '_'")
        if not values or len(set(values)) < len(values):
            raise ScenarioError(
                f"{where}: matrix, {name}: {'no value' if not values else 'a value stands there twice'}"
            )
        n_boots *= len(values)
    if n_boots > MOST_BOOTS:
        raise ScenarioError(f"{where}: the matrix makes {n_boots:,} boots; at most {MOST_BOOTS:,} can be planned")


def _check_order(campaign: Campaign, where: str) -> None:
    if not campaign.step:
        raise ScenarioError(f'{where}: no [[step]]; a boot that does nothing shows nothing; add do = "receive"')
    is_recording = False
    for number, step in enumerate(campaign.step, 1):
        if is_timed(step) and not is_recording:
            raise ScenarioError(f"{where}: step {number}: {step_kind(step)} belongs below a receive, with its time")
        is_recording = isinstance(step, Receive) or is_timed(step)
        if isinstance(step, Reboot) and number < len(campaign.step):
            raise ScenarioError(f"{where}: step {number}: reboot ends a boot; make it the last step")
        if isinstance(step, Reboot) and not campaign.allow_reboot:
            raise ScenarioError(f"{where}: step {number}: reboot needs your word: allow_reboot = true at the top")
        if isinstance(step, Sleep) and not campaign.allow_sleep:
            raise ScenarioError(f"{where}: step {number}: sleep needs your word: allow_sleep = true at the top")


def _check_step(step: Step, place: str, values: Mapping[str, str]) -> None:
    shown = f" ({', '.join(f'{name} = {value}' for name, value in values.items())})" if values else ""
    for key in ("timeout", "duration", "at"):
        _parse(parse_duration, getattr(step, key, None), f"{place}, {key}{shown}")
    if isinstance(step, Command) and (not step.run or not step.run[0]):
        raise ScenarioError(f'{place}, run: empty; write run = ["program", "argument"]')
    if not isinstance(step, Receive):
        return
    if (step.scenario is None) == (not step.groups):
        raise ScenarioError(f"{place}: receive takes either scenario or groups")
    if step.interface is not None and step.scenario is not None:
        raise ScenarioError(f"{place}: interface means nothing beside a scenario, which names its own")
    for group in step.groups:
        _parse(parse_endpoint, group, f"{place}, groups{shown}")
    if isinstance(step.scenario, Scenario):
        check_scenario(step.scenario, f"{place}, scenario{shown}")


def _check_remote(campaign: Campaign, where: str) -> None:
    if len(campaign.host) > 1:
        raise ScenarioError(f"{where}: host 2: a campaign reboots one host; the others stand in the scenario")
    for host in campaign.host:
        if host.kind != "ssh" or not host.address:
            raise ScenarioError(
                f'{where}: host {host.name}: a host to be rebooted is of kind = "ssh" and has an address'
            )
        if not host.reboot_command:
            raise ScenarioError(f"{where}: host {host.name}: reboot_command is empty")
        _parse(parse_duration, host.back_within, f"{where}: host {host.name}, back_within")


def _parse(parse: Any, text: str | None, place: str) -> None:
    if text is None:
        return
    try:
        parse(text)
    except UsageError as exc:
        raise ScenarioError(f"{place}: {exc}") from exc
