"""A scenario's file."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.model.scenario import Scenario
from harness.model.scenario_text import parse_scenario


def read_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises:
      UsageError: the file cannot be read.
      ScenarioError: it is no scenario; names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"scenario {path} cannot be read: {exc}") from exc
    return parse_scenario(text, path.name)
