"""Append-only rows with their checksum file, for writing: packets.bin + packets.crc, sent.bin + sent.crc.

The order is the promise: rows, flush to the medium, line, flush to the medium. Only then do the rows count. A crash in
between leaves rows without a line, which a reader drops and says so.
"""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from harness.model import Counters, PacketArray
from harness.store.atomic import AppendFile, sync_directory
from harness.store.chunks import Chunk, checksum, encode_line

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_RESERVE_BYTES = 64 * 1024
"""On a full disk so much of what fitted is given up again, for the checksum lines and the manifest's end; a limit on
the size of one file (EFBIG) leaves room for those."""


class RowLog:
    """The rows of one kind, for writing.

    Attributes:
      n_rows: rows that are committed: on the medium, with their checksum.
    """

    def __init__(self, directory: Path, stem: str) -> None:
        """Make the two files.

        Raises:
          FileExistsError: one of them is there already.
          OSError: they cannot be made.
        """
        self.n_rows = 0
        self._data = AppendFile(directory / f"{stem}.bin")
        self._lines = AppendFile(directory / f"{stem}.crc")
        sync_directory(directory)

    def commit(self, blocks: list[PacketArray], counters: Counters | None) -> None:
        """Append blocks of rows, a chunk each, and wait until they are on the medium.

        Args:
          blocks: arrays of one dtype, none longer than MAX_CHUNK_ROWS; [] to record the counters alone.
          counters: the running totals if they changed since the last commit, else None.

        Raises:
          OSError: `n_rows` says how many rows are safe; of a full disk they include what fitted.
        """
        try:
            if blocks:
                for block in blocks:
                    self._data.append(block.view(np.uint8).data)
                self._data.keep()
            self._commit_lines(blocks, counters)
        except BaseException as exc:  # an interrupt too must not leave rows that later ones would stand behind
            self._salvage(blocks, counters, exc.errno if isinstance(exc, OSError) else None)
            raise

    def close(self) -> None:
        """Close both files; a second time does nothing."""
        self._data.close()
        self._lines.close()

    def _commit_lines(self, blocks: list[PacketArray], counters: Counters | None) -> None:
        """Append the lines of blocks whose rows are on the medium."""
        lines, first = [], self.n_rows
        for block in blocks or [np.empty(0, np.uint8)]:
            lines.append(encode_line(Chunk(first, len(block), checksum(block), counters)))
            first, counters = first + len(block), None
        self._lines.append(b"".join(lines))
        self._lines.keep()
        self.n_rows = first

    def _salvage(self, blocks: list[PacketArray], counters: Counters | None, code: int | None) -> None:
        """Commit as much of the blocks as a full disk holds; after any other error, roll back to the last commit."""
        self._lines.roll_back()
        width = blocks[0].itemsize if blocks else 1
        start = self.n_rows * width
        reserve = 0 if code == errno.EFBIG else _RESERVE_BYTES
        kept = max(0, self._data.end() - start - reserve) // width
        if code in _FULL and kept:
            self._data.roll_back(start + kept * width)
            try:
                self._data.keep()
                self._commit_lines(_head(blocks, kept), counters)
            except OSError:
                self._lines.roll_back()
            else:
                return
        self._data.roll_back(start)
        self._data.size = start


def _head(blocks: list[PacketArray], n_rows: int) -> list[PacketArray]:
    """Return the first rows of a list of blocks, cut where they end."""
    head = []
    for block in blocks:
        if n_rows <= 0:
            break
        head.append(block[:n_rows])
        n_rows -= len(block)
    return head
