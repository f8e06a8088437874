"""What a packet costs does not hang on how many groups a receiver has joined."""

import sys

import pytest

from harness.bench import groups


def test_cost_is_told_for_each_number_of_groups(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["groups", "--rate", "4kpps", "--seconds", "5", "1", "20"])
    groups.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["1 group", "20 groups"]
    assert all(" 0 lost" in line for line in lines), lines
    ratio = float(lines[1].split(",")[1].split()[0])
    assert 0 < ratio < 6, lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "from 1 to"),
        (["--rate", "1Mbps"], "in packets"),
        (["--rate", "x"], "rate"),
        (["--seconds", "0"], "more than 0"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["groups", *arguments])
    with pytest.raises(SystemExit, match="2"):
        groups.main()
    assert message in capsys.readouterr().err
