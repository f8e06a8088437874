"""A capture file, or a table of packets -> Summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.analysis.options import StreamOptions
from harness.analyzer import Fold
from harness.capture import open_capture
from harness.model import PacketArray, Parameters, Summary
from harness.store.tables import open_table
from harness.traffic import Router, StreamRegistry

KEPT_BYTES = 256
"""Bytes of each payload that are looked at, when no format needs more."""

KEPT_BYTES_CELLS = 1500
"""The same where a datagram holds several packets (MPEG-TS) or the format is still to be guessed."""


def analyze_capture(path: Path, parameters: Parameters | None = None, options: StreamOptions | None = None) -> Summary:
    """Return the summary of a pcap or pcapng file, plain or gzip; nothing is written.

    Raises:
      RecordError: not such a file, or one that cannot be read.
      UsageError: options that do not fit the format.
    """
    parameters, options = parameters or Parameters(), options or StreamOptions()
    capture, registry, protocol = open_capture(path), StreamRegistry(), options.load()
    names = {number: interface.name for number, interface in enumerate(capture.interfaces, start=1)}
    router = Router(registry, protocol, names)
    width = KEPT_BYTES if protocol is not None and protocol.records is None else KEPT_BYTES_CELLS
    fold = Fold(parameters, is_first=True)
    first_ns = last_ns = None
    for batch in capture.batches(width=width):
        times = batch.meta["rx_ns"]
        first_ns = int(times.min()) if first_ns is None else min(first_ns, int(times.min()))
        last_ns = int(times.max()) if last_ns is None else max(last_ns, int(times.max()))
        records = router.receive(batch)
        for info in registry.take_fresh():
            fold.add_stream(options.applied(info))
        fold.update(records)
    observed = options.observed_ns or ((first_ns, last_ns) if first_ns is not None and last_ns is not None else None)
    notes = [
        *capture.warnings,
        *(f"{where}: taken for {name} ({why})" for where, (name, why) in router.guesses.items()),
        *(f"{n:,} frames left out: {reason}" for reason, n in sorted(capture.counters.items()) if n),
    ]
    return Summary(
        path=str(path),
        parameters=parameters,
        streams=fold.summaries(observed=observed),
        rejected=dict(router.rejected),
        notes=notes,
    )


def analyze_table(path: Path, parameters: Parameters | None = None, options: StreamOptions | None = None) -> Summary:
    """Return the summary of a CSV or Parquet table with columns named like PACKET_DTYPE; nothing is written.

    Raises:
      RecordError: no such table; names the column and row that is wrong.
      UsageError: a Parquet file without pyarrow.
    """
    parameters, options = parameters or Parameters(), options or StreamOptions()
    table = open_table(path)
    fold = Fold(parameters, is_first=True)

    def chunks() -> Iterator[PacketArray]:
        known: set[int] = set()
        for rows in table.packets():
            for info in table.streams:
                if info.number not in known:
                    known.add(info.number)
                    fold.add_stream(options.applied(info))
            yield rows

    for rows in chunks():
        fold.update(rows)
    return Summary(path=str(path), parameters=parameters, streams=fold.summaries(observed=options.observed_ns))
