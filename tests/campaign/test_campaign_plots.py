"""The three figures of a campaign: from the summary alone, for few boots and for many, and when there is nothing."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from campaign_samples import sample_boots, sample_summary
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from harness.campaign.statistics import statistics
from harness.campaign.text import format_summary
from harness.errors import StorageError
from harness.model.boots import CampaignSummary
from harness.plots.campaign import FIGURES, first_packet_figure, plot_campaign, raster_figure, rates_figure

Draw = Callable[[CampaignSummary], Figure]


def texts(figure: Figure) -> str:
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_yticklabels()]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return "\n".join(found)


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())
@pytest.mark.parametrize("n", [0, 1, 3, 41, 300])
def test_every_figure_is_drawn_for_any_number_of_boots(draw: Draw, n: int) -> None:
    figure = draw(sample_summary(n))
    assert figure.get_size_inches()[0] == 11
    assert figure.get_size_inches()[1] < 16


def test_raster_has_a_row_for_each_boot_in_order_and_says_what_was_marked() -> None:
    summary = sample_summary(40)
    figure = raster_figure(summary)
    shown = texts(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [int(label.split()[-1]) for label in labels] == list(range(1, 41))
    for words in ("delivered", "lost", "join", "sockets reopened", "cured by that", "fault reproduced"):
        assert words in shown
    n_lost = sum(span.kind == "lost" for boot in summary.boots for span in boot.spans)
    drawn = [len(c.get_paths()) for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    assert n_lost in drawn


def test_title_is_the_finding() -> None:
    summary = sample_summary(120)
    assert "it depends on address" in summary.statistics.sentence
    title = texts(rates_figure(summary)).replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert "The fault was seen on" in title


def test_rates_show_each_value_with_its_bounds_and_what_does_not_count() -> None:
    boots = sample_boots(120)
    shown = texts(rates_figure(sample_summary(120)))
    static = [boot for boot in boots if boot.values["address"] == "static"]
    n_ran = sum(boot.is_counted for boot in static)
    n_seen = sum(boot.outcome == "reproduced" for boot in static)
    assert f"{n_seen} of {n_ran}: " in shown
    assert "not counted" in shown
    assert "significant" in shown


def test_boot_that_heard_nothing_is_marked_at_the_top() -> None:
    boots = sample_boots(6)
    boots[2] = msgspec.structs.replace(boots[2], outcome="reproduced", join_to_first_ns=None, boot_to_first_ns=None)
    summary = msgspec.structs.replace(sample_summary(6), boots=boots, statistics=statistics(boots, ["address"]))
    assert "never, on this boot" in texts(first_packet_figure(summary))


def test_same_summary_gives_the_same_files(tmp_path: Path) -> None:
    summary = sample_summary(5)
    first = plot_campaign(summary, tmp_path / "a")
    second = plot_campaign(summary, tmp_path / "b")
    assert [path.name for path in first] == [
        "raster.png", "raster.svg", "first-packet.png", "first-packet.svg", "rates.png", "rates.svg"
    ]  # fmt: skip
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_figure_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("no directory")
    with pytest.raises(StorageError, match="cannot write"):
        plot_campaign(sample_summary(1), tmp_path / "plots")


def test_summary_survives_its_way_through_json_and_reads_well() -> None:
    summary = sample_summary(80)
    assert msgspec.json.decode(msgspec.json.encode(summary), type=CampaignSummary) == summary
    said = format_summary(summary)
    assert "en0: index 4 to 5" in said
    assert "the last 60 of 80 boots" in said
