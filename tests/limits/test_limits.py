"""Limits: every measure on hand examples, undefined figures, several streams, and what the command line makes of it."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.cli.analysis_options import add_limits
from harness.errors import UnitError
from harness.limits import MEASURES, hold, hold_each
from harness.limits.gaps import arrival_gap
from harness.limits.measures import parse_count, percent
from harness.model import (
    Distribution,
    Limit,
    LossPattern,
    Parameters,
    Reordering,
    Schedule,
    Series,
    StreamSummary,
    Summary,
    Window,
)
from harness.model.scenario import Expect
from harness.report.tables import limits_table

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")
MS, S, T0 = samples.MS, samples.S, samples.T0


def stream(**changes: Any) -> StreamSummary:
    made: StreamSummary = samples.simulate(samples.Recipe(n=1_000))
    return msgspec.structs.replace(made, **changes)


def summary(*streams: StreamSummary, **fields: Any) -> Summary:
    return Summary(parameters=Parameters(), streams=list(streams), **fields)


def one(expect: Expect, *streams: StreamSummary, **fields: Any) -> Limit:
    (limit,) = hold(summary(*streams, **fields), expect)
    return limit


def window(kind: str, start_ms: int, end_ms: int, packets: int | None = 5) -> Window:
    return Window(
        kind=kind,  # type: ignore[arg-type] # a known class
        first_seq=0,
        last_seq=4,
        start_ns=T0 + start_ms * MS,
        end_ns=T0 + end_ms * MS,
        packets=packets,
    )


def pattern(blocks: int | None, unavailable: int | None) -> LossPattern:
    rest = ("mean_loss_period", "mean_inter_loss_period", "noticeable_rate", "burst_density", "gap_density",
            "mean_burst_packets", "gilbert_p", "gilbert_r")  # fmt: skip
    return LossPattern(bursts=0, blocks=blocks, unavailable_blocks=unavailable, **dict.fromkeys(rest))


CASES: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    # limit, what the stream has, a limit that it keeps, one that it exceeds, the figure shown
    ("max_loss", {"loss_ratio": 0.018}, "1.8%", "1.7%", "1.8 %"),
    ("max_loss", {"loss_ratio": 5e-06}, "0.0005%", "0.0004%", "0.0005 %"),
    ("max_dropout", {"windows": [window("mid_run", 0, 90), window("stall", 200, 240)]}, "90ms", "89ms", "90 ms"),
    ("max_dropout", {"windows": []}, "0", None, "0 s"),
    ("max_windows", {"windows": [window("mid_run", 0, 90)] * 2}, 2, 1, "2"),
    ("max_burst", {"longest_loss_period": 12}, 12, 11, "12"),
    ("max_loss_events", {"loss_periods": 3}, 3, 2, "3"),
    ("max_loss_events", {"loss_periods": 3, "first_rx_ns": T0, "last_rx_ns": T0 + 7200 * S}, 2, 1, "1.5"),
    ("max_reordered", {"reordering": Reordering(reordered=10, ratio=0.01)}, "1%", "0.9%", "1 %"),
    ("max_duplicates", {"duplicates": 4}, 4, 3, "4"),
    ("max_duplicate_ratio", {"duplicates": 5, "received": 1000}, "0.5%", "0.4%", "0.5 %"),
    ("max_ipdv", {"ipdv": Distribution(n=9, percentiles_ns={"99.9": 3.0 * MS})}, "3ms", "2900us", "3 ms"),
    (
        "max_pdv",
        {"delay": Distribution(n=9, minimum_ns=-2 * MS, percentiles_ns={"99.9": 3.0 * MS})},
        "5ms",
        "4900us",
        "5 ms",
    ),
    ("max_pdv", {"delay": Distribution(n=9, minimum_ns=1, percentiles_ns={"50": 2.0})}, None, "1h", "infinite"),
    ("max_jitter", {"jitter_ns": 1.5e6}, "1500us", "1499us", "1.5 ms"),
    ("max_corrupt", {"corrupt": 1}, 1, 0, "1"),
    ("max_gap", {"longest_gap_ns": 2_500 * MS}, "2500ms", "2499ms", "2.5 s"),
    ("max_join_delay", {"join_delay_ns": 40 * MS}, "40ms", "39ms", "40 ms"),
    ("max_unavailability", {"pattern": pattern(50, 2)}, "4%", "3.9%", "4 %"),
    ("max_too_late", {"too_late": 1}, 1, 0, "1"),
    ("max_misdelivered", {"misdelivered": 1_200}, 1_200, 1_199, "1,200"),
    ("min_received", {"received": 7}, 7, 8, "7"),
]


@pytest.mark.parametrize(("name", "has", "kept", "exceeded", "shown"), CASES)
def test_a_limit_passes_at_the_figure_and_fails_below_it(
    name: str, has: dict[str, Any], kept: Any, exceeded: Any, shown: str
) -> None:
    for asked, outcome in ((kept, True), (exceeded, False)):
        if asked is not None:
            limit = one(Expect(**{name: asked}), stream(**has))
            assert limit == Limit(name=name, limit=str(asked), measured=shown, is_passed=outcome, stream=stream().label)


UNDEFINED: list[tuple[str, dict[str, Any], Any]] = [
    ("max_loss", {"loss_ratio": None}, "0%"),
    ("max_dropout", {"received": 0, "windows": []}, "0"),
    ("max_windows", {"received": 0, "windows": []}, 0),
    ("max_burst", {"longest_loss_period": None}, 0),
    ("max_loss_events", {"loss_periods": None}, 0),
    ("max_gap", {"received": 1}, "1h"),
    ("max_reordered", {"reordering": None}, "0%"),
    ("max_duplicate_ratio", {"received": 0}, "0%"),
    ("max_ipdv", {"ipdv": Distribution(n=0)}, "0"),
    ("max_pdv", {"delay": Distribution(n=0)}, "0"),
    ("max_jitter", {"jitter_ns": None}, "0"),
    ("max_join_delay", {"join_delay_ns": None}, "0"),
    ("max_unavailability", {"pattern": None}, "0%"),
    ("max_unavailability", {"pattern": pattern(0, 0)}, "0%"),
    ("max_unavailability", {"pattern": pattern(None, None)}, "0%"),
]


@pytest.mark.parametrize(("name", "has", "asked"), UNDEFINED)
def test_an_undefined_figure_neither_passes_nor_fails(name: str, has: dict[str, Any], asked: Any) -> None:
    limit = one(Expect(**{name: asked}), stream(**has))
    assert (limit.measured, limit.is_passed) == ("undefined", None)


def test_without_a_stream_nothing_can_be_judged() -> None:
    every = {name: "1" if measure.example.isdecimal() else measure.example for name, measure in MEASURES.items()}
    asked: dict[str, Any] = {name: int(text) if text.isdecimal() else text for name, text in every.items()}
    limits = hold(summary(), Expect(**asked))
    assert [limit.name for limit in limits] == list(MEASURES)
    assert {(limit.measured, limit.is_passed, limit.stream) for limit in limits} == {("undefined", None, "")}


def test_a_stream_that_was_never_heard_fails_on_loss() -> None:
    silent = stream(received=0, loss_ratio=None, windows=[window("never_received", 0, 900, None)])
    assert one(Expect(max_loss="99%"), silent).is_passed is False


def test_own_drops_are_of_the_whole_and_undefined_where_nobody_counted() -> None:
    assert one(Expect(max_own_drops=2), stream(), socket_drops=3).is_passed is False
    assert one(Expect(max_own_drops=3), stream(), socket_drops=3).is_passed is True
    assert one(Expect(max_own_drops=3), stream()).is_passed is None


def test_the_worst_of_several_streams_is_named_and_failing_beats_undefined_beats_passing() -> None:
    good, bad, worse = (stream(loss_ratio=ratio, label=f"{ratio}") for ratio in (0.0, 0.1, 0.2))
    unknown = stream(loss_ratio=None, label="unknown")
    expect = Expect(max_loss="5%")
    assert one(expect, good, bad, worse, unknown).stream == "0.2"
    assert one(expect, good, unknown).stream == "unknown"
    assert one(expect, good, unknown).is_passed is None
    assert one(expect, good).stream == "0.0"
    each = hold_each(summary(good, bad, unknown), expect)
    assert [(limit.stream, limit.is_passed) for limit in each] == [("0.0", True), ("0.1", False), ("unknown", None)]
    fewest = one(Expect(min_received=5), stream(received=9), stream(received=4, label="few"))
    assert (fewest.stream, fewest.measured, fewest.is_passed) == ("few", "4", False)


def test_the_table_names_the_worst_stream_only_where_there_are_several() -> None:
    expect = Expect(max_loss="5%", streams=2)
    several = summary(stream(label="a"), stream(label="b", loss_ratio=0.5))
    table = limits_table(msgspec.structs.replace(several, limits=hold(several, expect)))
    assert table.rows == [
        ("max_loss", "5%", "50 %", "FAILED", "b"),
        ("streams", "2", "2", "passed", "all"),
    ]
    single = summary(stream())
    assert "worst stream" not in limits_table(msgspec.structs.replace(single, limits=hold(single, expect))).columns


def test_limits_on_the_whole_are_as_asked() -> None:
    found = hold(
        summary(stream(windows=[window("mid_run", 0, 9)])), Expect(windows=1, streams=2, verdict="ok", min_received=0)
    )
    outcomes = {limit.name: limit.is_passed for limit in found}
    assert outcomes == {"windows": True, "streams": False, "verdict": False, "min_received": True}


def arrivals(rx_ns: list[int], bin_ns: int, **changes: Any) -> StreamSummary:
    rx = np.array(sorted(rx_ns))
    where = (rx - rx[0]) // bin_ns
    series = Series(start_ns=int(rx[0]), bin_ns=bin_ns, received=np.bincount(where).tolist())
    schedule = Schedule(source="interpolated")
    given = {"schedule": schedule, "windows": [], **changes}
    return stream(series=series, received=len(rx), first_rx_ns=int(rx[0]), last_rx_ns=int(rx[-1]), **given)


def test_the_gap_of_a_passive_stream_is_exact_where_a_window_shows_it() -> None:
    observed = Schedule(source="observed", interval_ns=20 * MS)
    silent = stream(
        schedule=observed, windows=[window("stall", 0, 2_490, 0), window("silent_end", 5_000, 90_000, None)]
    )
    assert arrival_gap(silent, Parameters()) == (2_510 * MS, 2_510 * MS)
    assert one(Expect(max_gap="2510ms"), silent).is_passed is True
    assert one(Expect(max_gap="2500ms"), silent).is_passed is False


def test_without_a_window_no_gap_passes_the_threshold_of_silence() -> None:
    observed = Schedule(source="observed", interval_ns=20 * MS)
    even = arrivals([k * 20 * MS for k in range(100)], 500 * MS, schedule=observed)
    assert arrival_gap(even, Parameters()) == (20 * MS, 60 * MS)
    assert one(Expect(max_gap="60ms"), even).is_passed is True
    assert one(Expect(max_gap="40ms"), even).is_passed is None
    assert one(Expect(max_gap="40ms"), even).measured == "20 ms to 60 ms"
    assert one(Expect(max_gap="19ms"), even).is_passed is False


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=2, max_size=40), st.integers(1, 700))
def test_the_bins_always_bound_the_gap(times: list[int], bin_ns: int) -> None:
    bounds = arrival_gap(arrivals(times, bin_ns), Parameters())
    assert bounds is not None
    assert bounds[0] <= np.diff(sorted(times)).max() <= bounds[1]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(1, 58), max_size=40), st.lists(st.integers(0, 900), min_size=60, max_size=60))
def test_a_schedule_bounds_the_gap_by_loss_and_spread_of_delay(lost: set[int], delays: list[int]) -> None:
    """An oracle packet by packet: arrivals by due time and delay, the gap between neighbours in time."""
    interval = 100
    kept = [k for k in range(60) if k not in lost]
    rx = [k * interval + delays[k] for k in kept]
    longest = max(b - a - 1 for a, b in itertools.pairwise(kept))
    seen = [delays[k] for k in kept]
    made = arrivals(
        rx,
        5_000,
        schedule=Schedule(source="probe", first_due_ns=0, interval_ns=interval),
        longest_loss_period=longest,
        delay=Distribution(n=len(kept), minimum_ns=min(seen), maximum_ns=max(seen)),
    )
    bounds = arrival_gap(made, Parameters())
    assert bounds is not None
    assert bounds[0] <= np.diff(sorted(rx)).max() <= bounds[1]


def test_percentages_never_round_a_loss_to_none() -> None:
    assert [percent(value) for value in (0, 1e-9, 0.5, 1)] == ["0 %", "0.0000001 %", "50 %", "100 %"]


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "", "²", "9" * 30])
def test_a_count_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_count(text)


def test_every_limit_is_a_key_of_expect_and_an_option() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_limits(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    for name in MEASURES:
        assert name in Expect.__struct_fields__
        assert f"--{name.replace('_', '-')}" in options


CSV = "seq,rx_ns,size\n" + "".join(f"{k},{T0 + k * 20 * MS},200\n" for k in range(200) if k not in (50, 51, 52, 53))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "packets.csv"
    path.write_text(CSV)
    return path


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 0),
        (["--max-loss", "2%"], 0),
        (["--max-loss", "1.9%"], 1),
        (["--max-burst", "3"], 1),
        (["--max-gap", "100ms"], 0),
        (["--max-gap", "99ms"], 1),
        (["--max-pdv", "1ms"], 0),  # no send times: undefined
        (["--profile", "default"], 1),
        (["--profile", "lighting"], 1),
        (["--profile", "lighting", "--max-loss", "2%"], 0),
        (["--profile", "lightning"], 2),
    ],
)
def test_the_exit_code_follows_the_limits(
    table: Path, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(table), *options]) == code
    captured = capsys.readouterr()
    if code == 2:
        assert captured.err.count("\n") == 1
        assert "did you mean 'lighting'?" in captured.err
        assert "aes67, default, iptv, lighting, st2110" in captured.err
