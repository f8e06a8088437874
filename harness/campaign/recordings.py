"""The recordings of a boot, analyzed, and what their witnesses heard in the drop-out windows beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.conclusion import conclude
from harness.errors import HarnessError
from harness.model import Event, Manifest, StreamSummary, Summary, Window
from harness.model.boots import BootFacts, StepResult, WitnessHeard
from harness.model.scenario_hosts import receiver_label
from harness.model.witness import WitnessSeries
from harness.store import open_run
from harness.store.layout import HOSTS


@dataclass
class Heard:
    """A recording of the boot, analyzed."""

    manifest: Manifest
    summary: Summary
    events: list[Event]
    witnesses: set[str]
    series: list[WitnessSeries] = field(default_factory=list)

    subjects: list[StreamSummary] = field(default_factory=list)
    others: list[StreamSummary] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stream in self.summary.streams:
            (self.others if stream.receiver in self.witnesses else self.subjects).append(stream)

    def joined(self) -> list[tuple[str, str, int]]:
        """Return receiver, group and time of each join of a receiver that is no witness."""
        return [
            (receiver.name, group, receiver.joined_ns)
            for receiver in self.manifest.receivers
            if receiver.name not in self.witnesses and receiver.joined_ns is not None
            for group in receiver.groups
        ]

    def first_ns(self, receiver: str, group: str) -> int | None:
        """Return when a receiver first heard a group."""
        times = [
            stream.first_rx_ns
            for stream in self.subjects
            if (stream.receiver, stream.group) == (receiver, group) and stream.first_rx_ns is not None
        ]
        return min(times, default=None)


def recordings(path: Path, facts: BootFacts) -> tuple[list[Heard], str]:
    """Return the boot's recordings, analyzed, and why one of them could not be."""
    found, trouble = [], ""
    for step in _steps_with_runs(path, facts):
        run = path / str(step.run)
        try:
            reader = open_run(run)
            summary = reader.summary()
            if summary is None:
                conclusion = conclude(run, has_report=False)
                summary, trouble = conclusion.summary, trouble or conclusion.error or ""
            series = [*reader.witnesses, *_of_hosts(run, [host.name for host in reader.manifest.hosts])]
        except HarnessError as exc:
            trouble = trouble or str(exc)
            continue
        found.append(Heard(reader.manifest, summary, reader.events, set(step.witnesses), series))
    return found, trouble


def _of_hosts(run: Path, names: list[str]) -> list[WitnessSeries]:
    """Return what the witnesses of the hosts of a run over several heard, beside receivers named as in that run."""
    return [
        msgspec.structs.replace(series, receiver=receiver_label(name, series.receiver))
        for name in names
        if (run / HOSTS / name).is_dir()
        for series in open_run(run / HOSTS / name).witnesses
    ]


def _steps_with_runs(path: Path, facts: BootFacts) -> list[StepResult]:
    """Return the recording steps; of a boot that was cut short also the one that was never written down."""
    steps = [step for step in facts.steps if step.run is not None]
    if facts.error is None and not steps and (path / "receive" / "manifest.json").is_file():
        steps = [StepResult(kind="receive", begin_ns=facts.began_ns, end_ns=facts.began_ns, run="receive")]
    return steps


def witnesses_of(heard: list[Heard]) -> list[WitnessHeard]:
    """Return what each witness heard in the drop-out windows of the receivers."""
    found = []
    for one in heard:
        windows = [window for stream in one.subjects for window in stream.windows]
        for name in sorted(one.witnesses):
            streams = [stream for stream in one.others if stream.receiver == name]
            bins = [
                (stream.series.start_ns + place * stream.series.bin_ns, stream.series.bin_ns, count)
                for stream in streams
                for place, count in enumerate(stream.series.received)
            ]
            found.append(_witness(name, sum(stream.received for stream in streams), bins, windows))
        found += _of_series(one)
    return found


def _of_series(one: Heard) -> list[WitnessHeard]:
    """Return what the witnesses of the run itself heard, one for each kind and receiver, over all its groups."""
    by_name: dict[str, list[WitnessHeard]] = {}
    for series in one.series:
        if series.direction == "out" or series.receiver in one.witnesses - {""}:
            continue
        windows = [
            window
            for stream in one.subjects
            if (stream.group, stream.receiver) == (series.group, series.receiver)
            for window in stream.windows
        ]
        bins = [(series.start_ns + place * series.bin_ns, series.bin_ns, n) for place, n in enumerate(series.counts)]
        witness = _witness("", sum(series.counts), bins, windows if series.missing is None else [])
        by_name.setdefault(f"{series.kind} {series.receiver}".strip(), []).append(witness)
    return [_together(name, heard) for name, heard in sorted(by_name.items())]


def _together(name: str, heard: list[WitnessHeard]) -> WitnessHeard:
    judged = [witness.is_hearing for witness in heard if witness.is_hearing is not None]
    return WitnessHeard(
        name=name, packets=sum(witness.packets for witness in heard), is_hearing=any(judged) if judged else None
    )


def _witness(name: str, packets: int, bins: list[tuple[int, int, int]], windows: list[Window]) -> WitnessHeard:
    """Return whether bins that lie wholly in a window hold packets; None where no bin does."""
    inside = [
        count
        for start_ns, bin_ns, count in bins
        if any(window.start_ns <= start_ns and start_ns + bin_ns <= window.end_ns for window in windows)
    ]
    is_hearing = None if not windows else any(inside) if inside or packets == 0 else None
    return WitnessHeard(name=name, packets=packets, is_hearing=is_hearing)
