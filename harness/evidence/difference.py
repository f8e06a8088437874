"""What sets two snapshots apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.evidence.facts import FACETS, Facet, Facts, in_words
from harness.model.evidence_change import Change

_NOT_ASKED = "not asked"
_CAME_AND_WENT = {"interface": ("appeared", "vanished"), "membership": ("appeared", "vanished")}


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return what differs between two snapshots of `environment`, sorted by kind, subject and property.

    What always differs (time, uptime, process ids, lifetimes, timers) and the counters are no change; see `risen`. A
    part that was read in one snapshot alone is one change of the kind "evidence"; one that is in neither is none.
    Snapshots may come from disk: what has not the form of ours counts as not read.

    >>> change, = difference({"settings": {"net.x": "0"}}, {"settings": {"net.x": "1"}})
    >>> change.text
    'setting net.x: 0 -> 1'
    """
    changes = {change for facet in FACETS for change in _of_facet(facet, before, after)}
    changes |= set(_of_order(before, after))
    return sorted(changes, key=lambda c: (c.kind, c.subject, c.field, c.before or "", c.after or ""))


def _of_facet(facet: Facet, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    then, now = _facts(facet, before), _facts(facet, after)
    if isinstance(then, str) or isinstance(now, str):
        if isinstance(then, str) and isinstance(now, str):
            return
        words = [value if isinstance(value, str) else "read" for value in (then, now)]
        name = " ".join(facet.path)
        text = f"{name}: {words[0]} before, {words[1]} after"
        yield Change(kind="evidence", subject=name, before=words[0], after=words[1], text=text)
        return
    for thing in sorted(then.keys() | now.keys()):
        if thing in then and thing in now:
            yield from _of_thing(facet, thing, then[thing], now[thing])
        elif not facet.has_only_changes:
            yield _coming_or_going(facet, thing, then.get(thing), now.get(thing))


def _facts(facet: Facet, snapshot: dict[str, Any]) -> Facts | str:
    """Return the facts of one part of a snapshot, or why there are none."""
    value: Any = snapshot
    for key in facet.path:
        if isinstance(value, dict) and isinstance(value.get("error"), str):
            return f"not read ({value['error']})"
        if not isinstance(value, dict) or key not in value:
            return _NOT_ASKED
        value = value[key]
    if isinstance(value, dict) and isinstance(value.get("error"), str):
        return f"not read ({value['error']})"
    try:
        return in_words(facet.read(value))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return "unreadable"


def _of_thing(facet: Facet, thing: str, then: dict[str, str], now: dict[str, str]) -> Iterator[Change]:
    for field in sorted(then.keys() | now.keys()):
        old, new = then.get(field), now.get(field)
        if old != new:
            subject = thing or facet.kind
            about = " ".join(word for word in (_shown(facet.kind, thing), field) if word)
            text = f"{about}: {old or 'none'} -> {new or 'none'}"
            if facet.kind == "boot":
                text = f"another boot: {old} -> {new}"
            yield Change(kind=facet.kind, subject=subject, field=field, before=old, after=new, text=text)


def _coming_or_going(facet: Facet, thing: str, then: dict[str, str] | None, now: dict[str, str] | None) -> Change:
    came, went = _CAME_AND_WENT.get(facet.kind, ("added", "removed"))
    told = (now if then is None else then) or {}
    summary = ", ".join(f"{name} {value}".strip() for name, value in told.items() if value not in ("", "-", "no"))
    text = f"{_shown(facet.kind, thing)} {came if then is None else went}" + (f" ({summary})" if summary else "")
    summary = summary or "there"
    return Change(
        kind=facet.kind, subject=thing, text=text,
        before=None if then is None else summary, after=None if now is None else summary,
    )  # fmt: skip


def _shown(kind: str, thing: str) -> str:
    return f"{kind.replace('_', ' ')} {thing}".strip()


def _of_order(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Yield the change of the order of the interfaces that are in both snapshots."""
    tables = (snapshot.get("interfaces") for snapshot in (before, after))
    first, second = ([*table] if isinstance(table, dict) else [] for table in tables)
    old, new = [name for name in first if name in second], [name for name in second if name in first]
    if old != new:
        texts = ", ".join(old), ", ".join(new)
        yield Change(
            kind="interface", subject="order", before=texts[0], after=texts[1],
            text=f"interface order: {texts[0]} -> {texts[1]}",
        )  # fmt: skip
