"""Writing packets as CSV or Parquet, for other tools; `tables` reads both back.

Columns are those of PACKET_DTYPE, and the stream's group and source in words. An unnumbered packet has an empty `seq`,
an unknown send time an empty `tx_ns`. The file appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.errors import StorageError, storage_error
from harness.model import PACKET_DTYPE, UNDEFINED_NS, UNNUMBERED, PacketArray, StreamInfo
from harness.store.arrowtable import STREAMS_KEY, arrow
from harness.store.columns import EXPORTED, INTEGER, TEXT

_EMPTY = {"seq": UNNUMBERED, "tx_ns": UNDEFINED_NS}
"""Values that are written as an empty cell."""


def export_csv(path: Path, chunks: Iterable[PacketArray], streams: Sequence[StreamInfo]) -> int:
    """Write packets as CSV, replacing the file, and return the number of rows.

    Args:
      path: the file.
      chunks: arrays of PACKET_DTYPE.
      streams: what the stream numbers mean; may grow while the chunks are read.

    Raises:
      StorageError: a stream is not described, or the file cannot be written; an older one is untouched.
    """
    n_rows = 0
    with _replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(EXPORTED) + "\n")
        for rows in chunks:
            _check_described(rows, streams)
            tails = _tails(streams)
            cells = [_cells(rows, name) for name in INTEGER]
            ends = [tails[number] for number in rows["stream"].tolist()]
            file.writelines(map("%s,%s,%s,%s,%s,%s,%s,%s\n".__mod__, zip(*cells, ends, strict=True)))
            n_rows += len(rows)
    return n_rows


def export_parquet(path: Path, chunks: Iterable[PacketArray], streams: Sequence[StreamInfo]) -> int:
    """Write packets as Parquet, replacing the file, and return the number of rows; as `export_csv` otherwise.

    The streams go into the file's metadata too, so that `tables` gives them back whole.

    Raises:
      StorageError: the file cannot be written; an older one is untouched.
      UsageError: pyarrow is not installed.
    """
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    label = pa.dictionary(pa.int32(), pa.string())
    integers = [(name, pa.from_numpy_dtype(PACKET_DTYPE[name])) for name in INTEGER]
    schema = pa.schema([*integers, *((name, label) for name in TEXT)])
    n_rows = 0
    with _replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for rows in chunks:
            _check_described(rows, streams)
            arrays = [_array(pa, rows, name) for name in INTEGER]
            arrays += [_labels(pa, rows, streams, get) for get in (_group, _source)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            n_rows += len(rows)
        writer.add_key_value_metadata({STREAMS_KEY: msgspec.json.encode(list(streams))})
    return n_rows


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a file's temporary name, and give it its own when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as exc:
        raise storage_error(exc, path, "does the directory exist, is it yours, is the disk full?") from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _check_described(rows: PacketArray, streams: Sequence[StreamInfo]) -> None:
    """Raise StorageError when a row's stream is not among the streams."""
    is_described = np.zeros(1 << 16, np.bool_)
    is_described[[info.number for info in streams]] = True
    is_unknown = ~is_described[rows["stream"]]
    if is_unknown.any():
        raise StorageError(f"packets of stream {int(rows['stream'][is_unknown][0])}, which nothing describes")


def _cells(rows: PacketArray, name: str) -> list[Any]:
    """Return a column as Python values, "" where it is empty."""
    values: list[Any] = rows[name].tolist()
    if name in _EMPTY and (rows[name] == _EMPTY[name]).any():
        return ["" if value == _EMPTY[name] else value for value in values]
    return values


def _tails(streams: Sequence[StreamInfo]) -> dict[int, str]:
    """Return the end of a CSV line, "group,source", by stream."""
    tails = {}
    for info in streams:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([info.group, info.source])
        tails[info.number] = line.getvalue()
    return tails


def _array(pa: Any, rows: PacketArray, name: str) -> Any:
    """Return a column as an Arrow array, null where it is empty."""
    values = np.ascontiguousarray(rows[name])
    return pa.array(values, mask=values == _EMPTY[name] if name in _EMPTY else None)


def _labels(pa: Any, rows: PacketArray, streams: Sequence[StreamInfo], get: Callable[[StreamInfo], str]) -> Any:
    """Return a text of each row's stream as a dictionary-encoded Arrow array."""
    index = np.zeros(1 << 16, np.int32)
    index[[info.number for info in streams]] = np.arange(len(streams))
    texts = pa.array([get(info) for info in streams], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(index[rows["stream"]]), texts)


def _group(info: StreamInfo) -> str:
    return info.group


def _source(info: StreamInfo) -> str:
    return info.source
