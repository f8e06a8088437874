"""Reading a CSV table of packets, in bounded memory.

pyarrow reads it when it is installed. The reader by hand below is the rule book: it reads the same tables where pyarrow
is missing, and when pyarrow refuses one, it goes over the file again to name the row and the value.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.errors import RecordError, os_reason
from harness.store import columns as table
from harness.store.arrowtable import arrow_or_none, read_csv_batches
from harness.store.columns import Columns, IntegerColumn

_HEADER_CHARACTERS = 65_536
_NUMBER = re.compile(r"[ \t]*(-?\d{1,40}|0[xX][0-9a-fA-F]{1,40})[ \t]*", re.ASCII)
_PLAIN = re.compile(r"[-\d,]+", re.ASCII)
_INT64 = np.iinfo(np.int64)


def read_csv(path: Path, chunk_rows: int) -> Iterator[Columns]:
    """Yield the rows of a CSV file; separators are commas, semicolons or tabs, whichever the header has.

    Args:
      path: the file, UTF-8 with or without a byte order mark.
      chunk_rows: rows at a time, roughly.

    Raises:
      RecordError: no table of packets; names the column and the row.
    """
    try:
        names, delimiter = _header(path)
        table.check_header(path, names)
        if arrow_or_none("pyarrow.csv") is None:
            yield from _read_by_hand(path, names, delimiter, chunk_rows)
            return
        try:
            yield from read_csv_batches(path, names, delimiter)
        except RecordError:
            for _ in _read_by_hand(path, names, delimiter, chunk_rows):
                pass  # names the row, which pyarrow does not
            raise
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}") from exc
    except UnicodeDecodeError as exc:
        raise RecordError(f"{path} is not UTF-8 text (byte {exc.start}); export or save it as UTF-8") from exc
    except csv.Error as exc:
        raise RecordError(f"{path} is no CSV table: {exc}") from exc


def _header(path: Path) -> tuple[list[str], str]:
    """Return the names of the columns, and the separator."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(_HEADER_CHARACTERS)
    if not line.strip():
        raise RecordError(f"{path} has no header; a table of packets begins with a line such as seq,rx_ns")
    if len(line) == _HEADER_CHARACTERS:
        raise RecordError(f"{path} is no CSV table: its first line is longer than {_HEADER_CHARACTERS} characters")
    delimiter = max(",;\t", key=line.count)
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter))], delimiter


def _read_by_hand(path: Path, names: list[str], delimiter: str, chunk_rows: int) -> Iterator[Columns]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        next(reader)
        rows = filter(None, reader)  # an empty line is no row
        first_row = 1
        while lines := list(itertools.islice(rows, chunk_rows)):
            for row, cells in enumerate(lines, start=first_row):
                if len(cells) != len(names):
                    raise RecordError(f"{path}: row {row} has {len(cells)} cells, the header {len(names)}")
            by_name = dict(zip(names, zip(*lines, strict=True), strict=True))
            text = {name: _getter(by_name.pop(name)) for name in table.TEXT if name in by_name}
            integers = {name: _integers(path, name, cells, first_row) for name, cells in by_name.items()}
            yield Columns(len(lines), integers, text)
            first_row += len(lines)


def _getter(cells: Sequence[str]) -> Callable[[int], str]:
    return lambda index: cells[index]


def _integers(path: Path, name: str, cells: Sequence[str], first_row: int) -> IntegerColumn:
    """Return the values of a column, and the mask of its empty cells."""
    if _PLAIN.fullmatch(",".join(cells)):
        with contextlib.suppress(ValueError, OverflowError):  # "1-2", "", beyond 64 bits: look at each cell
            return np.array(list(map(int, cells)), np.int64), np.zeros(len(cells), np.bool_)
    values, is_empty = np.zeros(len(cells), np.int64), np.zeros(len(cells), np.bool_)
    for index, cell in enumerate(cells):
        if not cell:
            is_empty[index] = True
            continue
        match = _NUMBER.fullmatch(cell)
        if match is None:
            shown = cell if len(cell) < 40 else f"{cell[:36]}..."
            raise RecordError(f"{path}: row {first_row + index}: column {name!r} is {shown!r}, not a whole number")
        text = match[1]
        value = int(text, 16 if text[1:2] in ("x", "X") else 10)
        if not _INT64.min <= value <= _INT64.max:
            raise RecordError(f"{path}: row {first_row + index}: column {name!r} is {text}, beyond 64 bits")
        values[index] = value
    return values, is_empty
