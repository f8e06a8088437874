"""Tables for a terminal: no colour, a given width, nothing from the network that could move the cursor."""

from __future__ import annotations

import textwrap
from collections.abc import Set
from datetime import UTC, tzinfo

from harness.model import Summary
from harness.plots.wording import plain, thresholds
from harness.report.headline import headline
from harness.report.membership import membership_tables
from harness.report.tables import (
    Table,
    attribution_table,
    by_number,
    filled,
    limits_table,
    notes_of,
    rejected_table,
    senders_table,
    streams_table,
    windows_table,
)

_OFTEN_DULL = {"protocol", "misdelivered", "too late", "corrupt", "reordered", "duplicates"}
_DULL = {"0", "n/a", "none", "probe"}
_LEAST = 16
"""The widest column of words is cut down to this, and no further."""


def format_table(summary: Summary, *, width: int = 100, most: int = 20, zone: tzinfo = UTC) -> str:
    """Return the verdict, streams, windows, attribution, limits and notes as plain text.

    Args:
      summary: what to tell.
      width: of the terminal, in characters.
      most: rows of a table at most; what is left out is counted.
      zone: time zone of the wall clock.
    """
    parts = [textwrap.fill(headline(summary, zone=zone), width)]
    parts += [textwrap.fill(verdict_line(summary), width, subsequent_indent="  ")] if summary.verdicts else []
    tables = [
        _without(streams_table(summary, most), {"interface"}, if_dull=_OFTEN_DULL),
        _without(windows_table(summary, most, zone, by_number), {"numbers"}, if_dull={"period"}),
        attribution_table(summary, most, by_number),
        _without(senders_table(summary, most), {"late max"}, if_dull={"errors", "refused", "not sent"}),
        limits_table(summary),
    ]
    if summary.rejected or summary.misdelivered or summary.socket_drops:
        tables.append(rejected_table(summary))
    tables += [
        _without(table, {"interface"}, if_dull={"for one group", "sources"})
        for table in membership_tables(summary, most, zone)
    ]
    parts += [format_columns(table, width) for table in filled(tables)]
    notes = [
        textwrap.fill(f"Note: {plain(note, 400)}", width, subsequent_indent="      ") for note in notes_of(summary, 10)
    ]
    if notes:
        parts.append("\n".join(notes))
    parts.append(textwrap.fill(thresholds(summary.parameters), width))
    return "\n\n".join(parts)


def verdict_line(summary: Summary) -> str:
    """Return the names and scores of the first verdicts, "Verdict: link-down (0.93), then random-loss (0.31)".

    The first alone when nothing else was found; "" without a diagnosis.
    """
    named = [f"{plain(each.name, 60)} ({each.score:.2f})" for each in summary.verdicts[:3]]
    return f"Verdict: {named[0]}" + "".join(f", then {name}" for name in named[1:]) if named else ""


def _without(table: Table, never: Set[str], *, if_dull: Set[str]) -> Table:
    """Return a table without some columns, and without others when all of their cells are empty of news."""
    keep = [
        k
        for k, name in enumerate(table.columns)
        if name not in never and not (name in if_dull and all(row[k] in _DULL for row in table.rows))
    ]
    rows = [tuple(row[k] for k in keep) for row in table.rows]
    return Table(table.name, tuple(table.columns[k] for k in keep), rows, table.left, table.remark)


def format_columns(table: Table, width: int = 100) -> str:
    """Return a table in columns; the widest column of words is cut in the middle so that it fits.

    >>> print(format_columns(Table("T", ("what", "n"), [("a", "10"), ("b", "9")], frozenset({"what"}))))
    T
      what   n
      a     10
      b      9
    """
    rows = [tuple(plain(cell) for cell in row) for row in (table.columns, *table.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.columns))]
    words = [k for k in range(len(widths)) if table.is_left(k)]
    for _ in range(len(words)):
        excess = 2 * len(widths) + sum(widths) - width
        if excess <= 0:
            break
        widest = max(words, key=lambda k: widths[k])
        widths[widest] = max(_LEAST, widths[widest] - excess)
    lines = [table.name]
    for row in rows:
        cells = [
            plain(cell, size).ljust(size) if table.is_left(k) else cell.rjust(size)
            for k, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join([*lines, f"  {table.remark}"] if table.remark else lines)
