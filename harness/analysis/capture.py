"""A capture file, or a table of packets -> Summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.analysis.options import StreamOptions
from harness.analyzer import Fold, membership_timeline
from harness.capture import open_capture
from harness.model import UNDEFINED_NS, PacketArray, Parameters, StreamSummary, Summary
from harness.store.tables import open_table
from harness.traffic import Router, StreamRegistry

KEPT_BYTES = 256
"""Bytes of each payload that are looked at, when no format needs more."""

KEPT_BYTES_CELLS = 1500
"""The same where a datagram holds several packets (MPEG-TS) or the format is still to be guessed."""


TABLES = (".csv", ".parquet")
"""Endings of the names of tables; everything else is taken for a capture."""


def analyze_file(path: Path, parameters: Parameters | None = None, options: StreamOptions | None = None) -> Summary:
    """Return the summary of a capture or a table, which the name's ending tells apart.

    Raises:
      RecordError: neither, or one that cannot be read.
    """
    analyze = analyze_table if path.suffix.lower() in TABLES else analyze_capture
    return analyze(path, parameters, options)


def analyze_capture(path: Path, parameters: Parameters | None = None, options: StreamOptions | None = None) -> Summary:
    """Return the summary of a pcap or pcapng file, plain or gzip; nothing is written.

    Raises:
      RecordError: not such a file, or one that cannot be read.
      UsageError: options that do not fit the format.
    """
    parameters, options = parameters or Parameters(), options or StreamOptions()
    capture, registry, protocol = open_capture(path), StreamRegistry(), options.load()
    names: dict[int, str] = {}
    router = Router(registry, protocol, names, options.clock_rate)
    width = KEPT_BYTES if protocol is not None and protocol.records is None else KEPT_BYTES_CELLS
    fold = Fold(parameters, is_first=True)
    heard = _Extent()
    for batch in capture.batches(width=width):
        heard.add(batch.meta["rx_ns"])
        if len(names) < len(capture.interfaces):  # a pcapng file may describe them on the way
            names.update((number, interface.name) for number, interface in enumerate(capture.interfaces, start=1))
        records = router.receive(batch)
        for info in registry.take_fresh():
            fold.add_stream(options.applied(info))
        fold.update(records)
    # the queries of a capture show that it went on when the stream had stopped
    heard.add(np.array([message.rx_ns for message in capture.memberships], np.int64))
    observed = options.observed_ns or heard.extent
    names.update((number, interface.name) for number, interface in enumerate(capture.interfaces, start=1))
    membership = membership_timeline(capture.memberships, observed, names)
    notes = [
        *capture.warnings,
        *(f"{where}: taken for {name} ({why})" for where, (name, why) in router.guesses.items()),
        *(membership.notes if membership is not None else ()),
        *(f"{n:,} frames left out: {reason}" for reason, n in sorted(capture.counters.items()) if n),
    ]
    return Summary(
        path=str(path),
        parameters=parameters,
        streams=_with_clocks(fold.summaries(observed=observed), router.clock_rates),
        rejected=dict(router.rejected),
        membership=membership,
        notes=notes,
    )


def _with_clocks(streams: list[StreamSummary], rates: Mapping[int, tuple[int | None, str]]) -> list[StreamSummary]:
    """Return the summaries with a word on media clocks whose rate nobody gave."""
    result = []
    for stream in streams:
        rate, how = rates.get(stream.number, (None, ""))
        if stream.number in rates and stream.jitter_ns is None and rate is None:
            note = "the media clock's rate is not known, so there is no jitter; give --clock-rate"
            stream = msgspec.structs.replace(stream, notes=[*stream.notes, note])
        elif rate is not None:
            note = f"media clock of {rate:,} Hz, {how}; --clock-rate says otherwise"
            stream = msgspec.structs.replace(stream, notes=[*stream.notes, note])
        result.append(stream)
    return result


class _Extent:
    """The first and last time stamp of what was captured, of whatever kind; `extent` None without any."""

    def __init__(self) -> None:
        self.extent: tuple[int, int] | None = None

    def add(self, times: NDArray[np.int64]) -> None:
        """Take time stamps; UNDEFINED_NS is none."""
        if len(times) and int(times.min()) == UNDEFINED_NS:
            times = times[times != UNDEFINED_NS]
        if len(times):
            first, last = int(times.min()), int(times.max())
            self.extent = (
                (first, last) if self.extent is None else (min(first, self.extent[0]), max(last, self.extent[1]))
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
