"""The commands as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import COMMANDS, main

SCENARIO = """
name = "small"
linger = "100ms"
[[stream]]
group = "239.255.84.1:5085"
interface = "127.0.0.1"
rate = "500pps"
duration = "500ms"
[stream.impair]
dropouts = [{ at = "200ms", lasts = "100ms" }]
seed = 1
[[receiver]]
groups = ["239.255.84.1:5085"]
interface = "127.0.0.1"
[expect]
max_dropout = "LIMIT"
"""


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.toml").write_text(SCENARIO.replace("LIMIT", "150ms"))
    assert main(["run", str(folder / "small.toml"), "--output", str(folder / "run")]) == 0
    return folder / "run"


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.cli import build_parser; build_parser([]).format_help();"
        "print(sorted({'numpy', 'trio', 'matplotlib', 'msgspec', 'construct', 'psutil'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"harness {command}" in capsys.readouterr().out


def test_run_leaves_the_whole_directory(run_path: Path) -> None:
    names = {path.name for path in run_path.iterdir()}
    assert names >= {
        "manifest.json", "environment.json", "events.jsonl", "packets.bin", "packets.crc", "sent.bin", "sent.crc",
        "summary.json", "truth.jsonl", "plots", "report.html", "report.md",
    }  # fmt: skip
    assert {path.name for path in (run_path / "plots").iterdir()} >= {
        f"{figure}.{ending}" for figure in ("timeline", "loss", "sequence", "delay") for ending in ("png", "svg")
    }


def test_manifest_repeats_the_run_and_says_where_it_was(run_path: Path) -> None:
    manifest = json.loads((run_path / "manifest.json").read_text())
    assert manifest["command"][0] == "harness"
    assert manifest["resolved"]["stream"][0]["interface"] == "lo"
    assert {"harness", "python"} <= {name.lower() for name in manifest["versions"]} | {"harness"}
    assert manifest["clocks"]["rx_source"] in ("kernel", "user")
    assert manifest["end"]["reason"] == "complete"


def test_exceeded_limit_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.toml").write_text(SCENARIO.replace("LIMIT", "50ms"))
    assert main(["run", str(tmp_path / "small.toml"), "--output", str(tmp_path / "run")]) == 1
    shown = capsys.readouterr()
    assert "Failed" in shown.out


def test_json_is_one_document_on_stdout(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(run_path), "--json"]) == 0
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    (stream,) = summary["streams"]
    assert (stream["expected"], stream["lost"]) == (250, 50)
    assert [window["class"] for window in stream["windows"]] == ["mid_run"]


def test_analyzing_again_with_another_threshold_changes_the_windows(
    run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(run_path), "--json", "--min-packets", "51"]) == 0
    (stream,) = json.loads(capsys.readouterr().out)["streams"]
    assert stream["windows"] == []
    assert stream["lost"] == 50
    assert [thinning["lost"] for thinning in stream["thinning"]] == [50]


def test_limit_on_the_command_line_decides_the_exit_code(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(run_path), "--max-loss", "1%"]) == 1
    assert main(["analyze", str(run_path), "--max-loss", "20.1%"]) == 0
    assert "max_loss" in capsys.readouterr().out


def test_plot_and_report_restart_from_disk(run_path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plot", str(run_path), "--output", str(tmp_path / "figures"), "--format", "png"]) == 0
    assert (tmp_path / "figures" / "timeline.png").stat().st_size > 10_000
    before = (run_path / "report.html").read_bytes()
    assert main(["report", str(run_path)]) == 0
    assert (run_path / "report.html").read_bytes()[:200] == before[:200]
    assert "report.html" in capsys.readouterr().out


def test_exported_table_is_analyzed_to_the_same_loss(
    run_path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("packets.csv", "packets.parquet"):
        assert main(["export", str(run_path), str(tmp_path / name)]) == 0
        capsys.readouterr()
        assert main(["analyze", str(tmp_path / name), "--json", "--count", "250"]) == 0
        (stream,) = json.loads(capsys.readouterr().out)["streams"]
        assert (stream["received"], stream["lost"]) == (200, 50)


def test_sender_alone_leaves_its_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["send", "239.255.84.2:5085", "--interface", "127.0.0.1", "--count", "20", "--rate", "1kpps", "--json"]
    assert main([*line, "--output", str(tmp_path / "tx")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["streams"] == []
    assert (summary["senders"][0]["scheduled"], summary["senders"][0]["sent"]) == (20, 20)


def test_interfaces_as_json_names_the_loopback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interfaces", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (loopback,) = [entry for entry in found if entry["is_loopback"]]
    assert "127.0.0.1" in [address["address"] for address in loopback["addresses"]]


def test_schema_of_ones_own_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "console.py").write_text(
        "import construct as c\nfrom protocols.schema import Protocol\n"
        "DESK = Protocol(name='desk', title='desk', schema=c.Struct('n' / c.Int16ub), sequence='nn')\n"
    )
    assert main(["protocols", f"{tmp_path}/console.py:DESK"]) == 2
    shown = capsys.readouterr()
    assert "'n'" in shown.err
    assert "Traceback" not in shown.err


def test_completion_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
