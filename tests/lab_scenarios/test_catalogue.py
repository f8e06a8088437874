"""The scenarios are the tests: each provokes its cause in a lab, and the diagnosis names it from the evidence alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import netns
import pytest

from harness.diagnosis import catalogue as causes
from harness.matrix.catalogue import Entry, entries, find_entry
from harness.matrix.variants import PAIRS, healthy_variant
from harness.model.matrix import Matrix, Trial
from harness.model.scenario_lab import REAL_TIMERS, stretched
from harness.model.scenario_text import check_scenario
from harness.store import read_summary
from harness.units import NS_PER_S

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

N_HEALTHY = 6
JOBS = 2 * (os.cpu_count() or 1)
"""Labs side by side: not so many that they take all of the machine from the tests that run meanwhile."""

ENTRIES = entries()
SHARP = {"host-firewall": 5_000_000, "host-firewall-v6": 5_000_000}
"""Scenarios whose drop-out has the impairment's own edges, and the interval of their packets in ns."""


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """Every scenario once, three pairs of causes and some healthy runs, side by side."""
    netns.require_lab()
    output = tmp_path_factory.mktemp("lab") / "runs"
    names = [entry.name for entry in ENTRIES] + ["+".join(pair) for pair in PAIRS[:3]]
    how = ["--jobs", str(JOBS), "--healthy", str(N_HEALTHY), "--json", "--output", str(output)]
    command = [sys.executable, "-m", "harness", "lab", "run", *names, *how]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=800, check=False)
    return msgspec.json.decode(done.stdout, type=Matrix)


def trial_of(matrix: Matrix, name: str) -> Trial:
    return next(trial for trial in matrix.trials if trial.scenario == name)


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_the_cause_is_named_first_and_every_packet_is_accounted_for(matrix: Matrix, name: str) -> None:
    trial = trial_of(matrix, name)
    assert trial.error is None
    assert trial.first == trial.expected, trial.ranking
    assert trial.is_balanced, (Path(trial.path) / "ledger.json").read_text()


@pytest.mark.parametrize("pair", PAIRS[:3], ids="+".join)
def test_of_two_causes_both_are_among_the_first_three(matrix: Matrix, pair: tuple[str, str]) -> None:
    trial = trial_of(matrix, "+".join(pair))
    assert trial.is_named, trial


@pytest.mark.parametrize("number", range(1, N_HEALTHY + 1))
def test_a_healthy_run_is_nothing_but_ok(matrix: Matrix, number: int) -> None:
    trial = trial_of(matrix, f"healthy~{number}")
    assert [name for name, _ in trial.ranking] == ["ok"], trial
    assert trial.is_balanced


@pytest.mark.parametrize("name", SHARP)
def test_edges_of_a_drop_out_are_those_of_the_impairment(matrix: Matrix, name: str) -> None:
    path = Path(trial_of(matrix, name).path)
    begun, ended = (json.loads(line) for line in (path / "lab.jsonl").read_text().splitlines())
    summary = read_summary(path)
    assert summary is not None
    (window,) = summary.streams[0].windows
    slack_ns = SHARP[name] + 2 * NS_PER_S // 1000
    assert begun["t_ns"] - slack_ns <= window.start_ns <= begun["t_done_ns"] + slack_ns
    assert ended["t_ns"] - slack_ns <= window.end_ns <= ended["t_done_ns"] + slack_ns


def test_every_cause_of_the_table_has_a_scenario_or_cannot_have_one() -> None:
    without = {cause.name for cause in causes()} - {entry.cause for entry in ENTRIES}
    assert without == {
        "recording-damaged", "macos-local-network", "sender-stopped", "not-sent", "network-outage", "cannot-tell",
    }  # fmt: skip


def test_every_scenario_expects_a_verdict_that_the_table_knows() -> None:
    assert {entry.cause for entry in ENTRIES} <= {cause.name for cause in causes()}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_scenario_is_valid_with_real_timers_and_says_what_it_is_about(entry: Entry) -> None:
    check_scenario(stretched(entry.scenario, REAL_TIMERS), entry.name)
    assert entry.scenario.description
    assert entry.path.read_text().startswith("# ")


def test_a_scenario_for_ipv6_holds_no_ipv4_address() -> None:
    for entry in ENTRIES:
        if entry.family == 6:
            text = msgspec.json.encode(msgspec.structs.replace(entry.scenario, description="")).decode()
            assert "10.77." not in text, entry.name
            assert "239." not in text, entry.name


def test_healthy_runs_at_random_are_the_same_for_the_same_number() -> None:
    scenario = find_entry("healthy").scenario
    assert healthy_variant(scenario, 3) == healthy_variant(scenario, 3)
    assert healthy_variant(scenario, 3) != healthy_variant(scenario, 4)
