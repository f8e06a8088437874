"""A recording that lost packet records says so first, blames no network for them, and ends with exit code 2."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main

SCENARIO = """
linger = "50ms"
[[stream]]
group = "239.255.88.1:5088"
interface = "127.0.0.1"
rate = "500pps"
count = 300
[[receiver]]
groups = ["239.255.88.1:5088"]
interface = "127.0.0.1"
"""


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "small.toml").write_text(SCENARIO)
    assert main(["run", str(folder / "small.toml"), "--output", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(sound_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_run, tmp_path / "run"))


def flip(run: Path) -> None:
    data = bytearray((run / "packets.bin").read_bytes())
    data[len(data) // 2] ^= 0x10
    (run / "packets.bin").write_bytes(data)


def truncate(run: Path) -> None:
    data = (run / "packets.bin").read_bytes()
    # into the packets: the last chunk may hold nothing but the stream's end, of which several came
    (run / "packets.bin").write_bytes(data[: len(data) // 2 - 1])


def forget_checksums(run: Path) -> None:
    (run / "packets.crc").unlink()


def forget_a_line(run: Path) -> None:
    lines = (run / "packets.crc").read_bytes().splitlines(keepends=True)
    lines.remove(max(lines, key=lambda line: int(json.loads(line)["rows"])))
    (run / "packets.crc").write_bytes(b"".join(lines))


@pytest.mark.parametrize("damage", [flip, truncate, forget_checksums, forget_a_line])
def test_damage_is_nobodys_loss(damage: object, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(damage)
    damage(run)
    assert main(["analyze", str(run)]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("Undecided: the recording is damaged, ")
    (line,) = shown.err.strip().splitlines()
    assert line.startswith(f"harness: {run} is damaged: ")
    summary = json.loads((run / "summary.json").read_text())
    (stream,) = summary["streams"]
    assert 0 < stream["lost"] <= summary["unreadable"] <= 308
    assert stream["attribution"]["network"] == 0
    assert stream["attribution"]["unknown"] == stream["lost"]


def test_recording_without_its_packets_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "packets.bin").unlink()
    (run / "packets.crc").unlink()
    assert main(["analyze", str(run)]) == 2
    expected = f"harness: {run} has neither packets.bin nor packets.crc; restore them\n"
    assert capsys.readouterr().err == expected
