"""Real sockets on loopback multicast: what the run tests have in common."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.analysis import analyze_recording
from harness.model import Summary
from harness.model.scenario_text import parse_scenario
from harness.run import Outcome, perform

Performed = tuple[Outcome, Summary]


@pytest.fixture
def perform_text(tmp_path: Path) -> Callable[[str], Performed]:
    """Run a scenario given as TOML into a directory of the test, and analyze it from disk."""

    def run(text: str) -> Performed:
        outcome = perform(parse_scenario(text, "test.toml"), output=tmp_path / "run", command=["harness", "run"])
        return outcome, analyze_recording(outcome.path)

    return run
