"""A bundle: what is in it, the same bytes twice, room for all of it, and one line when it cannot be written."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bundle_helpers import (
    a_named_run,
    manifest,
    record,
    unpacked,
)

from harness.bench.bundle import main as bench
from harness.bundle import TEMPLATES, Template, archive, check_target, make_bundle, reduce
from harness.bundle.around import cuts, window_of
from harness.bundle.build import Bundle
from harness.bundle.material import CORE, EVIDENCE, OTHER_HOSTS, RAW, SLICE, SLICE_NAME, VECTOR, Entry, Material
from harness.bundle.scenario_toml import scenario_of, scenario_toml, spelled
from harness.capture import open_capture
from harness.cli import main
from harness.conclusion import conclude
from harness.errors import RecordError, StorageError, UsageError
from harness.model import Summary, Verdict
from harness.model.scenario import Dropout, Expect, Impair, Receiver, Scenario, Stream, TimedEvent
from harness.model.scenario_text import parse_scenario
from harness.run.plan import resolve
from harness.store import open_run
from harness.store.documents import encode_document


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that take no time, for tests of something else."""

    def plot(_: Summary, folder: Path) -> list[Path]:
        folder.mkdir()
        (folder / "loss.png").write_bytes(b"PNG")
        (folder / "loss.svg").write_bytes(b"<svg/>")
        return [folder / "loss.png", folder / "loss.svg"]

    monkeypatch.setattr("harness.bundle.build.figures.plot_summary", plot)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_named_run(tmp_path_factory.mktemp("bundle") / "a-run")


@pytest.fixture(scope="module")
def made(run: Path) -> Bundle:
    return make_bundle(run)


@pytest.fixture(scope="module")
def files(made: Bundle) -> dict[str, bytes]:
    return unpacked(made.data)


def test_everything_is_in_it(files: dict[str, bytes]) -> None:
    assert set(files) >= {
        "README.md", "report.html", "summary.json", "manifest.json", "events.jsonl", "environment.json",
        "environment-after.json", "evidence.json", "witnesses.json", "membership.pcapng", SLICE_NAME, "scenario.toml",
        "command.txt", "SHA256SUMS", "plots/timeline.png", "plots/timeline.svg", "packets.bin", "sent.bin",
        "hosts/rx/environment.json", "hosts/rx/membership.pcapng",
    }  # fmt: skip
    assert not [name for name in files if "notes" in name or "redaction" in name]


def test_what_was_recorded_is_there_as_it_was(run: Path, files: dict[str, bytes]) -> None:
    for name in (
        "summary.json",
        "manifest.json",
        "events.jsonl",
        "packets.bin",
        "membership.pcapng",
        "hosts/rx/evidence.json",
    ):
        assert files[name] == (run / name).read_bytes(), name


def test_unpacked_it_is_a_run_again(files: dict[str, bytes], run: Path, tmp_path: Path) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert open_run(tmp_path).n_packets == open_run(run).n_packets == 1_400
    shown = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.count(": OK") == len(files) - 1


def test_the_slice_holds_just_the_packets_around_the_worst_window(
    run: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "s.pcapng").write_bytes(files[SLICE_NAME])
    capture = open_capture(tmp_path / "s.pcapng", verify_checksums=True)
    times = np.concatenate([batch.meta["rx_ns"] for batch in capture.batches()])
    summary = open_run(run).summary()
    assert summary is not None
    window = window_of(summary)
    assert window is not None
    span = cuts(window)[0].span
    every = np.concatenate([rows["rx_ns"] for rows in open_run(run).packets()])
    assert sorted(times) == sorted(every[(every >= span.start_ns) & (every < span.end_ns)])
    assert len(times) == 1_400


def test_the_same_run_gives_the_same_bytes_and_its_own_time(run: Path, made: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "a-run"
    shutil.copytree(run, copy, symlinks=True)
    os.utime(copy / "manifest.json", (5, 5))
    assert hashlib.sha256(make_bundle(copy).data).digest() == hashlib.sha256(made.data).digest()
    with zipfile.ZipFile(io.BytesIO(made.data)) as found:
        assert {info.date_time for info in found.infolist()} == {(2026, 7, 14, 12, 0, 0)}


def test_the_sizes_foretold_are_the_sizes_made(made: Bundle) -> None:
    assert archive.size_of(map(archive.zipped_size, made.entries)) == len(made.data)


def test_the_report_says_what_happened_with_figures(files: dict[str, bytes]) -> None:
    text = files["README.md"].decode()
    assert "30 % lost" in text
    assert "2026-07-14 12:00:00.400" in text
    assert "All 1,000 packets" in text
    assert "Seen in 1 of 1 run." in text
    assert "harness run scenario.toml" in text
    assert f"{SLICE_NAME.replace('-', '-')} (" in text
    for heading in (
        "Summary",
        "Environment",
        "Steps to reproduce",
        "Expected",
        "Actual",
        "Frequency",
        "Regression by version",
    ):
        assert f"## {heading}\n" in text, heading
    assert len(text.encode()) < 65_536


# -- scenario


def test_a_scenario_survives_toml() -> None:
    scenario = Scenario(
        name='odd "name" \\ \n\x7f é',
        duration="5s",
        stream=[
            Stream(
                group="239.255.7.1:5000", rate="10pps", schedule="burst:on=100ms,off=900ms", count=3,
                impair=Impair(loss="1%", dropouts=[Dropout(at="1s", lasts="2s"), Dropout(at="3s", lasts="1s")]),
            ),
            Stream(group="[ff15::1]:5000", count=1, loop=False),
        ],
        receiver=[Receiver(groups=["239.255.7.1:5000", "239.255.7.1:5001"], name="a")],
        event=[TimedEvent(at="1s", action="note", text="x")],
        expect=Expect(max_loss="1%", windows=0),
    )  # fmt: skip
    again = parse_scenario(scenario_toml(scenario, "a\nremark"), "again.toml")
    assert msgspec.json.encode(again) == msgspec.json.encode(scenario)


@pytest.mark.parametrize(
    "schedule",
    [
        "constant",
        "poisson:seed=7",
        "burst:on=100ms,off=900ms",
        "ramp:to=10kpps,over=10s",
        "frames:packets=10,every=20ms",
    ],
)
def test_every_schedule_that_a_manifest_describes_can_be_run_again(schedule: str) -> None:
    scenario = Scenario(
        stream=[Stream(group="239.255.7.1:5000", interface="lo", rate="1kpps", schedule=schedule, count=5)]
    )
    plan = resolve(scenario)
    again = scenario_of(plan.resolved)
    assert again is not None
    repeated = resolve(parse_scenario(scenario_toml(again), "again.toml"))
    assert str(repeated.streams[0].schedule) == str(plan.streams[0].schedule)
    assert spelled(spelled(schedule)) == schedule


def test_a_real_run_is_repeated_by_the_scenario_in_its_bundle(tmp_path: Path, quick: None) -> None:
    group = f"239.255.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}:15987"
    first = f"""
[[stream]]
group = "{group}"
interface = "lo"
rate = "500pps"
count = 100
[stream.impair]
dropouts = [{{ at = "50ms", lasts = "50ms" }}]
[[receiver]]
groups = ["{group}"]
interface = "lo"
"""
    (tmp_path / "first.toml").write_text(first)
    assert main(["run", str(tmp_path / "first.toml"), "--output", str(tmp_path / "one"), "--no-report"]) == 0
    files = unpacked(make_bundle(tmp_path / "one").data)
    (tmp_path / "scenario.toml").write_bytes(files["scenario.toml"])
    assert files["command.txt"] == b"harness run scenario.toml\n"
    assert main(["run", str(tmp_path / "scenario.toml"), "--output", str(tmp_path / "two"), "--no-report"]) == 0
    lost = []
    for name in ("one", "two"):
        summary = open_run(tmp_path / name).summary()
        assert summary is not None
        lost.append([(window.first_seq, window.last_seq) for window in summary.streams[0].windows])
    assert lost == [[(25, 49)], [(25, 49)]]


# -- room


def entry(name: str, rank: int, size: int = 1_000) -> Entry:
    noise = np.random.default_rng(len(name)).integers(0, 256, size, np.uint8).tobytes()
    return Entry(name, noise, "x", rank)


def fitted(limit: int, slices: list[Entry]) -> tuple[set[str], Material]:
    kept = [entry("core", CORE), entry("evidence", EVIDENCE), entry("hosts", OTHER_HOSTS), entry("svg", VECTOR)]
    material = Material([*kept, entry("raw", RAW), slices[0]])
    reduce.fit(material, iter(slices[1:]), lambda given: list(given.entries), limit)
    return {each.name for each in material.entries}, material


def test_what_is_too_large_goes_in_the_order_that_is_said() -> None:
    everything = ["raw", "slice", "svg", "hosts", "evidence"]
    for n_gone in range(len(everything) + 1):
        limit = archive.size_of(archive.zipped_size(entry(name, CORE)) for name in ["core", *everything[n_gone:]])
        names, material = fitted(limit, [Entry("slice", entry("slice", SLICE).data, "x", SLICE)])
        assert names == {"core", *everything[n_gone:]}
        said = {item.name.replace(SLICE_NAME, "slice") for item in material.left_out}
        assert said == set(everything[:n_gone]), "never silently"
        assert all(item.why for item in material.left_out)


def test_a_slice_is_shortened_before_it_goes() -> None:
    limit = archive.size_of(
        archive.zipped_size(entry(name, CORE)) for name in ["core", "evidence", "hosts", "svg", "slice"]
    )
    long, short = Entry("slice", entry("slice", SLICE, 9_000).data, "2 s", SLICE), entry("slice", SLICE)
    names, material = fitted(limit, [long, short])
    assert names == {"core", "evidence", "hosts", "svg", "slice"}
    assert next(each for each in material.entries if each.name == "slice").what == "x"


def test_a_report_that_never_fits_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="the report alone takes"):
        fitted(100, [entry("slice", SLICE)])


def test_a_small_limit_is_kept_and_told_in_the_report(run: Path, quick: None) -> None:
    whole = make_bundle(run)
    limit = len(whole.data) * 3 // 4
    small = make_bundle(run, limit_bytes=limit)
    assert len(small.data) <= limit
    files = unpacked(small.data)
    gone = {item.name for item in small.left_out}
    assert "packets.bin" in gone
    assert not gone & set(files)
    assert set(files) | gone == {entry.name for entry in whole.entries} | {item.name for item in whole.left_out}
    for name in sorted(gone):
        assert f"{name}: " in files["README.md"].decode().replace("\\", ""), name


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_has_its_fields(template: Template, run: Path, quick: None) -> None:
    fields: dict[str, list[str]] = {
        "github": ["## Summary", "## Environment", "## Steps to reproduce", "## Regression by version"],
        "apple": [
            "descriptive title", "Which area", "What type of issue", "describe the issue", "steps you took",
            "expect to happen", "actually happened", "[x] process ancestry: environment.json",
            "2026-07-14 12:00:00.400",
            "[x] routes: environment.json", "[x] a capture: membership.pcapng",
            "MISSING, get it with: sudo sysdiagnose",
            "[ ] code signature of the interpreter: MISSING, get it with: codesign -dvvv",
        ],
        "plain": ["SUMMARY", "ENVIRONMENT", "STEPS TO REPRODUCE", "EXPECTED", "ACTUAL", "FREQUENCY", "FILES"],
    }  # fmt: skip
    text = unpacked(make_bundle(run, template=template).data)["README.md"].decode()
    assert [field for field in fields[template] if field not in text] == []
    assert "\n\n\n" not in text


def test_a_run_without_a_window_says_that_it_has_no_slice(tmp_path: Path, quick: None) -> None:
    said = manifest()
    record(tmp_path / "run", msgspec.structs.replace(said, resolved={}))
    summary = conclude(tmp_path / "run", has_report=False).summary
    streams = [msgspec.structs.replace(stream, windows=[]) for stream in summary.streams]
    (tmp_path / "run" / "summary.json").write_bytes(encode_document(msgspec.structs.replace(summary, streams=streams)))
    made = make_bundle(tmp_path / "run", template="plain")
    why = {item.name: item.why for item in made.left_out}
    assert why[SLICE_NAME] == "there is no drop-out window"
    assert "no scenario" in why["scenario.toml"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_verdicts_come_with_what_speaks_for_and_against_them(template: Template, tmp_path: Path, quick: None) -> None:
    record(tmp_path / "run")
    summary = conclude(tmp_path / "run", has_report=False).summary
    verdicts = [
        Verdict(
            name="membership-expired", sentence="the switch forgot the group", score=0.9,
            evidence_for=["no query for 300 s"],
            evidence_against=["a report was seen"], settled_by="a querier", remedy="turn the querier on",
        ),
        Verdict(name="ok", sentence="all is well", score=0.1),
    ]  # fmt: skip
    (tmp_path / "run" / "summary.json").write_bytes(
        encode_document(msgspec.structs.replace(summary, verdicts=verdicts))
    )
    text = unpacked(make_bundle(tmp_path / "run", template=template).data)["README.md"].decode()
    assert "(0.90): the switch forgot the group" in text
    for line in ("for: no query for 300 s", "against: a report was seen", "settled by: a querier"):
        assert line in text
    assert "all is well" not in text


def test_a_run_without_what_a_report_needs_is_one_line(tmp_path: Path) -> None:
    record(tmp_path / "run")
    conclude(tmp_path / "run", has_report=False)
    (tmp_path / "elsewhere.json").write_bytes((tmp_path / "run" / "summary.json").read_bytes())
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "summary.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RecordError, match="no plain file"):
        make_bundle(tmp_path / "run")


def test_the_bench_measures_the_bundle_of_a_recording(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bundle", "10", "500"])
    bench()
    assert re.findall(r"5,000 packets, (.*): \d+\.\d s, \d", capsys.readouterr().out) == [
        "analysis included",
        "analyzed before",
    ]


# -- the command


def test_the_command_lists_before_it_writes(
    run: Path, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "b.zip"
    assert main(["report", "--bundle", str(run), "--output", str(target), "--json"]) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    with zipfile.ZipFile(target) as found:
        sizes = {info.filename: info.file_size for info in found.infolist()}
    assert {item["name"]: item["bytes"] for item in document["files"]} == sizes
    assert document["bytes"] == target.stat().st_size
    assert all(name in shown.err for name in sizes)
    assert "left out: notes of" in shown.err
    assert main(["report", "--bundle", str(run), "--output", str(target)]) == 0
    assert f"replacing {target}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_a_file_that_is_no_bundle_is_never_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "holiday.zip"
    for content in (b"pictures", None):
        if content is None:
            with zipfile.ZipFile(target, "w") as other:
                other.writestr("a", "b")
        else:
            target.write_bytes(content)
        before = target.read_bytes()
        assert main(["report", "--bundle", str(run), "--output", str(target)]) == 2
        assert "is no bundle" in capsys.readouterr().err
        assert target.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "x.tar"], "is a .zip file"),
        (["--output", "/nonexistent/x.zip"], "is no directory"),
    ],
)
def test_a_target_that_cannot_be_is_one_line(
    arguments: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--bundle", str(run), *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("option", [["--redact"], ["--json"], ["--template", "apple"], ["--output", "x.zip"]])
def test_options_of_a_bundle_need_one(option: list[str], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), *option]) == 2
    assert "add --bundle" in capsys.readouterr().err


def test_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--bundle", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_file(made: Bundle, tmp_path: Path, small_files: Callable[[int], None]) -> None:
    target = tmp_path / "b.zip"
    small_files(len(made.data) // 2)
    with pytest.raises(StorageError, match="EFBIG") as caught:
        archive.write_bundle(target, made.data)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_temporary_disk_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("harness.bundle.build.tempfile.TemporaryDirectory", full)
    with pytest.raises(StorageError, match="ENOSPC") as caught:
        make_bundle(run)
    assert "TMPDIR" in str(caught.value)


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "b.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="cannot be replaced"):
        check_target(tmp_path / "b.zip")
