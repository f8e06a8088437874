"""The figures: drawn for every sample, the same bytes twice, and what they say and mark."""

from __future__ import annotations

import time
import warnings
import xml.etree.ElementTree as ET
from datetime import timedelta, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest
import summary_samples as samples
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from harness.errors import StorageError, UsageError
from harness.model import Event, Summary
from harness.plots import delay_figure, loss_figure, plot_summary, sequence_figure, style, timeline_figure
from harness.plots.render import FIGURES
from harness.plots.style import encode


def texts(figure: Figure) -> list[str]:
    found = [item.get_text() for item in figure.texts]
    for axes in figure.axes:
        found += [item.get_text() for item in axes.texts]
        found += [axes.get_xlabel(), axes.get_ylabel(), *(child.get_xlabel() for child in axes.child_axes)]
    found += [item.get_text() for legend in figure.legends for item in legend.get_texts()]
    return [text for text in found if text]


def boxes(figure: Figure, colour: str) -> list[tuple[float, float]]:
    """Begin and end in seconds of every box of a colour in the first axes."""
    found = []
    for item in figure.axes[0].collections:
        face = np.ravel(item.get_facecolor())[:3]  # none for an outline
        if isinstance(item, PolyCollection) and len(face) and to_hex(tuple(face)).lower() == colour.lower():
            extents = [path.get_extents() for path in item.get_paths()]
            found += [(float(box.x0), float(box.x1)) for box in extents]
    return found


@pytest.mark.parametrize("name", samples.SAMPLES)
@pytest.mark.parametrize("stem", FIGURES)
def test_every_sample_draws_within_its_page(name: str, stem: str) -> None:
    figure = FIGURES[stem](samples.SAMPLES[name]())
    figure.set_dpi(30)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of a script that the font does not have
        figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined] # the Agg canvas has one
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


def test_the_same_summary_gives_the_same_bytes(tmp_path: Path) -> None:
    first = plot_summary(samples.blackout(), tmp_path / "a", dpi=40)
    second = plot_summary(samples.blackout(), tmp_path / "b", dpi=40)
    assert [path.name for path in first] == [f"{stem}.{kind}" for stem in FIGURES for kind in ("png", "svg")]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_pdf_is_the_same_twice() -> None:
    first, second = (encode(timeline_figure(samples.tiny()), "pdf") for _ in range(2))
    assert first.startswith(b"%PDF")
    assert first == second


@pytest.mark.parametrize("name", ["hostile", "empty"])
def test_svg_is_well_formed_keeps_its_text_and_asks_for_nothing(name: str, tmp_path: Path) -> None:
    for path in plot_summary(samples.SAMPLES[name](), tmp_path, formats=["svg"]):
        root = ET.parse(path).getroot()
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert "script" not in tags
        assert "text" in tags
        for element in root.iter():
            for key, value in element.attrib.items():
                if key.rpartition("}")[2] == "href":
                    assert value.startswith("#")
                assert "url(http" not in value


def test_title_says_the_finding_and_footer_the_thresholds() -> None:
    found = texts(timeline_figure(samples.blackout()))
    assert found[0] == "1 drop-out window of 1.3\xa0s (mid-run), in 1 of 2 streams; worst stream lost 4.33\xa0%"
    assert any(text.startswith("Thresholds: Tmax none") and "≥ 3 packets" in text for text in found)
    assert "wall clock, UTC, 2026-07-14" in found
    assert "time since the start [s]" in found


def test_window_stands_at_its_time_with_start_length_and_class() -> None:
    figure = timeline_figure(samples.blackout())
    assert "12:00:12.250 · 1.3 s · mid-run" in texts(figure)
    begin, end = boxes(figure, style.VERMILLION)[-1]
    assert end - begin == pytest.approx(1.3)


def test_delivered_and_window_together_cover_a_stream_without_pauses() -> None:
    figure = timeline_figure(samples.late_and_stopped())
    heard = boxes(figure, style.BLUE)
    assert len(heard) == 2
    assert sum(end - begin for begin, end in heard) == pytest.approx(30 - 2.5 - 4 + 30 - 2, abs=0.3)


def test_pause_of_an_aperiodic_schedule_is_silent_not_lost() -> None:
    figure = timeline_figure(samples.aperiodic())
    assert len(boxes(figure, style.BLUE)) >= 4
    assert len(boxes(figure, style.VERMILLION)) <= 2


def test_bins_between_packets_of_a_slow_stream_are_no_silence() -> None:
    base = samples.tiny()
    stream = base.streams[0]
    series = msgspec.structs.replace(
        stream.series, bin_ns=stream.series.bin_ns // 4, received=[1, 0, 0, 0] * 5, due=[1, 0, 0, 0] * 5, lost=[0] * 20
    )
    slow = msgspec.structs.replace(base, streams=[msgspec.structs.replace(stream, series=series)])
    assert len(boxes(timeline_figure(slow), style.BLUE)) == 1


def test_stall_and_silence_are_not_drawn_as_loss() -> None:
    figure = timeline_figure(samples.passive())
    assert len(boxes(figure, style.YELLOW)) == 1
    assert len(boxes(figure, style.PURPLE)) == 2
    found = texts(figure)
    assert "stall: late, none lost" in found
    assert "silence: sent or not, unknown" in found


def test_many_streams_show_the_worst_and_count_the_others() -> None:
    found = texts(timeline_figure(samples.many()))
    assert any("the worst 24 of 40 streams, 16 not shown" in text for text in found)
    labels = [text for text in found if text.startswith("239.1.2.")]
    assert len(labels) == 24
    assert labels[0].startswith("239.1.2.38:5000")


def test_crowded_windows_get_markers_instead_of_labels() -> None:
    found = texts(timeline_figure(samples.periodic()))
    written = [text for text in found if text.endswith("· 200 ms · periodic")]
    assert 2 <= len(written) < 6
    markers = [line for line in timeline_figure(samples.periodic()).axes[0].lines if line.get_marker() == "v"]
    assert len(markers[0].get_xdata()) == 6 - len(written)  # type: ignore[arg-type] # a list


def test_events_are_named_on_the_axis_and_those_outside_are_told() -> None:
    found = texts(timeline_figure(samples.blackout()))
    assert "join: (*, 239.1.2.3) on eth0 at rx-a and 1 more" in found
    assert "link: eth0 down" in found
    assert "Events: boot 1 h 0 min before the start" in found


def test_hundreds_of_events_stay_within_their_lane() -> None:
    base = samples.healthy()
    events = [Event(t_ns=samples.T0 + k * samples.S // 20, kind="errno", text=f"ENOBUFS {k}") for k in range(600)]
    figure = timeline_figure(msgspec.structs.replace(base, events=events))
    assert any("drawn without a label" in text for text in texts(figure))
    assert figure.get_size_inches()[1] < 6


def test_wall_clock_follows_the_zone() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    found = texts(timeline_figure(samples.blackout(), zone=zone))
    assert "wall clock, UTC+05:30, 2026-07-14" in found
    assert "17:30:12.250 · 1.3 s · mid-run" in found


def test_long_runs_show_dates_and_time_stamps_without_a_date_say_so() -> None:
    found = texts(timeline_figure(samples.long_soak()))
    assert "wall clock, UTC, 2026-07-14 to 2026-07-17" in found
    early = samples.summary(samples.Recipe(n=100, start_ns=0))
    assert "time stamps of the recording (counted from 0, no date)" in texts(timeline_figure(early))


def test_loss_over_decades_is_logarithmic_and_otherwise_linear() -> None:
    wide = samples.summary(samples.Recipe(n=60_000, interval_ns=1_000_00, random_loss=0.00003, bins=100,
                                          gaps=((20_000, 22_000, "mid_run"),)))  # fmt: skip
    assert loss_figure(wide).axes[0].get_yscale() == "log"
    assert loss_figure(samples.thinned()).axes[0].get_yscale() == "linear"


def test_stream_without_numbers_shows_its_rate_instead_of_a_loss_ratio() -> None:
    figure = loss_figure(samples.passive())
    assert [axes.get_ylabel() for axes in figure.axes] == ["received / s", "lost"]
    assert "no packet numbers" in texts(sequence_figure(samples.passive()))


def test_sequence_marks_reordered_duplicate_late_and_corrupt_packets() -> None:
    figure = sequence_figure(samples.disordered())
    marks = {line.get_marker(): len(line.get_xdata()) for line in figure.axes[0].lines}  # type: ignore[arg-type] # lists
    assert marks == {"^": 40, "s": 25, "x": 9, "D": 4}
    assert "40 reordered, 25 duplicate, 9 too late, 4 corrupt; reordered by up to 4 packets" in texts(figure)


def test_huge_sequence_numbers_are_drawn_from_the_smallest() -> None:
    base = samples.tiny()
    stream = base.streams[0]
    offset = 2**62
    series = msgspec.structs.replace(
        stream.series,
        first_seq=[None if seq is None else seq + offset for seq in stream.series.first_seq],
        last_seq=[None if seq is None else seq + offset for seq in stream.series.last_seq],
    )
    figure = sequence_figure(msgspec.structs.replace(base, streams=[msgspec.structs.replace(stream, series=series)]))
    assert figure.axes[0].get_ylabel() == f"packet number\nminus {offset:,}"
    assert figure.axes[0].get_ylim()[1] < 10


def test_delay_names_its_percentiles_and_the_clock_caveat() -> None:
    figure = delay_figure(samples.healthy())
    found = texts(figure)
    assert any("difference between the two hosts' clocks" in text for text in found)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().split()[0] for text in legend.get_texts()] == ["median", "p99", "p99.9"]


def test_negative_delay_is_called_a_clock_not_a_fast_network() -> None:
    found = texts(delay_figure(samples.negative_delay()))
    assert found[0] == "Negative one-way delay, down to -2\xa0s: the hosts' clocks disagree"
    assert any("delays are negative" in text for text in found)


def test_nothing_to_draw_is_said() -> None:
    for draw in FIGURES.values():
        found = texts(draw(samples.empty()))
        assert any("No packet" in text or "No stream" in text for text in found)


def test_formulas_in_names_are_text() -> None:
    encode(timeline_figure(samples.hostile()), "svg")  # mathtext would raise on the lone dollar signs
    assert any("$x$" in text for text in texts(timeline_figure(samples.hostile())))


@pytest.mark.parametrize("stem", FIGURES)
def test_damaged_times_and_counts_draw_something(stem: str) -> None:
    base = samples.blackout()
    stream = base.streams[0]
    far = msgspec.structs.replace(stream.windows[0], start_ns=-(2**63), end_ns=2**63 - 1)
    back = msgspec.structs.replace(stream.windows[0], start_ns=samples.T0 + 5, end_ns=samples.T0)
    series = msgspec.structs.replace(stream.series, bin_ns=0, due=[0, -1, 5], lost=[7], last_seq=[None, 3])
    delay = msgspec.structs.replace(stream.delay, counts=[0] * len(stream.delay.counts), percentiles_ns={})
    streams = [
        msgspec.structs.replace(stream, windows=[far, back]),
        msgspec.structs.replace(stream, number=1, series=series, delay=delay, last_rx_ns=2**62),
        msgspec.structs.replace(stream, number=2, ipdv=msgspec.structs.replace(stream.ipdv, edges_ns=[1.0])),
    ]
    events = [Event(t_ns=-(2**63), kind="boot", text="")]
    FIGURES[stem](msgspec.structs.replace(base, streams=streams, events=events)).draw_without_rendering()


def test_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'png'"):
        plot_summary(samples.healthy(), tmp_path, formats=["pngg"])


def test_unwritable_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file"):
        plot_summary(samples.empty(), tmp_path / "file" / "plots")


def test_ten_thousand_streams_take_no_longer_than_the_few_that_are_shown(tmp_path: Path) -> None:
    base = samples.many(64)

    def cpu_s(n_streams: int) -> float:
        streams = [msgspec.structs.replace(base.streams[k % 64], number=k) for k in range(n_streams)]
        begin = time.process_time()
        plot_summary(Summary(parameters=base.parameters, streams=streams), tmp_path, formats=["png"], dpi=30)
        return time.process_time() - begin

    few, many = cpu_s(64), cpu_s(10_000)
    assert many < 2 * few + 1, (few, many)


def test_pyplot_is_never_loaded_and_sentences_need_no_matplotlib() -> None:
    import subprocess
    import sys

    code = (
        "import sys, harness.plots.wording; assert 'matplotlib' not in sys.modules;"
        "import harness.plots.render; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
