"""Writing the other format: the ending of the file's name says which."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.capture import slice_capture, write_pcapng
from harness.errors import UsageError, nearest
from harness.exporting.frames import COMMENT, SEVERAL_IN_ONE, datagrams, interface_names
from harness.exporting.sources import Source
from harness.exporting.span import Span
from harness.model import PacketArray
from harness.store.export import export_csv, export_parquet

ENDINGS = (".csv", ".parquet", ".pcapng")
"""Endings of the files that can be written."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
      path: the file.
      n: how many packets or frames.
      unit: which of the two.
      warnings: what the reader of the file has to know.
    """

    path: Path
    n: int
    unit: str
    warnings: list[str] = field(default_factory=list)


def export(source: Source, target: Path, span: Span | None = None) -> Exported:
    """Write a source, or a stretch of time of it, to a file, replacing it once the new one is whole.

    From a capture to pcapng the frames are copied exactly. From a run they are made again, without payloads, which the
    file says of itself.

    Raises:
      UsageError: an ending that is no format, the source itself, or frames of what holds none.
      RecordError: the source cannot be read.
      StorageError: the file cannot be written; an older one is untouched.
    """
    span = span or Span()
    check_target(source, target)
    if target.suffix == ".pcapng":
        return _frames(source, target, span)
    write = export_csv if target.suffix == ".csv" else export_parquet
    n = write(target, _inside(source, span), source.streams)
    return Exported(target, n, "packets", list(source.warnings))


def check_name(target: Path) -> None:
    """Raise UsageError when nothing can be written under that name."""
    if target.suffix not in ENDINGS:
        raise UsageError(f"{target}: the ending {target.suffix!r} names no format{nearest(target.suffix, ENDINGS)}")
    if target.is_dir():
        raise UsageError(f"{target} is a directory; name a file")


def check_target(source: Source, target: Path) -> None:
    """Raise UsageError when the source cannot be written to that file."""
    check_name(target)
    if target.exists() and os.path.samefile(source.path, target):
        raise UsageError(f"{target} is what is to be exported; name another file")
    if source.kind == "table" and target.suffix == ".pcapng":
        raise UsageError(f"{source.path} is a table, which has no frames; a run or a capture goes to .pcapng")


def _inside(source: Source, span: Span) -> Iterator[PacketArray]:
    """Yield the packets of a stretch of time."""
    for rows in source.packets():
        if not span.is_all:
            rows = rows[(rows["rx_ns"] >= span.start_ns) & (rows["rx_ns"] < span.end_ns)]
        if len(rows):
            yield rows


def _frames(source: Source, target: Path, span: Span) -> Exported:
    if source.kind == "capture":
        n = slice_capture(source.path, target, span.start_ns, span.end_ns)
        return Exported(target, n, "frames", [] if n else ["no frame lies in that part"])
    packets = _inside(source, span)
    first = next(packets, None)  # by then the streams are known
    left_out = sorted({info.protocol for info in source.streams if info.protocol in SEVERAL_IN_ONE})
    if left_out and all(info.protocol in SEVERAL_IN_ONE for info in source.streams):
        raise UsageError(
            f"{source.path} holds {' and '.join(left_out)} only, whose datagrams cannot be made again; use .csv"
        )
    chunks = () if first is None else itertools.chain((first,), packets)
    n = write_pcapng(target, datagrams(chunks, source.streams), interface_names(source.streams), COMMENT)
    notes = ["the frames are made from the recording: right headers, no payloads, which were not recorded"]
    notes += [f"streams of {name} left out: several packets stood in each datagram" for name in left_out]
    return Exported(target, n, "frames", [*source.warnings, *notes])
