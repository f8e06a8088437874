"""Verdicts from end to end: a run has them, the report shows them, `diagnose` makes them again from disk."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from harness.cli import main
from harness.model import Summary, Verdict
from harness.report import format_table
from harness.store import read_summary, write_summary

GROUP = f"239.255.{os.getpid() // 250 % 250}.{os.getpid() % 250}:{23_000 + os.getpid() % 20_000}"
SCENARIO = """
linger = "200ms"

[[stream]]
group = "{group}"
interface = "lo"
rate = "200pps"
duration = "1500ms"
{impair}

[[receiver]]
groups = ["{group}"]
interface = "lo"

[expect]
verdict = "{verdict}"
"""
DROPOUT = '[stream.impair]\ndropouts = [{at = "400ms", lasts = "600ms"}]'


def run(tmp_path: Path, verdict: str, impair: str = "") -> tuple[int, Path]:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO.format(group=GROUP, verdict=verdict, impair=impair), encoding="utf-8")
    output = tmp_path / "run"
    return main(["run", str(file), "--output", str(output)]), output


def test_a_healthy_run_is_ok_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = run(tmp_path, "ok")
    told = capsys.readouterr().out
    assert code == 0
    assert [each.name for each in read_summary(output).verdicts] == ["ok"]
    assert "Verdict: ok (1.00)" in told
    assert "Likely cause" not in told + (output / "report.md").read_text(encoding="utf-8")
    limits = read_summary(output).limits
    assert [(limit.name, limit.measured, limit.is_passed) for limit in limits] == [("verdict", "ok", True)]


def test_a_verdict_that_was_not_expected_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = run(tmp_path, "link-down", DROPOUT)
    assert code == 1
    first = read_summary(output).verdicts[0]
    assert first.name not in ("ok", "link-down")
    report = (output / "report.md").read_text(encoding="utf-8")
    assert "## Likely causes" in report
    assert f"**{first.name.replace('-', chr(92) + '-')}**" in report or f"**{first.name}**" in report
    assert first.name in (output / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()

    write_summary(output, msgspec.structs.replace(read_summary(output), verdicts=[]))
    assert main(["diagnose", str(output)]) == 1
    told = capsys.readouterr().out
    assert f"1. {first.name}" in told
    assert "settled by:" in told
    assert "remedy:" in told
    assert read_summary(output).verdicts[0] == first

    assert main(["diagnose", str(output), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdicts"][0]["name"] == first.name

    (output / "witnesses.json").write_text("{", encoding="utf-8")
    assert main(["diagnose", str(output)]) == 1
    assert any("diagnosed without witnesses" in note for note in read_summary(output).notes)


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.startswith("harness: ")


def summary_with(*verdicts: Verdict) -> Summary:
    from harness.model import Parameters

    return Summary(parameters=Parameters(), streams=[], verdicts=list(verdicts))


def test_the_terminal_names_the_first_three_with_their_scores() -> None:
    named = [
        Verdict(name=name, sentence=f"{name} it is.", score=score)
        for name, score in (("a", 0.9), ("b", 0.5), ("c", 0.3), ("d", 0.2))
    ]
    text = format_table(summary_with(*named))
    assert "Verdict: a (0.90), then b (0.50), then c (0.30)" in text
    assert "Likely cause: a it is." in " ".join(text.split())


def test_what_cannot_be_told_is_not_called_a_cause() -> None:
    text = " ".join(
        format_table(
            summary_with(Verdict(name="cannot-tell", sentence="Cannot tell why, because: no tap", score=0.2))
        ).split()
    )
    assert "Cannot tell why, because: no tap." in text
    assert "Likely cause" not in text
