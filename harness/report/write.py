"""report.html and report.md of a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from harness.errors import storage_error
from harness.model import Manifest, Summary
from harness.report.html import render_html
from harness.report.markdown import render_markdown

HTML, MARKDOWN = "report.html", "report.md"


def write_report(
    run_dir: Path,
    summary: Summary,
    *,
    manifest: Manifest | None = None,
    environment: dict[str, Any] | None = None,
    plots: Sequence[Path] = (),
    zone: tzinfo = UTC,
) -> list[Path]:
    """Write both reports into a run's directory; the same arguments give the same bytes.

    Args:
      run_dir: where to; made when missing.
      summary: what was found.
      manifest: of the run; None for a capture or a table.
      environment: what the system said of itself; None when it was not asked.
      plots: picture files; of several formats of one picture the page takes svg, the Markdown links png.
      zone: time zone of the wall clock.

    Returns:
      The page, then the Markdown.

    Raises:
      StorageError: a picture cannot be read or a report not written.
    """
    page = render_html(summary, manifest, environment, plots, zone)
    markdown = render_markdown(summary, manifest, environment, plots, run_dir, zone)
    targets = [run_dir / HTML, run_dir / MARKDOWN]
    for path, text in zip(targets, (page, markdown), strict=True):
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "replace"))
        except OSError as exc:
            raise storage_error(exc, path, "does the directory exist, is it yours?") from exc
    return targets
