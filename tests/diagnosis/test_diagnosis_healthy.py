"""A healthy run is "ok" and nothing else, whatever its rates, edges, neighbours and delays."""

import random

import msgspec
import pytest
from diagnosis_cases import ENDPOINT, Run, at, drop_rule
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis import diagnose
from harness.model import Distribution
from harness.model.witness import Evidence


def names(run: Run) -> list[str]:
    return [each.name for each in diagnose(*run.build())]


@pytest.mark.parametrize("seed", range(50))
def test_random_healthy_runs_are_ok(seed: int) -> None:
    dice = random.Random(seed)
    run = Run(rate=dice.choice([20, 50, 100, 200, 1000, 5000]), seconds=dice.choice([5.0, 20.0, 60.0]))
    run.senders = [run.sender(size=dice.choice([64, 200, 1400, 9000]), ttl=dice.choice([1, 2, 16]))]
    if dice.random() < 0.5:
        run.queries, run.reports = [], [-0.5]  # a plain LAN without snooping
    if dice.random() < 0.5:
        run.queries = [dice.uniform(0, run.seconds) for _ in range(5)]  # other people's, at odd times
        run.querier_version = dice.choice([2, 3])
        run.queries.sort()
    if dice.random() < 0.4:
        run.stream.gap(0.0, dice.uniform(0.01, 0.4), "late_start")
    if dice.random() < 0.4:
        run.stream.gap(run.seconds - dice.uniform(0.01, 0.19), run.seconds, "stopped")
    if dice.random() < 0.3:
        run.after("rx")["counters"] = {}
        run.counters["IPReversePathFilter"] = 12
    if dice.random() < 0.3:
        run.after("rx")["firewall"]["nft"].append(drop_rule(400))
    if dice.random() < 0.3:
        run.event(3.0, "route", "rx: 10.9.0.0/24 added").event(4.0, "link", "rx: wlan0 down (no carrier)")
    if dice.random() < 0.5:
        run.absent = set(dice.sample(["tap", "second-socket", "reopened-socket", "unicast-twin"], 2))
    if dice.random() < 0.3:
        run.accounts[1] = {"not_sent": 3, "sent": round(run.seconds * run.rate) - 3}
    assert names(run) == ["ok"]


def test_ok_says_what_arrived() -> None:
    (only,) = diagnose(*Run().build())
    assert only.sentence == "No fault found: 2,000 packets of 1 stream arrived as they were sent"
    assert only.score == 1.0


def test_a_stall_without_loss_is_ok() -> None:
    run = Run()
    received = [5] * 400
    received[100:140], received[140] = [0] * 40, 205
    run.stream.received = received
    assert names(run) == ["ok"]


@pytest.mark.parametrize("seed", range(20))
def test_irregular_stalls_of_a_busy_machine_are_ok(seed: int) -> None:
    dice = random.Random(seed)
    run = Run()
    received, held = [], 0
    stalls = sorted(dice.sample(range(380), 8))
    for place in range(400):
        held += 5
        if any(start <= place < start + dice.randint(2, 9) for start in stalls):
            received.append(0)
        else:
            received.append(held)
            held = 0
    run.stream.received = received
    assert names(run) == ["ok"]


def test_bursts_of_a_late_sender_are_not_the_network_s() -> None:
    run = Run()
    run.stream.received = [(31 if k % 6 == 5 else 0) for k in range(400)]
    summary, manifest, evidence = run.build()
    late = msgspec.structs.replace(
        summary.senders[0], lateness=Distribution(n=2000, percentiles_ns={"90": 250_000_000.0, "99": 290_000_000.0})
    )
    (first, *_) = diagnose(msgspec.structs.replace(summary, senders=[late]), manifest, evidence)
    assert first.name != "power-save-like"


def test_a_leave_that_was_asked_for_is_no_drop_out() -> None:
    run = (
        Run()
        .event(8.0, "leave", "leave (*, 239.1.1.1) on eth0", "rx")
        .event(10.0, "join", "join (*, 239.1.1.1) on eth0", "rx")
    )
    run.gap(8.0, 10.0)
    (only,) = diagnose(*run.build())
    assert only.name == "ok"
    assert "1,800 packets of 1 stream arrived as they were sent; 200 more were due while" in only.sentence


def test_a_leave_of_another_group_excuses_nothing() -> None:
    run = Run().event(8.0, "leave", "leave (*, 239.1.1.11) on eth0", "rx").gap(8.0, 10.0, "second-socket", "tap")
    assert names(run) != ["ok"]


def test_a_receiver_that_joins_late_misses_nothing() -> None:
    run = Run()
    run.receivers = [msgspec.structs.replace(run.receivers[0], joined_ns=at(5.0))]
    run.stream.gap(0.0, 5.1, "late_start")
    assert names(run) == ["ok"]


def test_a_start_that_is_missing_for_seconds_is_a_symptom() -> None:
    run = Run()
    run.stream.gap(0.0, 3.0, "late_start")
    assert names(run) != ["ok"]


def test_an_interrupted_sender_is_ok() -> None:
    run = Run()
    run.end_reason = "interrupted"
    run.accounts[1] = {"sent": 1000, "not_sent": 1000}
    run.stream.not_sent = 1000
    run.stream.gap(10.0, 20.0, "stopped")
    assert names(run) == ["ok"]


def test_a_run_that_only_sent_is_ok() -> None:
    summary, manifest, _ = Run().build()
    summary = msgspec.structs.replace(summary, streams=[], membership=None)
    (only,) = diagnose(summary, msgspec.structs.replace(manifest, kind="send"), Evidence())
    assert (only.name, only.sentence) == ("ok", "No fault found: 2,000 packets of 1 stream left as scheduled")


def test_packets_that_left_by_the_interface_asked_for_are_ok_whatever_else_is_tapped() -> None:
    run = Run()
    run.out = {"eth0": [(0.0, 20.0)], "br0": [(0.0, 20.0)], "lo": [(0.0, 20.0)]}
    assert names(run) == ["ok"]


def test_an_old_querier_from_the_start_is_ok() -> None:
    run = Run()
    run.querier_version = 2
    run.snapshots["rx"]["memberships"]["inet"][0]["version"] = "V2"
    assert names(run) == ["ok"]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from(
        [
            "interfaces",
            "routes",
            "rules",
            "memberships",
            "settings",
            "counters",
            "qdiscs",
            "firewall",
            "versions",
            "log",
        ]
    ),
)
def test_snapshots_of_any_form_raise_nothing(value: object, section: str) -> None:
    run = Run().gap(8.0, 10.0, "tap")
    for host in run.snapshots.values():
        host[section] = value
    assert diagnose(*run.build())


@settings(max_examples=30, deadline=None)
@given(st.integers(5_000, 60_000), st.integers(0, 15_000))
def test_a_window_of_any_length_ends_in_a_verdict(length_ms: int, start_ms: int) -> None:
    run = Run(seconds=80.0).gap(start_ms / 1000, (start_ms + length_ms) / 1000, "tap")
    assert names(run)[0] != "ok"


def test_a_group_of_which_nothing_is_known_cannot_be_judged() -> None:
    run = Run()
    summary, manifest, _ = run.build()
    silent = msgspec.structs.replace(
        summary.streams[0],
        received=0,
        expected=None,
        lost=None,
        epoch=None,
        stream_id=None,
        first_rx_ns=None,
        last_rx_ns=None,
    )
    summary = msgspec.structs.replace(summary, streams=[silent], senders=[], membership=None)
    (first, *_) = diagnose(summary, msgspec.structs.replace(manifest, senders=[]), Evidence())
    assert first.name == "cannot-tell"
    assert ENDPOINT in first.sentence


def test_many_windows_are_explained_within_a_second() -> None:
    run = Run(seconds=2000.0)
    for k in range(1500):
        run.stream.gap(k + 0.2, k + 0.6)
    assert diagnose(*run.build())[0].name != "ok"


def test_a_group_that_is_joined_later_by_an_event_misses_nothing() -> None:
    run = Run().event(5.0, "join", "join (*, 239.1.1.1) on eth0", "rx")
    run.stream.gap(0.0, 5.1, "late_start")
    assert names(run) == ["ok"]
