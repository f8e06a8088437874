"""The figure of a comparison: what it shows, on which axis, and that every member can be told apart."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matplotlib.figure import Figure

from harness.compare import Subject, compare
from harness.compare.timeline import drawn_streams
from harness.model import Parameters, StreamSummary, Summary
from harness.plots.compare import MOST_MATCHES, compare_figure
from harness.plots.style import encode

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")
DAY = 86_400 * samples.S


def stream(recipe: dict[str, Any] | None = None, **changes: Any) -> StreamSummary:
    made: StreamSummary = samples.simulate(samples.Recipe(**{"n": 3_000, **(recipe or {})}))
    return msgspec.structs.replace(made, **changes)


def drawn(**recordings: list[StreamSummary]) -> Figure:
    subjects = [
        Subject(name, Path(name), Summary(parameters=Parameters(), streams=streams))
        for name, streams in recordings.items()
    ]
    comparison = compare(subjects)
    return compare_figure(comparison, drawn_streams(comparison, [each.summary for each in subjects]))


def words(figure: Figure) -> str:
    found = [item.get_text() for item in figure.texts]
    for axes in figure.axes:
        found += [item.get_text() for item in axes.texts]
        found += [axes.get_xlabel(), *(child.get_xlabel() for child in axes.child_axes)]
    return "\n".join(found)


def keys(figure: Figure) -> list[str]:
    return [item.get_text() for legend in figure.legends for item in legend.get_texts()]


def test_every_member_has_a_strip_and_a_line_of_its_own() -> None:
    hosts = {f"host{k}": [stream({"random_loss": 0.01 * k})] for k in range(4)}
    figure = drawn(**hosts)
    assert all(f"host{k}: 239.1.2.3:5000" in words(figure) for k in range(4))
    lines: dict[str, Any] = dict(zip(keys(figure), figure.legends[0].legend_handles, strict=True))
    chosen = [lines[f"loss ratio, host{k}"] for k in range(4)]
    looks = {(line.get_color(), line.get_linestyle()) for line in chosen}
    assert len(looks) == 4


def test_counterparts_share_an_axis_from_their_own_start() -> None:
    later = stream({"start_ns": samples.T0 + DAY, "gaps": ((1_000, 1_399, "mid_run"),)}, epoch=5)
    figure = drawn(before=[stream()], after=[later])
    assert "each from its own start" in words(figure)
    assert "time since the start [s]" in words(figure)
    assert "wall clock" not in words(figure)
    assert "00:00:01.000 · 400 ms · mid-run" in words(figure)
    assert "lost: before 0 %, after 13.3 %" in words(figure).replace("\N{NO-BREAK SPACE}", " ")
    assert max(axes.get_xlim()[1] for axes in figure.axes) < 4


def test_one_stream_at_two_receivers_keeps_the_wall_clock() -> None:
    figure = drawn(a=[stream()], b=[stream({"gaps": ((1_000, 1_399, "mid_run"),)})])
    assert "on the wall clock" in words(figure)
    assert "wall clock, UTC, 2026-07-14" in words(figure)


def test_the_lines_are_the_losses_of_wide_bins() -> None:
    figure = drawn(a=[stream({"random_loss": 0.02})], b=[stream({"random_loss": 0.0})])
    panel = figure.axes[1]
    heights = [patch.get_data().values for patch in panel.patches if hasattr(patch, "get_data")]
    assert len(heights) == 2
    assert all(len(values) <= 130 for values in heights)
    lossy = stream({"random_loss": 0.02})
    assert lossy.loss_ratio is not None
    assert float(heights[0].mean()) == pytest.approx(lossy.loss_ratio, rel=0.15)


def test_only_the_worst_matches_are_drawn_and_the_others_counted() -> None:
    first = [stream({"number": k, "n": 300}) for k in range(7)]
    second = [stream({"number": k, "n": 300, "random_loss": 0.04 * k}, epoch=5) for k in range(7)]
    figure = drawn(a=first, b=second)
    assert f"the worst {MOST_MATCHES} of 7 matches" in words(figure)
    assert "239.1.2.9:5000" in words(figure)
    assert "239.1.2.3:5000" not in words(figure)


def test_without_numbers_and_without_a_match_the_figure_says_so() -> None:
    unnumbered = [stream({"numbered": False}, epoch=k) for k in (1, 2)]
    assert "no numbers, so no loss ratio" in words(drawn(a=unnumbered[:1], b=unnumbered[1:]))
    assert "No stream of one recording corresponds" in words(drawn(a=[], b=[stream()]))


def test_a_stream_without_a_moment_is_no_error() -> None:
    empty = samples.Series(start_ns=0, bin_ns=1, received=[])
    nothing = stream(series=empty, windows=[], received=0, first_rx_ns=None, last_rx_ns=None)
    figure = drawn(a=[nothing], b=[msgspec.structs.replace(nothing, epoch=9)])
    assert len(encode(figure, "png")) > 1_000
