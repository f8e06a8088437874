"""A recording that dies at any moment: what `flush` reported is there, and every row belongs to a listed stream."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from io import FileIO
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from store_helpers import a_writer, all_packets, all_sent, an_event, packets, sent_rows

from harness.errors import RecordError
from harness.model import Counters, SenderInfo, StreamInfo
from harness.store import Recorded, RunWriter, atomic, open_run
from harness.store.layout import MANIFEST

N_KILLS = 30
MAX_STREAMS = 60_000


def record(writer: RunWriter, number: int) -> Recorded:
    """Do one round: a new stream, some rows of it, an event, new totals, a flush."""
    writer.add_stream(StreamInfo(number=number))
    writer.append_packets(packets(number * 100, 100, number))
    if number == 0:
        writer.add_sender(SenderInfo(stream=0, stream_id=1, epoch=1, group="", schedule="", first_due_ns=0,
                                     interval_ns=0, size=0, ttl=1))  # fmt: skip
    writer.append_sent(sent_rows(number * 30, 30, 0))
    writer.event(an_event(f"round {number}"))
    writer.set_counters(Counters(rejected={"too short": number}))
    return writer.flush(force=True)


def check(path: Path, reported: Recorded) -> None:
    """Hold a dead run against what its writer had reported."""
    reader = open_run(path)
    rows, sent = all_packets(reader), all_sent(reader)
    assert len(rows) == reader.n_packets >= reported.n_packets
    assert len(sent) == reader.n_sent >= reported.n_sent
    assert len(reader.events) >= reported.n_events
    assert rows["seq"].tolist() == list(range(len(rows)))
    assert sent["seq"].tolist() == list(range(len(sent)))
    assert (rows["stream"] == rows["seq"] // 100).all()
    assert {info.number for info in reader.manifest.streams} >= set(rows["stream"].tolist())
    assert not any("does not list" in text or "checksum" in text for text in reader.warnings)
    assert not reader.is_complete
    if len(rows):
        assert reader.counters.rejected.get("too short", 0) >= len(rows) // 100 - 1


def record_until_killed(path: Path, reports: Connection) -> None:
    writer = a_writer(path)
    for number in range(MAX_STREAMS):
        recorded = record(writer, number)
        reports.send((recorded.n_packets, recorded.n_sent, recorded.n_events))


def received(reports: Connection) -> Iterator[tuple[int, int, int]]:
    """Yield what a dead child had sent."""
    with reports, contextlib.suppress(EOFError):
        for _ in range(MAX_STREAMS):
            yield reports.recv()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_kill_minus_nine_at_random_moments_loses_nothing_reported(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.store"])
    moments = random.Random(20)
    n_rounds = []
    for kill in range(N_KILLS):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=record_until_killed, args=(tmp_path / f"{kill}", theirs))
        child.start()
        theirs.close()
        # so many reports, and then a moment between two: neither depends on how fast the machine is
        reports = [ours.recv() for _ in range(moments.randint(1, 12))]
        time.sleep(moments.uniform(0, 0.01))
        child.kill()
        child.join()
        assert child.exitcode == -9
        reports += received(ours)
        child.close()
        check(tmp_path / f"{kill}", Recorded(*reports[-1]))
        n_rounds.append(len(reports))
    assert len(set(n_rounds)) > 5  # the kills did fall into different moments


def test_each_step_is_on_the_medium_before_the_next_one_relies_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def noted(operation: str, name: str) -> None:
        original = getattr(atomic, operation)

        def note(subject: FileIO | Path, *rest: object) -> None:
            path = Path(str(subject.name)) if isinstance(subject, FileIO) else subject
            steps.append(f"{name} {path.name if path.suffix else 'directory'}")
            original(subject, *rest)

        monkeypatch.setattr(atomic, operation, note)

    with a_writer(tmp_path / "run") as writer:
        record(writer, 0)
        for operation, name in (("write_all", "write"), ("sync", "sync"), ("_replace", "rename")):
            noted(operation, name)
        noted("sync_directory", "sync")
        record(writer, 1)
        temporary = f".manifest.json.{os.getpid()}.tmp"
        assert steps == [
            *(f"write {temporary}", f"sync {temporary}", f"rename {temporary}", "sync directory"),
            *("write packets.bin", "write packets.bin", "sync packets.bin", "write packets.crc", "sync packets.crc"),
            *("write sent.bin", "sync sent.bin", "write sent.crc", "sync sent.crc"),
            *("write events.jsonl", "sync events.jsonl"),
        ]


class PowerCutError(BaseException):
    """Nothing runs after this."""


class PowerSupply:
    """Lets so many disk operations through, cuts the next one in the middle, and refuses all after it."""

    def __init__(self, patch: pytest.MonkeyPatch, n_operations: int) -> None:
        self.left = n_operations
        self._write_all, self._replace, self._sync = atomic.write_all, atomic._replace, atomic.sync
        patch.setattr(atomic, "write_all", self.write_all)
        patch.setattr(atomic, "_replace", self.replace)
        patch.setattr(atomic, "sync", self.sync)
        patch.setattr(atomic.AppendFile, "roll_back", lambda *_: None)

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCutError

    def write_all(self, file: FileIO, data: memoryview | bytes) -> None:
        if self.left == 0:
            self._write_all(file, memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
        self.spend()
        self._write_all(file, data)

    def replace(self, source: Path, target: Path) -> None:
        self.spend()
        self._replace(source, target)

    def sync(self, file: FileIO) -> None:
        self.spend()
        self._sync(file)


def test_cut_at_every_single_disk_operation_loses_nothing_reported(tmp_path: Path) -> None:
    n_cuts = 0
    for n_operations in itertools.count():
        path, reported = tmp_path / f"{n_operations}", Recorded()
        writer = None
        with pytest.MonkeyPatch.context() as patch:
            PowerSupply(patch, n_operations)
            try:
                writer = a_writer(path)
                for number in range(3):
                    reported = record(writer, number)
                break
            except PowerCutError:
                n_cuts += 1
            finally:
                if writer is not None:
                    writer._files.close()
        if (path / MANIFEST).exists():
            check(path, reported)
        else:
            assert reported == Recorded()
            with pytest.raises(RecordError):
                open_run(path)
    assert n_cuts > 40
