"""The scenario of a run as TOML again, with everything that the run had resolved, so that anybody can repeat it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from harness.model.scenario import Scenario

_OWN = ("process", "parts")
"""Keys of a manifest's `resolved` that are about that one run."""
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"one packet every .*|as fast as possible"), "constant"),
    (re.compile(r"Poisson, mean gap .*, seed (\d+)"), r"poisson:seed=\1"),
    (re.compile(r"bursts of \d+ packets, on (.*), off (.*)"), r"burst:on=\1,off=\2"),
    (re.compile(r"ramp from \S+ to (\S+) pps over (.*)"), r"ramp:to=\1pps,over=\2"),
    (re.compile(r"frames of (\d+) packets every (.*)"), r"frames:packets=\1,every=\2"),
)
"""How a manifest describes a schedule, and how a scenario spells it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def scenario_of(resolved: dict[str, Any]) -> Scenario | None:
    """Return the scenario in a manifest's `resolved`; None when there is none, or it is of another version."""
    known = {name: value for name, value in resolved.items() if name not in _OWN}
    try:
        return msgspec.convert(known, Scenario) if known else None
    except msgspec.ValidationError:
        return None


def spelled(schedule: str) -> str:
    """Return a schedule's description as a scenario spells it; what is spelled already, or unknown, as it is.

    >>> spelled("one packet every 1 ms"), spelled("frames of 2 packets every 20 ms"), spelled("constant")
    ('constant', 'frames:packets=2,every=20 ms', 'constant')
    """
    for pattern, spelling in _SPELLINGS:
        match = pattern.fullmatch(schedule)
        if match:
            return match.expand(spelling)
    return schedule


def scenario_toml(scenario: Scenario, head: str = "") -> str:
    r"""Return a scenario as TOML, what was left open left out; `head` is a comment above it.

    >>> print(scenario_toml(Scenario(name='a "b"')).splitlines()[0])
    name = "a \"b\""
    """
    document = msgspec.to_builtins(scenario)
    for stream in document["stream"]:
        stream["schedule"] = spelled(stream["schedule"])
    lines = [f"# {line}" for line in head.splitlines()] + ([""] if head else [])
    lines += _pairs({key: value for key, value in document.items() if not _is_tables(value)})
    for key, value in document.items():
        if not _is_tables(value):
            continue
        heading = f"[{key}]" if isinstance(value, dict) else f"[[{key}]]"
        for table in [value] if isinstance(value, dict) else value:
            pairs = _pairs(table)
            lines += ["", heading, *pairs] if pairs or heading.startswith("[[") else []
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def _pairs(table: dict[str, Any]) -> list[str]:
    left_open: tuple[object, ...] = (None, [], (), {})
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value not in left_open]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + '"'
