import json
from pathlib import Path

import pytest

from harness.analysis import analyze_recording
from harness.analysis.truth import TRUTH, compare_with_truth
from harness.model.scenario_text import parse_scenario
from harness.run import perform

SCENARIO = """
linger = "100ms"
[[stream]]
group = "239.255.86.1:5086"
interface = "127.0.0.1"
rate = "500pps"
count = 200
impair = { loss = "5%", corrupt = "2%", seed = 3 }
[[receiver]]
groups = ["239.255.86.1:5086"]
interface = "127.0.0.1"
"""


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "run"
    perform(parse_scenario(SCENARIO, "x"), output=path, command=[])
    return path


def test_summary_says_that_it_agrees_with_the_truth(run_path: Path) -> None:
    notes = [note for note in analyze_recording(run_path).notes if "lost" in note]
    assert len(notes) == 1
    assert notes[0].endswith("as the impairment's own record says")


def test_disagreement_is_said(run_path: Path, tmp_path: Path) -> None:
    streams = analyze_recording(run_path).streams
    (tmp_path / TRUTH).write_text(json.dumps({"stream": streams[0].stream_id, "seq": 1, "did": "dropped"}) + "\n")
    (sentence,) = compare_with_truth(tmp_path, streams)
    assert "but the impairment took 1" in sentence


@pytest.mark.parametrize(
    "text", ["{", "[]\n", '{"did": "dropped"}\n', '{"did": "dropped", "stream": null, "seq": 1}\n']
)
def test_damaged_truth_is_a_note_and_no_error(run_path: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / TRUTH).write_text(text)
    (sentence,) = compare_with_truth(tmp_path, analyze_recording(run_path).streams)
    assert "cannot be read" in sentence
