"""Blocks of a pcapng file that is written: section header, interface description, enhanced packets by the thousand.

Little-endian, nanoseconds (if_tsresol 9). A file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import struct
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from harness.capture.frames import Ints
from harness.capture.interface import Interface
from harness.capture.words import ENHANCED_PACKET, SECTION
from harness.errors import StorageError

_HEAD = 28
_COMMENT, _NAME, _DESCRIPTION, _RESOLUTION = 1, 2, 3, 9


class PcapngFile:
    """A pcapng file being written; use as a context manager. Left by an exception, it leaves no file behind.

    Args:
      path: the file.
      comment: on all of it, in its section header.
      is_growing: it stands under its name from the start, and what is written to it is there at once.

    Raises:
      StorageError: it cannot be created.
    """

    def __init__(self, path: Path, comment: str = "", *, is_growing: bool = False) -> None:
        """Create the file."""
        self.path = path
        self._part = path if is_growing else path.with_name(path.name + ".part")
        try:
            self._file: BinaryIO | FileIO = FileIO(path, "w") if is_growing else self._part.open("wb")
        except OSError as exc:
            raise StorageError(f"cannot write {path}: {exc.strerror or exc}") from exc
        options = _option(_COMMENT, comment.encode()) + _option(0, b"") if comment else b""
        length = 28 + len(options)
        self.write(struct.pack("<IIIHHq", SECTION, length, 0x1A2B3C4D, 1, 0, -1))
        self.write(options + struct.pack("<I", length))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._file.close()
            if kind is None and self._part != self.path:
                os.replace(self._part, self.path)
        except OSError as failed:
            raise StorageError(f"cannot write {self.path}: {failed.strerror or failed}") from failed
        finally:
            if kind is not None or self._part != self.path:
                self._part.unlink(missing_ok=True)

    def add_interface(self, interface: Interface) -> None:
        """Describe the next interface; its time stamps are written in nanoseconds whatever its clock counted."""
        texts = ((_NAME, interface.name), (_DESCRIPTION, interface.description))
        options = b"".join(_option(number, text.encode()) for number, text in texts if text)
        options += _option(_RESOLUTION, b"\x09") + _option(0, b"")
        body = struct.pack("<HHI", interface.link_type, 0, interface.snaplen) + options
        length = len(body) + 12
        self.write(struct.pack("<II", 1, length) + body + struct.pack("<I", length))

    def write(self, data: bytes | NDArray[np.uint8]) -> None:
        """Append bytes.

        Raises:
          StorageError: the disk is full, or another failure of the file system.
        """
        try:
            self._file.write(data if isinstance(data, bytes) else data.data)
        except OSError as exc:
            raise StorageError(f"cannot write {self.path}: {exc.strerror or exc}") from exc


def _option(number: int, value: bytes) -> bytes:
    value = value[:65_535]
    return struct.pack("<HH", number, len(value)) + value + b"\0" * (-len(value) % 4)


def packet_blocks(rx_ns: Ints, interface: Ints, captured: Ints, wire: Ints) -> tuple[NDArray[np.uint8], Ints]:
    """Return enhanced packet blocks, complete but for their frames, and where those go.

    Args:
      rx_ns: times, shape (n,); one before 1970 or undefined is written as 0, since the format counts from there.
      interface: number in the file.
      captured: bytes that each frame will have.
      wire: bytes that it had on the wire.

    Returns:
      The bytes of the blocks, and n offsets in them.
    """
    length = 32 + (captured + 3) // 4 * 4
    end = np.cumsum(length)
    begin = end - length
    out = np.zeros(int(end[-1]) if len(end) else 0, np.uint8)
    times = np.maximum(rx_ns, 0)
    words = out.view("<u4")
    columns = (np.full(len(end), ENHANCED_PACKET), length, interface, times >> 32, times & 0xFFFFFFFF, captured, wire)
    for number, column in enumerate(columns):
        words[(begin >> 2) + number] = column
    words[(end >> 2) - 1] = length
    return out, begin + _HEAD


def copy_rows(out: NDArray[np.uint8], to: Ints, source: NDArray[np.uint8], at: Ints, length: Ints) -> None:
    """Copy n stretches of bytes of given lengths from `source` into `out`, both one-dimensional and contiguous."""
    for size in np.unique(length).tolist():
        if size == 0:
            continue
        rows = length == size
        into: NDArray[np.void] = np.ndarray((len(out) - size + 1,), f"V{size}", out, strides=(1,))
        of: NDArray[np.void] = np.ndarray((len(source) - size + 1,), f"V{size}", source, strides=(1,))
        into[to[rows]] = of[at[rows]]
