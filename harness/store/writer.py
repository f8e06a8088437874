"""Recording a run: rows and events collect in memory and go to the disk about once a second.

Two sides may call at the same time. `append_packets`, `append_sent`, `event`, `add_stream` and `set_counters` only
touch memory under a short lock, so an event loop may call them; `flush` and `finish` wait for the disk and belong in a
thread (`await trio.to_thread.run_sync(writer.flush)`). Only when the disk falls so far behind that the buffer
(`max_blocks` blocks of 1 MiB for each kind of row) is full does an append wait for it.

What `flush` returns is safe: it survives `kill -9`, a crash of the system, and a full disk later on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from harness.errors import StorageError, storage_error
from harness.model import (
    PACKET_DTYPE,
    SENT_DTYPE,
    Counters,
    End,
    Event,
    Manifest,
    PacketArray,
    ReceiverInfo,
    SenderInfo,
    StreamInfo,
    Summary,
)
from harness.store import layout
from harness.store.atomic import AppendFile, sync_directory, write_atomically
from harness.store.buffer import RowBuffer
from harness.store.documents import encode, encode_document, write_summary
from harness.store.draft import ManifestDraft
from harness.store.recorded import Recorded, RecordingError
from harness.store.rowlog import RowLog
from harness.units import NS_PER_S

BLOCK_ROWS = 32_768
MAX_BLOCKS = 64
_MAX_EVENTS = 10_000
"""Events that wait for the next flush; a storm of errors must not eat the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one flush writes; None for what is on the disk already."""

    packets: list[PacketArray]
    sent: list[PacketArray]
    events: list[Event]
    manifest: Manifest | None
    version: int
    counters: Counters | None


class RunWriter:
    """A run that is being recorded; make one with `create`, end it with `finish` or as a context manager.

    A context that is left without `finish` ends the run with reason "ended", or "error" and the exception's text.

    Attributes:
      path: the run's directory.
      recorded: what is on the medium.
    """

    def __init__(
        self, path: Path, manifest: Manifest, *, flush_interval_ns: int, block_rows: int, max_blocks: int
    ) -> None:
        """Take an empty directory over; `create` makes and checks it."""
        self.path = path
        self.recorded = Recorded()
        self._memory_lock, self._disk_lock = threading.Lock(), threading.Lock()
        self._draft, self._written_version = ManifestDraft(manifest), 0
        self._packets = RowBuffer(PACKET_DTYPE, block_rows, max_blocks)
        self._sent = RowBuffer(SENT_DTYPE, block_rows, max_blocks)
        self._events: list[Event] = []
        self._has_new_counters = False
        self._flush_interval_ns, self._last_flush_ns = flush_interval_ns, time.monotonic_ns()
        self._failure: RecordingError | None = None
        self._is_ended = False
        self._files = contextlib.ExitStack()
        with contextlib.ExitStack() as files:  # closes them when the rest fails
            self._packet_log = files.enter_context(contextlib.closing(RowLog(path, layout.PACKETS)))
            self._sent_log: RowLog | None = None
            self._event_file = files.enter_context(contextlib.closing(AppendFile(path / layout.EVENTS)))
            write_atomically(path / layout.MANIFEST, encode_document(manifest))
            self._files = files.pop_all()

    @classmethod
    def create(
        cls,
        path: Path,
        manifest: Manifest,
        environment: dict[str, Any] | None = None,
        *,
        flush_interval_ns: int = NS_PER_S,
        block_rows: int = BLOCK_ROWS,
        max_blocks: int = MAX_BLOCKS,
    ) -> RunWriter:
        """Make a run's directory and its first files.

        Args:
          path: the directory; it may exist when it is empty.
          manifest: what is known at the start; streams, senders and receivers may be added later.
          environment: the snapshot for `environment.json`; None for none.
          flush_interval_ns: time between commits by `flush()` that nobody forces.
          block_rows: rows per block, and the longest chunk.
          max_blocks: blocks in memory for each kind of row.

        Raises:
          StorageError: the directory is not empty, or cannot be made or written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise StorageError(f"{path} exists and is not empty; record to another directory with --output")
            if environment is not None:
                write_atomically(path / layout.ENVIRONMENT, encode_document(environment))
            writer = cls(
                path, manifest, flush_interval_ns=flush_interval_ns, block_rows=block_rows, max_blocks=max_blocks
            )
            sync_directory(path.parent)
        except FileExistsError as exc:
            raise StorageError(f"{exc.filename or path} exists already; record elsewhere with --output") from exc
        except OSError as exc:
            remedy = "name a directory that you may write, on a disk with room, with --output"
            raise storage_error(exc, path, remedy) from exc
        return writer

    def add_stream(self, info: StreamInfo) -> None:
        """Add a stream, or replace what is known about it; before any packet with its number."""
        with self._memory_lock:
            self._draft.add_stream(info)

    def add_sender(self, info: SenderInfo) -> None:
        """Add a sending stream, or replace what is known about it; before any sent record with its number."""
        with self._memory_lock:
            self._draft.add_sender(info)
            self._sent.prepare()

    def add_receiver(self, info: ReceiverInfo) -> None:
        """Add a receiver, or replace the one of the same name."""
        with self._memory_lock:
            self._draft.add_receiver(info)
            self._packets.prepare()

    def amend(self, **changes: Any) -> None:
        """Replace other fields of the manifest by name, such as `resolved` or `clocks`."""
        with self._memory_lock:
            self._draft.amend(**changes)

    def set_counters(self, counters: Counters) -> None:
        """Set the running totals; they go to the disk with the next flush."""
        with self._memory_lock:
            self._has_new_counters |= self._draft.set_counters(counters)

    def event(self, event: Event) -> None:
        """Add an event; one that must survive what comes next, such as a reboot, wants `flush(force=True)` after it.

        Raises:
          StorageError: the recording has ended or failed.
        """
        with self._memory_lock:
            self._check_open()
            self._events.append(event)
            is_storm = len(self._events) >= _MAX_EVENTS
        if is_storm:
            self.flush(force=True)

    @property
    def is_behind(self) -> bool:
        """Whether the disk takes packets more slowly than they come, so that an append will soon have to wait."""
        with self._memory_lock:
            return self._packets.is_nearly_full

    @property
    def is_sent_behind(self) -> bool:
        """The same of the sender's own log."""
        with self._memory_lock:
            return self._sent.is_nearly_full

    def append_packets(self, rows: PacketArray) -> None:
        """Add packets received, shape (n,), PACKET_DTYPE, n = 0 allowed; they are copied.

        Raises:
          StorageError: a row names a stream that was not added, or the recording has ended or failed.
        """
        self._append(self._packets, rows, PACKET_DTYPE, self._draft.check_packets)

    def append_sent(self, rows: PacketArray) -> None:
        """Add records of the sender's own log, shape (n,), SENT_DTYPE, n = 0 allowed; they are copied.

        Raises:
          StorageError: a row names a sender that was not added, or the recording has ended or failed.
        """
        self._append(self._sent, rows, SENT_DTYPE, self._draft.check_sent)

    def flush(self, force: bool = False) -> Recorded:
        """Bring everything appended to the medium, and return what is there now.

        Unless forced it does nothing when the last time is less than the flush interval ago and the buffers have room,
        or when another thread is at it.

        Raises:
          RecordingError: the disk refused; the recording is over, and `finish` should follow.
          StorageError: the recording has ended.
        """
        if not force and self.due_in_ns:
            return self.recorded
        if self._disk_lock.acquire(blocking=force):
            try:
                self._commit()
            finally:
                self._disk_lock.release()
        return self.recorded

    def finish(self, end: End, summary: Summary | None = None) -> Recorded:
        """Commit the rest, write how the run ended, and close; a second time does nothing.

        Raises:
          RecordingError: the disk refused the rest; the manifest says so in `end.error` if it still could be written.
        """
        with self._disk_lock:
            if self._is_ended:
                return self.recorded
            with self._files:
                with contextlib.suppress(RecordingError):
                    self._commit(is_last=True)
                self._write_end(end)
        if self._failure is not None:
            raise self._failure
        if summary is not None:
            write_summary(self.path / layout.SUMMARY, summary)
        return self.recorded

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self.finish(End(reason="ended", t_ns=time.time_ns()))
            return
        with contextlib.suppress(StorageError):  # the error on its way is the one to tell
            self.finish(End(reason="error", t_ns=time.time_ns(), error=str(exc) or type(exc).__name__))

    def _append(
        self, buffer: RowBuffer, rows: PacketArray, dtype: np.dtype[np.void], check: Callable[[PacketArray], None]
    ) -> None:
        if rows.dtype != dtype:
            raise TypeError(f"rows of dtype {rows.dtype}, not {dtype}")
        check(rows)
        while len(rows):
            with self._memory_lock:
                self._check_open()
                rows = rows[buffer.append(rows) :]
            if len(rows):  # the disk is behind: waiting for it bounds the memory
                self.flush(force=True)

    @property
    def due_in_ns(self) -> int:
        """When `flush` would write: in so many ns, when the flush interval is over, or with a buffer half full now."""
        if self._packets.is_half_full or self._sent.is_half_full:
            return 0
        return max(0, self._last_flush_ns + self._flush_interval_ns - time.monotonic_ns())

    def _check_open(self) -> None:
        """Raise unless rows can still be recorded."""
        if self._failure is not None:
            raise self._failure
        if self._is_ended:
            raise StorageError(f"{self.path} is finished; nothing can be added to it")

    def _take(self, is_last: bool) -> _Batch:
        """Take everything that waits out of the memory."""
        with self._memory_lock:
            try:
                self._check_open()
            finally:
                self._is_ended = self._is_ended or is_last
            is_manifest_new = self._draft.version != self._written_version
            batch = _Batch(
                packets=self._packets.take(),
                sent=self._sent.take(),
                events=self._events,
                manifest=self._draft.manifest() if is_manifest_new else None,
                version=self._draft.version,
                counters=self._draft.counters if self._has_new_counters else None,
            )
            self._events, self._has_new_counters = [], False
        return batch

    def _commit(self, is_last: bool = False) -> None:
        """Write everything that waits; the caller holds the disk lock.

        The manifest goes first, so that at no moment the disk holds a row of a stream that it does not list.
        """
        batch = self._take(is_last)
        try:
            if batch.manifest is not None:
                write_atomically(self.path / layout.MANIFEST, encode_document(batch.manifest))
                self._written_version = batch.version
            if batch.packets or batch.counters is not None:
                self._packet_log.commit(batch.packets, batch.counters)
            if batch.sent:
                self._open_sent_log().commit(batch.sent, None)
            self._write_events(batch.events)
        except OSError as exc:
            self._count()
            with self._memory_lock:
                self._failure = RecordingError(self.path, exc, self.recorded)
                self._events = batch.events  # `finish` tries them once more, they may say what happened
            raise self._failure from exc
        finally:
            with self._memory_lock:
                self._packets.give_back(batch.packets)
                self._sent.give_back(batch.sent)
        self._count(len(batch.events))
        self._last_flush_ns = time.monotonic_ns()

    def _write_events(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._event_file.append(b"".join(encode(event) + b"\n" for event in events))
            self._event_file.keep()
        except OSError:
            self._event_file.roll_back()
            raise

    def _open_sent_log(self) -> RowLog:
        """Return the sender's log; made for the first row, a receiver has none."""
        if self._sent_log is None:
            self._sent_log = self._files.enter_context(contextlib.closing(RowLog(self.path, layout.SENT)))
        return self._sent_log

    def _count(self, n_new_events: int = 0) -> None:
        n_sent = self._sent_log.n_rows if self._sent_log is not None else 0
        self.recorded = Recorded(self._packet_log.n_rows, n_sent, self.recorded.n_events + n_new_events)

    def _write_end(self, end: End) -> None:
        """Write the manifest with its end; after a failure as well as it still goes."""
        if self._failure is not None:
            end = msgspec.structs.replace(end, error=end.error or str(self._failure))
            with contextlib.suppress(OSError):
                self._write_events(self._events)
        try:
            write_atomically(self.path / layout.MANIFEST, encode_document(self._draft.manifest(end)))
        except OSError as exc:
            self._failure = self._failure or RecordingError(self.path, exc, self.recorded)
