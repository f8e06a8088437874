"""`harness export`: every source to every format, parts of it, and every mistake in one line."""

import json
import subprocess
import sys
from pathlib import Path

import dpkt
import numpy as np
import pytest
from rtp_captures import NS, T0, Frame, rtp_frame, write_capture

from harness.analysis import StreamOptions, analyze_capture, analyze_table
from harness.capture import open_capture
from harness.cli import main
from harness.store import open_run

SCENARIO = """
name = "small"
linger = "50ms"
[[stream]]
group = "239.255.84.9:5095"
interface = "127.0.0.1"
rate = "500pps"
size = "200"
duration = "300ms"
[stream.impair]
dropouts = [{ at = "100ms", lasts = "50ms" }]
seed = 1
[[receiver]]
groups = ["239.255.84.9:5095"]
interface = "127.0.0.1"
"""
GAPS = ((300, 320), (700, 750))


def frames() -> list[Frame]:
    """1000 packets of 20 ms, twice interrupted."""
    return [
        rtp_frame(T0 + k * 20_000_000, k, k * 160)
        for k in range(1_000)
        if not any(begin <= k < end for begin, end in GAPS)
    ]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("export") / "capture.pcapng", frames())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export_run")
    (folder / "small.toml").write_text(SCENARIO)
    assert main(["run", str(folder / "small.toml"), "--output", str(folder / "run")]) in (0, 1)
    return folder / "run"


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        reader = dpkt.pcapng.Reader(file)
        return [Frame(round(t * 1_000_000), data) for t, data in reader]


def exact(path: Path) -> list[Frame]:
    return [
        Frame(int(batch.rx_ns[row]), batch.bytes_of(row))
        for batch in open_capture(path).frames()
        for row in range(len(batch))
    ]


def export(*words: str | Path) -> int:
    return main(["export", *map(str, words)])


def test_a_slice_around_a_window_holds_its_frames_exactly(capture: Path, tmp_path: Path) -> None:
    target = tmp_path / "slice.pcapng"
    assert export(capture, target, "--window", "2", "--margin", "200ms", "--protocol", "rtp") == 0
    begin, end = T0 + 700 * 20_000_000 - 200_000_000, T0 + 750 * 20_000_000 + 200_000_000
    assert exact(target) == [frame for frame in frames() if begin <= frame.t_ns < end]
    assert len(exact(target)) == 20
    assert [data for _, data in read(target)] == [data for _, data in exact(target)]


def test_the_margin_is_two_seconds_unless_said_otherwise(capture: Path, tmp_path: Path) -> None:
    target = tmp_path / "slice.pcapng"
    assert export(capture, target, "--window", "1", "--protocol", "rtp") == 0
    times = [t_ns for t_ns, _ in exact(target)]
    assert (times[0], times[-1]) == (T0 + 200 * 20_000_000, T0 + 419 * 20_000_000)


def test_a_slice_between_two_times_since_the_start(capture: Path, tmp_path: Path) -> None:
    target = tmp_path / "slice.pcapng"
    assert export(capture, target, "--between", "1s", "2s") == 0
    assert exact(target) == [frame for frame in frames() if T0 + NS <= frame.t_ns < T0 + 2 * NS]


def test_a_slice_between_absolute_times_may_be_open(capture: Path, tmp_path: Path) -> None:
    target = tmp_path / "slice.pcapng"
    assert export(capture, target, "--from-ns", str(T0 + 19 * NS)) == 0
    assert exact(target) == [frame for frame in frames() if frame.t_ns >= T0 + 19 * NS]
    assert export(capture, target, "--to-ns", str(T0 + NS)) == 0
    assert exact(target) == [frame for frame in frames() if frame.t_ns < T0 + NS]


def test_without_a_part_all_frames_are_copied(capture: Path, tmp_path: Path) -> None:
    assert export(capture, tmp_path / "all.pcapng") == 0
    assert exact(tmp_path / "all.pcapng") == frames()


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_capture_as_a_table_gives_the_same_summary(capture: Path, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"table{ending}"
    assert export(capture, target, "--protocol", "rtp") == 0
    (of_capture,) = analyze_capture(capture, None, StreamOptions(protocol="rtp")).streams
    (of_table,) = analyze_table(target, None, StreamOptions(sequence_bits=16)).streams
    for name in ("received", "lost", "first_rx_ns", "last_rx_ns", "group", "source"):
        assert getattr(of_table, name) == getattr(of_capture, name), name


def test_a_part_of_a_capture_as_a_table(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(capture, tmp_path / "part.csv", "--between", "0", "1s", "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"file": str(tmp_path / "part.csv"), "packets": 50}
    assert "taken for rtp" in shown.err


def test_a_table_goes_to_another_table(capture: Path, tmp_path: Path) -> None:
    assert export(capture, tmp_path / "a.csv", "--protocol", "rtp") == 0
    assert export(tmp_path / "a.csv", tmp_path / "b.parquet", "--between", "0", "2s") == 0
    assert analyze_table(tmp_path / "b.parquet").streams[0].received == 100


def test_a_run_becomes_frames_that_its_own_analysis_understands(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "run.pcapng"
    assert export(run, target) == 0
    assert "no payloads" in capsys.readouterr().err
    rows = np.concatenate(list(open_run(run).packets()))
    found = analyze_capture(target)
    stored = open_run(run).summary()
    assert stored is not None
    assert [s.protocol for s in found.streams] == ["probe"]
    (ours,), (theirs,) = found.streams, stored.streams
    for name in ("received", "lost", "stream_id", "epoch", "source", "group", "duplicates"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert [(w.kind, w.first_seq, w.packets) for w in ours.windows] == [
        (w.kind, w.first_seq, w.packets) for w in theirs.windows
    ]
    made = list(open_capture(target).frames())
    assert sum(len(item) for item in made) == len(rows)
    assert {int(size) for item in made for size in item.wire - item.captured} == {200 - 64}


def test_the_file_says_that_its_payloads_are_not_there(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "run.pcapng"
    assert export(run, target, "--between", "0", "100ms") == 0
    section = target.read_bytes()[:400]
    assert b"not captured" in section
    assert read(target)  # another reader steps over the comment
    assert 0 < len(exact(target)) < 60


def test_a_part_of_a_run_as_a_table(run: Path, tmp_path: Path) -> None:
    assert export(run, tmp_path / "part.csv", "--window", "1", "--margin", "20ms") == 0
    rows = (tmp_path / "part.csv").read_text().splitlines()
    assert 10 <= len(rows) <= 25


MISTAKES = {
    "both say": ["CAPTURE", "x.pcapng", "--window", "1", "--between", "1s", "2s"],
    "goes with --window": ["CAPTURE", "x.pcapng", "--margin", "1s"],
    "not after its start": ["CAPTURE", "x.pcapng", "--between", "2s", "1s"],
    "not after its start at 5": ["CAPTURE", "x.pcapng", "--from-ns", "5", "--to-ns", "5"],
    "2 drop-out windows, 1 to 2": ["CAPTURE", "x.pcapng", "--window", "3", "--protocol", "rtp"],
    "names no format": ["CAPTURE", "x.pcap"],
    "is what is to be exported": ["CAPTURE", "CAPTURE"],
    "does not exist": ["nowhere.pcapng", "x.csv"],
    "has no frames": ["TABLE", "x.pcapng"],
    "neither pcap nor pcapng": ["TEXT", "x.pcapng"],
    "knows its streams": ["RUN", "x.csv", "--protocol", "rtp"],
    "is a directory": ["CAPTURE", "FOLDER"],
    "is not a known protocol": ["CAPTURE", "x.csv", "--protocol", "rtpp"],
    "cannot write": ["CAPTURE", "no/such/x.pcapng"],
    "has no drop-out window": ["WHOLE", "x.pcapng", "--window", "1"],
    "no packet with a time": ["EMPTY", "x.pcapng", "--between", "1s", "2s"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_every_mistake_is_one_line(
    message: str,
    capture: Path,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("seq,rx_ns\n1,5\n")
    (tmp_path / "t.txt").write_text("hello, this is no capture at all\n")
    (tmp_path / "d.csv").mkdir()
    write_capture(tmp_path / "whole.pcapng", [rtp_frame(T0 + k * 20_000_000, k, k * 160) for k in range(100)])
    write_capture(tmp_path / "empty.pcapng", [])
    names = {
        "CAPTURE": str(capture), "RUN": str(run), "TABLE": "t.csv", "TEXT": "t.txt", "FOLDER": "d.csv",
        "WHOLE": "whole.pcapng", "EMPTY": "empty.pcapng",
    }  # fmt: skip
    before = capture.read_bytes()
    assert export(*(names.get(word, word) for word in MISTAKES[message])) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not list(tmp_path.glob("x.*"))
    assert capture.read_bytes() == before


def test_an_unreadable_number_is_refused_by_the_parser(capture: Path) -> None:
    for words in (["--window", "0"], ["--between", "1", "2s"], ["--margin", "fast"]):
        command = [sys.executable, "-m", "harness", "export", str(capture), "x.pcapng", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
