"""Where an agent records until the controller has fetched it: a directory per part, which outlives the agent.

    ~/.local/state/multicast-harness/agent/<part>/
        recording/     the run directory
        files/         files of the controller that the part reads (schedules, schemas)
        owner.json     which process records

An agent that starts after another one was lost can end that one for good (`claim`) and give its files away.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import zlib
from pathlib import Path

import msgspec
import psutil

from harness.errors import RecordError, StorageError, UsageError, os_reason, storage_error
from harness.store import layout
from harness.store.atomic import write_atomically
from harness.store.documents import read_json

CHUNK_BYTES = 384 * 1024
"""Bytes of a file in one answer; as base64 they leave room in a line."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_SAME_START_S = 2.0
"""Some systems tell a process's start by a clock that may be set; no pid comes round again this fast."""

_POLITE_S, _FIRM_S, _POLL_S = 3.0, 2.0, 0.05


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process that records: its id, and when it was started, since ids come round again."""

    pid: int
    started_s: float


class FileState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a recording: its name, its length in bytes and the CRC-32 of all of it."""

    name: str
    size: int
    crc32: int


def default_root() -> Path:
    """Return where this user's agents record."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "multicast-harness" / "agent"


def checked_name(name: str, what: str) -> str:
    """Return a name that is safe as one component of a path.

    Raises:
      UsageError: it is not.

    >>> checked_name("packets.bin", "file")
    'packets.bin'
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r} is no name of letters, digits, '.', '_' and '-'")
    return name


class Spool:
    """The recordings of this user's agents.

    Args:
      root: their directory; it is made when something is recorded.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def recording(self, part: str) -> Path:
        """Return the run directory of a part, whether it is there or not."""
        return self.root / checked_name(part, "part") / "recording"

    def make(self, part: str, files: dict[str, str]) -> tuple[Path, Path]:
        """Make a part's directory as this process's own; return where to record and where its files are.

        Raises:
          StorageError: the part exists, or cannot be made.
        """
        home = self.root / checked_name(part, "part")
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            home.mkdir()
            owner = Owner(os.getpid(), psutil.Process().create_time())
            write_atomically(home / "owner.json", msgspec.json.encode(owner))
            (home / "files").mkdir()
            for name, text in files.items():
                (home / "files" / checked_name(name, "file")).write_text(text, encoding="utf-8")
        except FileExistsError as exc:
            raise StorageError(f"part {part} exists in {self.root} already; fetch or discard it first") from exc
        except OSError as exc:
            raise storage_error(exc, home, "set XDG_STATE_HOME to a directory that the agent may write") from exc
        return home / "recording", home / "files"

    def claim(self, part: str) -> bool:
        """End the process that still records a part, unless it is this one; return whether there was one.

        It is asked politely first, so that it ends its recording in order, and killed when it does not listen.
        """
        home = self.root / checked_name(part, "part")
        try:
            owner = msgspec.json.decode((home / "owner.json").read_bytes(), type=Owner)
        except (OSError, msgspec.DecodeError):
            return False
        if owner.pid == os.getpid():
            return False
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(owner.pid)
            if abs(process.create_time() - owner.started_s) > _SAME_START_S:
                return False
            process.terminate()
            process.resume()  # one that was stopped hears nothing else
            deadline_s = time.monotonic() + _POLITE_S
            while process.is_running() and not self._has_end(part) and time.monotonic() < deadline_s:
                with contextlib.suppress(psutil.TimeoutExpired):
                    process.wait(_POLL_S)
            process.kill()
            process.wait(_FIRM_S)
            return True
        return False

    def _has_end(self, part: str) -> bool:
        """Whether a recording is complete."""
        try:
            return bool(read_json(self.recording(part) / layout.MANIFEST).get("end"))
        except (RecordError, AttributeError):
            return False

    def files(self, part: str) -> list[FileState]:
        """Return the files of a recording; [] when there is none.

        Raises:
          StorageError: one cannot be read.
        """
        folder = self.recording(part)
        try:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            return [_state(path) for path in paths if path.is_file() and _NAME.fullmatch(path.name)]
        except OSError as exc:
            raise StorageError(f"cannot read {exc.filename or folder}: {os_reason(exc)}") from exc

    def read(self, part: str, name: str, offset: int) -> bytes:
        """Return up to CHUNK_BYTES of a file from `offset` on; b"" at its end.

        Raises:
          UsageError: a name that cannot be one, or a negative offset.
          StorageError: no such file, or it cannot be read.
        """
        if offset < 0:
            raise UsageError(f"offset {offset} is negative")
        path = self.recording(part) / checked_name(name, "file")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(CHUNK_BYTES)
        except OSError as exc:
            raise StorageError(f"cannot read {path}: {os_reason(exc)}") from exc

    def discard(self, part: str) -> None:
        """Remove a part; one that is not there is no error."""
        shutil.rmtree(self.root / checked_name(part, "part"), ignore_errors=True)


def _state(path: Path) -> FileState:
    crc, size = 0, 0
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            crc, size = zlib.crc32(data, crc), size + len(data)
    return FileState(path.name, size, crc)
