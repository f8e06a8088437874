"""The way to the disk and back: layout, threads, interrupts, platform differences, speed and memory."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc
from io import FileIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from store_helpers import END, a_manifest, a_run, a_writer, all_packets, packets

from harness.errors import RecordError, StorageError
from harness.model import Counters, End
from harness.store import RunWriter, atomic, fresh_run_path, open_run


def test_layout_on_disk_is_the_documented_one(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", a_manifest(0), {"version": 1}) as writer:
        writer.append_packets(packets(0, 2))
        writer.set_counters(Counters(rejected={"too short": 3}))
        writer.flush(force=True)
        writer.append_packets(packets(2, 1))
        writer.finish(END)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "environment.json",
        "events.jsonl",
        "manifest.json",
        "packets.bin",
        "packets.crc",
    ]
    assert (tmp_path / "run" / "packets.bin").read_bytes() == packets(0, 3).tobytes()
    assert (tmp_path / "run" / "packets.crc").read_text().splitlines() == [
        '{"first":0,"rows":2,"crc32":"9ec0ee7c","counters":{"socket_drops":{},"rejected":{"too short":3},'
        '"misdelivered":{}},"check":"b59e50bc"}',
        '{"first":2,"rows":1,"crc32":"14e04978","check":"87949463"}',
    ]


async def test_append_goes_on_while_a_thread_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_syncing, release = threading.Event(), threading.Event()
    original = atomic.sync

    def slow_sync(file: FileIO) -> None:
        is_syncing.set()
        assert release.wait(30)
        original(file)

    with a_writer(tmp_path / "run", 0) as writer:
        monkeypatch.setattr(atomic, "sync", slow_sync)
        writer.append_packets(packets(0, 10))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, writer.flush, True)
            await trio.to_thread.run_sync(is_syncing.wait, 30)
            writer.append_packets(packets(10, 10))
            assert writer.flush() == writer.recorded  # not forced: another thread is at it
            assert writer.recorded.n_packets == 0
            release.set()
        assert writer.recorded.n_packets == 10
    assert all_packets(open_run(tmp_path / "run"))["seq"].tolist() == list(range(20))


@pytest.mark.parametrize("operation", ["write_all", "sync"])
def test_interrupt_in_a_flush_leaves_later_rows_in_their_place(tmp_path: Path, operation: str) -> None:
    writer = a_writer(tmp_path / "run", 0)
    writer.append_packets(packets(0, 10))
    writer.flush(force=True)
    writer.append_packets(packets(10, 10))
    original = getattr(atomic, operation)

    def interrupt(file: FileIO, data: bytes = b"") -> None:
        if data:
            original(file, memoryview(data)[:100])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, operation, interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.flush(force=True)
    writer.append_packets(packets(20, 10))
    writer.finish(End(reason="interrupted", t_ns=1))
    reader = open_run(tmp_path / "run")
    assert all_packets(reader)["seq"].tolist() == [*range(10), *range(20, 30)]
    assert reader.warnings == []


@pytest.mark.parametrize("n_refusals", [0, 3, 99])
def test_replace_waits_for_a_reader_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_refusals: int
) -> None:
    original, calls = Path.replace, []

    def held_open(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) <= n_refusals:
            raise PermissionError(13, "sharing violation")
        return original(self, target)

    monkeypatch.setattr(atomic, "_REPLACE_TRIES", 5)
    monkeypatch.setattr(Path, "replace", held_open)
    if n_refusals < 5:
        atomic.write_atomically(tmp_path / "a.json", b"1")
        assert (tmp_path / "a.json").read_bytes() == b"1"
    else:
        with pytest.raises(PermissionError):
            atomic.write_atomically(tmp_path / "a.json", b"1")
        assert list(tmp_path.iterdir()) == []
    assert len(calls) == min(n_refusals + 1, 5)


def test_a_file_that_cannot_be_written_is_named_by_its_own_name(tmp_path: Path) -> None:
    target = tmp_path / "no folder" / "a.json"
    with pytest.raises(StorageError, match=r"^cannot write .*/no folder/a\.json: ENOENT .*; name another$"):
        atomic.write_whole(target, b"1", "name another")
    atomic.write_whole(target, b"1", has_folder=False)
    assert target.read_bytes() == b"1"
    with pytest.raises(StorageError, match=r"^cannot write .*/a\.json: "):
        atomic.write_whole(target / "b.json", b"2", has_folder=False)
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_macos_flushes_through_the_drives_cache_where_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    synced: list[int] = []

    def full_sync(descriptor: int, operation: int) -> None:
        asked.append(operation)
        if len(asked) > 1:
            raise OSError(45, "not supported on this volume")

    monkeypatch.setattr(atomic, "_FULL_SYNC", 51)
    monkeypatch.setattr(atomic, "_fcntl", SimpleNamespace(fcntl=full_sync))
    monkeypatch.setattr(os, "fsync", synced.append)
    with FileIO(tmp_path / "a", "w") as file:
        atomic.sync(file)
        assert (asked, synced) == ([51], [])
        atomic.sync(file)
        assert (asked, synced) == ([51, 51], [file.fileno()])


def test_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    a_run(tmp_path / "run", 5, 5)
    reader = open_run(tmp_path / "run")
    data = (tmp_path / "run" / "packets.bin").read_bytes()
    (tmp_path / "run" / "packets.bin").write_bytes(data[: 7 * 32])
    assert all_packets(reader)["seq"].tolist() == list(range(5))
    assert reader.warnings == ["packets.bin: rows 5 to 9 do not match their checksum; skipped"]
    (tmp_path / "run" / "packets.bin").unlink()
    with pytest.raises(RecordError, match=r"packets\.bin: ENOENT"):
        all_packets(reader)


@pytest.mark.parametrize("name", ["packets.crc", "events.jsonl", "manifest.json"])
def test_directory_in_the_place_of_a_file_is_one_line(tmp_path: Path, name: str) -> None:
    a_run(tmp_path / "run", 5)
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).mkdir()
    with pytest.raises(RecordError, match=f"cannot read .*{name}") as caught:
        open_run(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_names_run_out_at_some_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.store.names._MAX_TRIES", 3)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(FileExistsError()))
    with pytest.raises(StorageError, match="--output"):
        fresh_run_path(tmp_path, "run")


def test_reader_holds_one_chunk_at_a_time(tmp_path: Path) -> None:
    n_rows = 200_000
    with RunWriter.create(tmp_path / "run", a_manifest(0), block_rows=1_000) as writer:
        writer.append_packets(packets(0, n_rows))
    reader = open_run(tmp_path / "run")
    tracemalloc.start()
    try:
        assert sum(len(rows) for rows in reader.packets(10_000)) == n_rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 10_000 * 32 < n_rows * 32 // 4


@pytest.mark.bench
def test_recording_keeps_up_with_a_million_packets_a_second(tmp_path: Path) -> None:
    rows = packets(0, 1_000)
    started_ns = time.perf_counter_ns()
    with RunWriter.create(tmp_path / "run", a_manifest(0)) as writer:
        for _ in range(1_000):
            writer.append_packets(rows)
            writer.flush()
    assert time.perf_counter_ns() - started_ns < 1_000_000_000
