"""The Markdown: fits an issue tracker, pictures as relative links, nothing in it that a hostile name could format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.model import Manifest, Summary
from harness.plots.wording import CLASS_MEANING, CLASS_WORDS, plain, thresholds
from harness.report import tables
from harness.report.facts import Fact, facts_of
from harness.report.headline import causes, headline, only_sent
from harness.report.membership import membership_tables
from harness.report.pictures import choose_pictures, relative_link

LIMIT_BYTES = 60_000
"""Issue trackers cut or refuse longer texts."""

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$]|^[-+])")
"""Signs that mark something up; the last two only at the start, where they begin a list."""
_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "&#64;"), ("://", "&#58;//"), ("www.", "www&#46;"))
_CELL = 160


def escape(text: object, limit: int = _CELL) -> str:
    r"""Return text that Markdown shows as it is: no markup, no HTML, no mention, no link, one line.

    >>> escape("<b>|x|</b>")
    '&lt;b&gt;\\|x\\|&lt;/b&gt;'
    >>> escape("@all http://evil.example www.evil.example")
    '&#64;all http&#58;//evil.example www&#46;evil.example'
    """
    flat = _SPECIAL.sub(r"\\\1", plain(text, limit))
    for sign, entity in _ENTITIES:
        flat = flat.replace(sign, entity)
    return flat


def render_markdown(
    summary: Summary,
    manifest: Manifest | None,
    environment: dict[str, Any] | None,
    plots: Sequence[Path],
    run_dir: Path,
    zone: tzinfo = UTC,
) -> str:
    """Return the Markdown, shorter tables where it would grow past LIMIT_BYTES."""
    text = ""
    for most in (50, 20, 8, 3):
        text = _render(summary, manifest, environment, plots, run_dir, zone, most)
        if len(text.encode("utf-8", "replace")) <= LIMIT_BYTES:
            return text
    room = LIMIT_BYTES - 200
    kept = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").rpartition("\n")[0]
    return f"{kept}\n\nCut to fit an issue tracker; the rest is in report.html and summary.json.\n"


def _render(
    summary: Summary,
    manifest: Manifest | None,
    environment: dict[str, Any] | None,
    plots: Sequence[Path],
    run_dir: Path,
    zone: tzinfo,
    most: int,
) -> str:
    facts = facts_of(summary, manifest, environment)
    parts = [f"# {escape(headline(summary, zone=zone), 600)}"]
    if causes(summary):
        parts.append("## Likely causes")
        parts += [_verdict(rank, verdict) for rank, verdict in enumerate(causes(summary)[:5], 1)]
    parts += [
        f"![{escape(item.caption)}]({quote(relative_link(item.path, run_dir))})"
        for item in choose_pictures(plots, ".png")
    ]
    windows = tables.windows_table(summary, most, zone)
    parts += _table(windows) if windows.rows else [] if only_sent(summary) else ["## Drop-out windows", "None."]
    kinds = {window.kind for stream in summary.streams for window in stream.windows}
    meanings = [f"- {CLASS_WORDS[kind]}: {CLASS_MEANING[kind]}" for kind in CLASS_WORDS if kind in kinds]
    parts += ["\n".join(meanings)] if meanings else []
    for table in tables.filled(
        [
            tables.limits_table(summary),
            tables.streams_table(summary, most),
            tables.losses_table(summary, most),
            tables.pattern_table(summary, most),
            tables.attribution_table(summary, most),
            tables.senders_table(summary, most),
            tables.rejected_table(summary),
            tables.delays_table(summary, most),
            tables.events_table(summary, most, zone),
            *membership_tables(summary, most, zone),
        ]
    ):
        parts += _table(table)
    notes = tables.notes_of(summary, most)
    parts += ["## Notes", "\n".join(f"- {escape(note, 400)}" for note in notes)] if notes else []
    parts.append(escape(thresholds(summary.parameters), 400))
    parts += _facts("Asked", facts.asked[: 3 * most]) + _facts("Where", facts.where[: 3 * most])
    if facts.command:
        parts += ["## Reproduce", _code(facts.command)]
    parts += _facts("Versions", facts.versions)
    short = [(name, " ".join(text.split())) for name, text in facts.environment]
    parts += _facts("Environment (whole in environment.json)", short[:most])
    return "\n\n".join(parts) + "\n"


def _verdict(rank: int, verdict: Any) -> str:
    lines = [f"{rank}. **{escape(verdict.name)}** ({verdict.score:.2f}): {escape(verdict.sentence, 400)}"]
    lines += [f"   - for: {escape(text, 300)}" for text in verdict.evidence_for[:8]]
    lines += [f"   - against: {escape(text, 300)}" for text in verdict.evidence_against[:8]]
    lines += [f"   - settled by: {escape(verdict.settled_by, 300)}"] if verdict.settled_by else []
    lines += [f"   - remedy: {escape(verdict.remedy, 300)}"] if verdict.remedy else []
    return "\n".join(lines)


def _table(table: tables.Table) -> list[str]:
    marks = [":--" if table.is_left(k) else "--:" for k in range(len(table.columns))]
    lines = [_row(table.columns), f"| {' | '.join(marks)} |", *map(_row, table.rows)]
    return [f"## {table.name}", "\n".join(lines), *([escape(table.remark, 400)] if table.remark else [])]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape(cell, 90) for cell in cells)} |"


def _facts(name: str, facts: Sequence[Fact]) -> list[str]:
    if not facts:
        return []
    return [f"## {name}", "\n".join(f"- {escape(key, 60)}: {escape(value, 300)}" for key, value in facts)]


def _code(text: str) -> str:
    """Return a code block; indented, so that nothing inside can end it."""
    return f"    {plain(text, 4_000)}"
