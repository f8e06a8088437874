"""Tables through pyarrow, an optional extra: Parquet at all, and CSV several times faster than by hand."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.errors import RecordError, UsageError, os_reason
from harness.model import StreamInfo
from harness.store import columns as table
from harness.store.columns import Columns

STREAMS_KEY = b"multicast-harness.streams"
"""Key of a Parquet file's metadata under which the streams stand as a JSON list of StreamInfo."""

_BLOCK_BYTES = 4 << 20


def arrow_or_none(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow, or None when pyarrow is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def arrow(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow.

    Raises:
      UsageError: pyarrow is not installed; says how to get it.
    """
    found = arrow_or_none(module)
    if found is None:
        raise UsageError("Parquet needs pyarrow, which is not installed: pip install 'multicast-harness[archive]'")
    return found


def read_csv_batches(path: Path, names: list[str], delimiter: str) -> Iterator[Columns]:
    """Yield the rows of a CSV file whose header was checked, some megabytes at a time.

    Raises:
      RecordError: pyarrow refuses it; the message does not name the row.
      OSError: the file cannot be read.
    """
    pa, pa_csv = arrow(), arrow("pyarrow.csv")
    types = {name: pa.string() if name in table.TEXT else pa.int64() for name in names}
    try:
        with pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names, skip_rows=1),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
        ) as batches:
            for batch in batches:
                yield _columns(batch, names)
    except pa.ArrowInvalid as exc:
        raise RecordError(f"{path} is no CSV table of packets: {str(exc).splitlines()[0]}") from exc


def read_parquet(path: Path, chunk_rows: int) -> Iterator[Columns]:
    """Yield the rows of a Parquet file in batches of at most `chunk_rows`.

    Raises:
      RecordError: no Parquet file, or not a table of packets.
      UsageError: pyarrow is not installed.
    """
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            _check_types(path, file.schema_arrow)
            for batch in file.iter_batches(chunk_rows):
                yield _columns(batch, file.schema_arrow.names)
    except pa.ArrowException as exc:
        raise RecordError(f"{path} is no readable Parquet file: {str(exc).splitlines()[0]}") from exc
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc).splitlines()[0]}") from exc


def parquet_streams(path: Path) -> list[StreamInfo]:
    """Return the streams that `harness export` left in a Parquet file; [] when something else wrote it."""
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    try:
        metadata = parquet.read_metadata(path).metadata or {}
        return msgspec.json.decode(metadata.get(STREAMS_KEY, b"[]"), type=list[StreamInfo])
    except (OSError, ValueError, pa.ArrowException):  # reading the rows will say what is wrong
        return []


def _check_types(path: Path, schema: Any) -> None:
    """Raise RecordError unless the columns have names and types of a table of packets."""
    types = arrow().types
    table.check_header(path, schema.names)
    for column in schema:
        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        if column.name in table.TEXT:
            if not (types.is_string(kind) or types.is_large_string(kind)):
                raise RecordError(f"{path}: column {column.name!r} is of type {column.type}; it needs to be text")
        elif not types.is_integer(column.type):
            remedy = "it needs to be an integer (times in ns)"
            raise RecordError(f"{path}: column {column.name!r} is of type {column.type}; {remedy}")


def _columns(batch: Any, names: list[str]) -> Columns:
    """Return a RecordBatch, its columns in the order of `names`, all of them integers but for TEXT."""
    columns = Columns(batch.num_rows, {})
    for name, column in zip(names, batch.columns, strict=True):
        if name in table.TEXT:
            columns.text[name] = functools.partial(_text, column)
            continue
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        if values.dtype != np.uint64:
            values = values.astype(np.int64, copy=False)
        columns.integers[name] = (values, column.is_null().to_numpy(zero_copy_only=False))
    return columns


def _text(column: Any, index: int) -> str:
    return column[index].as_py() or ""
