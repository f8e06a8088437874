"""A run that counts instead of recording says so, and finds the same."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from harness.analysis import analyze_recording
from harness.analysis.recording import write_counted
from harness.model import (
    PACKET_DTYPE,
    TRAIN_DTYPE,
    Clocks,
    End,
    Manifest,
    PacketArray,
    Parameters,
    StreamInfo,
    expand_trains,
)
from harness.model.scenario_text import parse_scenario
from harness.net import RunClock
from harness.run import Run, perform
from harness.run.recorder import Recorder
from harness.run.session import write_rest
from harness.store import RunWriter, open_run

SCENARIO = """
linger = "100ms"
record = "RECORD"
[[stream]]
group = "239.255.88.1:5088"
interface = "127.0.0.1"
rate = "500pps"
count = 400
impair = { loss = "3%", reorder = "2%", duplicate = "1%", dropouts = [{ at = "300ms", lasts = "100ms" }], seed = 5 }
[[receiver]]
groups = ["239.255.88.1:5088"]
interface = "127.0.0.1"
"""


def test_counting_finds_what_recording_finds(tmp_path: Path) -> None:
    found = {}
    for record in ("packets", "counters"):
        path = tmp_path / record
        perform(parse_scenario(SCENARIO.replace("RECORD", record), "x"), output=path, command=[])
        (found[record],) = analyze_recording(path).streams
    assert open_run(tmp_path / "counters").n_packets == 0
    for name in ("expected", "received", "lost", "duplicates", "reordered", "isolated", "edge"):
        assert getattr(found["counters"], name) == getattr(found["packets"], name)
    assert [window.packets for window in found["counters"].windows] == [
        window.packets for window in found["packets"].windows
    ]


def test_counted_run_says_so_and_that_thresholds_are_its_own(tmp_path: Path) -> None:
    perform(parse_scenario(SCENARIO.replace("RECORD", "counters"), "x"), output=tmp_path / "run", command=[])
    summary = analyze_recording(tmp_path / "run", Parameters(min_packets=99))
    assert "counted, not recorded one by one" in summary.notes[0]
    assert "cannot be applied" in summary.notes[0]
    assert summary.parameters.min_packets == 3
    assert not any("did not live" in note for note in summary.notes)


def make_recorder(path: Path) -> tuple[Recorder, RunClock]:
    clock = RunClock()
    clocks = Clocks(realtime_ns=clock.start_realtime_ns, monotonic_ns=clock.start_monotonic_ns)
    manifest = Manifest(kind="receive", created="", command=[], clocks=clocks)
    writer = RunWriter.create(path, manifest, block_rows=100, max_blocks=8)
    recorder = Recorder(writer, clock)
    recorder.registry.streams[0] = recorder.registry.fresh[0] = StreamInfo(number=0)
    return recorder, clock


def test_disk_that_falls_behind_turns_recording_into_counting(tmp_path: Path) -> None:
    recorder, clock = make_recorder(tmp_path / "run")
    rows = np.zeros(50, dtype=PACKET_DTYPE)
    for start in range(0, 2000, 50):  # nobody flushes: the disk is infinitely slow
        rows["seq"] = np.arange(start, start + 50)
        rows["rx_ns"] = rows["seq"] * 1000
        recorder.packets(rows.copy())
    assert recorder.is_counting
    recorder.writer.finish(End(reason="complete", t_ns=clock.now_ns()))
    reader = open_run(tmp_path / "run")
    assert 0 < reader.n_packets < 2000
    assert reader.manifest.counted_from_ns is not None
    assert any("more slowly than they come" in event.text for event in reader.events)
    (view,) = recorder.view()
    assert (view.received, view.lost) == (2000, 0)
    assert recorder.counted is not None
    write_counted(tmp_path / "run", recorder.counted)
    (stream,) = analyze_recording(tmp_path / "run").streams
    assert (stream.received, stream.lost, stream.duplicates) == (2000, 0, 0)


def rows_of(number: int, start_ns: int, rng: np.random.Generator) -> PacketArray:
    """Return a stream with loss, a drop-out, packets that come late, and copies."""
    index = np.flatnonzero(rng.random(4000) > 0.02)
    index = index[(index < 2500) | (index > 2550)]
    place = index + np.where(rng.random(len(index)) < 0.03, rng.integers(1, 30, len(index)), 0)
    copies = np.flatnonzero(rng.random(len(index)) < 0.02)
    place, index = np.append(place, place[copies] + 3), np.append(index, index[copies])
    order = np.argsort(place, kind="stable")
    rows = np.zeros(len(index), PACKET_DTYPE)
    rows["seq"], rows["stream"], rows["size"] = index[order], number, 64
    rows["tx_ns"] = start_ns + rows["seq"] * 100_000
    rows["rx_ns"] = start_ns + place[order] * 100_000 + rng.integers(20_000, 90_000, len(index))
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_recording_turned_into_counting_finds_what_recording_finds(tmp_path: Path, seed: int) -> None:
    """Streams 0 and 1 are heard before and after the turn, 2 before it only, 3 after it only."""
    rng = np.random.default_rng(seed)
    recorders = {name: make_recorder(tmp_path / name)[0] for name in ("recorded", "turned", "counted")}
    start_ns = recorders["recorded"].clock.now_ns()
    recorders["counted"].count_only("asked for")
    each = [rows_of(number, start_ns + 10**9 * (number == 3), rng) for number in range(4)]
    each[2] = each[2][: 300 * seed]
    rows = np.concatenate(each)
    rows = rows[np.argsort(rows["rx_ns"], kind="stable")]
    turn = int(rng.integers(1, np.flatnonzero(rows["stream"] == 3)[0]))
    turn = max(turn, int(np.flatnonzero(rows["stream"] == 2).max(initial=0)) + 1)
    cuts = [turn, *rng.integers(0, len(rows), 20).tolist()]
    for name, recorder in recorders.items():
        for start, end in itertools.pairwise(sorted({0, *cuts, len(rows)})):
            if name == "turned" and start == turn:
                recorder.count_only("asked for")
            for number in np.unique(rows["stream"][start:end]).tolist():
                if number not in recorder.registry.streams or number == 0 == start:
                    info = StreamInfo(number=number, first_due_ns=start_ns if number % 2 else None, interval_ns=100_000)
                    recorder.registry.streams[number] = recorder.registry.fresh[number] = info
            recorder.packets(rows[start:end].copy())
            recorder.writer.flush(force=True)
    assert recorders["recorded"].view() == recorders["turned"].view() == recorders["counted"].view()
    found = {}
    for name, recorder in recorders.items():
        recorder.writer.finish(End(reason="complete", t_ns=recorder.clock.now_ns()))
        if recorder.counted is not None:
            write_counted(tmp_path / name, recorder.counted)
        found[name] = analyze_recording(tmp_path / name)
    assert [open_run(tmp_path / name).n_packets for name in recorders] == [len(rows), turn, 0]
    for name in ("turned", "counted"):
        assert any("counted, not recorded" in note for note in found[name].notes)
        for one, other in zip(found["recorded"].streams, found[name].streams, strict=True):
            assert (one.number, one.received, one.lost) == (other.number, other.received, other.lost)
            assert (one.jitter_ns, one.delay.mean_ns) == pytest.approx((other.jitter_ns, other.delay.mean_ns))
            for figure in ("duplicates", "reordering", "windows", "thinning", "isolated", "marks", "series"):
                assert getattr(one, figure) == getattr(other, figure), figure
            assert (one.delay.counts, one.ipdv.counts) == (other.delay.counts, other.ipdv.counts)


@pytest.mark.parametrize("n_recorded", [0, 3, 40])
def test_trains_are_recorded_packet_by_packet_and_counted_with_their_packets(tmp_path: Path, n_recorded: int) -> None:
    recorder, clock = make_recorder(tmp_path / "run")
    info = StreamInfo(number=0, first_due_ns=1000, interval_ns=1000)
    recorder.registry.streams[0] = recorder.registry.fresh[0] = info
    trains = np.zeros(40, TRAIN_DTYPE)
    trains["count"], trains["size"] = 20, 64
    trains["seq"] = np.arange(40) * 20 + 7 * (np.arange(40) > 30)
    trains["tx_ns"], trains["rx_ns"] = 1000 + trains["seq"] * 1000, 3000 + trains["seq"] * 1000
    for place in range(40):
        if place == n_recorded:
            recorder.count_only("asked for")
        if place % 10 == 5:
            recorder.packets(expand_trains(trains[place : place + 1]))
        else:
            recorder.trains(trains[place : place + 1].copy())
        recorder.writer.flush(force=True)
        if place % 7 == 0:
            assert sum(view.received for view in recorder.view()) == recorder.n_received == 20 * (place + 1)
    assert [(view.received, view.lost, view.last_gap) for view in recorder.view()] == [(800, 7, (620, 626))]
    recorder.writer.finish(End(reason="complete", t_ns=clock.now_ns()))
    if recorder.counted is not None:
        write_counted(tmp_path / "run", recorder.counted)
    assert open_run(tmp_path / "run").n_packets == recorder.n_recorded == 20 * n_recorded
    (stream,) = analyze_recording(tmp_path / "run").streams
    assert (stream.received, stream.lost, stream.delay.n, stream.delay.mean_ns) == (800, 7, 800, 2000)


def test_counts_that_do_not_join_what_reached_the_disk_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(run: Run) -> None:
        real = run.recorder.packets

        def packets(records: PacketArray) -> None:
            if run.recorder.n_received:
                run.recorder.count_only("asked for")
            real(records)

        monkeypatch.setattr(run.recorder, "packets", packets)
        runs.append(run)

    for n_missing in (0, 1):
        runs: list[Run] = []
        path = tmp_path / str(n_missing)
        plain = SCENARIO.replace("RECORD", "packets").replace("impair", "# impair")
        perform(parse_scenario(plain, "x"), output=path, command=[], on_start=turn)
        recorder = runs[0].recorder
        assert 0 < recorder.n_recorded < recorder.n_received
        assert (path / "counted.json").exists()
        (path / "counted.json").unlink()
        recorder.n_recorded += n_missing
        write_rest(runs[0])
        assert (path / "counted.json").exists() is (n_missing == 0)


def test_run_killed_while_counting_is_analyzed_as_far_as_it_was_recorded(tmp_path: Path) -> None:
    recorder, clock = make_recorder(tmp_path / "run")
    rows = np.zeros(50, dtype=PACKET_DTYPE)
    rows["seq"] = np.arange(50)
    recorder.packets(rows)
    recorder.count_only("asked for")
    recorder.packets(rows)
    recorder.writer.finish(End(reason="complete", t_ns=clock.now_ns()))
    summary = analyze_recording(tmp_path / "run")
    assert summary.streams[0].received == 50
    assert any("did not live to write its counts" in note for note in summary.notes)


@pytest.mark.parametrize("block", [1, 3])
def test_recorder_that_is_flushed_keeps_every_packet(tmp_path: Path, block: int) -> None:
    recorder, clock = make_recorder(tmp_path / "run")
    rows = np.zeros(50, dtype=PACKET_DTYPE)
    for start in range(0, 2000, 50):
        rows["seq"] = np.arange(start, start + 50)
        recorder.packets(rows)
        if start // 50 % block == 0:
            recorder.writer.flush(force=True)
    assert not recorder.is_counting
    recorder.writer.finish(End(reason="complete", t_ns=clock.now_ns()))
    assert open_run(tmp_path / "run").n_packets == 2000
