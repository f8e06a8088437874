"""A disk that is full or broken: the error says what was kept, and that much is readable."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest
from store_helpers import END, a_writer, all_packets, an_event, packets

from harness.errors import StorageError
from harness.model import PacketArray, StreamInfo
from harness.store import RecordingError, RunWriter, atomic, open_run

if sys.platform == "win32":
    pytest.skip("needs RLIMIT_FSIZE and mounts", allow_module_level=True)
import resource

N_ROWS = 20_000
CHUNK = 500


def record(writer: RunWriter, rows: PacketArray) -> None:
    for first in range(0, len(rows), CHUNK):
        writer.append_packets(rows[first : first + CHUNK])
        writer.event(an_event(f"at {first}"))
        writer.flush(force=first % (4 * CHUNK) == 0)
    writer.flush(force=True)


def check(path: Path, exc: RecordingError, code: int) -> bool:
    """Hold a run that ran out of disk against the error; return whether its end could be written."""
    reader = open_run(path)
    rows = all_packets(reader)
    assert len(rows) == reader.n_packets == exc.recorded.n_packets
    assert rows.tobytes() == packets(0, len(rows)).tobytes()
    assert exc.errno == code
    assert exc.path == path
    assert f"{len(rows)} packets" in str(exc) if len(rows) else "no packets" in str(exc)
    assert str(path) in str(exc)
    if reader.manifest.end is None:
        return False
    assert reader.manifest.end.error is not None
    assert errno.errorcode[code] in reader.manifest.end.error
    assert reader.warnings == []
    return True


def record_to_the_end(path: Path) -> RecordingError:
    writer = a_writer(path, 0, block_rows=1_000, max_blocks=4)
    with pytest.raises(RecordingError) as caught:
        record(writer, packets(0, N_ROWS))
    assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError):
        writer.append_packets(packets(0, 1))
    with pytest.raises(RecordingError):
        writer.finish(END)
    return caught.value


class SmallDisk:
    """Lets the files of a directory grow to so many bytes in all."""

    def __init__(self, patch: pytest.MonkeyPatch, path: Path, capacity: int) -> None:
        self.path, self.capacity = path, capacity
        self._write_all = atomic.write_all
        patch.setattr(atomic, "write_all", self.write_all)

    def write_all(self, file: FileIO, data: memoryview | bytes) -> None:
        free = max(0, self.capacity - sum(entry.stat().st_size for entry in self.path.iterdir()))
        view = memoryview(data).cast("B")
        self._write_all(file, view[:free])
        if free < len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_at_any_capacity_keeps_what_fitted(tmp_path: Path) -> None:
    n_ended = 0
    for capacity in range(0, 600_000, 17_777):
        path = tmp_path / f"{capacity}"
        with pytest.MonkeyPatch.context() as patch:
            SmallDisk(patch, path, capacity)
            if capacity == 0:
                with pytest.raises(StorageError, match="ENOSPC"):
                    a_writer(path)
                continue
            exc = record_to_the_end(path)
        n_ended += check(path, exc, errno.ENOSPC)
        assert exc.recorded.n_packets * 32 > capacity - 64 * 1024 - 20_000 - 8 * 1024
    assert n_ended > 20


@pytest.fixture
def _file_size_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_file_size_limit")
def test_file_size_limit_of_the_kernel_ends_the_run_in_order(tmp_path: Path) -> None:
    exc = record_to_the_end(tmp_path / "run")
    assert check(tmp_path / "run", exc, errno.EFBIG)
    assert exc.recorded.n_packets == 300_000 // 32


@pytest.mark.parametrize("operation", ["write_all", "sync"])
def test_broken_disk_keeps_the_earlier_flushes(tmp_path: Path, operation: str) -> None:
    writer = a_writer(tmp_path / "run", 0)
    writer.append_packets(packets(0, 10))
    writer.flush(force=True)
    writer.append_packets(packets(10, 10))

    def fail(file: FileIO, *_: object) -> None:
        if str(file.name).endswith((".bin", ".crc")):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, operation, fail)
        with pytest.raises(RecordingError) as caught:
            writer.flush(force=True)
        assert caught.value.recorded.n_packets == 10
    with pytest.raises(RecordingError):
        writer.finish(END)
    assert check(tmp_path / "run", caught.value, errno.EIO)


def test_manifest_that_cannot_be_written_keeps_rows_of_new_streams_out(tmp_path: Path) -> None:
    writer = a_writer(tmp_path / "run", 0)
    writer.append_packets(packets(0, 5))
    writer.flush(force=True)
    writer.add_stream(StreamInfo(number=1))
    writer.append_packets(packets(5, 5, 1))

    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_replace", fail)
        with pytest.raises(RecordingError, match=r"manifest\.json: ENOSPC"):
            writer.flush(force=True)
        with pytest.raises(RecordingError):
            writer.finish(END)
    reader = open_run(tmp_path / "run")
    assert all_packets(reader)["stream"].tolist() == [0] * 5
    assert not reader.is_complete
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == []


def test_error_on_the_way_wins_over_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record() -> None:
        with a_writer(tmp_path / "run", 0) as writer:
            writer.append_packets(packets(0, 5))
            SmallDisk(monkeypatch, tmp_path / "run", 0)
            raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error"):
        record()


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_small_tmpfs_fills_up_and_stays_readable(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "multicast-harness-test", str(mount)],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        exc = record_to_the_end(mount / "run")
        assert check(mount / "run", exc, errno.ENOSPC)
        assert exc.recorded.n_packets > 8_000
    finally:
        subprocess.run(["umount", str(mount)], check=True, timeout=10)
