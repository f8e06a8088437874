"""The table of causes for readers: what `docs/causes.md` is made of."""

from __future__ import annotations

import re
from typing import NamedTuple

from harness.diagnosis.rank import OK
from harness.diagnosis.rules import RULES

_FIELD = re.compile(r"\{(\w+)\}")


class Cause(NamedTuple):
    """A row of the catalogue, as text; {group} and the like stand in capitals in `sentence` and `remedy`."""

    name: str
    sentence: str
    evidence: str
    remedy: str
    settled_by: str
    source: str


def catalogue() -> list[Cause]:
    """Return every verdict that a diagnosis can come to, in the order of the table, "ok" first.

    >>> catalogue()[0].name
    'ok'
    """
    return [
        Cause(rule.name, _shown(rule.sentence), rule.evidence, _shown(rule.remedy), rule.settled_by, rule.source)
        for rule in (OK, *RULES)
    ]


def _shown(template: str) -> str:
    text = _FIELD.sub(lambda match: match[1].upper(), template)
    return text if text.startswith("macOS") else text[:1].upper() + text[1:]
