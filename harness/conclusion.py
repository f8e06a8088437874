"""The end of every run: summary, figures and report from what is on disk, so that all of it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness import plots as figures  # loads matplotlib when something is drawn
from harness.analysis import OnProgress, StreamOptions, analyze_file, analyze_recording
from harness.analysis.evidence import load_evidence
from harness.analysis.impaired import load_impairments
from harness.diagnosis import diagnose
from harness.errors import RecordError, StorageError
from harness.limits import hold
from harness.model import Parameters, Summary
from harness.model.scenario import Expect
from harness.model.witness import Evidence
from harness.report import only_sent, write_report
from harness.store import RunReader, open_run, write_summary

PLOTS = "plots"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was found, of what, by which limits, and where the report lies: None where nobody asked for it."""

    path: Path
    summary: Summary
    expect: Expect
    report: Path | None
    error: str | None = None


def conclude(
    path: Path,
    parameters: Parameters | None = None,
    *,
    sender_run: Path | None = None,
    expect: Expect | None = None,
    has_report: bool = True,
    on_progress: OnProgress | None = None,
) -> Conclusion:
    """Analyze and diagnose a recording; write `summary.json` and, with `has_report`, `plots/` and the reports into it.

    A result that cannot be written (a full disk, a read-only run) is the conclusion's `error`, not the end of it.

    Raises:
      RecordError: the recording cannot be read.
    """
    reader = open_run(path)
    expect = expect if expect is not None else msgspec.convert(reader.manifest.resolved.get("expect", {}), Expect)
    summary = analyze_recording(reader, parameters, sender_run=sender_run, expect=expect, on_progress=on_progress)
    summary = with_verdicts(summary, reader, expect, sender_run=sender_run)
    try:
        write_summary(path, summary)
        return Conclusion(path, summary, expect, report_again(path)[0] if has_report else None)
    except StorageError as exc:
        return Conclusion(path, summary, expect, None, error=str(exc))


def with_verdicts(summary: Summary, reader: RunReader, expect: Expect, *, sender_run: Path | None = None) -> Summary:
    """Return a run's summary with what explains it, and with the limits held against that.

    Witnesses that cannot be read are none, which a note says.

    Args:
      summary: of the run.
      reader: the run opened.
      expect: the limits; one on the verdict is among them.
      sender_run: the run of the sender, when that was recorded elsewhere.
    """
    manifest = reader.manifest
    sender_reader = open_run(sender_run) if sender_run is not None else reader
    if sender_run is not None:
        manifest = msgspec.structs.replace(manifest, senders=sender_reader.manifest.senders)
    impairments = load_impairments(sender_reader)
    try:
        evidence = load_evidence(reader)
    except RecordError as exc:
        evidence = Evidence()
        summary = msgspec.structs.replace(summary, notes=[*summary.notes, f"diagnosed without witnesses: {exc}"])
    evidence = msgspec.structs.replace(evidence, impairments=impairments)
    summary = msgspec.structs.replace(summary, verdicts=diagnose(summary, manifest, evidence))
    return msgspec.structs.replace(summary, limits=hold(summary, expect))


def conclude_file(
    path: Path, parameters: Parameters, options: StreamOptions, *, expect: Expect, output: Path | None = None
) -> Conclusion:
    """Analyze a capture or a table; write `summary.json`, `plots/`, `report.html` and `report.md` if `output` is given.

    Raises:
      RecordError: the file cannot be read.
      StorageError: a result cannot be written.
    """
    summary = analyze_file(path, parameters, options)
    summary = msgspec.structs.replace(summary, limits=hold(summary, expect))
    if output is None:
        return Conclusion(path, summary, expect, None)
    make_directory(output)
    write_summary(output, summary)
    plots = figures.plot_summary(summary, output / PLOTS)
    report = write_report(output, summary, manifest=None, environment=None, plots=plots)[0]
    return Conclusion(path, summary, expect, report)


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
    plots = [] if only_sent(summary) else figures.plot_summary(summary, path / PLOTS)
    return write_report(path, summary, manifest=reader.manifest, environment=reader.environment, plots=plots)


def make_directory(path: Path) -> None:
    """Make a directory for results.

    Raises:
      StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot make {path}: {exc.strerror}; name a directory that you may write") from exc
