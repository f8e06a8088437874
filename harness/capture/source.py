"""Bytes of a capture file in windows, plain or gzip, in bounded memory.

The file is read into one reused buffer rather than mapped: a copy from the page cache costs about 10 ns a packet, what
follows then works in the processor's cache, a compressed file takes the same way, and a file that another program
shortens meanwhile ends early instead of killing the process (SIGBUS).
"""

from __future__ import annotations

import gzip
import os
import zlib
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.errors import RecordError

WINDOW_BYTES = 4 << 20
"""How much of the file is looked at together: enough for arrays to pay, and it still fits a processor's cache."""

PADDING = 66_000
"""Bytes after the window that may be read, but mean nothing: a gather of a whole row needs no check at the end."""

_LINE = 64  # bytes of a cache line

MAX_FRAME = 1 << 20
"""Longest captured frame that is believed; no link type that is read here carries more."""

_NOT_OURS = {
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"BZh": "a bzip2 file",
    b"PK\x03\x04": "a zip file",
    b"snoop\x00": "a Solaris snoop capture",
    b"GMBU": "a Network Monitor capture",
    b"RTSS": "a Network Monitor 1 capture",
    b"\xd4\xc3\xb2\x34": "a modified pcap file",
    b"\x34\xcd\xb2\xa1": "a modified (Kuznetzov) pcap file",
    b"\xa1\xb2\xcd\x34": "a modified (Kuznetzov) pcap file",
    b"\x7fELF": "a program",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet table",
    b"{": "a JSON document",
}
ACCEPTED = "pcap and pcapng files are read, plain or gzip (editcap and gunzip, zstd -d convert others)"


def not_a_capture(path: Path, head: bytes) -> RecordError:
    """Return the error for a file that begins with `head`: what it is, as far as that shows, and what is accepted.

    >>> str(not_a_capture(Path("a"), b"BZh91AY"))
    'a is a bzip2 file, not a capture; pcap and pcapng files are read, plain or gzip (editcap and gunzip, zstd -d \
convert others)'
    """
    what = next((name for magic, name in _NOT_OURS.items() if head.startswith(magic)), None)
    if not head:
        what = "empty"
    elif what is None:
        what = f"neither pcap nor pcapng (it begins with {head[:4].hex(' ')})"
        return RecordError(f"{path} is {what}; {ACCEPTED}")
    return RecordError(f"{path} is {what}, not a capture; {ACCEPTED}")


class Window:
    """A sliding view of a file: `data[:n]` holds the bytes from `base` on.

    Attributes:
      data: the bytes and PADDING more; another view of the same buffer after each `advance`.
      n: how many bytes of it are the file's.
      base: offset in the (decompressed) file of data[0].
      is_last: whether the file ends with this window.
      complaint: why reading ended early, "" when it did not.
    """

    def __init__(self, path: Path, capacity: int = WINDOW_BYTES) -> None:
        self.path = path
        self.capacity = capacity
        self._buffer: NDArray[np.uint8] = np.zeros(capacity + PADDING + _LINE, np.uint8)
        self.data = self._buffer[: capacity + PADDING]
        self.n = 0
        self.base = 0
        self.is_last = False
        self.complaint = ""
        self._compressed: gzip.GzipFile | None = None
        self._plain = self._open()

    def _open(self) -> FileIO:
        try:
            # unbuffered: a whole window is asked for at a time
            plain = self.path.open("rb", buffering=0)
        except OSError as exc:
            raise RecordError(f"cannot read {self.path}: {exc.strerror or exc}") from exc
        try:
            magic = plain.read(2)
            plain.seek(0)
        except OSError as exc:
            plain.close()
            raise RecordError(f"cannot read {self.path}: {exc.strerror or exc}; a regular file is needed") from exc
        if magic == b"\x1f\x8b":
            self._compressed = gzip.GzipFile(fileobj=plain, mode="rb")
        return plain

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._compressed is not None:
            self._compressed.close()
        self._plain.close()

    def advance(self, used: int) -> None:
        """Drop the first `used` bytes, which may reach past the window, and fill the buffer up again.

        Raises:
          RecordError: the file cannot be read.
        """
        if used > self.n:
            wanted = used - self.n
            skipped = self._skip(wanted)
            if skipped < wanted:
                self.is_last, self.complaint = True, self.complaint or "the file ends inside a block"
            self.base += self.n + skipped
            self.n = 0
        else:
            rest = self.data[used : self.n].copy()
            self.base += used
            self.n = len(rest)
            # the system copies twice as fast between a file and a memory position of the same remainder
            shift = (self.base - self._buffer.ctypes.data) % _LINE
            self.data = self._buffer[shift : shift + self.capacity + PADDING]
            self.data[: self.n] = rest
        view = self.data.data
        while self.n < self.capacity and not self.is_last:
            got = self._read(view[self.n : self.capacity])
            self.n += got
            self.is_last = got == 0

    def _read(self, into: memoryview) -> int:
        try:
            file = self._plain if self._compressed is None else self._compressed
            return file.readinto(into) or 0
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.complaint = f"the gzip stream is damaged or cut off ({exc})"
            return 0
        except OSError as exc:
            raise RecordError(f"cannot read {self.path}: {exc.strerror or exc}") from exc

    def _skip(self, count: int) -> int:
        """Pass over bytes without keeping them; return how many there were, `count` at most."""
        if self._compressed is None:
            here = self._plain.tell()
            there = max(here, min(here + count, os.fstat(self._plain.fileno()).st_size))
            self._plain.seek(there)
            return there - here
        view, left = self.data.data[: self.capacity], count
        while left > 0:
            got = self._read(view[: min(left, len(view))])
            if got == 0:
                break
            left -= got
        return count - left
