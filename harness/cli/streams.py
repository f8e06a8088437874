"""Standard output and error as they are found: closed, a pipe without a reader, a full disk, a terminal that hangs up.

What is said about a run must not end it, and a reader who has seen enough (`| head`) does not change the exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from harness.errors import StorageError, errno_text

_READER_LEFT = (errno.EPIPE, errno.EINVAL)
"""POSIX, and Windows."""


class ToldStream:
    """A text stream that goes on in silence when nobody reads it any more.

    Args:
      stream: where the text goes.
      is_vital: raise StorageError for anything but a reader that left: output that was asked for is a result.
    """

    def __init__(self, stream: TextIO, is_vital: bool) -> None:
        self._stream, self._is_vital = stream, is_vital

    def write(self, text: str) -> int:
        """Write text; return how many characters, written or not."""
        try:
            self._stream.write(text)
        except OSError as exc:
            self._fall_silent(exc)
        return len(text)

    def flush(self) -> None:
        """Hand on what waits."""
        try:
            self._stream.flush()
        except OSError as exc:
            self._fall_silent(exc)

    def _fall_silent(self, exc: OSError) -> None:
        with contextlib.suppress(OSError):  # what still waits must not fail again when the interpreter ends
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if self._is_vital and exc.errno not in _READER_LEFT:
            text = f"cannot write to standard output: {errno_text(exc.errno or 0)}"
            raise StorageError(f"{text}; is the disk that it goes to full?") from exc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def told_streams() -> Iterator[None]:
    """Make standard output and error safe to write to within the context.

    Raises:
      StorageError: standard output could not take what was written to it.
    """
    _occupy_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is no reason to fail
            stream.reconfigure(errors="replace")
    sys.stdout = cast(TextIO, ToldStream(before[0], is_vital=True))
    sys.stderr = cast(TextIO, ToldStream(before[1], is_vital=False))
    try:
        yield
    finally:
        try:
            sys.stderr.flush()
            sys.stdout.flush()
        finally:
            sys.stdout, sys.stderr = before


def _occupy_closed() -> None:
    """Open the null device in place of closed standard streams, or the next file opened would take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
