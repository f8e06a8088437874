"""Rows with their checksum file, for reading: only what is finished and undamaged, and a sentence about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import numpy as np

from harness.errors import RecordError, os_reason
from harness.model import PacketArray
from harness.store.chunks import Chunk, checksum, decode_index


class RowFile:
    """The rows of one kind, for reading.

    What stands in the files when it is made is what it reads; a run that is still being written may grow meanwhile.

    Attributes:
      n_rows: rows of finished chunks; a damaged one among them shows when it is read.
      n_unfinished: whole rows behind the last finished chunk.
      index: the chunks.
    """

    def __init__(self, directory: Path, stem: str, dtype: np.dtype[np.void], warn: Callable[[str], None]) -> None:
        """Read the checksum file.

        Args:
          directory: the run.
          stem: "packets" or "sent"; neither file needs to be there.
          dtype: of a row.
          warn: is told each damage, in a sentence.

        Raises:
          RecordError: a file that is there cannot be read.
        """
        self._data, self._dtype, self._warn = directory / f"{stem}.bin", dtype, warn
        lines = directory / f"{stem}.crc"
        self.index = decode_index(_read_if_any(lines), lines.name)
        self.n_unfinished = 0
        self._lost: set[tuple[int, int]] = set()
        self._describe(lines)
        self.n_rows = sum(chunk.rows for chunk in self.index.chunks)

    @property
    def exists(self) -> bool:
        """Whether at least one of the two files is there."""
        return self._data.exists() or self._data.with_suffix(".crc").exists()

    @property
    def n_lost(self) -> int:
        """Rows that were finished and cannot be read any more: cut off, or damaged as far as the reading has shown."""
        return sum(end - first for first, end in self._lost)

    def read(self, chunk_rows: int) -> Iterator[PacketArray]:
        """Yield the sound rows in order, in new arrays of 1 to `chunk_rows` rows.

        Raises:
          RecordError: the file vanished or cannot be read.
        """
        try:
            if self.index.chunks:
                with FileIO(self._data) as file:
                    for group in _groups(self.index.chunks, chunk_rows):
                        for rows in self._read_group(file, group):
                            yield from (rows[i : i + chunk_rows] for i in range(0, len(rows), chunk_rows))
        except OSError as exc:
            raise RecordError(f"cannot read {self._data}: {os_reason(exc)}") from exc

    def _read_group(self, file: FileIO, group: list[Chunk]) -> Iterator[PacketArray]:
        """Yield the longest sound stretches of chunks that follow each other."""
        first = group[0].first
        rows = np.zeros(group[-1].end - first, self._dtype)
        file.seek(first * self._dtype.itemsize)
        n_bytes = _read_into(file, rows.view(np.uint8).data)
        start = end = 0
        for chunk in group:
            low, high = chunk.first - first, chunk.end - first
            if high * self._dtype.itemsize <= n_bytes and checksum(rows[low:high]) == chunk.crc32:
                end = high
                continue
            self._lost.add((chunk.first, chunk.end))
            self._warn(f"{self._data.name}: rows {_span(chunk.first, chunk.end)} do not match their checksum; skipped")
            if end > start:
                yield rows[start:end]
            start = end = high
        if end > start:
            yield rows[start:end]

    def _describe(self, lines: Path) -> None:
        """Drop chunks that the rows' file does not hold, and say everything that is wrong."""
        index, name, width = self.index, self._data.name, self._dtype.itemsize
        try:
            size = self._data.stat().st_size
        except OSError:
            size = 0
            if index.chunks:
                self._warn(f"{name} is missing")
        if size and not lines.exists():
            self._warn(f"{lines.name} is missing, so that no row of {name} can be checked; restore it")
        for text in index.damage:
            self._warn(text)
        self._lost |= set(index.gaps)
        for first, end in index.gaps:
            self._warn(f"{name}: rows {_span(first, end)} have no readable line in {lines.name}; skipped")
        whole = [chunk for chunk in index.chunks if chunk.end * width <= size]
        if len(whole) < len(index.chunks):
            lost = index.chunks[len(whole) :]
            self._lost |= {(chunk.first, chunk.end) for chunk in lost}
            self._warn(f"{name} is too short: rows {_span(lost[0].first, lost[-1].end)} are missing")
        elif size > index.n_rows * width:
            n_rows, n_bytes = divmod(size - index.n_rows * width, width)
            self.n_unfinished = n_rows
            rest = f" and {n_bytes} bytes" if n_bytes else ""
            self._warn(f"{name}: {n_rows} rows{rest} at the end were never finished; dropped")
        index.chunks = whole


def _read_if_any(path: Path) -> bytes:
    """Return a file's bytes; b"" when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}") from exc


def _read_into(file: FileIO, target: memoryview) -> int:
    """Fill the target as far as the file goes and return the number of bytes read."""
    n_bytes = 0
    while n_bytes < len(target):
        n = file.readinto(target[n_bytes:])
        if not n:
            break
        n_bytes += n
    return n_bytes


def _groups(chunks: list[Chunk], chunk_rows: int) -> Iterator[list[Chunk]]:
    """Yield runs of chunks that follow each other without a gap, each of about `chunk_rows` rows and one at least."""
    group: list[Chunk] = []
    for chunk in chunks:
        if group and (chunk.first != group[-1].end or chunk.end - group[0].first > chunk_rows):
            yield group
            group = []
        group.append(chunk)
    if group:
        yield group


def _span(first: int, end: int) -> str:
    return f"{first} to {end - 1}" if end - first > 1 else f"{first}"
