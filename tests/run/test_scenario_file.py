"""A scenario's file that cannot be read is one line; what it says is parsed with the file's name."""

from pathlib import Path

import pytest

from harness.errors import ScenarioError, UsageError
from harness.run.scenario_file import read_scenario


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(UsageError, match=r"^scenario .*x\.toml cannot be read: 'utf-8' codec") as caught:
        read_scenario(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^scenario .*none\.toml cannot be read"):
        read_scenario(tmp_path / "none.toml")


def test_a_mistake_is_told_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('nome = "x"\n')
    with pytest.raises(ScenarioError, match=r"^x\.toml: .*nome"):
        read_scenario(path)
