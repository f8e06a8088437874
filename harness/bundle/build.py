"""From a run, or a campaign, to the bytes of its bundle."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness import plots as figures
from harness.bundle import apple, archive, around, reduce, repeats
from harness.bundle.campaigns import Case, open_case
from harness.bundle.material import CORE, SLICE, SLICE_NAME, VECTOR, Entry, Gathering, LeftOut, Material
from harness.bundle.redactor import Redactor
from harness.bundle.render import LIMIT_BYTES, Template, render
from harness.bundle.scenario_toml import scenario_of, scenario_toml
from harness.bundle.story import SCENARIO, tell
from harness.conclusion import conclude
from harness.errors import RecordError, StorageError, UsageError, os_reason
from harness.model import Manifest, Summary
from harness.model.boots import CampaignSummary
from harness.model.scenario import Scenario
from harness.model.scenario_text import parse_scenario
from harness.report import only_sent, write_report
from harness.store import RunReader, open_run
from harness.units import format_duration

README, COMMAND = "README.md", "command.txt"
_WHAT = {"timeline": "delivered, lost and silent over time", "loss": "loss ratio over time"}
_WHAT |= {"sequence": "packet numbers over time", "delay": "delay and its change"}


@dataclass(frozen=True)
class Bundle:
    """A bundle that is not written yet.

    Attributes:
      case: of what.
      entries: its files in their order; left_out: what is not in it, and why.
      data: the zip file.
      redacted_name: the name of run or campaign, redacted where the rest is.
      mapping: what was replaced by what; None without redaction.
    """

    case: Case
    entries: list[Entry]
    left_out: list[LeftOut]
    data: bytes
    redacted_name: str
    mapping: dict[str, dict[str, str]] | None


@dataclass(frozen=True)
class _Run:
    """What the report is made of, redacted where the rest is."""

    reader: RunReader
    manifest: Manifest
    summary: Summary
    documents: dict[str, Any]
    campaign: CampaignSummary | None
    scenario: Scenario | None

    @property
    def environment(self) -> dict[str, Any] | None:
        value = self.documents.get("environment.json")
        return value if isinstance(value, dict) else None


def make_bundle(
    path: Path, *, template: Template = "github", is_redacted: bool = False, limit_bytes: int = archive.LIMIT_BYTES
) -> Bundle:
    """Return the bundle of a run or a campaign; the run is analyzed first when it was not yet.

    The same run gives the same bytes.

    Raises:
      RecordError: it cannot be read.
      UsageError: a campaign without a recording, or a report that does not fit.
      StorageError: no room for temporary files.
    """
    case = open_case(path)
    if open_run(case.run).summary() is None:
        conclusion = conclude(case.run, has_report=False)
        if conclusion.error is not None:
            raise StorageError(conclusion.error)
    try:
        with tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
            return _make(case, template, Redactor() if is_redacted else None, limit_bytes, Path(name))
    except OSError as exc:
        where = f" on {exc.filename}" if exc.filename else ""
        remedy = f"is there room in {tempfile.gettempdir()}? TMPDIR names another place"
        raise StorageError(f"cannot make the bundle of {path}: {os_reason(exc)}{where}; {remedy}") from exc


def _make(case: Case, template: Template, redactor: Redactor | None, limit: int, scratch: Path) -> Bundle:
    rewritten, drawn = scratch / "rewritten", scratch / "drawn"
    rewritten.mkdir()
    drawn.mkdir()
    gathering = Gathering(redactor, rewritten)
    gathering.find_run(case.run, 2 * limit)
    case.find_documents(gathering)
    material = gathering.read()
    run = _opened(case, material)
    material.entries += _drawn(run, drawn)
    material.entries += case.figures(drawn, run.campaign)
    _add_scenario(run, material)
    slices = _slices(run, scratch / SLICE_NAME, material)
    first = next(slices, None)
    material.entries += [first] if first else []
    material.entries.sort(key=_place)
    complete = functools.partial(_completed, run, template, redactor is not None)
    entries = reduce.fit(material, slices, complete, limit)
    data = archive.zip_bytes(entries, run.manifest.clocks.realtime_ns)
    name = case.path.resolve().name
    if redactor is None:
        return Bundle(case, entries, material.left_out, data, name, None)
    return Bundle(case, entries, material.left_out, data, redactor.text(name), redactor.mapping())


def _opened(case: Case, material: Material) -> _Run:
    """Return the run as its files in the bundle tell it, so that nothing else can get into the report."""
    files = {entry.name: entry.data for entry in material.entries}
    for name in ("manifest.json", "summary.json"):
        if name not in files:
            raise RecordError(f"{case.run / name} is not there, or no plain file; a bundle needs it")
    documents = {
        name: msgspec.json.decode(data)
        for name, data in files.items()
        if name.endswith(".json") and "/" not in name and name not in ("summary.json", "manifest.json")
    }
    manifest = msgspec.json.decode(files["manifest.json"], type=Manifest)
    campaign = files.get(case.summary_name)
    return _Run(
        reader=open_run(case.run),
        manifest=manifest,
        summary=msgspec.json.decode(files["summary.json"], type=Summary),
        documents=documents,
        campaign=msgspec.json.decode(campaign, type=CampaignSummary) if campaign else None,
        scenario=scenario_of(manifest.resolved),
    )


def _drawn(run: _Run, folder: Path) -> Iterator[Entry]:
    """Yield figures and page, made from what is in the bundle."""
    pictures = [] if only_sent(run.summary) else figures.plot_summary(run.summary, folder / "plots")
    page, _ = write_report(folder, run.summary, manifest=run.manifest, environment=run.environment, plots=pictures)
    yield Entry("report.html", page.read_bytes(), "the whole report with its figures, in one page")
    for picture in pictures:
        rank = VECTOR if picture.suffix == ".svg" else CORE
        yield Entry(f"plots/{picture.name}", picture.read_bytes(), _WHAT.get(picture.stem, picture.stem), rank)


def _add_scenario(run: _Run, material: Material) -> None:
    if run.scenario is None:
        material.leave_out(SCENARIO, "the run holds no scenario that this version reads; see the command")
        return
    text = scenario_toml(
        run.scenario, "What this run did, with everything resolved. Repeat it with:\nharness run scenario.toml"
    )
    try:
        parse_scenario(text, SCENARIO)
    except UsageError as exc:
        material.leave_out(SCENARIO, f"it cannot be run again: {exc}")
        return
    material.entries.append(Entry(SCENARIO, text.encode(), "the scenario, to be run again"))
    material.entries.append(Entry(COMMAND, f"harness run {SCENARIO}\n".encode(), "the command that repeats the run"))


def _slices(run: _Run, target: Path, material: Material) -> Iterator[Entry]:
    """Yield the slice around the worst window, then shorter and shorter ones."""
    window = around.window_of(run.summary)
    streams: Sequence[Any] = run.manifest.streams
    if window is None or not run.reader.n_packets or not around.has_frames(streams):
        why = (
            "there is no drop-out window" if window is None else "no packet was received whose frame can be made again"
        )
        material.leave_out(SLICE_NAME, why)
        return
    wanted = around.cuts(window)
    numbers = around.count_packets(run.reader, wanted)
    possible = [(cut, n) for cut, n in zip(wanted, numbers, strict=True) if n <= around.MOST_PACKETS]
    if not any(n for _, n in possible):
        material.leave_out(
            SLICE_NAME, "no packet lies around the worst window" if not any(numbers) else "too many packets"
        )
        return
    length = format_duration(window.duration_ns)
    for cut, n in possible:
        if n:
            made = around.write_slice(run.reader, streams, cut, target)
            words = f"{made.n_frames:,} frames: {cut.words} (it lasts {length}); headers made again, no payloads"
            shortened = "" if cut == wanted[0] else "; shortened to fit"
            yield Entry(SLICE_NAME, made.data, words + shortened, SLICE)


def _completed(run: _Run, template: Template, is_redacted: bool, material: Material) -> list[Entry]:
    """Return the entries with README and checksums."""
    names = {entry.name for entry in material.entries}
    capture = next((name for name in ("membership.pcapng", SLICE_NAME) if name in names), None)
    text = ""
    for most in (20, 8, 3):
        seen = (
            repeats.of_run(run.summary, run.manifest)
            if run.campaign is None
            else repeats.of_campaign(run.campaign, run.manifest, 3 * most)
        )
        story = tell(run.summary, run.manifest, run.environment, run.scenario, seen, most)
        documents = {name: value for name, value in run.documents.items() if name in names}
        text = render(
            template,
            story,
            material.entries,
            material.left_out,
            apple.asked_for(documents, capture, story.occurred),
            is_redacted=is_redacted,
            has_scenario=SCENARIO in names,
        )
        if len(text.encode("utf-8", "replace")) <= LIMIT_BYTES:
            break
    readme = Entry(README, text.encode("utf-8", "replace"), f"the report, to be pasted into a tracker ({template})")
    entries = [readme, *material.entries]
    return [*entries, archive.checksums(entries)]


def _place(entry: Entry) -> tuple[int, int, str]:
    """Return a sort key: the report, its figures, the scenario, the rest; other hosts behind."""
    first = ("report.html", SCENARIO, COMMAND, "summary.json", "events.jsonl", "manifest.json", SLICE_NAME)
    place = first.index(entry.name) if entry.name in first else len(first)
    return (0 if "/" not in entry.name else 1 if entry.name.startswith("plots/") else 2, place, entry.name)
