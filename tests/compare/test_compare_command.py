"""`harness compare` on real runs, captures, tables and summaries."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.compare.sources import has_one_clock
from harness.model import Clocks, Manifest

T0 = 1_700_000_000
SCENARIO = """
linger = "150ms"
seed = SEED
[[stream]]
group = "239.255.84.21:5121"
interface = "127.0.0.1"
rate = "1kpps"
duration = "700ms"
[stream.impair]
loss = "LOSS"
[[receiver]]
name = "near"
groups = ["239.255.84.21:5121"]
interface = "127.0.0.1"
[[receiver]]
name = "far"
groups = ["239.255.84.21:5121"]
interface = "127.0.0.1"
[[event]]
at = "250ms"
action = "leave"
receiver = "far"
group = "239.255.84.21:5121"
[[event]]
at = "400ms"
action = "join"
receiver = "far"
group = "239.255.84.21:5121"
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("compare")
    for name, loss, seed in (("before", "0%", "1"), ("after", "12%", "2")):
        (folder / f"{name}.toml").write_text(SCENARIO.replace("LOSS", loss).replace("SEED", seed))
        assert main(["run", str(folder / f"{name}.toml"), "--output", str(folder / name)]) == 0
    return folder / "before", folder / "after"


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_two_receivers_of_one_run_lost_by_some(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The ground truth: nothing was lost on the way, and one receiver left for a while."""
    (match,) = compared(capsys, runs[0])["matches"]
    shared = match["shared"]
    assert match["kind"] == "same"
    assert [member["name"] for member in match["members"]] == ["before (far)", "before (near)"]
    assert shared["lost_by_all"] == 0
    assert shared["points_at"] == "branch"
    assert 100 <= shared["lost_by_some"] <= 200
    assert shared["lost_only"] == [shared["lost_by_some"], 0]
    assert shared["runs_only"] == [1, 0]
    assert "most at that to before (far)" in shared["sentence"]


def test_what_the_sender_dropped_is_lost_by_all(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    truth = [json.loads(line) for line in (runs[1] / "truth.jsonl").read_text().splitlines()]
    dropped = {record["seq"] for record in truth if record["did"] == "dropped"}
    (match,) = compared(capsys, runs[1])["matches"]
    assert dropped
    assert match["shared"]["lost_by_all"] == len(dropped)


def test_before_and_after_with_files_and_exit_code(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["compare", *map(str, runs), "--output", str(output), "--name", "A", "--name", "B"]) == 0
    shown = capsys.readouterr().out
    assert "Significantly different" in shown
    assert "Fisher" in shown
    assert {path.name for path in output.iterdir()} == {"compare.json", "compare.md", "compare.png", "compare.svg"}
    (match,) = json.loads((output / "compare.json").read_text())["matches"]
    assert [member["name"] for member in match["members"]] == ["A (far)", "A (near)", "B (far)", "B (near)"]
    assert match["kind"] == "counterpart"


def test_a_summary_file_stands_for_its_run(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = compared(capsys, *runs)
    files = compared(capsys, runs[0] / "summary.json", runs[1] / "summary.json")
    assert [match["figures"] for match in files["matches"]] == [match["figures"] for match in whole["matches"]]
    assert [run["name"] for run in files["runs"]] == ["before", "after"]
    assert files["matches"][0]["shared"] is None


def test_thresholds_are_applied_to_the_packets_and_refused_without_them(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def windows(*options: str) -> list[float]:
        (match,) = compared(capsys, runs[0], *options)["matches"]
        found: list[float] = next(item["values"] for item in match["figures"] if item["name"] == "drop-out windows")
        return found

    assert windows() == [1, 0]
    assert windows("--min-duration", "10s") == [0, 0]
    assert main(["compare", str(runs[0] / "summary.json"), str(runs[1]), "--min-packets", "9"]) == 2
    assert "thresholds cannot be applied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "hosts", "expected"),
    [
        ("run", [], True),
        ("run", [{"name": "a", "kind": "local"}, {"name": "b", "kind": "namespace"}], True),
        ("run", [{"name": "a", "kind": "ssh"}], False),
        ("receive", [], False),
    ],
)
def test_delays_are_true_only_by_one_clock(kind: Any, hosts: list[dict[str, str]], expected: bool) -> None:
    clocks = Clocks(realtime_ns=0, monotonic_ns=0)
    manifest = Manifest(kind=kind, created="", command=[], clocks=clocks, resolved={"host": hosts})
    assert has_one_clock(manifest) is expected


def rtp_capture(path: Path, numbers: range, lost: Callable[[int], bool], *, first: int, late_us: int) -> None:
    """An RTP stream of one source, numbers on the wire from `first` on, 1 ms apart."""
    blocks = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for k in numbers:
        if lost(k):
            continue
        rtp = struct.pack(">BBHII", 0x80, 97, (first + k) % 65_536, (48 * k) % 2**32, 0xCAFE) + bytes(96)
        udp = struct.pack(">HHHH", 5004, 5004, 8 + len(rtp), 0) + rtp
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 8, 17, 0, bytes([10, 0, 0, 1]), bytes([239, 1, 2, 3])
        )
        frame = bytes.fromhex("01005e010203") + bytes(6) + b"\x08\x00" + ip + udp
        micros = k * 1_000 + late_us
        blocks.append(struct.pack("<IIII", T0 + micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(blocks))


def test_two_captures_of_one_rtp_stream_are_aligned_over_the_wrap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One capture began before the 16-bit number wrapped, the other after: 30 lost by both, 50 by the second alone."""
    common, alone = range(2_000, 2_030), range(2_500, 2_550)
    a, b = tmp_path / "a.pcap", tmp_path / "b.pcap"
    rtp_capture(a, range(3_000), lambda k: k in common, first=65_000, late_us=0)
    rtp_capture(b, range(700, 3_000), lambda k: k in common or k in alone, first=65_000, late_us=300)
    found = compared(capsys, a, b)
    (match,) = found["matches"]
    assert match["by"] == "source, group and key, at the same time"
    shared = match["shared"]
    assert (shared["packets"], shared["lost"]) == (2_300, [30, 80])
    assert (shared["lost_by_all"], shared["lost_by_some"], shared["points_at"]) == (30, 50, "both")
    assert found["axis"] == "absolute"


def table(path: Path, lost: set[int], start: int = T0) -> None:
    rows = [f"{k},{(start * 1_000 + 20 * k) * 10**6},200" for k in range(400) if k not in lost]
    path.write_text("seq,rx_ns,size\n" + "\n".join(rows) + "\n")


def test_tables_are_counterparts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(tmp_path / "a.csv", {5, 6, 7, 8})
    table(tmp_path / "b.csv", set(), start=T0 + 86_400)
    found = compared(capsys, tmp_path / "a.csv", tmp_path / "b.csv", "--interval", "20ms")
    (match,) = found["matches"]
    assert match["kind"] == "counterpart"
    assert found["axis"] == "relative"
    lost = next(figure for figure in match["figures"] if figure["name"] == "lost")
    assert lost["values"] == [4, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv"], "has one receiver; name a second recording"),
        (["a.csv", "none.pcap"], "none.pcap"),
        (["a.csv", "."], "is no run"),
        (["a.csv", "broken.json"], "broken.json"),
        (["a.csv", "a.csv", "--name", "x"], "1 names for 2 recordings"),
        (["a.csv", "a.csv", "--name", "x", "--name", "x"], "two recordings of one name"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "a.csv", set())
    (tmp_path / "broken.json").write_text("{")
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("level", ["0", "1", "x", "nan"])
def test_a_level_that_is_none_is_refused(level: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a", "b", "--alpha", level])
    assert ended.value.code == 2
