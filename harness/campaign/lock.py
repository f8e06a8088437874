"""One instance at a time: a file lock that dies with its holder, and beside it who holds it, in which boot."""

from __future__ import annotations

import errno
import importlib
import os
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness.errors import StorageError, UsageError, storage_error
from harness.store.atomic import write_all

_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
_msvcrt: Any = importlib.import_module("msvcrt") if os.name == "nt" else None
_FAR = 1 << 30
"""Where Windows locks a byte: beyond the text, so that others may read who holds the lock."""
_HELD = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock; `started_s` is when that process began, since numbers of processes come back."""

    pid: int
    started_s: float
    boot_id: str


class Lock:
    """The lock of a campaign's directory, held until closed.

    Attributes:
      stale: who left a lock behind that nobody holds any more, one line; "" for nobody.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        """Take the lock.

        Raises:
          UsageError: another process holds it.
          StorageError: it cannot be written.
        """
        try:
            self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        except OSError as exc:
            raise storage_error(exc, path, "the campaign's directory must be yours and writable") from exc
        try:
            is_ours = self._try()
            before = self._read()
            if not is_ours:
                who = f"process {before.pid}" if before else "another process"
                raise UsageError(f"{path.parent} is being run by {who}; harness campaign status {path.parent} shows it")
            self.stale = self._judge(before, boot_id)
            if before is not None and not self.stale and before.pid != os.getpid():
                raise UsageError(f"{path.parent} is being run by process {before.pid}, by the look of its lock file")
            self._write(boot_id)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Give the lock back, and leave no name in it."""
        try:
            self._file.truncate(0)
        finally:
            self._file.close()

    def _try(self) -> bool:
        """Lock the file; return whether it is ours now. A file system without locks leaves it to the names."""
        try:
            if _fcntl is not None:
                _fcntl.flock(self._file.fileno(), _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            else:
                os.lseek(self._file.fileno(), _FAR, os.SEEK_SET)
                _msvcrt.locking(self._file.fileno(), _msvcrt.LK_NBLCK, 1)
        except OSError as exc:
            return exc.errno not in _HELD
        return True

    def _read(self) -> Holder | None:
        self._file.seek(0)
        try:
            return msgspec.json.decode(self._file.read(4096) or b"", type=Holder)
        except msgspec.DecodeError:
            return None

    def _judge(self, before: Holder | None, boot_id: str) -> str:
        """Return why a holder that is named in the file is none; "" when there is none, or it may be alive."""
        if before is None:
            return ""
        if before.boot_id != boot_id:
            return f"process {before.pid} of another boot left its lock"
        try:
            started_s = psutil.Process(before.pid).create_time()
        except psutil.Error:
            return f"process {before.pid} is gone and left its lock"
        if abs(started_s - before.started_s) > 1:
            return f"process {before.pid} is another one now, and the one that held the lock is gone"
        return ""

    def _write(self, boot_id: str) -> None:
        pid = os.getpid()
        holder = Holder(pid=pid, started_s=psutil.Process(pid).create_time(), boot_id=boot_id)
        try:
            self._file.seek(0)
            self._file.truncate(0)
            write_all(self._file, msgspec.json.encode(holder) + b"\n")
        except OSError as exc:
            raise StorageError(f"cannot write the lock of the campaign: {exc.strerror}; is the disk full?") from exc


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock now; looking does not take it."""
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
        return abs(psutil.Process(holder.pid).create_time() - holder.started_s) <= 1
    except (OSError, msgspec.DecodeError, psutil.Error):
        return False
