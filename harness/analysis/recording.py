"""A run on disk -> Summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from harness.analysis.delay_bound import delay_bound
from harness.analysis.expected import silent_streams
from harness.analysis.membership import run_membership
from harness.analysis.truth import compare_with_truth
from harness.analyzer import Fold, SenderFold, SentLog, doubt
from harness.errors import RecordError
from harness.limits import hold
from harness.model import (
    UNDEFINED_NS,
    HostInfo,
    Manifest,
    PacketArray,
    Parameters,
    SenderInfo,
    SentCount,
    StreamInfo,
    StreamSummary,
    Summary,
)
from harness.model.datagrams import RUN_DATAGRAMS, most_dropped
from harness.model.scenario import Expect
from harness.store import RunReader, layout, open_run, read_summary, write_summary
from harness.units import NS_PER_S, format_duration

PLAUSIBLE_DELAY_NS = NS_PER_S
"""A first one-way delay outside 0 .. this means that the two clocks do not agree."""

OnProgress = Callable[[float], None]


def analyze_recording(
    path: Path | RunReader,
    parameters: Parameters | None = None,
    *,
    sender_run: Path | None = None,
    expect: Expect | None = None,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Return the summary of a run on disk; nothing is written.

    Args:
      path: the run's directory, or the run opened.
      parameters: thresholds; None for the defaults.
      sender_run: the run of the sender, when that was recorded elsewhere: its log tells what was really sent.
      expect: limits; None for those that the run's own scenario set.
      on_progress: called now and then with the part done, from 0 to 1.

    Raises:
      RecordError: no run there, or one that cannot be read.
    """
    reader = path if isinstance(path, RunReader) else open_run(path)
    parameters = parameters or Parameters()
    counted = read_counted(reader, parameters)
    if counted is not None:
        summary = counted
    else:
        fold = _fold_of(reader, parameters, _with_clock_offsets(reader, reader.manifest.streams), on_progress)
        summary = _summary_of(reader, fold, sender_run)
        if reader.manifest.counted_from_ns is not None:
            note = "packets were only counted from some time on, and the run did not live to write its counts"
            summary = msgspec.structs.replace(summary, notes=[note, *summary.notes])
    if expect is None:
        expect = msgspec.convert(reader.manifest.resolved.get("expect", {}), Expect)
    return msgspec.structs.replace(summary, limits=hold(summary, expect))


def write_counted(path: Path, counted: Fold) -> None:
    """Write the summary of a run whose packets were counted, from the first one on or after some were recorded.

    No clock offset is taken out of the delays of either part. That of a sender with another clock shows in its first
    packets only, when those that are counted have been judged without it.

    Args:
      path: the run's directory, whose recording has ended.
      counted: the fold of the packets that are not on record; it continues the recording if that has any.

    Raises:
      RecordError: the run cannot be read.
      StorageError: the summary cannot be written.
    """
    reader = open_run(path)
    fold = counted
    if reader.n_packets:
        fold = _fold_of(reader, counted.parameters, reader.manifest.streams).merge(counted)
    write_summary(path / layout.COUNTED, _summary_of(reader, fold, None))


def read_counted(reader: RunReader, parameters: Parameters) -> Summary | None:
    """Return the stored summary of a run whose packets were counted; None for one that is on record packet by packet.

    A run that was killed while it counted has none: then the packets recorded before are analyzed, which a note says.
    """
    path = reader.path / layout.COUNTED
    if reader.manifest.counted_from_ns is None or not path.exists():
        return None
    summary = read_summary(path)
    note = "packets were counted, not recorded one by one: figures are from the live analysis"
    if parameters != summary.parameters:
        note += " with its thresholds, those asked for now cannot be applied"
    return msgspec.structs.replace(summary, notes=[note, *summary.notes])


def _fold_of(
    reader: RunReader, parameters: Parameters, streams: list[StreamInfo], on_progress: OnProgress | None = None
) -> Fold:
    """Return the fold of all packets on record; it begins the recording."""
    fold = Fold(parameters, is_first=True)
    for info in streams:
        fold.add_stream(info)
    for packets in _with_progress(reader, on_progress):
        fold.update(packets)
    return fold


def _summary_of(reader: RunReader, fold: Fold, sender_run: Path | None) -> Summary:
    """Return the summary of a run whose packets are folded, with all that the run knows beside them."""
    sender_reader = open_run(sender_run) if sender_run is not None else reader
    if sender_run is not None and not sender_reader.manifest.senders:
        raise RecordError(f"{sender_run} holds no sender's log; name the run of `harness send`")
    manifest, senders = reader.manifest, sender_reader.manifest.senders
    for info in silent_streams(manifest, senders):
        fold.add_stream(info)
    accounts = _read_accounts(sender_reader, senders)
    by_identity: dict[tuple[int | None, int | None], SentLog] = {
        (info.stream_id, info.epoch): accounts[info.stream].log() for info in senders
    }
    counters = reader.counters
    found = fold.summaries(
        observed=_observed(reader),
        joined_ns={info.name: info.joined_ns for info in manifest.receivers if info.joined_ns is not None},
        left_ns={info.name: info.left_ns for info in manifest.receivers if info.left_ns is not None},
        sent={
            number: by_identity[stream.info.stream_id, stream.info.epoch]
            for number, stream in fold.streams.items()
            if (stream.info.stream_id, stream.info.epoch) in by_identity
        },
        drops={
            info.name: most_dropped(counters.socket_drops.get(info.name, 0), offload=info.offload)
            if info.counts_drops
            else None
            for info in manifest.receivers
        },
    )
    unreadable = reader.n_unreadable
    membership, membership_notes = run_membership(reader, _observed(reader))
    found = [
        _with_delay_note(doubt(stream, unreadable), manifest, sender_reader.manifest if sender_run else None)
        for stream in found
    ]
    return Summary(
        path=str(reader.path),
        parameters=fold.parameters,
        streams=found,
        unreadable=unreadable,
        senders=[account.summary() for account in accounts.values() if not account.is_unknown],
        events=reader.events,
        rejected=counters.rejected,
        misdelivered=sum(counters.misdelivered.values()),
        socket_drops=sum(counters.socket_drops.values()) if counters.socket_drops else None,
        monotonic_offset_ns=manifest.clocks.realtime_ns - manifest.clocks.monotonic_ns,
        notes=[
            *_notes(reader, sender_reader),
            *membership_notes,
            *compare_with_truth(sender_reader.path, found),
        ],
        membership=membership,
    )


def _with_delay_note(stream: StreamSummary, receiver: Manifest, sender: Manifest | None) -> StreamSummary:
    """Return the summary of a stream, with how far its one-way delays can be trusted, if it has any."""
    if not stream.delay.n:
        return stream
    note = delay_bound(stream, receiver, sender).note
    return msgspec.structs.replace(stream, notes=[*stream.notes, note])


def _read_accounts(reader: RunReader, senders: list[SenderInfo]) -> dict[int, SenderFold]:
    """Return each sender's account of itself, by its number in the log."""
    accounts = {info.stream: SenderFold(info) for info in senders}
    for rows in reader.sent():
        for number in np.unique(rows["stream"]).tolist():
            accounts[number].update(rows[rows["stream"] == number])
    return accounts


def _with_progress(reader: RunReader, on_progress: OnProgress | None) -> Iterator[PacketArray]:
    n_done = 0
    for packets in reader.packets():
        yield packets
        n_done += len(packets)
        if on_progress is not None:
            on_progress(n_done / max(1, reader.n_packets))


def _with_clock_offsets(reader: RunReader, streams: list[StreamInfo]) -> list[StreamInfo]:
    """Return the streams, with the clock offset of those whose sender's clock is evidently not ours.

    A run that sent and received by itself has one clock. Elsewhere the first delay of a stream tells: a network does
    not hold a packet for a second, and never delivers it before it was sent.
    """
    if reader.manifest.senders:
        return streams
    first = next(reader.packets(), None)
    if first is None:
        return streams
    judged = []
    for info in streams:
        rows = first[(first["stream"] == info.number) & (first["tx_ns"] != UNDEFINED_NS)][:1024]
        if info.clock_rate is None and len(rows):
            delay_ns = int((rows["rx_ns"] - rows["tx_ns"]).min())
            if not 0 <= delay_ns <= PLAUSIBLE_DELAY_NS:
                info = msgspec.structs.replace(info, clock_offset_ns=delay_ns)
        judged.append(info)
    return judged


def _observed(reader: RunReader) -> tuple[int, int] | None:
    """Return from when to when the run listened, on its time line; to the last packet for a run that was killed."""
    manifest = reader.manifest
    joined = [info.joined_ns for info in manifest.receivers if info.joined_ns is not None]
    if not joined:
        return None
    if manifest.end is not None:
        return min(joined), manifest.end.t_ns
    last_ns = max((int(packets["rx_ns"].max()) for packets in reader.packets()), default=None)
    return None if last_ns is None else (min(joined), last_ns)


def _notes(reader: RunReader, sender_reader: RunReader) -> list[str]:
    """Return the caveats on the whole run."""
    manifest: Manifest = reader.manifest
    notes = list(dict.fromkeys([*reader.warnings, *sender_reader.warnings]))
    if reader.n_unreadable:
        notes.append(
            f"{reader.n_unreadable:,} packet records are damaged: what they held counts as lost here, and the windows "
            "may be theirs; take the recording from a backup"
        )
    if manifest.end is not None and manifest.end.error is not None:
        notes.append(f"the run ended with an error: {manifest.end.error}")
    notes += _host_notes(manifest.hosts)
    for info in manifest.receivers:
        if info.buffer_asked and info.buffer_granted and info.buffer_granted < info.buffer_asked:
            notes.append(
                f"receive buffer: {info.buffer_asked} bytes asked, {info.buffer_granted} granted; "
                "raise net.core.rmem_max for more"
            )
        if info.offload:
            notes.append("receive offload: packets of one kernel buffer share a time stamp, and are dropped together")
            if reader.counters.socket_drops.get(info.name):
                notes.append(f"a drop of such a buffer may be of {RUN_DATAGRAMS} packets, and is taken for as many")
    for sender in sender_reader.manifest.senders:
        if sender.counted is not None:
            notes.append(_counted_note(sender.stream_id, sender.counted))
        if sender.tx_missing:
            notes.append(
                f"stream {sender.stream_id}: for {sender.tx_missing:,} packets the kernel's transmit stamp never came; "
                "the sending program's stands in the log"
            )
    overflows = sum(rise for name, rise in manifest.system_counters.items() if name.endswith(".receive_buffer_errors"))
    own_drops = sum(reader.counters.socket_drops.values())
    if overflows > own_drops:
        notes.append(
            f"sockets of other programs on this host overflowed meanwhile: {overflows - own_drops:,} datagrams"
        )
    for name, rise in manifest.system_counters.items():
        if name.startswith("udp"):  # their errors contain overflows and what filters on sockets dropped
            if name.endswith(".checksum_errors") and rise:
                notes.append(f"{rise:,} datagrams to this host were damaged (counter {name})")
        elif rise > 0 and name.endswith((".drops_in", ".errors_in", ".drops_out", ".errors_out")):
            notes.append(f"interface counter {name} rose by {rise:,} during the run")
    steps = [event for event in reader.events if event.kind == "clock_step"]
    if steps:
        notes.append(f"{len(steps)} clock steps while recording; the time line is kept by the monotonic clock")
    return notes


def _counted_note(stream_id: int, counted: SentCount) -> str:
    """Return that a sender's packets were counted, from which on, and what that leaves open."""
    since = f" from number {counted.first_seq:,} on" if counted.first_seq else ""
    note = f"stream {stream_id}: packets sent were counted{since}, not logged one by one"
    if counted.sent is None:
        return f"{note}, and the run did not live to write how many"
    return f"{note}; the sender's lateness is that of the packets before" if since and counted.lateness.n else note


def _host_notes(hosts: list[HostInfo]) -> list[str]:
    """Return what each host of a run over several adds to the caveats: what it lacks, and how its clock stood."""
    notes = []
    for info in hosts:
        if info.lost is not None:
            notes.append(f"host {info.name} was lost: {info.lost}")
        if info.missing is not None:
            notes.append(f"host {info.name}: missing: {info.missing}")
        if info.clock_offset_ns and info.clock_error_bound_ns is not None:
            notes.append(
                f"host {info.name}: its clock differed by {format_duration(info.clock_offset_ns)}, which is taken out "
                f"of all times; delays to and from it may be wrong by {format_duration(info.clock_error_bound_ns)}"
            )
    return notes
