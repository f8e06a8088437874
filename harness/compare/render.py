"""A Comparison for people: plain tables for a terminal, and compare.md, compare.json and figures in a directory."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from harness.compare.findings import p_text
from harness.compare.timeline import drawn_streams
from harness.model import Summary
from harness.model.comparison import Comparison, Figure, Finding, Match, Unit
from harness.plots.wording import UNDEFINED, count, duration, percent, plain, sentence
from harness.report.markdown import escape
from harness.report.tables import Table
from harness.report.text import format_columns
from harness.store.atomic import write_whole
from harness.store.documents import encode_document

MARKDOWN, JSON, PICTURE = "compare.md", "compare.json", "compare"
MOST = 8
"""Matches told in full; the others are in compare.json."""


def shown(value: float | None, unit: Unit) -> str:
    """Return a figure as text.

    >>> shown(0.018, "ratio"), shown(1200, "count"), shown(2.5e6, "ns"), shown(None, "ns")
    ('1.8 %', '1,200', '2.5 ms', 'n/a')
    """
    if value is None:
        return UNDEFINED
    return percent(value) if unit == "ratio" else duration(value) if unit == "ns" else count(round(value))


def difference(figure: Figure) -> str:
    """Return the second of two values minus the first, with its sign; "n/a" where one is undefined.

    >>> difference(Figure(name="lost", unit="count", values=[3, 10]))
    '+7'
    >>> difference(Figure(name="loss ratio", unit="ratio", values=[0.01, 0.03]))
    '+2 points'
    """
    first, second = figure.values
    if first is None or second is None:
        return UNDEFINED
    change = second - first
    if not change:
        return "0"
    sign = "+" if change > 0 else "-"
    if figure.unit == "ratio":
        return f"{sign}{abs(change) * 100:.3g} points"
    return sign + shown(abs(change), figure.unit)


def match_table(match: Match) -> Table:
    """Return the figures of a match, a column for each member, and for two of them their difference."""
    names = tuple(plain(member.name, 28) for member in match.members)
    columns = ("figure", *names, *(("difference",) if len(names) == 2 else ()))
    rows = [
        (
            figure.name,
            *(shown(value, figure.unit) for value in figure.values),
            *((difference(figure),) if len(names) == 2 else ()),
        )
        for figure in match.figures
    ]
    how = "one stream, heard by several" if match.kind == "same" else "counterparts"
    return Table(plain(f"{match.label}: {how}, by {match.by}", 160), columns, rows, frozenset({"figure"}))


def shared_table(match: Match) -> Table | None:
    """Return what each receiver of one stream lost, and lost alone; None where that is not known."""
    shared = match.shared
    if shared is None:
        return None
    columns = ("receiver", "packets", "lost", "lost alone", "loss", "per packet anyone received")
    rows = [
        (
            match.members[place].name,
            count(shared.packets),
            count(shared.lost[k]),
            count(shared.lost_only[k]),
            percent(shared.loss_ratio[k]),
            percent(shared.comparative_loss_ratio[k]),
        )
        for k, place in enumerate(shared.members)
    ]
    return Table("Lost by all, lost by some (RFC 5644)", columns, rows, frozenset({"receiver"}), shared.sentence)


def finding_text(finding: Finding) -> str:
    """Return a finding in one sentence, with its test and p-value."""
    text = sentence(finding.sentence)
    if finding.p_value is None:
        return f"{text}."
    word = "significant" if finding.is_significant else "not significant"
    return f"{text}: {word} ({finding.test}, {p_text(finding.p_value)}, corrected {p_text(finding.p_adjusted)})."


def told(comparison: Comparison, most: int = MOST) -> list[Match]:
    """Return the matches to tell in full, those with significant differences and with loss first, in their order."""

    def rank(place: int) -> tuple[bool, float, int]:
        match = comparison.matches[place]
        losses = next((figure.values for figure in match.figures if figure.name == "loss ratio"), [])
        worst = max((value for value in losses if value is not None), default=0.0)
        return not any(finding.is_significant for finding in match.findings), -worst, place

    chosen = sorted(sorted(range(len(comparison.matches)), key=rank)[:most])
    return [comparison.matches[place] for place in chosen]


def format_comparison(comparison: Comparison, *, width: int = 100, most: int = MOST) -> str:
    """Return a comparison as plain text for a terminal of some width."""
    parts = [_fill(comparison.sentence, width), format_columns(_runs_table(comparison), width)]
    for match in told(comparison, most):
        parts.append(format_columns(match_table(match), width))
        table = shared_table(match)
        if table is not None:
            parts.append(format_columns(Table(table.name, table.columns, table.rows, table.left), width))
            parts.append(_fill(table.remark, width))
        parts.append("\n".join(_fill(f"- {finding_text(item)}", width, "  ") for item in match.findings))
    parts += [_fill(f"Note: {note}", width, "      ") for note in _notes(comparison, most)]
    return "\n\n".join(part for part in parts if part)


def _fill(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(plain(text, 1_500), width, subsequent_indent=indent)


def _runs_table(comparison: Comparison) -> Table:
    rows = [(run.name, run.path) for run in comparison.runs]
    return Table("Compared", ("name", "recording"), rows, frozenset({"name", "recording"}))


def _notes(comparison: Comparison, most: int) -> list[str]:
    notes = list(comparison.notes)
    hidden = len(comparison.matches) - most
    if hidden > 0:
        notes.append(f"{hidden:,} more matches with --json, or in {JSON}.")
    if comparison.unmatched:
        names = [f"{member.name}: {member.label}" for member in comparison.unmatched[:5]]
        more = f", and {len(comparison.unmatched) - 5} more" if len(comparison.unmatched) > 5 else ""
        notes.append(f"In one recording only: {'; '.join(names)}{more}.")
    return notes


def markdown(comparison: Comparison, pictures: Sequence[str] = (), most: int = MOST) -> str:
    """Return a comparison as Markdown in which no name can mark anything up."""
    parts = [f"# {escape('Comparison of ' + ' and '.join(run.name for run in comparison.runs), 200)}"]
    parts.append(escape(comparison.sentence, 1_500))
    parts += [f"![the recordings on one axis]({name})" for name in pictures]
    parts += _md_table(_runs_table(comparison))
    for match in told(comparison, most):
        parts += _md_table(match_table(match))
        table = shared_table(match)
        parts += _md_table(table) if table is not None else []
        if match.findings:
            parts.append("\n".join(f"- {escape(finding_text(item), 600)}" for item in match.findings))
    parts += ["\n".join(f"- {escape(note, 600)}" for note in _notes(comparison, most))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _md_table(table: Table) -> list[str]:
    marks = [":--" if table.is_left(k) else "--:" for k in range(len(table.columns))]
    rows = [f"| {' | '.join(escape(cell, 90) for cell in row)} |" for row in (table.columns, *table.rows)]
    lines = [rows[0], f"| {' | '.join(marks)} |", *rows[1:]]
    remark = [escape(table.remark, 600)] if table.remark else []
    return [f"## {escape(table.name, 200)}", "\n".join(lines), *remark]


def write_comparison(comparison: Comparison, summaries: Sequence[Summary], directory: Path) -> list[Path]:
    """Write compare.json, compare.md and the figure as PNG and SVG into a directory, which is made when missing.

    Raises:
      StorageError: a file cannot be written.
    """
    from harness.plots.compare import compare_figure
    from harness.plots.style import encode

    figure = compare_figure(comparison, drawn_streams(comparison, summaries))
    files = {f"{PICTURE}.{ending}": encode(figure, ending) for ending in ("png", "svg")}
    files[MARKDOWN] = markdown(comparison, [f"{PICTURE}.png"]).encode("utf-8", "replace")
    files[JSON] = encode_document(comparison)
    written = []
    for name, data in files.items():
        path = directory / name
        write_whole(path, data, "is the directory yours?", has_folder=False)
        written.append(path)
    return written
