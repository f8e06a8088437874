"""TOML -> WireSpec, with errors that name file, fault, key and the nearest valid spelling."""

from __future__ import annotations

import re
import tomllib
from typing import Any, TypeVar

import msgspec

from harness.errors import ScenarioError, nearest
from harness.lab.wire.plan import plan_of
from harness.lab.wire.spec import (
    CorruptFault,
    DelayFault,
    DropoutFault,
    DuplicateFault,
    Fault,
    Gilbert,
    LossFault,
    PowerSaveFault,
    ReorderFault,
    SequenceField,
    WireSpec,
)

T = TypeVar("T", bound=msgspec.Struct)

_KINDS: dict[str, type[Fault]] = {
    "loss": LossFault,
    "dropout": DropoutFault,
    "duplicate": DuplicateFault,
    "reorder": ReorderFault,
    "corrupt": CorruptFault,
    "delay": DelayFault,
    "power-save": PowerSaveFault,
}

_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?")
_AT = re.compile(r"(.*?) - at `\$\.?(.*)`")


def parse_wire(document: dict[str, Any] | str, where: str) -> WireSpec:
    r"""Return the wire in a TOML table, or in the text of one.

    Args:
      document: the table's content, or TOML text.
      where: file and table, for messages.

    Raises:
      ScenarioError: names file, fault, key and what is wrong with it; quantities are checked too.

    >>> parse_wire('[[fault]]\nkind = "loss"\nratio = "1%"', "wire").fault[0].ratio
    '1%'
    """
    if isinstance(document, str):
        try:
            document = tomllib.loads(document)
        except tomllib.TOMLDecodeError as exc:
            raise ScenarioError(f"{where}: not valid TOML: {exc}") from exc
    tables = document.get("fault", [])
    if not isinstance(tables, list):
        raise ScenarioError(f"{where}: fault is a list of tables; write [[fault]] in double brackets")
    faults = [_parse_fault(table, f"{where}: fault {place}") for place, table in enumerate(tables, start=1)]
    spec = _convert(document | {"fault": []}, WireSpec, where)
    spec = msgspec.structs.replace(spec, fault=faults)
    plan_of(spec, where)
    return spec


def _parse_fault(table: Any, where: str) -> Fault:
    kind = table.get("kind") if isinstance(table, dict) else None
    if kind not in _KINDS:
        wrong = "has no kind" if kind is None else f"has the unknown kind {kind!r}"
        raise ScenarioError(f"{where}: {wrong}{nearest(str(kind), _KINDS)}")
    return _convert(table, _KINDS[kind], where)


def _convert(table: Any, noun: type[T], where: str) -> T:
    """Return the noun, or name the key that does not fit."""
    try:
        return msgspec.convert(table, noun)
    except msgspec.ValidationError as exc:
        message = str(exc)
    unknown, at = _UNKNOWN.fullmatch(message), _AT.fullmatch(message)
    if unknown:
        inner = Gilbert if unknown.group(2) == "gilbert" else SequenceField if unknown.group(2) == "sequence" else noun
        place = f"{unknown.group(2)}, " if unknown.group(2) else ""
        known = [*inner.__struct_encode_fields__, *(["kind"] if inner in _KINDS.values() else [])]
        raise ScenarioError(f"{where}: {place}unknown key {unknown.group(1)!r}{nearest(unknown.group(1), known)}")
    hint = (
        '; quantities are strings with a unit, such as "20ms"' if "`str" in message and "got `int`" in message else ""
    )
    raise ScenarioError(f"{where}: {at.group(2)}: {at.group(1)}{hint}" if at else f"{where}: {message}")
