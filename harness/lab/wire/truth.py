"""The truth file: what a wire did, as JSON lines that are on the medium when the wire has ended.

{"kind":"wire-truth","version":1,"spec":{...},"ends":[...],"cap_pps":40000.0,"limit_pps":97000.0}
{"start":{"realtime_ns":...,"monotonic_ns":...}}       each time the timeline of the faults begins
{"frame":17,"direction":"forward","did":"dropped",...}  FrameRecord, in the order in which things were done
{"ledger":{...}}                                        last; missing when the wire was killed
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import RecordError, StorageError, errno_text
from harness.lab.wire.records import LOST, VERSION, Did, FrameRecord, Ledger
from harness.lab.wire.spec import End, WireSpec

_KEPT_BYTES = 1 << 16


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    kind: Literal["wire-truth"] = "wire-truth"
    version: int = VERSION
    spec: WireSpec
    ends: tuple[End, End]
    cap_pps: float
    limit_pps: float | None


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """When the timeline of the faults began, on both clocks."""

    realtime_ns: int
    monotonic_ns: int


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that is no FrameRecord."""

    start: Start | None = None
    ledger: Ledger | None = None


class TruthWriter:
    """Appends lines to a new file.

    Raises:
      StorageError: the file is there already, or cannot be made or written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self._buffer = bytearray()
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        try:
            self._file = FileIO(path, "x")
        except OSError as exc:
            raise self._error(exc) from exc
        self._append(header)
        self.flush()

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._file.fileno()

    def records(self, records: Iterable[FrameRecord], offset_ns: int) -> None:
        """Append records; `offset_ns`, realtime minus monotonic, gives them their realtime."""
        for record in records:
            self._append(msgspec.structs.replace(record, realtime_ns=record.monotonic_ns + offset_ns))
        if len(self._buffer) >= _KEPT_BYTES:
            self.flush()

    def started(self, start: Start) -> None:
        """Append that the timeline has begun."""
        self._append(_Line(start=start))
        self.flush()

    def close(self, ledger: Ledger) -> None:
        """Append the ledger and wait until everything is on the medium."""
        self._append(_Line(ledger=ledger))
        with self._file:
            self.flush()
            try:
                os.fsync(self.fileno())
            except OSError as exc:
                raise self._error(exc) from exc

    def flush(self) -> None:
        """Hand what was appended to the kernel."""
        rest = memoryview(bytes(self._buffer))
        self._buffer.clear()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as exc:
            raise self._error(exc) from exc

    def _append(self, line: msgspec.Struct) -> None:
        self._buffer += self._encoder.encode(line)
        self._buffer += b"\n"

    def _error(self, exc: OSError) -> StorageError:
        remedy = "; name a file that is not there yet" if isinstance(exc, FileExistsError) else ""
        return StorageError(f"cannot write the wire's truth to {self.path}: {errno_text(exc.errno or 0)}{remedy}")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a wire did.

    Attributes:
      records: in the order in which things were done.
      starts: when the timeline began; empty when it never did.
      ledger: None when the wire did not end in order.
    """

    header: Header
    records: list[FrameRecord]
    starts: list[Start]
    ledger: Ledger | None

    def seqs(self, *did: Did, to: str | None = None, stream: int | None = None, epoch: int | None = None) -> list[int]:
        """Return the sequence numbers to which something was done, in the order in which it was.

        A number stands there once for each time; end packets have none and are left out.

        Args:
          did: what was done; all that loses a frame when none is given.
          to: only of this destination.
          stream: only of this probe stream.
          epoch: only of this start of it.
        """
        wanted = did or tuple(LOST)
        return [
            record.seq
            for record in self.records
            if record.did in wanted
            and record.seq is not None
            and to in (None, record.to)
            and stream in (None, record.stream)
            and epoch in (None, record.epoch)
        ]

    def copies(self, to: str | None = None, stream: int | None = None) -> Counter[int]:
        """Return how many copies of each sequence number the wire made."""
        found = Counter[int]()
        for record in self.records:
            is_asked_for = to in (None, record.to) and stream in (None, record.stream)
            if record.did == "duplicated" and record.seq is not None and record.copies and is_asked_for:
                found[record.seq] += record.copies
        return found


def read_truth(path: Path) -> Truth:
    """Return what a truth file says; a last line cut off by a crash is left out.

    Raises:
      RecordError: not a truth file, of another version, or damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {errno_text(exc.errno or 0)}") from exc
    try:
        header = msgspec.json.decode(lines[0] if lines else b"", type=Header)
    except msgspec.DecodeError as exc:
        raise RecordError(f"{path}: not the truth of a wire: {exc}") from exc
    if header.version != VERSION:
        raise RecordError(f"{path}: the truth of a wire of version {header.version}; this program reads {VERSION}")
    truth = Truth(header, [], [], None)
    ledger = None
    frames, others = msgspec.json.Decoder(FrameRecord), msgspec.json.Decoder(_Line)
    for number, line in enumerate(lines[1:], start=2):
        try:
            if line.startswith(b'{"frame"'):
                truth.records.append(frames.decode(line))
                continue
            other = others.decode(line)
        except msgspec.DecodeError as exc:
            raise RecordError(f"{path}: line {number}: {exc}") from exc
        ledger = other.ledger or ledger
        if other.start is not None:
            truth.starts.append(other.start)
    return Truth(header, truth.records, truth.starts, ledger)
