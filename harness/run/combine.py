"""The recordings of several hosts -> one, on the controller's time line.

Every time that a host stamped is moved by its clock's offset: arrivals by the receiver's, sending and due times by the
sender's, who is known by the stream's id and epoch. So windows, events and delays of all hosts stand on one axis, and
no clock offset is left in the streams. The recordings as fetched stay beside it, untouched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from harness.analysis.truth import TRUTH
from harness.errors import storage_error
from harness.model import UNDEFINED_NS, Counters, Event, PacketArray, StreamInfo
from harness.model.scenario_hosts import receiver_label
from harness.net import RunClock
from harness.store import RunReader, RunWriter

QUIET = ("start", "end")
"""Events of a part that the run's own say already."""

OF_RECEIVERS = ("join", "leave", "reopen", "stream", "end_of_stream")
_NUMBERED = re.compile(r"stream (\d+)(?=:)")

Identity = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class HostRun:
    """A host's recording: who, its clock minus the controller's, and whether it ended before the run did."""

    name: str
    reader: RunReader
    offset_ns: int
    is_cut: bool = False


@dataclass
class Combination:
    """Adds recordings of hosts to a run that is being written.

    Args:
      writer: the run.
      clock: its time line.
      sender_offsets: each probe stream's sender's clock minus the controller's, by id and epoch; also of senders whose
        recordings are missing.
    """

    writer: RunWriter
    clock: RunClock
    sender_offsets: dict[Identity, int]
    counters: Counters = field(default_factory=Counters)
    system_counters: dict[str, int] = field(default_factory=dict)
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    _n_streams: int = 0
    _n_senders: int = 0

    def add(self, run: HostRun) -> None:
        """Add one host's recording.

        Raises:
          RecordError: it cannot be read.
          StorageError: the run cannot be written.
        """
        self._add_receivers(run)
        self._add_packets(run)
        self._add_sent(run)
        for event in run.reader.events:
            self._add_event(run, event)
        self._add_counters(run)
        self._add_truth(run)

    def _add_receivers(self, run: HostRun) -> None:
        for info in run.reader.manifest.receivers:
            moved = msgspec.structs.replace(
                info,
                name=receiver_label(run.name, info.name),
                joined_ns=None if info.joined_ns is None else info.joined_ns - run.offset_ns,
                left_ns=_left_ns(run, info.joined_ns) if run.is_cut else None,
            )
            self.writer.add_receiver(moved)

    def _add_packets(self, run: HostRun) -> None:
        numbers, tx_shift = np.zeros(65_536, np.uint16), np.zeros(65_536, np.int64)
        for info in run.reader.manifest.streams:
            offset_ns = self.sender_offsets.get((info.stream_id, info.epoch), 0)
            numbers[info.number] = self._numbers[run.name, info.number] = self._n_streams
            tx_shift[info.number] = offset_ns if info.clock_rate is None else 0
            self.writer.add_stream(self._moved_stream(run, info, offset_ns))
            self._n_streams += 1
        for rows in run.reader.packets():
            moved = rows.copy()
            moved["stream"] = numbers[rows["stream"]]
            _shift(moved, "rx_ns", run.offset_ns)
            _shift(moved, "tx_ns", tx_shift[rows["stream"]])
            self.writer.append_packets(moved)

    def _moved_stream(self, run: HostRun, info: StreamInfo, offset_ns: int) -> StreamInfo:
        return msgspec.structs.replace(
            info,
            number=self._n_streams,
            receiver=receiver_label(run.name, info.receiver),
            first_due_ns=None if info.first_due_ns is None else info.first_due_ns - offset_ns,
            clock_offset_ns=None,
        )

    def _add_sent(self, run: HostRun) -> None:
        numbers = np.zeros(65_536, np.uint16)
        for info in run.reader.manifest.senders:
            numbers[info.stream] = self._n_senders
            first_due_ns = info.first_due_ns - run.offset_ns
            self.writer.add_sender(
                msgspec.structs.replace(info, stream=self._n_senders, first_due_ns=first_due_ns, host=run.name)
            )
            self._n_senders += 1
        for rows in run.reader.sent():
            moved = rows.copy()
            moved["stream"] = numbers[rows["stream"]]
            _shift(moved, "due_ns", run.offset_ns)
            _shift(moved, "tx_ns", run.offset_ns)
            self.writer.append_sent(moved)

    def _add_event(self, run: HostRun, event: Event) -> None:
        if event.kind in QUIET and not (event.kind == "end" and run.is_cut):
            return
        t_ns = event.t_ns - run.offset_ns
        is_receivers = bool(event.receiver) or event.kind in OF_RECEIVERS
        self.writer.event(
            msgspec.structs.replace(
                event,
                t_ns=t_ns,
                monotonic_ns=self.clock.to_monotonic(t_ns),
                receiver=receiver_label(run.name, event.receiver) if is_receivers else "",
                text=self._text(run, event.text) if is_receivers else f"{run.name}: {event.text}",
            )
        )

    def _text(self, run: HostRun, text: str) -> str:
        """Return an event's text with the number that its stream has here."""
        match = _NUMBERED.match(text)
        number = self._numbers.get((run.name, int(match[1]))) if match else None
        return text if match is None or number is None else f"stream {number}{text[match.end() :]}"

    def _add_counters(self, run: HostRun) -> None:
        found, known = run.reader.counters, self.counters
        rejected = dict(known.rejected)
        for reason, n in found.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + n
        self.counters = Counters(
            socket_drops=known.socket_drops | _labelled(run.name, found.socket_drops),
            rejected=rejected,
            misdelivered=known.misdelivered | _labelled(run.name, found.misdelivered),
        )
        self.writer.set_counters(self.counters)
        for name, rise in run.reader.manifest.system_counters.items():
            # hosts of one machine share the rest, and would count it twice
            is_interface = not name.startswith("udp")
            if is_interface and name.endswith((".drops_in", ".errors_in", ".drops_out", ".errors_out")):
                self.system_counters[f"{run.name}.{name}"] = rise

    def _add_truth(self, run: HostRun) -> None:
        path = run.reader.path / TRUTH
        if not path.exists():
            return
        try:
            with (self.writer.path / TRUTH).open("a", encoding="utf-8") as output:
                output.writelines(_lines(path))
        except OSError as exc:
            raise storage_error(exc, self.writer.path / TRUTH) from exc


def _lines(path: Path) -> Iterable[str]:
    """Yield the whole lines of a host's truth; a torn one is the last, and of a host that was lost."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                json.loads(line)
            except ValueError:
                return
            yield line


def _labelled(host: str, by_receiver: dict[str, int]) -> dict[str, int]:
    return {receiver_label(host, name): n for name, n in by_receiver.items()}


def _shift(rows: PacketArray, column: str, offset_ns: object) -> None:
    """Subtract an offset, one for all or one a row, from times that are defined."""
    rows[column] = np.where(rows[column] == UNDEFINED_NS, UNDEFINED_NS, rows[column] - offset_ns)


def _left_ns(run: HostRun, joined_ns: int | None) -> int | None:
    """Return when a host that was lost stopped listening, on the controller's time line."""
    end = run.reader.manifest.end
    last_ns = [end.t_ns] if end is not None else [int(rows["rx_ns"].max()) for rows in run.reader.packets()]
    return max(last_ns, default=joined_ns or 0) - run.offset_ns
