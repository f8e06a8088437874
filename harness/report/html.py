"""The page: one file, everything inline, no request to any network, escaped throughout by the template engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import jinja2

from harness.model import Manifest, Summary
from harness.plots.wording import CLASS_MEANING, CLASS_WORDS, clock, plain, sentence, thresholds, zone_name
from harness.report import tables
from harness.report.facts import facts_of
from harness.report.headline import STATUS_WORDS, causes, finding, only_sent, status
from harness.report.membership import membership_tables
from harness.report.pictures import choose_pictures, data_uri

_SECTION_CHARS = 200_000
"""The longest section of the environment that the page carries whole."""


def _template() -> jinja2.Template:
    engine = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    engine.filters["plain"] = plain
    return engine.get_template("report.html")


def render_html(
    summary: Summary,
    manifest: Manifest | None,
    environment: dict[str, Any] | None,
    plots: Sequence[Path],
    zone: tzinfo = UTC,
) -> str:
    """Return the page.

    Raises:
      StorageError: a picture cannot be read.
    """
    facts = facts_of(summary, manifest, environment)
    kinds = {window.kind for stream in summary.streams for window in stream.windows}
    first = min((stream.first_rx_ns for stream in summary.streams if stream.first_rx_ns is not None), default=None)
    began = manifest.clocks.realtime_ns if manifest else first
    return _template().render(
        status=status(summary),
        status_word=STATUS_WORDS[status(summary)],
        finding=sentence(finding(summary, zone=zone)),
        only_sent=only_sent(summary),
        path=summary.path,
        began=f"{clock(began, zone, date=True)} {zone_name(began, zone)}" if began is not None else "",
        host=manifest.host if manifest else "",
        verdicts=causes(summary)[:10],
        pictures=[(item.caption, data_uri(item.path)) for item in choose_pictures(plots, ".svg")],
        limits=tables.limits_table(summary),
        windows=tables.windows_table(summary, zone=zone),
        meanings=[(CLASS_WORDS[kind], CLASS_MEANING[kind]) for kind in CLASS_WORDS if kind in kinds],
        tables=tables.filled(
            [
                tables.streams_table(summary),
                tables.losses_table(summary),
                tables.pattern_table(summary),
                tables.attribution_table(summary),
                tables.senders_table(summary),
                tables.rejected_table(summary),
                tables.delays_table(summary),
                tables.events_table(summary, 200, zone),
                *membership_tables(summary, zone=zone),
            ]
        ),
        notes=tables.notes_of(summary),
        thresholds=thresholds(summary.parameters),
        facts=facts,
        environment=[(name, _cut(text)) for name, text in facts.environment],
    )


def _cut(text: str) -> str:
    """Return lines of JSON, cut when there are too many, with line ends kept and other control characters replaced."""
    shown = "\n".join(plain(line) for line in text[:_SECTION_CHARS].split("\n"))
    return shown if len(text) <= _SECTION_CHARS else f"{shown}\n… cut; whole in environment.json"
