"""Closed, full and abandoned standard streams: the exit code and the run do not depend on who reads along."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main

HARNESS = f"{sys.executable} -m harness"
RECEIVE = f"{HARNESS} receive 239.255.85.9:5099 --interface 127.0.0.1 --duration 200ms --output run"


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&- <&-"])
def test_run_needs_no_standard_streams(closed: str, tmp_path: Path) -> None:
    done = shell(f"{RECEIVE} {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()


def test_reader_who_left_changes_no_exit_code(tmp_path: Path) -> None:
    # both streams go to a program that ends at once; the limit fails all the same
    done = shell(f"{RECEIVE} --min-received 1 2>&1 | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout.split() == ["1"]
    assert done.stderr == ""
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_full_disk_behind_standard_output_is_one_line(tmp_path: Path) -> None:
    done = shell(f"{HARNESS} interfaces > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "harness: cannot write to standard output: ENOSPC (No space left on device); is the disk that it goes to full?"
    )


def test_terminal_without_the_characters_gets_others(tmp_path: Path) -> None:
    text = shell(RECEIVE, tmp_path, PYTHONIOENCODING="ascii")
    assert text.returncode == 0, text.stderr
    assert "Thresholds" in text.stdout
    document = shell(f"{HARNESS} analyze run --json", tmp_path, PYTHONIOENCODING="ascii")
    assert json.loads(document.stdout)["streams"]


def test_unknown_option_names_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["receive", "239.1.2.3:5000", "--durration", "1s"])
    assert exit_.value.code == 2
    expected = (
        "harness receive: '--durration' is not understood; did you mean '--duration'? (see harness receive --help)\n"
    )
    assert capsys.readouterr().err == expected
