"""The checksum file beside the rows: one JSON line per chunk, each line with a checksum of its own.

    {"first":4096,"rows":1000,"crc32":"89abcdef","counters":{...},"check":"01234567"}

`first` is the row number at which the chunk begins, so that one damaged line costs its own chunk and no other;
`crc32` covers the bytes of the rows, `check` the line itself up to the comma before it. `counters` are the running
totals, on the lines where they changed. A line is written after its rows are on the medium, so what a line names is
there; rows beyond the last line were never finished.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import numpy as np

from harness.model import Counters, PacketArray

try:
    from isal.isal_zlib import crc32  # twenty times as fast: recording at rate spent 2 to 3 % of two processors on it
except ImportError:  # a processor for which it is not made
    from zlib import crc32

MAX_CHUNK_ROWS = 1 << 20
"""No chunk is longer, so that a reader's memory is bounded whatever a line claims."""

_CHECK = b',"check":"%08x"}'
_CHECK_SIZE = len(_CHECK % 0)

_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**58)]


class Chunk(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Rows first .. first + rows - 1 and their CRC-32 as eight hexadecimal digits."""

    first: _Natural
    rows: Annotated[int, msgspec.Meta(ge=0, le=MAX_CHUNK_ROWS)]
    crc32: str
    counters: Counters | None = None

    @property
    def end(self) -> int:
        """The number of the row after the last one."""
        return self.first + self.rows


@dataclass(slots=True)
class Index:
    """What a checksum file says.

    Attributes:
      chunks: with rows, in order, without overlap.
      counters: the latest, or None when no line has any.
      damage: a sentence per damaged line or gap; [] for a sound file.
      n_rows: where the last readable chunk ends.
      gaps: row ranges [first, end) that no readable line covers.
    """

    chunks: list[Chunk] = field(default_factory=list)
    counters: Counters | None = None
    damage: list[str] = field(default_factory=list)
    n_rows: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)


_DECODER = msgspec.json.Decoder(Chunk)


def checksum(rows: PacketArray) -> str:
    """Return the CRC-32 of rows as it stands in a line.

    >>> checksum(np.zeros(0, "V32"))
    '00000000'
    """
    return f"{crc32(np.ascontiguousarray(rows).view(np.uint8).data):08x}"


def encode_line(chunk: Chunk) -> bytes:
    """Return a chunk as a line, newline included.

    >>> encode_line(Chunk(0, 2, "00c0ffee")).decode().rstrip()
    '{"first":0,"rows":2,"crc32":"00c0ffee","check":"af431efa"}'
    """
    head = msgspec.json.encode(chunk)[:-1]
    return head + _CHECK % crc32(head) + b"\n"


def decode_line(line: bytes) -> Chunk | None:
    """Return the chunk that a line (without its newline) names, or None when the line is damaged."""
    head, check = line[:-_CHECK_SIZE], line[-_CHECK_SIZE:]
    if check != _CHECK % crc32(head):
        return None
    try:
        return _DECODER.decode(head + b"}")
    except (ValueError, RecursionError):  # the check agrees: written by something else
        return None


def decode_index(text: bytes, name: str) -> Index:
    """Return what a checksum file says, whatever its state.

    Args:
      text: the file's bytes; b"" for a run in which nothing was committed.
      name: the file's name, for the sentences about damage.
    """
    index = Index()
    *lines, torn = text.split(b"\n")
    for number, line in enumerate(lines, start=1):
        chunk = decode_line(line)
        if chunk is None or chunk.first < index.n_rows:
            index.damage.append(f"{name}: line {number} is damaged")
            continue
        if chunk.first > index.n_rows:
            index.gaps.append((index.n_rows, chunk.first))
        index.n_rows = chunk.end
        if chunk.rows:
            index.chunks.append(chunk)
        if chunk.counters is not None:
            index.counters = chunk.counters
    if torn:
        index.damage.append(f"{name}: the last line is torn")
    return index
