"""The journal: one JSON line a transition, on the medium before the transition is made.

A line carries its own checksum and number. A last line that is torn is what a power cut leaves of a write that was
never finished: nothing was done on the strength of it, so it is cut off. A damaged line with good ones behind it is
another matter, and refused.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.campaign.state import State
from harness.errors import RecordError, StorageError, os_reason, storage_error
from harness.model.boots import JOURNAL_VERSION, JournalRecord
from harness.store.atomic import sync, sync_directory, write_all

_LINE = re.compile(rb'\{"crc":"([0-9a-f]{8})",(.*\})')


class Medium(Protocol):
    """What a journal lies on; a file, or in the tests a disk that forgets what was not synced."""

    def read(self) -> bytes:
        """Return everything."""

    def append(self, data: bytes) -> None:
        """Write at the end; without `sync` it may be lost, whole or in part."""

    def sync(self) -> None:
        """Return once everything written is on the medium."""

    def cut(self, size: int) -> None:
        """Drop whatever stands beyond `size` bytes, and return once that is on the medium."""


class FileMedium:
    """A file that is made when missing, its name synced too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        is_new = not path.exists()
        try:
            self._file = FileIO(path, "a+")
            if is_new:
                sync(self._file)
                sync_directory(path.parent)
        except OSError as exc:
            raise storage_error(exc, path, "the campaign's directory must be yours and writable") from exc

    def read(self) -> bytes:
        """Return the file's bytes."""
        self._file.seek(0)
        return self._file.readall() or b""

    def append(self, data: bytes) -> None:
        """Write at the end of the file."""
        write_all(self._file, data)

    def sync(self) -> None:
        """Wait for the medium."""
        sync(self._file)

    def cut(self, size: int) -> None:
        """Shorten the file."""
        self._file.truncate(size)
        sync(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def encode_line(record: JournalRecord) -> bytes:
    """Return a record as its line, its newline included.

    >>> encode_line(JournalRecord(seq=1, t_ns=2, kind="created", boot_id="a")).rstrip()
    b'{"crc":"b7dcfef6","seq":1,"t_ns":2,"kind":"created","boot_id":"a"}'
    """
    body = msgspec.json.encode(record)
    return b'{"crc":"%08x",' % zlib.crc32(body) + body[1:] + b"\n"


def decode_line(line: bytes) -> JournalRecord | None:
    """Return the record of a line without its newline; None for one that is damaged."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    body = b"{" + match.group(2)
    if zlib.crc32(body) != int(match.group(1), 16):
        return None
    try:
        return msgspec.json.decode(body, type=JournalRecord)
    except msgspec.DecodeError:
        return None


def parse(data: bytes, where: str) -> tuple[list[JournalRecord], int]:
    """Return the records of a journal, and how many bytes of it they take; what stands beyond is a torn tail.

    Raises:
      RecordError: a damaged line with good ones behind it, or a version that this program does not read.
    """
    records: list[JournalRecord] = []
    size = at = number = 0
    damaged: int | None = None
    while at < len(data):
        end = data.find(b"\n", at)
        record = decode_line(data[at:end]) if end >= 0 else None
        number += 1
        if record is None:
            damaged = damaged or number
        elif damaged is not None:
            raise RecordError(f"{where}: line {damaged} is damaged, and others follow it; take it from a backup")
        else:
            records.append(record)
            size = end + 1
        at = end + 1 if end >= 0 else len(data)
    if records and records[0].version != JOURNAL_VERSION:
        found = records[0].version
        raise RecordError(f"{where}: version {found} of the journal; this program reads version {JOURNAL_VERSION}")
    return records, size


class Journal:
    """A journal that is being written, and the state that it says.

    Attributes:
      state: of the campaign, with every record.
      torn: bytes of a torn tail that was cut off when it was opened.
    """

    def __init__(self, medium: Medium, clock_ns: Callable[[], int], where: str = "journal") -> None:
        """Read what is there and cut off a torn tail.

        Raises:
          RecordError: it is damaged, or its records cannot follow on each other.
          StorageError: the torn tail cannot be cut off.
        """
        self._medium, self._clock_ns, self._where = medium, clock_ns, where
        self._lock = threading.Lock()
        self.state = State()
        data = medium.read()
        records, self._size = parse(data, where)
        fold(self.state, records, where)
        self.torn = len(data) - self._size
        if self.torn:
            self._do(lambda: medium.cut(self._size))

    def write(self, *, boot_id: str, **fields: Any) -> JournalRecord:
        """Write a record; once this returns, it is on the medium and in `state`.

        Raises:
          StorageError: it is not; nothing may be done on the strength of it.
        """
        with self._lock:
            seq = self.state.seq + 1
            version = JOURNAL_VERSION if seq == 1 else None
            record = JournalRecord(seq=seq, t_ns=self._clock_ns(), boot_id=boot_id, version=version, **fields)
            line = encode_line(record)
            self._do(lambda: self._append(line))
            self._size += len(line)
            self.state.apply(record)
            return record

    def _append(self, line: bytes) -> None:
        try:
            self._medium.append(line)
            self._medium.sync()
        except OSError:
            self._medium.cut(self._size)
            raise

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as exc:
            reason = os_reason(exc)
            raise StorageError(
                f"cannot write {self._where}: {reason}; the campaign stops before its next step"
            ) from exc


def fold(state: State, records: list[JournalRecord], where: str) -> State:
    """Apply records and return the state.

    Raises:
      RecordError: they cannot follow on each other.
    """
    for record in records:
        try:
            state.apply(record)
        except RecordError as exc:
            raise RecordError(f"{where}: {exc}") from exc
    return state


def read_state(path: Path) -> tuple[State, list[JournalRecord]]:
    """Return what a journal says, without touching it: for a campaign that may be under way.

    Raises:
      RecordError: no such file, damaged, or its records cannot follow on each other.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}; is this the directory of a campaign?") from exc
    records, _ = parse(data, str(path))
    return fold(State(), records, str(path)), records
