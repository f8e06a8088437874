"""Bytes to disk so that they are there after a crash: append with roll-back, replace as a whole, flush."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any

from harness.errors import storage_error

_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
_FULL_SYNC: int | None = getattr(_fcntl, "F_FULLFSYNC", None)
"""macOS only: its fsync stops at the drive's cache, which a power cut empties."""

_REPLACE_TRIES = 1 if os.name == "posix" else 20
"""Windows refuses to replace a file that a reader holds open; the reader is done in milliseconds."""


def sync(file: FileIO) -> None:
    """Wait until a file's bytes are on the medium."""
    if _FULL_SYNC is not None:
        with contextlib.suppress(OSError):  # a network volume knows no full sync; fsync is the best there is
            _fcntl.fcntl(file.fileno(), _FULL_SYNC)
            return
    os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the medium; nothing where a directory cannot be opened (Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def write_all(file: FileIO, data: memoryview | bytes) -> None:
    """Write every byte; an unbuffered write may take only a part.

    Raises:
      OSError: as the system says, with the bytes that fitted already in the file.
    """
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[file.write(rest) :]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash at any moment it holds the old bytes or the new ones.

    Raises:
      OSError: the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with FileIO(temporary, "w") as file:
            write_all(file, data)
            sync(file)
        _replace(temporary, path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if exc.filename in (temporary, str(temporary)):
            exc.filename = str(path)
        raise
    sync_directory(path.parent)


def write_whole(path: Path, data: bytes, remedy: str = "", *, has_folder: bool = True) -> None:
    """Replace a file as a whole, or say in one line why not.

    Args:
      path: the file.
      data: what it shall hold.
      remedy: what usually helps.
      has_folder: whether its directory must be there; else it is made.

    Raises:
      StorageError: it could not be written; an older one is untouched.
    """
    try:
        if not has_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as exc:
        raise storage_error(exc, path, remedy) from exc


def _replace(source: Path, target: Path) -> None:
    for _ in range(_REPLACE_TRIES - 1):
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        time.sleep(0.01)
    source.replace(target)


class AppendFile:
    """A file that only grows, and of which a failed append leaves nothing.

    Attributes:
      path: where it is.
      size: bytes that are part of the file for good.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = FileIO(path, "x")

    def append(self, data: memoryview | bytes) -> None:
        """Write bytes at the end; they count only after `keep`.

        Raises:
          OSError: with the file's name; some of the bytes may be there, `keep` or `roll_back` decides.
        """
        try:
            write_all(self._file, data)
        except OSError as exc:
            raise self._named(exc) from exc

    def keep(self) -> None:
        """Wait until everything appended is on the medium, and count it.

        Raises:
          OSError: with the file's name.
        """
        try:
            sync(self._file)
        except OSError as exc:
            raise self._named(exc) from exc
        self.size = self.end()

    def end(self) -> int:
        """Return the length in bytes, with what was appended and does not count yet."""
        return os.fstat(self._file.fileno()).st_size

    def roll_back(self, size: int | None = None) -> None:
        """Cut off what was appended since the last `keep`, or whatever stands beyond `size` bytes."""
        with contextlib.suppress(OSError):  # the reader drops a torn tail as well, so this is for tidiness
            end = self.size if size is None else size
            self._file.truncate(end)
            self._file.seek(end)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._file.close()

    def _named(self, exc: OSError) -> OSError:
        return OSError(exc.errno, exc.strerror, str(self.path))
