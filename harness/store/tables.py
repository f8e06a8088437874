"""Reading a CSV or Parquet table of packets that another tool made, or `harness export`, as if it were a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import RecordError, UsageError
from harness.model import PacketArray, StreamInfo
from harness.store import layout
from harness.store.arrowtable import parquet_streams, read_parquet
from harness.store.columns import new_streams, to_packets
from harness.store.csvtable import read_csv

CHUNK_ROWS = 262_144
_READERS = {".csv": read_csv, ".parquet": read_parquet}


class TableReader:
    """A table of packets.

    Attributes:
      path: the file.
      streams: the streams of the rows read so far; complete when `packets` has ended. A Parquet file from
        `harness export` brings them all along.
    """

    def __init__(self, path: Path) -> None:
        """Open a table; see `open_table`."""
        self.path = path
        self._read = _READERS[path.suffix.lower()]
        self.streams: list[StreamInfo] = parquet_streams(path) if self._read is read_parquet else []

    def packets(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[PacketArray]:
        """Yield the rows in the table's order, PACKET_DTYPE, in arrays of 1 to `chunk_rows` rows.

        Raises:
          RecordError: no table of packets; names the column and, counted from 1 without the header, the row.
          UsageError: `chunk_rows` is below 1, or pyarrow, which Parquet needs, is not installed.
        """
        if chunk_rows < 1:
            raise UsageError(f"chunk_rows is {chunk_rows}; at least one row at a time")
        known = {info.number for info in self.streams}
        first_row = 1
        for columns in self._read(self.path, chunk_rows):
            rows = to_packets(self.path, columns, first_row)
            first_row += len(rows)
            found = new_streams(rows, columns, known)
            self.streams += found
            known.update(info.number for info in found)
            yield from (rows[i : i + chunk_rows] for i in range(0, len(rows), chunk_rows))


def open_table(path: Path) -> TableReader:
    """Open a table, which its name's ending tells: .csv or .parquet.

    Raises:
      RecordError: no such file, or another ending.
      UsageError: pyarrow, which Parquet needs, is not installed.
    """
    if path.suffix.lower() not in _READERS:
        raise RecordError(f"{path} is no table (.csv or .parquet); harness analyze reads {layout.READABLE}")
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise RecordError(f"{path} {what}; harness analyze reads {layout.READABLE}")
    return TableReader(path)
