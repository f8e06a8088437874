"""What is written is what is read: rows, events, manifest, counters, summary."""

from __future__ import annotations

import tempfile
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import (
    END,
    a_manifest,
    a_run,
    a_sender,
    a_writer,
    all_packets,
    all_sent,
    an_event,
    packets,
    sent_rows,
)

from harness.errors import RecordError, StorageError, UsageError
from harness.model import Counters, Parameters, ReceiverInfo, StreamInfo, Summary
from harness.store import RunWriter, fresh_run_path, open_run, read_summary, write_summary

SUMMARY = Summary(parameters=Parameters(tmax_ns=3), streams=[], path="results/x")


def test_finished_run_reads_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunWriter.create(path, a_manifest(0), {"kernel": "6.1"}) as writer:
        writer.add_stream(StreamInfo(number=9, group="239.1.2.9:5000"))
        writer.add_sender(a_sender(4))
        writer.add_receiver(ReceiverInfo(name="rx", groups=["239.1.2.9:5000"]))
        writer.append_packets(packets(0, 10, stream=0))
        writer.append_packets(packets(10, 5, stream=9))
        writer.append_sent(sent_rows(0, 7, stream=4))
        writer.event(an_event("one"))
        writer.flush(force=True)
        writer.event(an_event("two"))
        writer.set_counters(Counters(rejected={"too short": 3}))
        writer.amend(resolved={"rate": "1 kpps"})
        recorded = writer.finish(END, SUMMARY)
    reader = open_run(path)
    assert (recorded.n_packets, recorded.n_sent, recorded.n_events) == (15, 7, 2)
    assert (reader.n_packets, reader.n_sent) == (15, 7)
    assert all_packets(reader)["seq"].tolist() == list(range(15))
    assert all_packets(reader)["stream"].tolist() == [0] * 10 + [9] * 5
    assert all_sent(reader).tobytes() == sent_rows(0, 7, stream=4).tobytes()
    assert [event.text for event in reader.events] == ["one", "two"]
    assert [info.number for info in reader.manifest.streams] == [0, 9]
    assert reader.manifest.senders == [a_sender(4)]
    assert reader.manifest.receivers[0].name == "rx"
    assert reader.manifest.resolved == {"rate": "1 kpps"}
    assert reader.manifest.end == END
    assert reader.counters == reader.manifest.counters == Counters(rejected={"too short": 3})
    assert reader.environment == {"kernel": "6.1"}
    assert reader.summary() == SUMMARY
    assert reader.is_complete
    assert reader.warnings == []


def test_empty_run_is_a_run(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run"):
        pass
    reader = open_run(tmp_path / "run")
    assert (reader.n_packets, list(reader.packets()), list(reader.sent()), reader.events) == (0, [], [], [])
    assert reader.manifest.end is not None
    assert reader.manifest.end.reason == "ended"
    assert (reader.environment, reader.summary(), reader.warnings) == (None, None, [])


def test_exception_in_the_context_is_the_end_reason(tmp_path: Path) -> None:
    def record() -> None:
        with a_writer(tmp_path / "run", 0) as writer:
            writer.append_packets(packets(0, 3))
            raise RuntimeError("cable on fire")

    with pytest.raises(RuntimeError):
        record()
    reader = open_run(tmp_path / "run")
    assert reader.n_packets == 3
    assert reader.manifest.end is not None
    assert (reader.manifest.end.reason, reader.manifest.end.error) == ("error", "cable on fire")


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 200), max_size=8),
    flushes=st.lists(st.booleans(), min_size=8, max_size=8),
    chunk_rows=st.integers(1, 300),
    block_rows=st.integers(1, 70),
    max_blocks=st.integers(1, 4),
)
def test_any_split_into_appends_flushes_and_reads_keeps_every_row(
    sizes: list[int], flushes: list[bool], chunk_rows: int, block_rows: int, max_blocks: int
) -> None:
    rows = packets(0, sum(sizes))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run"
        done = 0
        with a_writer(path, 0, block_rows=block_rows, max_blocks=max_blocks) as writer:
            for size, is_flushed in zip(sizes, flushes, strict=False):
                writer.append_packets(rows[done : done + size])
                done += size
                if is_flushed:
                    assert writer.flush(force=True).n_packets == done
        reader = open_run(path)
        parts = list(reader.packets(chunk_rows))
        assert all(1 <= len(part) <= chunk_rows for part in parts)
        assert b"".join(part.tobytes() for part in parts) == rows.tobytes()
        assert reader.warnings == []


def test_appends_while_another_thread_flushes_lose_nothing(tmp_path: Path) -> None:
    is_over = threading.Event()
    with a_writer(tmp_path / "run", 0, block_rows=50, max_blocks=3) as writer:

        def keep_flushing() -> None:
            while not is_over.is_set():
                writer.flush(force=True)

        thread = threading.Thread(target=keep_flushing)
        thread.start()
        for first in range(0, 20_000, 40):
            writer.append_packets(packets(first, 40))
        is_over.set()
        thread.join()
    assert all_packets(open_run(tmp_path / "run"))["seq"].tolist() == list(range(20_000))


def test_reader_of_a_growing_run_sees_whole_flushes(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "run")
    for stream in range(5):
        writer.add_stream(StreamInfo(number=stream))
        writer.append_packets(packets(stream * 10, 10, stream))
        writer.flush(force=True)
        reader = open_run(tmp_path / "run")
        assert all_packets(reader)["seq"].tolist() == list(range(10 * stream + 10))
        assert not reader.is_complete
        assert [text.partition(" ")[2] for text in reader.warnings] == [
            "has no end: the recording was killed or is still going on"
        ]
    early = open_run(tmp_path / "run")
    writer.append_packets(packets(50, 10, 4))
    writer.finish(END)
    assert len(all_packets(early)) == early.n_packets == 50
    assert len(all_packets(open_run(tmp_path / "run"))) == 60


def test_readers_never_see_a_row_of_an_unlisted_stream_while_the_writer_runs(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "run")
    is_over = threading.Event()

    def record() -> None:
        for stream in range(60):
            writer.add_stream(StreamInfo(number=stream))
            writer.append_packets(packets(stream * 7, 7, stream))
            writer.flush(force=True)
        is_over.set()

    thread = threading.Thread(target=record)
    thread.start()
    n_seen = 0
    while not is_over.is_set():
        reader = open_run(tmp_path / "run")
        rows = all_packets(reader)
        assert rows["seq"].tolist() == list(range(reader.n_packets))
        assert not any("does not list" in text for text in reader.warnings)
        n_seen += 1
    thread.join()
    writer.finish(END)
    assert n_seen > 0


def test_unforced_flush_waits_for_its_interval_or_a_half_full_buffer(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run", 0, block_rows=10, max_blocks=4) as writer:
        writer.append_packets(packets(0, 5))
        assert writer.flush().n_packets == 0
        writer.append_packets(packets(5, 15))
        assert writer.flush().n_packets == 20
    with RunWriter.create(tmp_path / "eager", a_manifest(0), flush_interval_ns=0) as writer:
        writer.append_packets(packets(0, 5))
        assert writer.flush().n_packets == 5


def test_counters_survive_without_an_end(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "run", 0)
    writer.append_packets(packets(0, 2))
    writer.set_counters(Counters(socket_drops={"rx": 1}))
    writer.flush(force=True)
    writer.set_counters(Counters(socket_drops={"rx": 8}))
    writer.flush(force=True)
    writer.append_packets(packets(2, 2))
    writer.flush(force=True)
    reader = open_run(tmp_path / "run")
    assert reader.counters == Counters(socket_drops={"rx": 8})
    assert reader.n_packets == 4
    writer.finish(END)


def test_rows_of_an_unknown_stream_are_refused_by_number(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run", 0) as writer:
        with pytest.raises(StorageError, match="stream 3"):
            writer.append_packets(packets(0, 4, stream=3))
        with pytest.raises(StorageError, match="stream 2"):
            writer.append_sent(sent_rows(0, 4, stream=2))
        with pytest.raises(StorageError, match="65536"):
            writer.add_stream(StreamInfo(number=65_536))
        with pytest.raises(TypeError):
            writer.append_packets(sent_rows(0, 1))
    assert open_run(tmp_path / "run").n_packets == 0


def test_finished_run_takes_nothing_more(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "run", 0)
    writer.finish(END)
    writer.finish(END)
    with pytest.raises(StorageError, match="finished"):
        writer.append_packets(packets(0, 1))
    with pytest.raises(StorageError, match="finished"):
        writer.event(an_event("late"))
    with pytest.raises(StorageError, match="finished"):
        writer.flush(force=True)


def test_occupied_directory_is_refused_and_untouched(tmp_path: Path) -> None:
    a_run(tmp_path / "run", 3)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(StorageError, match="not empty") as caught:
        a_writer(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_directory_that_cannot_be_made_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="--output") as caught:
        a_writer(tmp_path / place)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / place) in str(caught.value)


def test_event_storm_is_written_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.store.writer._MAX_EVENTS", 10)
    with a_writer(tmp_path / "run") as writer:
        for number in range(25):
            writer.event(an_event(str(number)))
        assert writer.recorded.n_events == 20
    assert len(open_run(tmp_path / "run").events) == 25


def test_memory_stays_bounded_however_much_is_appended(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run", 0, block_rows=100, max_blocks=3) as writer:
        for first in range(0, 5_000, 1_000):
            writer.append_packets(packets(first, 1_000))
            blocks = writer._packets
            assert blocks.n_rows <= 300
            assert blocks._n_blocks <= 3
    assert open_run(tmp_path / "run").n_packets == 5_000


def test_values_that_json_does_not_know_are_stored_as_text_or_number(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run") as writer:
        writer.amend(asked={"output": tmp_path, "count": np.int64(3)})
    assert open_run(tmp_path / "run").manifest.asked == {"output": str(tmp_path), "count": 3}


def test_summary_round_trips_through_a_file_and_a_run(tmp_path: Path) -> None:
    write_summary(tmp_path / "alone.json", SUMMARY)
    assert read_summary(tmp_path / "alone.json") == SUMMARY
    write_summary(tmp_path, SUMMARY)
    assert read_summary(tmp_path) == SUMMARY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.json", "summary.json"]
    with pytest.raises(StorageError, match=r"nowhere"):
        write_summary(tmp_path / "nowhere" / "summary.json", SUMMARY)
    with pytest.raises(RecordError, match="cannot read"):
        read_summary(tmp_path / "none.json")


def test_chunks_below_one_row_are_refused(tmp_path: Path) -> None:
    a_run(tmp_path / "run", 3)
    with pytest.raises(UsageError):
        next(open_run(tmp_path / "run").packets(0))


def test_two_runs_of_one_second_get_two_directories(tmp_path: Path) -> None:
    now = datetime(2025, 1, 2, 3, 4, 5)
    paths = [fresh_run_path(tmp_path / "results", "receive", now) for _ in range(3)]
    assert [path.name for path in paths] == [
        "20250102-030405-receive",
        "20250102-030405-receive-2",
        "20250102-030405-receive-3",
    ]
    assert all(path.is_dir() for path in paths)
    a_writer(paths[0]).finish(END)


def test_results_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StorageError, match="--output"):
        fresh_run_path(tmp_path / "results", "run")
