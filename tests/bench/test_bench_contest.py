"""Pairs of programs on loopback, and how rounds become rows."""

import json
import math
import random
import statistics
import sys
from collections import Counter
from typing import Any

import msgspec
import pytest

from harness.bench import course, rates
from harness.bench.contest import Contest, contest, middle_rate, run_pair
from harness.bench.costs import own_buffer
from harness.bench.disciplines import all_disciplines
from harness.bench.place import LOOPBACK, Place
from harness.bench.rates import loss_free_rate, offload_rate
from harness.bench.rows import Bench, decides_rate, figure_of, one_each, span
from harness.bench.tools import BARE, BARE_EAGER, OURS, PEERS, Task, Tool, find_peers
from harness.bench.wording import format_bench
from harness.errors import UsageError
from harness.model.bench import BenchFigure, BenchResult, BenchRow, OfRound
from harness.plots.bench import bench_figure
from harness.plots.style import encode

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the bare loop is Linux's recvmmsg and sendmmsg")


@LINUX
@pytest.mark.parametrize("offload", [False, True])
def test_bare_loop_counts_what_it_moves(offload: bool) -> None:
    done = contest(LOOPBACK, BARE, Task(size=100, seconds=0.2, buffer_bytes=8_000_000, pps=20_000, offload=offload))
    assert done.error == ""
    assert done.tx["sent"] > 0
    assert done.rx["received"] + (0 if offload else done.rx["drops"]) == done.tx["sent"]


@LINUX
def test_witness_keeps_the_stamp_of_each_packet() -> None:
    done = contest(LOOPBACK, BARE, Task(size=100, seconds=0.2, buffer_bytes=8_000_000, pps=20_000, stamps=True))
    gaps = done.rx["gaps_ns"]
    assert len(gaps) == done.rx["received"] - 1
    assert min(gaps) >= 0
    assert sum(gaps) == pytest.approx(done.rx["lasted_ns"], rel=0.5)


@LINUX
def test_our_own_pair_checks_every_number() -> None:
    done = contest(LOOPBACK, OURS, Task(size=64, seconds=0.3, buffer_bytes=8_000_000, pps=5_000, delays=True))
    assert done.error == ""
    assert (done.tx["sent"], done.rx["received"], done.rx["lost"]) == (1_500, 1_500, 0)
    assert 0 < done.rx["delay_ns"]["50"] <= done.rx["delay_ns"]["99"] < 1e9


def test_program_that_fails_is_an_error_not_a_figure() -> None:
    code = [sys.executable, "-c", "raise SystemExit('cannot do that')"]
    done = run_pair(LOOPBACK, code, code, 5999, 0.1, ends_itself=True)
    assert "cannot do that" in done.error
    assert not done.is_loss_free


@pytest.mark.parametrize(
    ("samples", "rate"),
    [([], 0.0), ([(0.0, 5), (1.0, 5)], 0.0), ([(0.0, 0), (0.0, 10)], 0.0), ([(0.0, 0), (2.0, 10)], 5.0)],
)
def test_middle_rate_of_short_counts(samples: list[tuple[float, int]], rate: float) -> None:
    assert middle_rate(samples) == pytest.approx(rate)


def make_bench(peers: set[str], *, is_quick: bool = True) -> Bench:
    return Bench(LOOPBACK, peers, 3, 0.1, 1_000_000, is_quick)


def row_of(monkeypatch: pytest.MonkeyPatch, capacity: dict[str, int], flat_out: dict[str, int]) -> BenchRow:
    def simulate(_: Place, tool: Tool, task: Task, **__: Any) -> Contest:
        name = tool.name.removesuffix(", eager")
        sent = task.pps or flat_out[name]
        received = min(sent, capacity[name])
        report = {"sent": sent, "received": received, "lost": sent - received}
        return Contest(sent=sent, received=received, pps=received, rx=report, tx=report)

    monkeypatch.setattr(rates, "contest", simulate)
    return loss_free_rate(make_bench({"iperf"}, is_quick=False), 64)


def test_rate_with_loss_does_not_count_and_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(
        monkeypatch, {"ours": 200, "bare loop": 200, "iperf": 100}, {"ours": 150, "bare loop": 160, "iperf": 150}
    )
    medians = {figure.tool: figure.median for figure in row.figures}
    assert medians == {"ours": 150, "bare loop": 160, "bare loop, eager": 160, "iperf": 92}
    assert row.is_reached is True
    assert row.measured == "1.63 x iperf (1.63 to 1.63), 0.94 x the bare loop (0.94 to 0.94)"


@pytest.mark.parametrize(("of_round", "turns_a_round"), [("mean", 5), ("median", 1)])
def test_span_of_a_ratio_holds_the_true_one_in_nine_of_ten_benches(
    monkeypatch: pytest.MonkeyPatch, of_round: OfRound, turns_a_round: int
) -> None:
    monkeypatch.setattr("harness.bench.rows.N_DRAWS", 100)
    monkeypatch.setattr("harness.bench.rows.BEYOND", 5)
    dice = random.Random(7)
    n_rounds = 25 // turns_a_round

    def simulate(place: float) -> BenchFigure:
        rounds: list[list[float | None]] = [[None]]
        rounds += [[dice.lognormvariate(place, 0.2) for _ in range(turns_a_round)] for _ in range(n_rounds)]
        return figure_of("x", rounds, of_round=of_round)

    n_held, n_missed_low = 0, 0
    for _ in range(300):
        found = span(simulate(0.2), simulate(0.0))
        assert found is not None
        n_held += found[0] <= math.exp(0.2) <= found[1]
        n_missed_low += found[0] > math.exp(0.2)
    assert 0.85 < n_held / 300 < 0.97
    assert 0 < n_missed_low < 30


def test_span_is_not_known_from_few_turns_nor_beside_nothing() -> None:
    whole, few = figure_of("x", one_each([1.0] * 5)), figure_of("x", one_each([1.0, 1.0, 1.0, 1.0, None]))
    assert span(whole, few) is None
    assert span(whole, figure_of("x", one_each([0.0] * 5))) is None


def test_the_mean_of_rounds_lies_still_where_a_machine_has_two_speeds() -> None:
    dice = random.Random(7)
    found: dict[OfRound, list[float]] = {"mean": [], "median": []}
    for _ in range(200):
        rounds: list[list[float | None]] = [[dice.choice((300.0, 450.0)) for _ in range(5)] for _ in range(5)]
        for of_round, medians in found.items():
            medians.append(figure_of("x", rounds, of_round=of_round).median or 0.0)
    assert statistics.stdev(found["mean"]) < 0.5 * statistics.stdev(found["median"])


def test_goal_is_missed_against_the_bare_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(
        monkeypatch, {"ours": 999, "bare loop": 999, "iperf": 999}, {"ours": 100, "bare loop": 200, "iperf": 90}
    )
    assert row.is_reached is False


def test_offload_is_counted_by_the_programs_and_backs_off_until_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int | None]] = []

    def simulate(_: Place, tool: Tool, task: Task, **__: Any) -> Contest:
        asked.append((tool.name, task.pps))
        sent = task.pps or 6400
        received = min(sent, 3200 if tool is OURS else 6400)
        report = {"sent": sent, "received": received, "lost": sent - received}
        return Contest(sent=sent // 64, received=received // 64, pps=received / 64, rx=report, tx=report)

    monkeypatch.setattr(rates, "contest", simulate)
    row = offload_rate(make_bench(set(), is_quick=False), best_peer_pps=192.0)
    assert [figure.median for figure in row.figures] == [2880, 6400]
    assert asked[:4] == [("ours", None), ("ours", None), ("ours", 2880), ("bare loop", None)]
    assert row.measured == "15.00 x the best peer, 0.45 x the bare loop (0.45 to 0.45)"
    assert row.is_reached is False


def test_nothing_loss_free_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(monkeypatch, {"ours": 200, "bare loop": 0, "iperf": 1}, {"ours": 150, "bare loop": 9, "iperf": 50})
    assert row.is_reached is None
    assert [figure.note for figure in row.figures if figure.median is None]


def test_figure_says_how_many_turns_gave_none() -> None:
    assert figure_of("x", one_each([3.0, None, 1.0])).median == 2.0
    assert figure_of("x", [[3.0, None], [1.0]]).note == "1 of 3 turns gave none"
    assert figure_of("x", one_each([None]), "why").note == "why"
    assert figure_of("x", one_each([None])).median is None


def test_the_figures_of_rounds_make_the_median() -> None:
    turns: list[str] = []
    answers: dict[str, list[float | None]] = {
        "ours": [1, 9, 2, None, 7, None],
        "bare loop": [5, None, 6, None, None, None],
    }

    def measure(tool: Tool) -> tuple[float | None, str]:
        turns.append(tool.name)
        return answers[tool.name].pop(0), ""

    bench = make_bench(set(), is_quick=False)
    bench.rounds = 2
    figures = bench.alternate([OURS, BARE], measure, turns=3, of_round="mean")
    assert turns == ["ours", "bare loop"] * 6
    assert figures["ours"].turns == [[1, 9, 2], [None, 7, None]]
    assert figures["ours"].median == 5.5
    assert figures["bare loop"].median == 5.5
    assert figures["bare loop"].note == "4 of 6 turns gave none"
    bench.is_quick, answers["ours"] = True, [3, 4]
    assert bench.alternate([OURS], measure, turns=3)["ours"].turns == [[3], [4]]


def test_one_turn_a_round_is_enough_for_a_peer_on_which_no_goal_hangs() -> None:
    turns: list[str] = []
    rates = {"ours": 5.0, "bare loop": 9.0, "iperf": 2.0, "mgen": 4.5, "sockperf": 4.0}

    def measure(tool: Tool) -> tuple[float | None, str]:
        turns.append(tool.name)
        return rates[tool.name], ""

    bench = make_bench({"iperf", "mgen", "sockperf"}, is_quick=False)
    bench.rounds = 2
    taking = [tool for tool in bench.tools() if tool is not BARE_EAGER]
    figures = bench.alternate(taking, measure, turns=5, decides=decides_rate)
    assert Counter(turns) == {"ours": 10, "bare loop": 10, "mgen": 10, "sockperf": 10, "iperf": 2}
    assert {name: figure.median for name, figure in figures.items()} == rates


@LINUX
def test_loss_of_a_stalled_receiver_is_its_own_buffers() -> None:
    row = own_buffer(make_bench(set()))
    eight, default = row.figures
    assert eight.median == 0
    assert default.median is not None
    assert f"own buffer dropped {default.median:.0f}" == default.note


def test_keys_are_the_disciplines() -> None:
    assert tuple(all_disciplines(make_bench(set()))) == course.KEYS
    with pytest.raises(UsageError, match="rate-64"):
        course.run_bench(only=["rate-46"])


def test_absent_peers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.tools.shutil.which", lambda _: None)
    found, absent = find_peers(install=True)
    assert found == {}
    assert absent == {tool.name: "not installed" for tool in PEERS}


def sample() -> BenchResult:
    figures = [BenchFigure(tool=tool, turns=[[1.0], [None]], median=1.0) for tool in ("ours", "bare loop", "iperf")]
    rows = [
        BenchRow(
            key=f"k-{unit}", what="what", unit=unit, goal="goal", measured="m", is_reached=is_reached,
            is_more_better=True, figures=figures,
        )
        for unit, is_reached in (("pps", True), ("ns", False), ("B", None), ("packets lost", True))
    ]  # fmt: skip
    return BenchResult(
        created="", is_quick=True, is_complete=True, place="loopback", rounds=2, buffer_bytes=10**6, kernel="Linux 6",
        n_cpus=2, load=[1.0, 2.0], tools={"iperf": "2"}, absent={"mgen": "not installed"}, rows=rows,
    )  # fmt: skip


def test_result_survives_json_and_is_told_and_drawn() -> None:
    result = sample()
    assert msgspec.convert(json.loads(msgspec.json.encode(result)), BenchResult) == result
    text = format_bench(result)
    assert [line.split()[-1] for line in text.splitlines()[1:5]] == ["yes", "NO", "n/a", "yes"]
    assert "mgen did not take part: not installed" in text
    assert "quick mode" in text
    assert encode(bench_figure(result), "svg").startswith(b"<?xml")
    assert encode(bench_figure(msgspec.structs.replace(result, rows=[])), "svg").startswith(b"<?xml")


def test_interruption_keeps_the_rows_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: dict[str, BenchRow]) -> list[BenchRow]:
        return sample().rows[:1]

    def interrupt(_: dict[str, BenchRow]) -> list[BenchRow]:
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "all_disciplines", lambda _: {"rate-64": measure, "cpu": interrupt, "start": measure})
    result = course.run_bench(is_quick=True, install=False, use_loopback=True)
    assert [row.key for row in result.rows] == ["k-pps"]
    assert not result.is_complete
    assert "interrupted" in result.notes[-2]
