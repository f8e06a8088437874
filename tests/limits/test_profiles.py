"""Named sets of limits: each as its comments promise, extended and overridden, refused with a remedy."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.analysis_options import add_limits
from harness.errors import HarnessError, UsageError
from harness.limits import MEASURES, load_profile, profile_names, with_profile
from harness.limits.profiles import FOLDER
from harness.model.scenario import Expect
from harness.model.scenario_text import parse_scenario
from harness.run.plan import resolve
from harness.units import parse_duration, parse_ratio

SCENARIO = """
[[receiver]]
groups = ["239.1.2.3:5000"]
[expect]
"""


def test_the_five_sets_come_with_the_program_and_the_help_names_them() -> None:
    import argparse

    assert profile_names() == ["aes67", "default", "iptv", "lighting", "st2110"]
    parser = argparse.ArgumentParser()
    add_limits(parser)
    shown = " ".join(parser.format_help().split())
    assert ", ".join(profile_names()) in shown


def test_the_manual_names_every_limit_and_every_set() -> None:
    manual = (Path(__file__).parent.parent.parent / "docs" / "limits-and-comparisons.md").read_text(encoding="utf-8")
    for name in (*MEASURES, *profile_names(), "max_own_drops", "min_received"):
        assert f"`{name}`" in manual


@pytest.mark.parametrize("name", ["aes67", "default", "iptv", "lighting", "st2110"])
def test_every_number_is_explained_beside_it(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert set(tomllib.loads(text)) <= {"description", *MEASURES}
    for line in text.splitlines():
        if re.match(r"max_", line):
            assert re.search(r"#.*\w", line), line
    assert load_profile(name) != Expect()


def test_the_numbers_that_a_standard_sets() -> None:
    iptv, lighting, aes67, st2110 = (load_profile(name) for name in ("iptv", "lighting", "aes67", "st2110"))
    assert parse_ratio(iptv.max_loss or "") == 1e-5
    assert parse_ratio(iptv.max_reordered or "") == 1e-6
    assert (iptv.max_dropout, iptv.max_loss_events) == ("16ms", 1)
    assert parse_duration(lighting.max_gap or "") == 2_500_000_000
    assert lighting.max_dropout is None
    assert parse_duration(aes67.max_dropout or "") == 3 * 1_000_000
    assert parse_duration(st2110.max_dropout or "") == 10 * 1_000_000
    assert st2110.max_ipdv is None
    assert st2110.max_jitter is None


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_ones_own_file_extends_another_and_what_stands_beside_the_profile_wins(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", 'extends = "aes67"\nmax_loss = "1%"\nmax_jitter = "2ms"\n')
    mine = write(tmp_path, "mine.toml", 'description = "x"\nextends = "base.toml"\nmax_jitter = "5ms"\n')
    found = load_profile(mine)
    assert (found.max_loss, found.max_jitter, found.max_dropout) == ("1%", "5ms", "3ms")
    over = with_profile(Expect(profile=mine, max_loss="3%", max_corrupt=0))
    assert (over.max_loss, over.max_jitter, over.profile) == ("3%", "5ms", None)
    assert with_profile(Expect(profile="mine.toml"), tmp_path) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_los = '1%'", "unknown key 'max_los'; did you mean 'max_loss'?"),
        ("profile = 'aes67'", "unknown key 'profile'"),
        ("max_loss = 1", "max_loss: Expected `str | null`, got `int`"),
        ("max_loss = '1'\nmax_gap = '5'", "max_gap: duration '5' has no unit"),
        ("max_corrupt = -1", "max_corrupt: '-1' is not a whole number"),
        ("max_loss = '101%'", "max_loss: ratio '101%' lies outside"),
        ("extends = 'own.toml'", "extend each other without end"),
        ("extends = 3", "extends is no name"),
        ("extends = 'aes76'", "did you mean 'aes67'?"),
        ("max_loss = ", "is not valid TOML"),
        ("a = " + "[" * 5_000, "is not valid TOML"),
        ("\x00", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "own.toml", text)
    with pytest.raises(UsageError) as refused:
        load_profile(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_in_another_encoding_or_none_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'description = "\xe9"')
    for name, message in (("latin.toml", "not valid TOML"), ("none.toml", "there is no such file"), (".", "known:")):
        with pytest.raises(UsageError, match=message):
            load_profile(name, tmp_path)


def test_a_scenario_names_a_profile_and_the_plan_holds_its_numbers(tmp_path: Path) -> None:
    write(tmp_path, "own.toml", 'extends = "aes67"\nmax_jitter = "7ms"\n')
    scenario = parse_scenario(SCENARIO + 'profile = "own.toml"\nmax_loss = "2%"\n', "test.toml")
    plan = resolve(scenario, tmp_path)
    assert plan.expect.max_jitter == "7ms"
    assert plan.resolved["expect"]["max_loss"] == "2%"
    assert plan.resolved["expect"]["max_dropout"] == "3ms"
    with pytest.raises(HarnessError, match=r"no limit profile 'own\.toml'"):
        resolve(scenario, tmp_path / "elsewhere")


@pytest.mark.parametrize("key", [name for name, measure in MEASURES.items() if not measure.example.isdecimal()])
def test_a_scenarios_limit_that_does_not_parse_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=f"expect, {key}"):
        parse_scenario(SCENARIO + f'{key} = "much"\n', "test.toml")


def test_receive_refuses_an_unknown_profile_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    command = ["receive", "239.255.84.9:5099", "--duration", "1s", "--output", str(output), "--profile", "aes"]
    assert main(command) == 2
    assert "no limit profile 'aes'; did you mean 'aes67'?" in capsys.readouterr().err
    assert not output.exists()


def test_help_of_receive_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.cli import build_parser; build_parser(['receive', 'analyze', 'run']).format_help();"
        "print(sorted({'numpy', 'trio', 'matplotlib', 'msgspec'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
