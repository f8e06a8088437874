"""What is measured on one boot, from a run on disk: a recording of known windows, and summaries changed by hand."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.campaign import boot_path
from harness.campaign import directory as layout
from harness.campaign.measure import measure
from harness.campaign.raster import N_CELLS, spans_of
from harness.errors import RecordError
from harness.model import Event, StreamSummary, Summary, Verdict
from harness.model.boots import BootFacts, StepResult
from harness.model.campaign import ReproducedWhen
from harness.model.witness import WitnessRecord, WitnessSeries
from harness.store import read_summary, write_summary
from harness.store.documents import encode_document
from harness.units import NS_PER_S

SAMPLE = Path(__file__).parent.parent.parent / "results" / "sample"


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """Return the directory of boot 3, whose recording is the repository's sample: windows of 400 and 1300 ms."""
    path = boot_path(tmp_path, 3)
    path.mkdir(parents=True)
    shutil.copytree(SAMPLE, path / "receive", ignore=shutil.ignore_patterns("plots", "report*"))
    facts(path)
    return path


def facts(path: Path, **changes: Any) -> None:
    joined_ns = 1795377761189033172
    step = StepResult(kind="receive", begin_ns=1, end_ns=2, run="receive", link_up_ns=joined_ns - NS_PER_S)
    made = BootFacts(
        boot=3, boot_id="c", began_ns=joined_ns, booted_ns=joined_ns - 20 * NS_PER_S, is_fresh=True, steps=[step]
    )
    (path / layout.BOOT).write_bytes(encode_document(msgspec.structs.replace(made, **changes)))


def change_summary(boot: Path, **changes: Any) -> None:
    summary = read_summary(boot / "receive")
    write_summary(boot / "receive", msgspec.structs.replace(summary, **changes))


def stream(boot: Path) -> StreamSummary:
    return read_summary(boot / "receive").streams[0]


def test_times_to_the_first_packet_count_from_boot_link_and_join(boot: Path) -> None:
    found = measure(boot)
    first_ns = min(one.first_rx_ns or 0 for one in read_summary(boot / "receive").streams)
    assert found.origin_ns is not None
    assert found.join_to_first_ns == first_ns - found.origin_ns
    assert found.boot_to_first_ns == first_ns - (1795377761189033172 - 20 * NS_PER_S)
    assert found.link_to_first_ns == first_ns - (1795377761189033172 - NS_PER_S)
    assert [window.kind for window in found.dropouts] == ["mid_run", "mid_run"]
    assert (found.expected, found.lost) == (9600, 1709)


def test_boot_that_was_not_rebooted_for_this_has_no_time_from_boot(boot: Path) -> None:
    facts(boot, is_fresh=False)
    assert measure(boot).boot_to_first_ns is None


@pytest.mark.parametrize(
    ("sign", "outcome", "words"),
    [
        (ReproducedWhen(first_packet_after="5s"), "ok", ""),
        (ReproducedWhen(first_packet_after="1ms"), "reproduced", "first packet of 239.255.77.1:5077 after"),
        (ReproducedWhen(verdict="querier-lost"), "reproduced", "verdict querier-lost"),
        (ReproducedWhen(verdict="link-down"), "ok", ""),
        (ReproducedWhen(expect_failed=True, verdict="link-down"), "ok", ""),
    ],
)
def test_criterion_decides(boot: Path, sign: ReproducedWhen, outcome: str, words: str) -> None:
    change_summary(boot, verdicts=[Verdict(name="querier-lost", sentence="x"), Verdict(name="link-down", sentence="y")])
    found = measure(boot, sign)
    assert found.outcome == outcome
    assert words in found.reason


def test_group_that_was_never_heard_is_later_than_any_limit(boot: Path) -> None:
    silent = msgspec.structs.replace(stream(boot), first_rx_ns=None, last_rx_ns=None, received=0)
    change_summary(boot, streams=[silent, read_summary(boot / "receive").streams[1]])
    found = measure(boot, ReproducedWhen(first_packet_after="10s"))
    assert (found.outcome, found.reason) == ("reproduced", "nothing of 239.255.77.1:5077")


def add_events(boot: Path, *events: Event) -> None:
    with (boot / "receive" / "events.jsonl").open("ab") as out:
        for event in events:
            out.write(msgspec.json.encode(event) + b"\n")


@pytest.mark.parametrize(
    ("after_s", "kind", "is_cured", "cure_ns"),
    [(0.1, "mid_run", True, 300_000_000), (0.1, "stopped", False, None), (3.0, "mid_run", None, None)],
)
def test_reopening_cures_what_was_silent_and_heard_again(
    boot: Path, after_s: float, kind: str, is_cured: bool | None, cure_ns: int | None
) -> None:
    window = stream(boot).windows[0]
    others = read_summary(boot / "receive").streams[1]
    changed = msgspec.structs.replace(stream(boot), windows=[msgspec.structs.replace(window, kind=kind)])
    change_summary(boot, streams=[changed, others])
    at_ns = window.start_ns + round(after_s * NS_PER_S)
    add_events(boot, Event(t_ns=at_ns, kind="reopen", text="reopen"))
    found = measure(boot)
    assert (found.reopened_ns, found.is_cured, found.cure_ns) == (at_ns, is_cured, cure_ns)
    assert ("cure" in [mark.kind for mark in found.marks]) is bool(is_cured)


def test_first_errno_of_a_send_is_named(boot: Path) -> None:
    add_events(boot, Event(t_ns=5, kind="errno", text="send refused: EHOSTUNREACH (No route to host)"))
    add_events(boot, Event(t_ns=4, kind="errno", text="send refused: EPERM (Operation not permitted)"))
    assert measure(boot).first_send_errno == "EPERM"


@pytest.mark.parametrize(("count", "missing", "is_hearing"), [(5, None, True), (0, None, False), (5, "no tap", None)])
def test_witness_counts_in_the_windows_alone(
    boot: Path, count: int, missing: str | None, is_hearing: bool | None
) -> None:
    window = stream(boot).windows[0]
    inside = round((window.end_ns - window.start_ns) / 50_000_000)
    counts = [9, *[count] * inside, 9]
    series = WitnessSeries(
        kind="tap",
        group=stream(boot).group,
        start_ns=window.start_ns - 50_000_000,
        bin_ns=50_000_000,
        counts=counts,
        missing=missing,
    )
    (boot / "receive" / "witnesses.json").write_bytes(encode_document(WitnessRecord(witnesses=[series])))
    (witness,) = measure(boot).witnesses
    assert (witness.name, witness.packets, witness.is_hearing) == ("tap", sum(counts), is_hearing)


def test_boot_cut_short_keeps_what_was_recorded(boot: Path) -> None:
    facts(boot, steps=[])
    found = measure(boot, cut_short=("crashed", "power lost"))
    assert (found.outcome, found.reason, found.received) == ("crashed", "power lost", 7891)


def test_boot_without_a_recording_that_should_have_one_could_not_run(boot: Path) -> None:
    (boot / "receive" / "manifest.json").write_text("{}")
    found = measure(boot)
    assert found.outcome == "not_run"
    assert "manifest.json" in found.reason


def test_evidence_is_held_against_the_boot_before_and_the_last_good_one(boot: Path) -> None:
    snapshot = json.loads((SAMPLE / "environment.json").read_text())
    campaign = boot.parent.parent
    for number, mtu, outcome in ((1, 1500, "ok"), (2, 9000, "reproduced")):
        other = boot_path(campaign, number)
        other.mkdir()
        changed = json.loads(json.dumps(snapshot))
        changed["interfaces"]["lo"]["mtu"] = mtu
        (other / layout.ENVIRONMENT).write_text(json.dumps(changed))
        before = measure(boot)
        (other / layout.MEASURES).write_bytes(
            encode_document(msgspec.structs.replace(before, boot=number, outcome=outcome))
        )
    changed = json.loads(json.dumps(snapshot))
    changed["interfaces"]["lo"]["mtu"] = 1500
    (boot / layout.ENVIRONMENT).write_text(json.dumps(changed))
    found = measure(boot)
    assert found.changes_good == []
    assert found.changes_previous is not None
    assert any("9000" in change.text and "1500" in change.text for change in found.changes_previous)


def test_directory_without_facts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"boot\.json"):
        measure(tmp_path)


def test_row_of_the_raster_is_lost_where_the_windows_are(boot: Path) -> None:
    one = stream(boot)
    spans = spans_of([one])
    assert [span.kind for span in spans] == ["delivered", "lost", "delivered", "lost", "delivered"]
    cell_ns = -(-(spans[-1].end_ns - spans[0].start_ns) // N_CELLS)
    for span, window in zip((span for span in spans if span.kind == "lost"), one.windows, strict=True):
        assert span.start_ns == pytest.approx(window.start_ns, abs=cell_ns)
        assert span.end_ns == pytest.approx(window.end_ns, abs=cell_ns)
    assert spans_of([]) == []


def test_slow_stream_is_not_silent_between_its_packets() -> None:
    summary: Summary = read_summary(SAMPLE)
    quick = summary.streams[1]
    n = 4000
    received = [1 if place % 250 == 0 else 0 for place in range(n)]
    series = msgspec.structs.replace(quick.series, received=received, due=[], lost=[], bin_ns=2_000_000)
    start_ns = series.start_ns
    slow = msgspec.structs.replace(
        quick,
        windows=[],
        series=series,
        schedule=msgspec.structs.replace(quick.schedule, interval_ns=500_000_000),
        first_rx_ns=start_ns,
        last_rx_ns=start_ns + n * 2_000_000,
    )
    assert [span.kind for span in spans_of([slow])] == ["delivered"]
