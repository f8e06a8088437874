"""What can be compared: runs, captures, tables and summaries, each as a summary, with its packets where it has any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.analysis import TABLES, StreamOptions, analyze_file, analyze_recording
from harness.analysis.capture import KEPT_BYTES_CELLS
from harness.analyzer import Fold
from harness.capture import open_capture
from harness.compare.shared import Received
from harness.errors import RecordError
from harness.model import PACKET_DTYPE, Manifest, PacketArray, Parameters, StreamInfo, Summary
from harness.store import open_run, read_summary
from harness.store.tables import open_table
from harness.traffic import Router, StreamRegistry

Chunks = Iterator[tuple[Sequence[StreamInfo], PacketArray]]
"""Streams that are new, and packets."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One of the recordings.

    Attributes:
      name: short, for tables and figures.
      path: as the user named it.
      summary: what was found in it.
      has_one_clock: whether sender and receiver were this one run, so that its delays are true.
      has_packets: whether the packets are there too.
    """

    name: str
    path: Path
    summary: Summary
    has_one_clock: bool = False
    has_packets: bool = False
    options: StreamOptions = field(default_factory=StreamOptions)


def open_subject(
    path: Path, name: str, parameters: Parameters | None = None, options: StreamOptions | None = None
) -> Subject:
    """Open a run, a capture, a table or a summary; analyze it where it has no summary, or other thresholds are given.

    Args:
      path: run directory, directory or file of a summary, capture, or table.
      name: what to call it.
      parameters: thresholds; None takes a run's summary as it is stored.
      options: what is known of the streams of a capture or table.

    Raises:
      RecordError: nothing of the kind, or one that cannot be read.
      UsageError: thresholds for a summary without its packets.
    """
    options = options or StreamOptions()
    if path.is_dir() and (path / "manifest.json").exists():
        reader = open_run(path)
        stored = reader.summary() if parameters is None else None
        summary = stored if stored is not None else analyze_recording(reader, parameters)
        return Subject(name, path, summary, has_one_clock=has_one_clock(reader.manifest), has_packets=True)
    if path.suffix.lower() == ".json" or (path.is_dir() and (path / "summary.json").exists()):
        if parameters is not None:
            raise RecordError(f"{path} is a summary without its packets; thresholds cannot be applied to it any more")
        return Subject(name, path, read_summary(path))
    if path.is_dir():
        open_run(path)  # says what is missing
    return Subject(name, path, analyze_file(path, parameters, options), has_packets=True, options=options)


def has_one_clock(manifest: Manifest) -> bool:
    """Whether a run sent and received by one clock: on this machine alone, in namespaces of it or not."""
    hosts = manifest.resolved.get("host") or []
    return manifest.kind == "run" and all(host.get("kind") in ("local", "namespace") for host in hosts)


def received_of(subject: Subject, numbers: Sequence[int]) -> dict[int, Received]:
    """Return what was received of some streams, packet by packet; without those of which that is not known.

    Whatever came counts as received, also after Tmax.

    Raises:
      RecordError: the recording cannot be read.
    """
    if not subject.has_packets:
        return {}
    fold = Fold(Parameters(), is_first=True)
    for infos, packets in _chunks(subject):
        for info in infos:
            fold.add_stream(info)
        fold.update(packets)
    found = {}
    for number in numbers:
        stream = fold.streams.get(number)
        if stream is None:
            continue
        core = stream.whole()
        runs = core.received
        if runs.n_closed_lost:  # so many losses that the oldest are counted, but no longer placed
            continue
        found[number] = Received(runs.starts, runs.ends, runs.start_ns, core.extender.modulus)
    return found


def _chunks(subject: Subject) -> Chunks:
    if subject.path.is_dir():
        return _of_run(subject.path)
    return _of_table(subject) if subject.path.suffix.lower() in TABLES else _of_capture(subject)


def _of_run(path: Path) -> Chunks:
    reader = open_run(path)
    yield reader.manifest.streams, np.zeros(0, PACKET_DTYPE)
    for rows in reader.packets():
        yield (), rows


def _of_table(subject: Subject) -> Chunks:
    table, known = open_table(subject.path), set[int]()
    for rows in table.packets():
        fresh = [info for info in table.streams if info.number not in known]
        known.update(info.number for info in fresh)
        yield [subject.options.applied(info) for info in fresh], rows


def _of_capture(subject: Subject) -> Chunks:
    capture, registry = open_capture(subject.path), StreamRegistry()
    router = Router(registry, subject.options.load(), {})
    for batch in capture.batches(width=KEPT_BYTES_CELLS):
        records = router.receive(batch)
        yield [subject.options.applied(info) for info in registry.take_fresh()], records


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a short name for each path: its last part where that tells them apart, else with a letter before it.

    >>> names_of([Path("results/before"), Path("results/after")]), names_of([Path("a/x.pcap"), Path("b/x.pcap")])
    (['before', 'after'], ['A x.pcap', 'B x.pcap'])
    """
    short = [path.resolve().name if path.name in ("", ".", "..") else path.name for path in paths]
    parents = [path.resolve().parent.name for path in paths]
    short = [parent if name == "summary.json" else name for name, parent in zip(short, parents, strict=True)]
    if len(set(short)) == len(short):
        return short
    return [f"{_letter(place)} {name}" for place, name in enumerate(short)]


def _letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"#{place + 1}"
