"""Witnesses of a run on this machine alone, by loopback: what they hear, where they end, and what they leave alone."""

import os
import sys
from pathlib import Path

import pytest

from harness.analysis import analyze_recording, load_evidence
from harness.cli.receive import witness_kinds
from harness.errors import UsageError
from harness.model.scenario import Receiver, Scenario, Stream, TimedEvent
from harness.model.witness import WitnessSeries
from harness.run import perform
from harness.run.plan import resolve
from harness.run.witnesses import listening, tap
from harness.store import RunReader, layout, open_run

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a tap needs Linux and root")
NUMBER = os.getpid() % 250 + 1
GROUP = f"239.255.{NUMBER}.62:46162"


def recorded(
    folder: Path, *events: TimedEvent, rate: str = "200pps", seconds: float = 1.0, **keys: object
) -> RunReader:
    sent = Stream(group=GROUP, interface="lo", rate=rate, duration=f"{seconds}s")
    receiver = Receiver(groups=[GROUP], interface="lo", **keys)  # type: ignore[arg-type]  # keys of a test's own
    scenario = Scenario(linger="200ms", stream=[sent], receiver=[receiver], event=list(events))
    outcome = perform(scenario, output=folder / "run", command=["test"])
    assert (outcome.reason, outcome.error) == ("complete", None)
    return open_run(folder / "run")


def by_kind(reader: RunReader) -> dict[str, WitnessSeries]:
    return {f"{one.kind} {one.direction}": one for one in reader.witnesses}


def test_everyone_hears_beside_a_deaf_socket(tmp_path: Path) -> None:
    run = recorded(tmp_path, TimedEvent(at="200ms", action="deafen"), seconds=2.4)
    found = by_kind(run)
    assert [one.missing for one in run.witnesses] == [None] * 5
    assert sum(found["tap in"].counts) == sum(found["tap out"].counts) >= 480
    assert sum(found["second-socket in"].counts) == sum(found["tap in"].counts)
    assert 30 <= sum(found["unicast-twin in"].counts) <= 60
    assert len(found["reopened-socket in"].opened_ns) == 1
    assert 100 <= sum(found["reopened-socket in"].counts) <= 220
    assert all(one.source for one in run.witnesses)
    assert analyze_recording(run.path).membership is None  # what a host tells itself on loopback means nothing


def test_a_second_socket_is_no_member(tmp_path: Path) -> None:
    run = recorded(tmp_path, TimedEvent(at="500ms", action="leave"), seconds=2.0)
    found = by_kind(run)
    assert 60 <= sum(found["second-socket in"].counts) <= 200
    assert sum(found["tap in"].counts) >= 400
    assert found["reopened-socket in"].opened_ns == []  # a join of its own would make the host a member again


def test_a_receiver_that_hears_needs_no_reopened_socket(tmp_path: Path) -> None:
    found = by_kind(recorded(tmp_path, rate="2pps", seconds=2.6))
    assert found["reopened-socket in"].opened_ns == []
    assert len({len(one.counts) for one in found.values()}) == 1


def test_without_witnesses_there_is_no_file_of_theirs(tmp_path: Path) -> None:
    run = recorded(tmp_path, witnesses=[], seconds=0.2)
    assert run.witnesses == []
    assert not (run.path / layout.WITNESSES).exists()
    (host,) = load_evidence(run.path).hosts
    assert host.name == run.manifest.host
    assert host.before.keys() == host.after.keys()
    assert host.after["taken_ns"] > host.before["taken_ns"]


def test_witnesses_end_where_they_would_disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "MAX_PPS", 100)
    monkeypatch.setattr(listening, "MAX_PPS", 100)
    run = recorded(tmp_path, rate="500pps", seconds=2.0)
    found = by_kind(run)
    assert 20 < sum(found["tap in"].counts) < 700
    assert 20 < sum(found["second-socket in"].counts) < 700
    assert sum(found["unicast-twin in"].counts) >= 30
    texts = [event.text for event in run.events if event.kind == "note"]
    assert any(text.startswith("the tap takes IGMP and MLD alone") for text in texts)
    assert any(text.startswith("the second socket") for text in texts)
    assert analyze_recording(run.path).streams[0].lost == 0


@pytest.mark.parametrize("keys", [{"offload": True}, {"witnesses": []}])
def test_measurements_of_rate_have_no_witnesses(keys: dict[str, object]) -> None:
    receiver = Receiver(groups=[GROUP], interface="lo", **keys)  # type: ignore[arg-type]  # keys of a test's own
    plan = resolve(Scenario(stream=[Stream(group=GROUP, interface="lo", count=1)], receiver=[receiver]))
    assert (plan.receivers[0].witnesses, plan.is_sender_tapped, plan.twins) == ((), False, ())


def test_a_run_that_counts_has_no_witnesses() -> None:
    sent = Stream(group=GROUP, interface="lo", count=1)
    plan = resolve(Scenario(record="counters", stream=[sent], receiver=[Receiver(groups=[GROUP], interface="lo")]))
    assert (plan.receivers[0].witnesses, plan.is_sender_tapped, plan.twins) == ((), False, ())


def test_a_twin_needs_a_sender_of_ours() -> None:
    plan = resolve(Scenario(duration="1s", receiver=[Receiver(groups=[GROUP], interface="lo")]))
    assert plan.receivers[0].witnesses == ("unicast-twin", "second-socket", "reopened-socket", "tap")
    assert plan.twins == ()


def test_an_unknown_witness_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="unknown witness 'tab'; did you mean 'tap'"):
        witness_kinds("second-socket,tab")
