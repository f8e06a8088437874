"""What was found is printed even when it cannot be written."""

import shutil
from pathlib import Path

import pytest

from harness.cli import main

SCENARIO = """
linger = "50ms"
[[stream]]
group = "239.255.87.1:5087"
interface = "127.0.0.1"
rate = "500pps"
count = 100
[[receiver]]
groups = ["239.255.87.1:5087"]
interface = "127.0.0.1"
"""


def test_findings_are_printed_when_the_report_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.toml").write_text(SCENARIO)
    run = tmp_path / "run"
    assert main(["run", str(tmp_path / "small.toml"), "--output", str(run)]) == 0
    capsys.readouterr()
    shutil.rmtree(run / "plots")
    (run / "plots").write_text("in the way, for root too")
    assert main(["analyze", str(run)]) == 2
    shown = capsys.readouterr()
    assert "239.255.87.1:5087" in shown.out
    assert "plots" in shown.err
    assert "Traceback" not in shown.err
    assert (run / "summary.json").exists()
