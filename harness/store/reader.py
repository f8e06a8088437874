"""Reading a run: finished, killed, damaged or still being written.

The checksum files are read before the manifest. A writer commits in the opposite order, so every row that the reader
knows of belongs to a stream that the manifest lists, also while the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.errors import RecordError, UsageError, os_reason
from harness.model import PACKET_DTYPE, SENT_DTYPE, Counters, Event, Manifest, PacketArray, Summary
from harness.model.manifest import MANIFEST_VERSION
from harness.model.witness import EVIDENCE_VERSION, WitnessRecord, WitnessSeries
from harness.store import layout
from harness.store.documents import read_document, read_json, read_summary
from harness.store.rowfile import RowFile

CHUNK_ROWS = 262_144
"""Rows (8 MiB) that readers get at a time unless they ask for another number."""


class RunReader:
    """A run on disk as it was when opened.

    Attributes:
      path: the run's directory.
      manifest: what the run was.
      events: in the order in which they were written.
      counters: the latest running totals.
      n_packets, n_sent: rows of finished chunks.
      warnings: sentences about damage, without repetition; reading rows may add some.
    """

    def __init__(self, path: Path) -> None:
        """Open a run; see `open_run`."""
        self.path = path
        self.warnings: list[str] = []
        self._packets = RowFile(path, layout.PACKETS, PACKET_DTYPE, self._warn)
        self._sent = RowFile(path, layout.SENT, SENT_DTYPE, self._warn)
        self.events = self._read_events()
        self.manifest = read_document(path / layout.MANIFEST, Manifest, MANIFEST_VERSION)
        if self.manifest.receivers and not self._packets.exists:
            raise RecordError(f"{path} has neither {layout.PACKETS}.bin nor {layout.PACKETS}.crc; restore them")
        if not self.is_complete:
            self.warnings.insert(0, f"{path} has no end: the recording was killed or is still going on")

    @property
    def is_complete(self) -> bool:
        """Whether the run was ended in order; how and why is in `manifest.end`."""
        return self.manifest.end is not None

    @property
    def n_packets(self) -> int:
        """Rows of packets in finished chunks; what of them is damaged shows when they are read."""
        return self._packets.n_rows

    @property
    def n_unreadable(self) -> int:
        """Rows of packets that the recording held and lost to damage, as far as the reading has shown.

        The tail that a killed run left unfinished is none: the run never said that it had been recorded.
        """
        return self._packets.n_lost + (self._packets.n_unfinished if self.is_complete else 0)

    @property
    def n_sent(self) -> int:
        """Rows of the sender's log in finished chunks."""
        return self._sent.n_rows

    @property
    def counters(self) -> Counters:
        """The latest running totals: the manifest's of a finished run, else those beside the last packets."""
        latest = self._packets.index.counters
        return self.manifest.counters if self.is_complete or latest is None else latest

    @property
    def environment(self) -> dict[str, Any] | None:
        """The snapshot of the system, or None when the run has none.

        Raises:
          RecordError: the file is there and is no JSON object.
        """
        return _read_object(self.path / layout.ENVIRONMENT)

    @property
    def environment_after(self) -> dict[str, Any] | None:
        """The snapshot of the system after the run, or None when the run has none.

        Raises:
          RecordError: the file is there and is no JSON object.
        """
        return _read_object(self.path / layout.ENVIRONMENT_AFTER)

    @property
    def witnesses(self) -> list[WitnessSeries]:
        """What the witnesses of this recording heard; [] when it had none. Those of other hosts are in their own.

        Raises:
          RecordError: the file is there and cannot be read, or has another version.
        """
        path = self.path / layout.WITNESSES
        return read_document(path, WitnessRecord, EVIDENCE_VERSION).witnesses if path.exists() else []

    def summary(self) -> Summary | None:
        """Return the stored summary, or None when the run was not analyzed yet.

        Raises:
          RecordError: the file is there and cannot be read, or has another version.
        """
        return read_summary(self.path) if (self.path / layout.SUMMARY).exists() else None

    def packets(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[PacketArray]:
        """Yield the packets in the order of recording, PACKET_DTYPE, in arrays of 1 to `chunk_rows` rows.

        Chunks that do not match their checksum are skipped and named in `warnings`, and so are rows of a stream that
        the manifest does not list.

        Raises:
          RecordError: the file cannot be read.
          UsageError: `chunk_rows` is below 1.
        """
        numbers = [info.number for info in self.manifest.streams]
        return self._known(self._packets, chunk_rows, numbers, f"{layout.PACKETS}.bin")

    def sent(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[PacketArray]:
        """Yield the sender's log, SENT_DTYPE, as `packets` does; nothing when the run sent nothing.

        Raises:
          RecordError: the file cannot be read.
          UsageError: `chunk_rows` is below 1.
        """
        numbers = [info.stream for info in self.manifest.senders]
        return self._known(self._sent, chunk_rows, numbers, f"{layout.SENT}.bin")

    def _known(self, file: RowFile, chunk_rows: int, numbers: list[int], name: str) -> Iterator[PacketArray]:
        """Yield rows of listed streams only."""
        if chunk_rows < 1:
            raise UsageError(f"chunk_rows is {chunk_rows}; at least one row at a time")
        is_listed = np.zeros(65_536, np.bool_)
        is_listed[[number for number in numbers if 0 <= number < 65_536]] = True
        for rows in file.read(chunk_rows):
            is_good = is_listed[rows["stream"]]
            if is_good.all():
                yield rows
                continue
            unknown = int(rows["stream"][~is_good][0])
            self._warn(f"{name}: rows of stream {unknown}, which {layout.MANIFEST} does not list; skipped")
            if is_good.any():
                yield rows[is_good]

    def _read_events(self) -> list[Event]:
        path = self.path / layout.EVENTS
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            self._warn(f"{path.name} is missing")
            return []
        except OSError as exc:
            raise RecordError(f"cannot read {path}: {os_reason(exc)}") from exc
        events = []
        *lines, torn = text.split(b"\n")
        decoder = msgspec.json.Decoder(Event)
        for number, line in enumerate(lines, start=1):
            try:
                events.append(decoder.decode(line))
            except (ValueError, RecursionError) as exc:
                self._warn(f"{path.name}: line {number} is no event ({exc}); skipped")
        if torn:
            self._warn(f"{path.name}: the last line is torn; dropped")
        return events

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _read_object(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, None where there is no such file."""
    if not path.exists():
        return None
    value = read_json(path)
    if not isinstance(value, dict):
        raise RecordError(f"{path} is no JSON object")
    return value


def open_run(path: Path) -> RunReader:
    """Open a run for reading.

    Raises:
      RecordError: no run there, or its manifest is damaged or of another version.
    """
    if not path.exists():
        raise RecordError(f"{path} does not exist; harness analyze reads {layout.READABLE}")
    if not path.is_dir():
        raise RecordError(f"{path} is a file, not a run directory; harness analyze reads {layout.READABLE}")
    if not (path / layout.MANIFEST).exists():
        raise RecordError(f"{path} is no run: {_what_is_there(path)}; harness analyze reads {layout.READABLE}")
    return RunReader(path)


def _what_is_there(path: Path) -> str:
    """Return why a directory without a manifest is no run, and which run may have been meant."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as exc:
        return f"it cannot be read, {os_reason(exc)}"
    if not names:
        return "it is empty"
    runs = [name for name in names if (path / name / layout.MANIFEST).exists()]
    if runs:
        return f"it holds {len(runs)} of them; name one, for example {path / runs[-1]}"
    return f"it has no {layout.MANIFEST}"
