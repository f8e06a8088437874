"""A story in the form that a tracker takes: its template, with every text escaped for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import jinja2

from harness.bundle.apple import Asked
from harness.bundle.material import Entry, LeftOut
from harness.bundle.story import Story
from harness.plots.wording import plain
from harness.report.markdown import escape
from harness.report.tables import Table
from harness.report.text import format_columns

Template = Literal["github", "apple", "plain"]
TEMPLATES: tuple[Template, ...] = get_args(Template)
LIMIT_BYTES = 60_000
"""GitHub refuses a text beyond 65,536 characters."""
_WIDTH = 140


def render(
    template: Template,
    story: Story,
    entries: Sequence[Entry],
    left_out: Sequence[LeftOut],
    asked: Sequence[Asked],
    *,
    is_redacted: bool,
    has_scenario: bool,
) -> str:
    """Return README.md."""
    engine = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.bundle", "templates"),
        autoescape=False,  # Markdown and plain text; the filters below escape for them
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    is_markdown = template == "github"
    engine.filters["text"] = _markdown if is_markdown else _plain
    engine.filters["table"] = _markdown_table if is_markdown else _plain_table
    engine.filters["code"] = lambda text: f"    {plain(text, 4_000)}"
    page = engine.get_template(f"{template}.md").render(
        story=story,
        pictures=sorted((entry.name for entry in entries if entry.name.endswith(".png")), key=_telling),
        entries=entries,
        left_out=left_out,
        asked=asked,
        is_redacted=is_redacted,
        has_scenario=has_scenario,
    )
    return _without_runs_of_blank_lines(page)


def _telling(picture: str) -> tuple[bool, str]:
    """Return a sort key that puts the figures over time first."""
    return not picture.endswith(("/raster.png", "/timeline.png")), picture


def _without_runs_of_blank_lines(text: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def _markdown(text: object) -> str:
    return escape(text, 600)


def _plain(text: object) -> str:
    return plain(text, 600)


def _markdown_table(table: Table) -> str:
    marks = [":--" if table.is_left(k) else "--:" for k in range(len(table.columns))]
    rows = [table.columns, *table.rows]
    lines = [f"| {' | '.join(escape(cell, 90) for cell in row)} |" for row in rows]
    lines.insert(1, f"| {' | '.join(marks)} |")
    return "\n".join(lines) + (f"\n\n{escape(table.remark, 400)}" if table.remark else "")


def _plain_table(table: Table) -> str:
    return format_columns(table, _WIDTH).partition("\n")[2]
