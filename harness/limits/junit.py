"""Limits as JUnit XML, which build servers show: one test case for each limit and stream.

A limit that was exceeded is a failure, one whose figure is undefined is skipped: it neither passes nor fails.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from harness.errors import storage_error
from harness.limits.hold import hold_each
from harness.model import Limit, Summary
from harness.model.scenario import Expect

_WHOLE = "whole run"


def clean(text: str) -> str:
    r"""Return text that XML 1.0 can hold: what cannot be printed, control characters above all, is replaced.

    >>> clean("a\x1b[31m\ud800")
    'a�[31m�'
    """
    return "".join(char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text)


def junit_xml(summary: Summary, expect: Expect, *, path: str = "", profile: str = "") -> bytes:
    """Return the limits of a summary as a JUnit XML document, UTF-8.

    Args:
      summary: what was measured.
      expect: the limits; without one the suite is empty.
      path: the run's path, for the properties; the summary's own by default.
      profile: the name of the set of limits, "" for none.
    """
    limits = hold_each(summary, expect)
    n_failed, n_open = (sum(limit.is_passed is outcome for limit in limits) for outcome in (False, None))
    counts = {"tests": str(len(limits)), "failures": str(n_failed), "errors": "0", "skipped": str(n_open)}
    root = ET.Element("testsuites", {"name": "harness", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": clean(f"limits {profile}".strip()), **counts, "time": "0"})
    properties = ET.SubElement(suite, "properties")
    for name, value in (("run", path or summary.path), ("profile", profile)):
        if value:
            ET.SubElement(properties, "property", {"name": name, "value": clean(value)})
    names = _distinct_names(limits)
    for limit, name in zip(limits, names, strict=True):
        _add_case(suite, limit, name)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _distinct_names(limits: Sequence[Limit]) -> list[str]:
    """Return a name for each test case, told apart where two streams bear one label (a sender started twice)."""
    seen: dict[tuple[str, str], int] = {}
    names = []
    for limit in limits:
        number = seen[limit.name, limit.stream] = seen.get((limit.name, limit.stream), 0) + 1
        names.append(limit.name if number == 1 else f"{limit.name} ({number})")
    return names


def _add_case(suite: ET.Element, limit: Limit, name: str) -> None:
    place = {"classname": clean(limit.stream or _WHOLE), "name": clean(name), "time": "0"}
    case = ET.SubElement(suite, "testcase", place)
    sentence = clean(f"{limit.name}: measured {limit.measured}, limit {limit.limit}")
    if limit.is_passed is False:
        ET.SubElement(
            case, "failure", {"message": sentence, "type": "limit"}
        ).text = f"{sentence}\nstream: {clean(limit.stream or _WHOLE)}"
    elif limit.is_passed is None:
        ET.SubElement(case, "skipped", {"message": f"cannot be judged: {sentence}"})
    ET.SubElement(case, "system-out").text = sentence


def write_junit(target: Path, summary: Summary, expect: Expect, *, path: str = "", profile: str = "") -> None:
    """Write the limits of a summary as JUnit XML; see `junit_xml`.

    Raises:
      StorageError: the file cannot be written.
    """
    try:
        target.write_bytes(junit_xml(summary, expect, path=path, profile=profile))
    except OSError as exc:
        raise storage_error(exc, target, "does the directory exist, is it yours?") from exc
