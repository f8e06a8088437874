"""What can be exported, as packets in chunks: a run's directory, a capture file, a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.analysis import TABLES, StreamOptions, analyze_file, analyze_recording
from harness.capture import open_capture
from harness.errors import RecordError
from harness.model import UNDEFINED_NS, PacketArray, StreamInfo, Summary
from harness.store import open_run
from harness.store.tables import open_table
from harness.traffic import Router, StreamRegistry

KEPT_BYTES = 1_500
"""Bytes of each payload of a capture that are looked at."""


@dataclass
class Source:
    """Something that can be exported.

    Attributes:
      path: where it is.
      kind: what it is.
      options: what the user knows of the streams of a capture or table.
      streams: of the packets read so far; complete when `packets` has ended.
      warnings: what is wrong with it, of the last pass.
    """

    path: Path
    kind: Literal["run", "capture", "table"]
    options: StreamOptions
    streams: list[StreamInfo] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def packets(self) -> Iterator[PacketArray]:
        """Yield all packets, PACKET_DTYPE; each pass reads anew.

        Raises:
          RecordError: it cannot be read.
        """
        self.streams.clear()
        if self.kind == "run":
            yield from self._of_run()
        elif self.kind == "table":
            yield from self._of_table()
        else:
            yield from self._of_capture()

    def first_ns(self) -> int:
        """Return the time of the first packet, or of the first frame of a capture.

        Raises:
          RecordError: there is none.
        """
        if self.kind == "capture":
            chunks = (frames.rx_ns for frames in open_capture(self.path).frames())
        else:
            chunks = (rows["rx_ns"] for rows in self.packets())
        for times in chunks:
            times = times[times != UNDEFINED_NS]
            if len(times):
                return int(times.min())
        raise RecordError(f"{self.path} holds no packet with a time, so no moment can be counted from its start")

    def summary(self) -> Summary:
        """Return what an analysis finds; of a run, the summary that is stored beside it, if any.

        Raises:
          RecordError: it cannot be read.
        """
        if self.kind != "run":
            return analyze_file(self.path, None, self.options)
        return open_run(self.path).summary() or analyze_recording(self.path)

    def _of_run(self) -> Iterator[PacketArray]:
        reader = open_run(self.path)
        self.streams.extend(reader.manifest.streams)
        yield from reader.packets()
        self.warnings = list(reader.warnings)

    def _of_table(self) -> Iterator[PacketArray]:
        table = open_table(self.path)
        for rows in table.packets():
            self.streams.extend(table.streams[len(self.streams) :])
            yield rows

    def _of_capture(self) -> Iterator[PacketArray]:
        capture, registry = open_capture(self.path), StreamRegistry()
        names: dict[int, str] = {}
        router = Router(registry, self.options.load(), names, self.options.clock_rate)
        for batch in capture.batches(width=KEPT_BYTES):
            names.update((number, interface.name) for number, interface in enumerate(capture.interfaces, start=1))
            records = router.receive(batch)
            known = list(registry.streams.values())
            self.streams.extend(map(self.options.applied, known[len(self.streams) :]))
            if len(records):
                yield records
        guesses = [f"{where}: taken for {name} ({why})" for where, (name, why) in router.guesses.items()]
        left_out = [f"{n:,} datagrams left out: {reason}" for reason, n in sorted(router.rejected.items()) if n]
        self.warnings = [*capture.warnings, *guesses, *left_out]


def open_source(path: Path, options: StreamOptions | None = None) -> Source:
    """Open what is to be exported.

    Raises:
      RecordError: nothing there.
    """
    if path.is_dir():
        return Source(open_run(path).path, "run", options or StreamOptions())
    if not path.exists():
        raise RecordError(f"{path} does not exist; harness export reads a run directory, a capture or a table")
    kind: Literal["capture", "table"] = "table" if path.suffix.lower() in TABLES else "capture"
    return Source(path, kind, options or StreamOptions())
