"""Comparisons from summaries: what belongs together, what differs, and what is said of it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.compare import Subject, compare, format_comparison, names_of, write_comparison
from harness.compare.events import loss_events
from harness.compare.matching import match_streams
from harness.compare.render import markdown
from harness.compare.statistics import fisher_exact
from harness.compare.timeline import drawn_streams, moved
from harness.errors import StorageError, UsageError
from harness.model import Distribution, Parameters, Series, StreamSummary, Summary
from harness.model.comparison import Comparison, Match

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")
MS, S, T0 = samples.MS, samples.S, samples.T0
EVIL = "<script>|x|\n\x1b[31m@all `code` ](http://evil.example) $x$ \u202e"


def stream(recipe: dict[str, Any] | None = None, **changes: Any) -> StreamSummary:
    made: StreamSummary = samples.simulate(samples.Recipe(**{"n": 4_000, **(recipe or {})}))
    return msgspec.structs.replace(made, **changes)


def subject(name: str, *streams: StreamSummary, **fields: Any) -> Subject:
    return Subject(name, Path(f"results/{name}"), Summary(parameters=Parameters(), streams=list(streams)), **fields)


def two(first: StreamSummary, second: StreamSummary, **fields: Any) -> Comparison:
    return compare([subject("a", first, **fields), subject("b", second, **fields)])


def only(comparison: Comparison) -> Match:
    (match,) = comparison.matches
    return match


def p_of(match: Match, measure: str) -> tuple[float | None, bool | None]:
    (found,) = [finding for finding in match.findings if finding.measure == measure]
    return found.p_adjusted, found.is_significant


# what belongs together


def test_one_epoch_is_the_same_stream_and_another_is_its_counterpart() -> None:
    assert only(two(stream(), stream())).kind == "same"
    found = only(two(stream(), stream(epoch=78)))
    assert (found.kind, found.by) == ("counterpart", "source, group, stream id and key")
    assert only(two(stream(), stream(epoch=78, source="10.0.0.9:1"))).by == "group, stream id and key"


def rtp(ssrc: str, start_ns: int = T0, **changes: Any) -> StreamSummary:
    return stream({"source_kind": "observed", "start_ns": start_ns}, key={"ssrc": ssrc}, **changes)


def test_a_foreign_stream_is_the_same_only_when_heard_at_the_same_time() -> None:
    assert only(two(rtp("0x1"), rtp("0x1", T0 + 5 * MS))).kind == "same"
    assert only(two(rtp("0x1"), rtp("0x1", T0 + 86_400 * S))).kind == "counterpart"
    drawn_anew = only(two(rtp("0x1"), rtp("0x2", T0 + 86_400 * S, source="10.0.0.1:6000")))
    assert (drawn_anew.kind, drawn_anew.by) == ("counterpart", "group and stream id")


def test_the_only_ones_left_belong_together_and_ambiguous_ones_do_not() -> None:
    other = stream({"number": 5}, stream_id=9, group="239.9.9.9:9", epoch=1)
    assert only(two(stream(), other)).by == "being the only ones left"
    first = [stream({"number": 0}), stream({"number": 1})]
    second = [
        stream({"number": k}, stream_id=20 + k, group=f"239.9.9.{k}:9", epoch=k, source=f"10.9.9.{k}:1") for k in (5, 6)
    ]
    found = compare([subject("a", *first), subject("b", *second)])
    assert found.matches == []
    assert [member.run for member in found.unmatched] == [0, 0, 1, 1]
    assert found.sentence == "No stream of one recording corresponds to one of another."


def test_a_sender_that_was_started_twice_in_each_goes_by_order() -> None:
    def twice(first_epoch: int) -> list[StreamSummary]:
        return [stream({"number": k}, epoch=first_epoch + k, stream_id=1, group="239.1.2.3:5000") for k in (0, 1)]

    found = compare([subject("a", *twice(10)), subject("b", *twice(20))])
    assert [[member.number for member in match.members] for match in found.matches] == [[0, 0], [1, 1]]


def test_every_stream_is_in_exactly_one_union() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        summaries = []
        for _ in range(int(rng.integers(1, 4))):
            streams = [
                stream(
                    {"number": k, "n": 20, "receiver": str(rng.choice(["", "rx"]))},
                    epoch=int(rng.integers(0, 3)),
                    stream_id=int(rng.integers(0, 2)),
                    group=f"239.1.1.{rng.integers(0, 2)}:5",
                )
                for k in range(int(rng.integers(0, 5)))
            ]
            summaries.append(Summary(parameters=Parameters(), streams=streams))
        unions = match_streams(summaries)
        seen = sorted((run, item.number) for union in unions for (run, _), item in union.streams.items())
        expected = sorted((run, item.number) for run, each in enumerate(summaries) for item in each.streams)
        assert seen == expected


def test_three_runs_make_three_columns_and_two_receivers_of_one_run_make_two() -> None:
    three = compare([subject(name, stream()) for name in "abc"])
    assert [member.name for member in only(three).members] == ["a", "b", "c"]
    assert {(finding.first, finding.second) for finding in only(three).findings} == {(0, 1), (0, 2)}
    receivers = [stream({"number": k, "sender": 0, "receiver": f"rx-{k}"}) for k in (0, 1)]
    one_run = compare([subject("a", *receivers)])
    assert [member.name for member in only(one_run).members] == ["a (rx-0)", "a (rx-1)"]
    assert only(one_run).label == "239.1.2.3:5000 stream 1 from 10.0.0.1:5004"
    with pytest.raises(UsageError, match="has one receiver"):
        compare([subject("a", stream())])


# what differs


def test_equal_streams_differ_in_nothing() -> None:
    found = two(stream({"random_loss": 0.01}), stream({"random_loss": 0.01}, epoch=78))
    assert not any(finding.is_significant for finding in only(found).findings)
    assert found.sentence.startswith("No significant difference in loss, delay variation and IPDV (")
    assert "seen" not in found.sentence


def test_much_more_loss_by_itself_is_significant_and_a_single_long_dropout_is_not() -> None:
    few, many = stream({"random_loss": 0.001}), stream({"random_loss": 0.02}, epoch=78)
    p, is_significant = p_of(only(two(few, many)), "loss")
    assert is_significant is True
    assert p is not None
    assert p < 1e-6
    one = two(stream(), stream({"gaps": ((1_000, 2_999, "mid_run"),)}, epoch=78, loss_periods=1))
    assert p_of(only(one), "loss")[1] is False
    assert "The largest difference seen in loss: a 0 %, b 50 %." in one.sentence


def one_events(item: StreamSummary) -> int | None:
    (events,) = loss_events([item])
    return events


def test_losses_that_hang_together_are_one_event() -> None:
    assert one_events(stream({"gaps": ((10, 500, "mid_run"), (900, 930, "mid_run"))})) == 2
    thin = stream({"thin": (1_000, 1_999, 0.4)})
    assert thin.lost is not None
    assert thin.lost > 300
    assert 1 <= (one_events(thin) or 0) <= 5
    assert one_events(stream({"random_loss": 0.01}, loss_periods=7)) == 7
    assert one_events(stream()) == 0
    assert one_events(stream(lost=None)) is None


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.3])
def test_losses_that_fall_independently_count_each(ratio: float) -> None:
    """Also dense ones, which RFC 3611 would call one burst from end to end."""
    item = stream({"n": 20_000, "random_loss": ratio})
    assert item.lost is not None
    assert item.lost / 2.5 <= (one_events(item) or 0) <= item.lost


@pytest.mark.parametrize("mean_burst", [1, 4, 40])
def test_equal_loss_is_called_different_no_oftener_than_the_level_says(mean_burst: int) -> None:
    """Many pairs of one rate and one kind of burst, against a level of 5 %; then twice the rate."""
    rng = np.random.default_rng(11)
    n, n_pairs, n_called = 20_000, 200, 0

    def lossy(rate: float) -> StreamSummary:
        is_lost = np.zeros(n + 1_000 * mean_burst, np.bool_)
        for start in np.flatnonzero(rng.random(n) < rate / mean_burst).tolist():
            is_lost[start : start + 2 * int(rng.geometric(1 / mean_burst)) : 2] = True  # every other packet
        counts = is_lost[:n].reshape(500, 40).sum(axis=1)
        series = Series(start_ns=0, bin_ns=40, received=(40 - counts).tolist(), due=[40] * 500, lost=counts.tolist())
        lost = int(counts.sum())
        return msgspec.structs.replace(whole, received=n - lost, lost=lost, series=series)

    def p_value(first: StreamSummary, second: StreamSummary) -> float:
        a, b = loss_events([first, second])
        return fisher_exact(a or 0, first.received, b or 0, second.received)

    whole = stream({"n": 20})
    for _ in range(n_pairs):
        n_called += p_value(lossy(0.01), lossy(0.01)) < 0.05
    assert n_called <= 0.07 * n_pairs
    if mean_burst == 1:
        assert sum(p_value(lossy(0.01), lossy(0.02)) < 0.05 for _ in range(20)) >= 18


def test_what_cannot_be_known_is_not_tested() -> None:
    found = two(stream(), stream({"numbered": False}, epoch=78))
    (loss,) = [finding for finding in only(found).findings if finding.measure == "loss"]
    assert (loss.p_value, loss.is_significant, loss.test) == (None, None, "")
    assert "the loss of b cannot be known" in loss.sentence
    lost = next(figure for figure in only(found).figures if figure.name == "lost")
    assert lost.values == [0.0, None]
    quiet = Distribution(n=0)
    none = two(stream(delay=quiet, ipdv=quiet, lost=None), stream(delay=quiet, ipdv=quiet, lost=None, epoch=78))
    assert none.sentence.startswith("Nothing could be tested")
    half = two(stream(delay=quiet), stream(epoch=78))
    assert any("b has" not in f.sentence and "a has none" in f.sentence for f in only(half).findings)


def test_delay_variation_is_free_of_the_clocks_and_delay_needs_one_clock() -> None:
    near, far = stream({"delay_ns": 400_000}), stream({"delay_ns": 9_400_000}, epoch=78)
    _, is_significant = p_of(only(two(near, far, has_one_clock=True)), "delay")
    assert is_significant is True
    assert "delay" not in {finding.measure for finding in only(two(near, far)).findings}
    assert p_of(only(two(near, far)), "delay variation")[1] is not True
    wide = stream({"spread_ns": 900_000}, epoch=78)
    assert p_of(only(two(near, wide)), "delay variation")[1] is True
    assert p_of(only(two(near, wide)), "IPDV")[1] is True


def test_p_values_are_corrected_over_all_streams() -> None:
    pairs = [(stream({"number": k}), stream({"number": k}, epoch=78)) for k in range(5)]
    found = compare([subject("a", *(a for a, _ in pairs)), subject("b", *(b for _, b in pairs))])
    tested = [finding for match in found.matches for finding in match.findings if finding.p_value is not None]
    assert len(found.matches) == 5
    assert f"Holm-corrected for {len(tested)} tests" in found.sentence
    assert all((finding.p_adjusted or 0) >= (finding.p_value or 0) for finding in tested)


def test_a_stream_that_one_never_heard() -> None:
    silent = stream({"gaps": ((0, 3_999, "never_received"),)}, epoch=78)
    found = two(stream(), silent)
    assert p_of(only(found), "loss")[1] is True
    assert "b 100 %" in format_comparison(found)


def test_summaries_alone_cannot_tell_lost_by_all_and_it_is_said() -> None:
    found = two(stream(), stream({"random_loss": 0.1}))
    assert only(found).shared is None
    assert any("not known without the packets" in note for note in found.notes)


def test_different_thresholds_are_said() -> None:
    other = Summary(parameters=Parameters(min_packets=9), streams=[stream(epoch=78)])
    found = compare([subject("a", stream()), Subject("b", Path("b"), other)])
    assert any("different thresholds" in note for note in found.notes)


# one axis


def test_counterparts_start_together_and_one_stream_keeps_the_wall_clock() -> None:
    later = stream({"start_ns": T0 + 86_400 * S, "gaps": ((1_000, 1_499, "mid_run"),)}, epoch=78)
    found = two(stream(), later)
    assert found.axis == "relative"
    summaries = [Summary(parameters=Parameters(), streams=[each]) for each in (stream(), later)]
    ((first, second),) = drawn_streams(found, summaries)
    assert first.series.start_ns == second.series.start_ns == 0
    assert second.windows[0].start_ns == S
    assert second.label.startswith("b: 239.1.2.3:5000")
    assert two(stream(), stream()).axis == "absolute"
    assert two(stream(), stream({"start_ns": T0 + S}, epoch=78)).axis == "absolute"


def test_moving_and_moving_back_changes_nothing() -> None:
    item = stream({"gaps": ((100, 300, "mid_run"),), "thin": (900, 1_200, 0.3)})
    assert moved(moved(item, -12_345), 12_345) == item


# what is written


def test_names_tell_recordings_apart() -> None:
    assert names_of([Path("x/summary.json"), Path("y/summary.json")]) == ["x", "y"]
    assert names_of([Path("a/run"), Path("b/run"), Path("c/other")]) == ["A run", "B run", "C other"]


@pytest.fixture
def hostile() -> tuple[Comparison, list[Summary]]:
    items = [stream({"number": k, "random_loss": 0.02 * k}, label=EVIL, epoch=k) for k in (0, 1)]
    items = [msgspec.structs.replace(item, group=EVIL, stream_id=1) for item in items]
    subjects = [Subject(f"{EVIL}{k}", Path(EVIL), Summary(parameters=Parameters(), streams=[items[k]])) for k in (0, 1)]
    return compare(subjects), [item.summary for item in subjects]


def test_hostile_names_format_nothing(hostile: tuple[Comparison, list[Summary]], tmp_path: Path) -> None:
    comparison, summaries = hostile
    text = format_comparison(comparison)
    assert "\x1b" not in text
    written = markdown(comparison)
    assert "<script>" not in written
    assert re.search(r"(?<!\\)\]\(", written) is None
    assert "@all" not in written
    assert "\x1b" not in written
    for path in write_comparison(comparison, summaries, tmp_path):
        assert path.stat().st_size > 500


def test_the_same_comparison_writes_the_same_bytes_and_reads_back(tmp_path: Path) -> None:
    subjects = [subject("a", stream({"random_loss": 0.01})), subject("b", stream({"random_loss": 0.03}, epoch=78))]
    found = compare(subjects)
    summaries = [item.summary for item in subjects]
    first = {path.name: path.read_bytes() for path in write_comparison(found, summaries, tmp_path / "1")}
    second = {path.name: path.read_bytes() for path in write_comparison(found, summaries, tmp_path / "2")}
    assert first == second
    assert set(first) == {"compare.json", "compare.md", "compare.png", "compare.svg"}
    assert msgspec.json.decode(first["compare.json"], type=Comparison) == found


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    subjects = [subject("a", stream()), subject("b", stream(epoch=78))]
    with pytest.raises(StorageError, match="cannot write"):
        write_comparison(compare(subjects), [item.summary for item in subjects], tmp_path / "file" / "x")


def test_many_matches_are_told_worst_first_and_the_rest_counted() -> None:
    pairs = [
        (stream({"number": k, "n": 400}), stream({"number": k, "n": 400, "random_loss": 0.3 * (k == 11)}, epoch=78))
        for k in range(12)
    ]
    found = compare([subject("a", *(a for a, _ in pairs)), subject("b", *(b for _, b in pairs))])
    text = format_comparison(found, most=3)
    assert "239.1.2.14:5000" in text
    assert "239.1.2.3:5000" in text  # of equal ones the first
    assert "239.1.2.9:5000" not in text
    assert "9 more matches" in text
