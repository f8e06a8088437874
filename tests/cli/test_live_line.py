"""The live line counts as the report does, and knows a rate from its first showing on."""

import re
from pathlib import Path

import pytest

from harness.cli import main

SCENARIO = """
linger = "700ms"
[[stream]]
group = "239.255.91.1:5091"
interface = "127.0.0.1"
rate = "500pps"
count = 100
[stream.impair]
duplicate = "50%"
seed = 5
[[receiver]]
groups = ["239.255.91.1:5091"]
interface = "127.0.0.1"
"""


def test_line_counts_neither_copies_nor_ends_of_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.toml").write_text(SCENARIO)
    assert main(["run", str(tmp_path / "small.toml"), "--output", str(tmp_path / "run")]) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "received" in line)
    found = re.search(r"received (\d+)  ([\d.]+) pps  lost 0", line)
    assert found is not None, line
    assert int(found[1]) == 100
    assert 100 < float(found[2]) < 1_000
