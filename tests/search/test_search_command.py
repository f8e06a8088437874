"""`harness search` as a user calls it: real runs over loopback, results on disk, exit codes."""

import json
from pathlib import Path

import pytest

from harness.analysis import analyze_recording
from harness.cli import main
from harness.model.search import SearchResult, SearchTrial, TrialVerdict
from harness.plots.search import search_figure
from harness.plots.style import encode
from harness.search import finding, format_search
from harness.search.trials import LocalTrials, TrialSettings
from harness.store.documents import read_document

GROUP = "239.255.81.1:5081"
QUICK = ["--interface", "127.0.0.1", "--trial", "200ms", "--size", "64"]


def test_short_search_on_loopback_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "search"
    code = main(["search", GROUP, *QUICK, "--lowest", "100pps", "--highest", "2kpps", "--output", str(folder)])
    told = capsys.readouterr()
    result = read_document(folder / "search.json", SearchResult, 1)
    assert result.trials[0].asked_pps == 2_000
    assert result.trials[0].scheduled == 400
    if result.trials[0].verdict == "loss-free":
        assert (code, result.end, result.throughput_pps) == (0, "highest passed", 2_000)
        assert "no loss up to 2 kpps" in told.out.lower()
    else:  # a machine too busy for 2 kpps has to say that it was the sender
        assert {trial.verdict for trial in result.trials} <= {"loss-free", "sender-limited"}
    assert "trial 1" in told.err
    assert {path.name for path in folder.iterdir()} == {"search.json", "search.png", "search.svg"}


def test_absurd_load_is_called_the_senders_fault_and_json_is_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--lowest", "200pps", "--highest", "50Mpps", "--max-trials", "1", "--offload", "--keep", "--json"]
    assert main(["search", GROUP, *QUICK[:2], "--trial", "5ms", *arguments, "--output", str(tmp_path / "s")]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["end"] == "trials"
    assert [trial["verdict"] for trial in told["trials"]] in (["sender-limited"], ["own-buffer"])
    assert told["throughput_pps"] is None
    assert (tmp_path / "s" / "trial-001" / "manifest.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [GROUP, "--highest", "max"],
        [GROUP, "--lowest", "9kpps", "--highest", "1kpps"],
        [GROUP, "--interface", "no-such-interface", "--trial", "10ms"],
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["search", *arguments, "--output", str(tmp_path / "s")]) == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if "trial" not in line]) == 1
    assert not (tmp_path / "s").exists()


def result(**changes: object) -> SearchResult:
    fields: dict[str, object] = {
        "method": "rfc2544", "group": GROUP, "interface": None, "receive_interface": None, "size": 64,
        "offload": False, "buffer_bytes": None, "trial_ns": 10**9, "lowest_pps": 1.0, "highest_pps": 9.0,
        "resolution_pps": 1.0, "loss_tolerance": 0.0, "trials": [], "throughput_pps": None,
        "upper_bound_pps": None, "limited_by": None, "end": "interrupted",
    }  # fmt: skip
    return SearchResult(**(fields | changes))  # type: ignore[arg-type] # a table of fields


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "no load was tried to its end (interrupted)"),
        ({"throughput_pps": 9.0, "end": "highest passed"}, "no loss up to 9 pps, the highest load searched"),
        (
            {"throughput_pps": 5.0, "upper_bound_pps": 6.0, "limited_by": "loss", "end": "resolved"},
            "no loss up to 5 pps; at 6 pps the network lost packets",
        ),
        (
            {"upper_bound_pps": 1.0, "limited_by": "sender-limited", "end": "lowest failed"},
            "no load passed; at 1 pps this sender fell behind, so the network's limit was not reached",
        ),
    ],
)
def test_finding_names_the_limit(changes: dict[str, object], sentence: str) -> None:
    found = result(**changes)
    assert finding(found) == sentence
    assert format_search(found).splitlines()[0].lower().startswith(sentence.lower()[:20])
    assert encode(search_figure(found, sentence), "svg").startswith(b"<?xml")


def trial(number: int, asked_pps: float, offered_pps: float, verdict: TrialVerdict) -> SearchTrial:
    lost = 0 if verdict in ("loss-free", "sender-limited") else 500
    return SearchTrial(
        number=number, asked_pps=asked_pps, offered_pps=offered_pps, duration_ns=10**9, scheduled=1000, sent=1000,
        received=1000 - lost, lost=lost, own_buffer=lost if verdict == "own-buffer" else 0, loss_ratio=lost / 1000,
        late_max_ns=None, verdict=verdict,
    )  # fmt: skip


@pytest.mark.parametrize("throughput_pps", [1e3, 3e4, 2e5])
@pytest.mark.parametrize("verdict", ["loss", "own-buffer", "sender-limited"])
def test_figure_reaches_to_what_was_offered_and_its_label_stays_inside(
    throughput_pps: float, verdict: TrialVerdict
) -> None:
    offered = [(1e9, 3e5), (1e3, 1e3), (throughput_pps, throughput_pps), (2.2e5, 2.2e5)]
    verdicts: list[TrialVerdict] = [verdict, "loss-free", "loss-free", verdict]
    trials = [trial(k + 1, *rates, said) for k, (rates, said) in enumerate(zip(offered, verdicts, strict=True))]
    figure = search_figure(
        result(trials=trials, throughput_pps=throughput_pps, upper_bound_pps=2.2e5, end="resolved"), "what was found"
    )
    encode(figure, "png")  # lays it out
    axes = figure.axes[0]
    left, right = axes.get_xlim()
    assert left == 0
    assert right == pytest.approx(1.04 * (6e5 if verdict == "sender-limited" else 3e5))
    (label,) = axes.texts
    frame, text = axes.get_window_extent(), label.get_window_extent()
    assert frame.x0 <= text.x0 < text.x1 <= frame.x1
    assert frame.y0 <= text.y0 < text.y1 <= frame.y1


def test_runs_that_the_own_buffer_dropped_are_not_called_the_networks_loss(tmp_path: Path) -> None:
    settings = TrialSettings(group=GROUP, interface="lo", offload=True, buffer="8KB", trial_ns=20_000_000, keep=True)
    trial = LocalTrials(settings, tmp_path, ["test"])(1, 2e6)
    assert trial is not None
    assert trial.lost > 64
    assert trial.verdict == "own-buffer"
    assert trial.own_buffer == trial.lost
    summary = analyze_recording(tmp_path / "trial-001")
    (stream,) = summary.streams
    assert (stream.attribution.network, stream.attribution.own_buffer) == (0, stream.lost)
    assert summary.socket_drops
    assert any("may be of 64 packets" in note for note in summary.notes)
