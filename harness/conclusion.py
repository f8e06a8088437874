"""The end of every run: summary, figures and report from what is on disk, so that all of it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.analysis import analyze_recording
from harness.errors import RecordError
from harness.model import Parameters, Summary
from harness.model.scenario import Expect
from harness.plots import plot_summary
from harness.report import write_report
from harness.store import open_run, write_summary

PLOTS = "plots"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was found, and where the report lies."""

    summary: Summary
    report: Path


def conclude(
    path: Path, parameters: Parameters | None = None, *, sender_run: Path | None = None, expect: Expect | None = None
) -> Conclusion:
    """Analyze a recording and write `summary.json`, `plots/`, `report.html` and `report.md` into it.

    Raises:
      RecordError: the recording cannot be read.
      StorageError: a result cannot be written.
    """
    summary = analyze_recording(path, parameters, sender_run=sender_run, expect=expect)
    write_summary(path, summary)
    return Conclusion(summary, report_again(path)[0])


def report_again(path: Path) -> list[Path]:
    """Write figures and report of a run from its stored summary; return report.html and report.md.

    Raises:
      RecordError: the run cannot be read, or was not analyzed yet.
      StorageError: a result cannot be written.
    """
    reader = open_run(path)
    summary = reader.summary()
    if summary is None:
        raise RecordError(f"{path} has no summary.json yet; run harness analyze {path} first")
    plots = plot_summary(summary, path / PLOTS)
    return write_report(path, summary, manifest=reader.manifest, environment=reader.environment, plots=plots)
