"""A run on disk -> Evidence: what its hosts said of themselves before and after, and what their witnesses heard."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.errors import RecordError
from harness.model.scenario_hosts import receiver_label
from harness.model.witness import Evidence, HostEvidence, WitnessSeries
from harness.store import RunReader, layout, open_run


def load_evidence(path: Path | RunReader) -> Evidence:
    """Return all that a run has beside its packets, on the run's time line.

    A run of one machine has one host, named as the manifest names the machine. In a run over several each has its own;
    receivers are called as in the Summary, "rx/a", and times are moved by the hosts' clock offsets. A host whose
    recording is missing, or was made without witnesses, has empty fields.

    Args:
      path: the run's directory, or the run opened.

    Raises:
      RecordError: no run there, or a file of it that cannot be read.
    """
    reader = path if isinstance(path, RunReader) else open_run(path)
    if not reader.manifest.hosts:
        return Evidence(hosts=[_host(reader, reader.manifest.host, 0, is_one_of_several=False)])
    hosts = []
    for info in reader.manifest.hosts:
        try:
            part = open_run(reader.path / layout.HOSTS / info.name)
        except RecordError:  # lost on the way, which the manifest says
            hosts.append(HostEvidence(name=info.name))
            continue
        hosts.append(_host(part, info.name, info.clock_offset_ns or 0, is_one_of_several=True))
    return Evidence(hosts=hosts)


def _host(reader: RunReader, name: str, offset_ns: int, *, is_one_of_several: bool) -> HostEvidence:
    series = [_moved(one, offset_ns) for one in reader.witnesses]
    if is_one_of_several:
        series = [one if _is_senders(one) else _labelled(one, name) for one in series]
    return HostEvidence(
        name=name, before=reader.environment or {}, after=reader.environment_after or {}, witnesses=series
    )


def _moved(series: WitnessSeries, offset_ns: int) -> WitnessSeries:
    """Return a series on the controller's time line."""
    return msgspec.structs.replace(
        series,
        start_ns=series.start_ns - offset_ns,
        opened_ns=[opened_ns - offset_ns for opened_ns in series.opened_ns],
    )


def _is_senders(series: WitnessSeries) -> bool:
    return series.kind == "tap" and series.direction == "out"


def _labelled(series: WitnessSeries, host: str) -> WitnessSeries:
    return msgspec.structs.replace(series, receiver=receiver_label(host, series.receiver))
