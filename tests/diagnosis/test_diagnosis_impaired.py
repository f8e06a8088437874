"""What a sender left out on purpose is told as that, once, and hides nothing else."""

from pathlib import Path

import msgspec
import pytest
from diagnosis_cases import Run, S
from diagnosis_scenarios import POSITIVE, UPSTREAM, impaired_at_sender

from harness.analysis.impaired import load_impairments
from harness.conclusion import with_verdicts
from harness.diagnosis import diagnose
from harness.model import End, Verdict
from harness.model.scenario import Expect
from harness.model.witness import SenderImpairment
from harness.store import RunWriter, open_run


def verdicts(run: Run) -> list[Verdict]:
    return diagnose(*run.build())


def test_all_that_the_sender_left_out_is_one_verdict_and_no_other() -> None:
    (only,) = verdicts(impaired_at_sender())
    assert (only.name, only.score) == ("impaired-at-sender", 1.0)
    assert "left out 220 of the 220 packets" in only.sentence
    assert any("a drop-out from 8 s to 10 s, 2% loss" in text for text in only.evidence_for)
    assert any("tap saw nothing leave" in text for text in only.evidence_for)
    assert "[stream.impair]" in only.remedy


def test_a_drop_out_of_the_network_is_not_hidden_by_it() -> None:
    run = impaired_at_sender()
    run.after("rx")["interfaces"]["eth0"]["carrier_changes"] = 4
    run.event(4.1, "link", "rx: eth0 down (no carrier)").event(5.9, "link", "rx: eth0 up")
    run.gap(4.0, 6.0, *UPSTREAM, "unicast-twin")
    first, second, *_ = verdicts(run)
    assert {first.name, second.name} == {"impaired-at-sender", "link-down"}
    told = first if first.name == "impaired-at-sender" else second
    assert "220 of the 420" in told.sentence
    assert any("did not leave out the other 200" in text for text in told.evidence_against)


def test_scattered_loss_beyond_what_it_left_out_is_the_network_s() -> None:
    run = impaired_at_sender()
    run.stream.isolated += 60
    run.stream.lost_at += [0.3 * k for k in range(60)]
    named = {each.name: each for each in verdicts(run)[:2]}
    assert set(named) == {"impaired-at-sender", "random-loss"}
    assert "60 in all" in named["random-loss"].sentence


def test_a_tap_that_saw_the_packets_leave_contradicts_the_record() -> None:
    run = impaired_at_sender()
    run.out = {"eth0": [(0.0, 20.0)]}
    (only,) = verdicts(run)
    assert only.score < 0.5
    assert any("packets leave in the longest" in text for text in only.evidence_against)


def test_another_start_of_the_stream_is_not_meant() -> None:
    run = impaired_at_sender()
    run.impairments = [msgspec.structs.replace(run.impairments[0], epoch=2)]
    assert "impaired-at-sender" not in {each.name for each in verdicts(run)}


def test_an_impairment_that_took_nothing_is_ok() -> None:
    run = Run()
    run.impairments = [SenderImpairment(stream_id=1, epoch=1, dropped=[], corrupted=[], n_duplicated=9)]
    assert [each.name for each in verdicts(run)] == ["ok"]


def test_without_a_record_the_scenario_alone_is_less_sure_and_explains_only_what_it_asked_for() -> None:
    run = impaired_at_sender()
    run.impairments = [msgspec.structs.replace(run.impairments[0], dropped=None, corrupted=None)]
    first = verdicts(run)[0]
    assert first.name == "impaired-at-sender"
    assert first.score < 1
    assert "truth.jsonl" in first.settled_by
    run.impairments = [msgspec.structs.replace(run.impairments[0], loss="0%", dropouts_ns=[(2 * S, 3 * S)])]
    assert "impaired-at-sender" not in {each.name for each in verdicts(run)}


def test_a_drop_out_that_a_kill_cut_short_is_the_one_asked_for() -> None:
    run = Run().gap(8.0, 20.0, *UPSTREAM, kind="stopped")
    run.impairments = [SenderImpairment(stream_id=1, epoch=1, dropouts_ns=[(8 * S, 30 * S)])]
    assert verdicts(run)[0].name == "impaired-at-sender"


IMPAIR = {"loss": "1%", "dropouts": [{"at": "1s", "lasts": "500ms"}], "seed": 3}


def recorded(path: Path, stream: dict[str, object], truth: str | None) -> list[SenderImpairment]:
    """What is loaded of a run of one stream, with id 1, whose manifest has this entry."""
    _, manifest, _ = POSITIVE["impaired"][1]().build()
    resolved = {"stream": [{"group": "239.9.9.9:1"}, stream]}
    info = msgspec.structs.replace(manifest.senders[0], stream_id=2, epoch=7)
    manifest = msgspec.structs.replace(manifest, resolved=resolved, senders=[info], hosts=[])
    with RunWriter.create(path, manifest) as writer:
        writer.finish(End(reason="complete", t_ns=1))
    if truth is not None:
        (path / "truth.jsonl").write_text(truth, encoding="utf-8")
    return load_impairments(open_run(path))


@pytest.mark.parametrize("number", [2, None])
def test_the_record_is_read_by_the_stream_s_number(tmp_path: Path, number: int | None) -> None:
    truth = "".join(
        f'{{"stream": {stream}, "seq": {seq}, "did": "{did}"}}\n'
        for stream, seq, did in ((2, 9, "dropped"), (2, 4, "dropped"), (2, 5, "corrupted"), (1, 1, "dropped"))
    )
    (found,) = recorded(tmp_path / "run", {"stream": number, "impair": IMPAIR}, truth)
    assert (found.stream_id, found.epoch, found.loss) == (2, 7, "1%")
    assert found.dropouts_ns == [(S, S + S // 2)]
    assert (found.dropped, found.corrupted) == ([4, 9], [5])


@pytest.mark.parametrize("truth", [None, "{", "[1]\n", '{"stream": 2}\n', '{"stream": "x", "seq": 1, "did": "y"}\n'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, truth: str | None) -> None:
    (found,) = recorded(tmp_path / "run", {"stream": 2, "impair": IMPAIR}, truth)
    assert (found.dropped, found.corrupted) == (None, None)


@pytest.mark.parametrize("entry", [{"stream": 2}, {"stream": 2, "impair": None}, {"stream": 3, "impair": IMPAIR}])
def test_a_stream_that_nobody_impaired_has_nothing_to_tell(tmp_path: Path, entry: dict[str, object]) -> None:
    assert recorded(tmp_path / "run", entry, None) == []


def test_an_impairment_of_another_version_asks_for_nothing_that_is_known(tmp_path: Path) -> None:
    (found,) = recorded(tmp_path / "run", {"stream": 2, "impair": {"fading": "3dB"}}, "")
    assert (found.loss, found.dropouts_ns, found.dropped) == ("0%", [], [])


def test_the_sample_that_comes_along_is_explained_by_its_own_record() -> None:
    reader = open_run(Path(__file__).parents[2] / "results" / "sample")
    expect = msgspec.convert(reader.manifest.resolved["expect"], Expect)
    stored = reader.summary()
    assert stored is not None
    summary = with_verdicts(msgspec.structs.replace(stored, verdicts=[], limits=[]), reader, expect)
    assert summary.verdicts == stored.verdicts
    assert [(each.name, each.score) for each in summary.verdicts] == [("impaired-at-sender", 1.0)]
    assert all(limit.is_passed for limit in summary.limits)
