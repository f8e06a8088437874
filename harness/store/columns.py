"""The columns of a table of packets: their names, their ranges, and the way from columns to PACKET_DTYPE.

A table names its columns like PACKET_DTYPE. `seq` and `rx_ns` must be there; `tx_ns`, `size`, `stream`, `ttl` and
`flags` may be; `group` and `source` describe the streams and are what `harness export` adds. An empty cell is an
unnumbered packet, an unknown send time, or 0 for size, ttl and flags; `rx_ns` and `stream` have no empty cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import RecordError, nearest
from harness.model import PACKET_DTYPE, UNDEFINED_NS, UNNUMBERED, PacketArray, StreamInfo

REQUIRED = ("seq", "rx_ns")
TEXT = ("group", "source")
INTEGER = tuple(name for name in PACKET_DTYPE.names or () if name != "reserved")
EXPORTED = (*INTEGER, *TEXT)
KNOWN = (*EXPORTED, "reserved")

_EMPTY = {"seq": UNNUMBERED, "tx_ns": UNDEFINED_NS, "size": 0, "ttl": 0, "flags": 0}
"""What an empty cell stands for; an empty cell of another column is an error."""


IntegerColumn = tuple[NDArray[np.int64] | NDArray[np.uint64], NDArray[np.bool_]]
"""Values, and the mask of the empty cells, whose values mean nothing; both of shape (n,)."""


@dataclass(slots=True)
class Columns:
    """Rows of a table, column by column.

    Attributes:
      n_rows: rows.
      integers: by name.
      text: by name, a function from the row's index to its text.
    """

    n_rows: int
    integers: dict[str, IntegerColumn]
    text: dict[str, Callable[[int], str]] = field(default_factory=dict)


def check_header(path: Path, names: Sequence[str]) -> None:
    """Check the names of a table's columns.

    Raises:
      RecordError: a column that is unknown, missing or there twice, with the nearest valid spelling.
    """
    for name in names:
        if name not in KNOWN:
            raise RecordError(f"{path}: unknown column {name!r}{nearest(name, EXPORTED)}; rename or remove it")
        if list(names).count(name) > 1:
            raise RecordError(f"{path}: column {name!r} is there twice")
    for name in REQUIRED:
        if name not in names:
            raise RecordError(f"{path}: no column {name!r}; a table of packets needs {' and '.join(REQUIRED)}")
    for name in TEXT:
        if name in names and "stream" not in names:
            raise RecordError(f"{path}: column {name!r} describes streams, but there is no column 'stream'")


def to_packets(path: Path, columns: Columns, first_row: int) -> PacketArray:
    """Return rows of a table as packets, shape (n_rows,).

    Args:
      path: the table, for errors.
      columns: the rows.
      first_row: number of the first of them, counted from 1 without the header.

    Raises:
      RecordError: an empty or out-of-range value; names column and row.
    """
    rows = np.zeros(columns.n_rows, PACKET_DTYPE)
    rows["seq"], rows["tx_ns"] = UNNUMBERED, UNDEFINED_NS
    for name, (values, is_empty) in columns.integers.items():
        if name not in INTEGER:  # `reserved` says nothing
            continue
        if is_empty.any() and name not in _EMPTY:
            row = first_row + int(np.argmax(is_empty))
            raise RecordError(f"{path}: row {row}: column {name!r} is empty")
        limits = np.iinfo(PACKET_DTYPE[name])
        low = UNNUMBERED if name == "seq" else int(limits.min)
        is_bad = ((values < low) | (values > int(limits.max))) & ~is_empty
        if is_bad.any():
            index = int(np.argmax(is_bad))
            value = f"{int(values[index])}, outside {low} to {limits.max}"
            raise RecordError(f"{path}: row {first_row + index}: column {name!r} is {value}")
        rows[name] = np.where(is_empty, _EMPTY.get(name, 0), values)
    return rows


def new_streams(rows: PacketArray, columns: Columns, known: set[int]) -> list[StreamInfo]:
    """Return an entry for each stream that these rows are the first to name, by rising number.

    A stream is taken for unnumbered when its rows here all are.
    """
    found = []
    for number, index in zip(*np.unique(rows["stream"], return_index=True), strict=True):
        if int(number) in known:
            continue
        group, source = (columns.text[name](int(index)) if name in columns.text else "" for name in TEXT)
        bits = 64 if (rows["seq"][rows["stream"] == number] != UNNUMBERED).any() else 0
        found.append(StreamInfo(number=int(number), group=group, source=source, protocol="table", sequence_bits=bits))
    return found
