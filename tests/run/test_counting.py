"""A run that counts instead of recording says so, and finds the same."""

import sys
from pathlib import Path

import numpy as np
import pytest

from harness.analysis import analyze_recording
from harness.model import PACKET_DTYPE, Clocks, End, Manifest, Parameters, StreamInfo
from harness.model.scenario_text import parse_scenario
from harness.net import RunClock
from harness.run import Run, perform
from harness.run.recorder import Recorder
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


OFFLOAD = """
linger = "100ms"
record = "RECORD"
[[stream]]
group = "239.255.88.2:5089"
interface = "lo"
rate = "20kpps"
size = "64"
count = 5000
offload = true
[[receiver]]
groups = ["239.255.88.2:5089"]
interface = "lo"
buffer = "8MB"
offload = true
"""


@pytest.mark.skipif(sys.platform != "linux", reason="offload is Linux's")
def test_with_offload_the_senders_log_is_counted_too(tmp_path: Path) -> None:
    for record, n_rows in (("packets", 5000), ("counters", 0)):
        path = tmp_path / record
        runs: list[Run] = []
        perform(parse_scenario(OFFLOAD.replace("RECORD", record), "x"), output=path, command=[], on_start=runs.append)
        assert (runs[0].recorder.n_sent, runs[0].recorder.n_refused) == (5000, 0)
        assert (open_run(path).n_packets, open_run(path).n_sent) == (n_rows and 5008, n_rows)
        (stream,) = analyze_recording(path).streams
        assert (stream.expected, stream.received, stream.lost) == (5000, 5000, 0)


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
    (view,) = recorder.fold.view()
    assert (view.received, view.lost) == (2000, 0)


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
