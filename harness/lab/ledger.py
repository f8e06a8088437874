"""The ledger of a lab run: sent = received - duplicates + dropped by rules, queues, wires and buffers + misdelivered.

It is balanced stage by stage along the path, so that two errors cannot cancel: out of the sender, over each cable,
through each switch and router, and inside the receiver's host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.model import StreamSummary, Summary
from harness.model.lab_record import Fault, LabRecord, Ledger, LedgerLine, Path
from harness.model.witness import SenderImpairment

SILENT_KINDS = ("block", "address", "route", "link-down", "recreate")
"""Impairments after which a host may swallow datagrams that no counter shows."""

WHOLE_KINDS = ("shape", "wire")
"""Impairments that count everything that they drop, whatever it is."""


@dataclass(frozen=True, slots=True)
class HostCounts:
    """What a receiver's host counted itself: system counters that rose, and who was deafened, stalled or left.

    Attributes:
      rises: by name, "ip_ext.IPReversePathFilter".
      filters: why the host may have swallowed datagrams without counting them; [] when nothing did.
    """

    rises: dict[str, int] = field(default_factory=dict)
    filters: tuple[str, ...] = ()


def balance(
    record: LabRecord,
    summary: Summary,
    hosts: dict[str, HostCounts],
    impairments: Sequence[SenderImpairment] = (),
) -> list[Ledger]:
    """Return the ledger of every path that the lab knows, in its order.

    Args:
      record: what the lab counted.
      summary: of the run.
      hosts: by receiver, "rx" or "rx/name".
      impairments: what senders did to their own streams.
    """
    return [
        _ledger(path, record, summary, hosts.get(path.receiver, HostCounts()), impairments) for path in record.paths
    ]


def _ledger(
    path: Path,
    record: LabRecord,
    summary: Summary,
    host: HostCounts,
    impairments: Sequence[SenderImpairment],
) -> Ledger:
    senders = [sender for sender in summary.senders if sender.group == path.group]
    # what the queue of the sender's own interface refuses has passed the meter before it, and is a drop on the cable
    n_refused = sum(sender.errnos.get("ENOBUFS", 0) for sender in senders)
    sent = sum(sender.sent for sender in senders) + n_refused
    if n_refused:  # the first packet refused in a batch is tried again: the kernel does not say that it was one
        sent = max(sent, record.meters.get(path.points[0], {}).get(path.group, 0))
    streams = [s for s in summary.streams if s.group == path.group and s.receiver == path.receiver]
    lines: list[LedgerLine] = []
    unexplained: dict[str, int] = {}

    def at(point: str, group: str = path.group) -> int:
        return record.meters.get(point, {}).get(group, 0)

    first = path.points[0]
    elsewhere = sum(
        counts.get(path.group, 0)
        for point, counts in record.meters.items()
        if point.endswith(" out") and point.startswith(f"{path.sender}:") and point != first
    )
    if elsewhere:
        lines.append(LedgerLine(where=path.sender, kind="other way", packets=elsewhere, by="another interface"))
    ours = {(sender.stream_id, sender.epoch) for sender in senders}
    left_out = sum(
        len(each.dropped or ()) - each.n_duplicated for each in impairments if (each.stream_id, each.epoch) in ours
    )
    if left_out:
        lines.append(LedgerLine(where=path.sender, kind="counted", packets=left_out, by="stream.impair"))
    _note(unexplained, f"{path.sender}: sent, and never left", sent - elsewhere - left_out - at(first))
    for place, (out, into) in enumerate(zip(path.points[::2], path.points[1::2], strict=True)):
        faults = _on_cable(record.faults, out, into)
        missing = at(out) - at(into)
        if missing and faults:
            lines.append(LedgerLine(where=_cable(out, into), kind="counted", packets=missing, by=faults[0].kind))
        elif missing:
            unexplained[f"{_cable(out, into)}: lost on the cable"] = missing
        if wrong := _imbalance(record, faults, out, into):
            unexplained[f"{_cable(out, into)}: lost beyond what its rules counted"] = wrong
        if place + 1 < len(path.points) // 2:
            held = at(into) - at(path.points[2 * place + 2])
            if held:
                lines.append(LedgerLine(where=_owner(into), kind="withheld", packets=held, by="not asked for there"))
    _in_host(path, record, streams, host, at(path.points[-1]), lines, unexplained)
    return Ledger(
        group=path.group,
        receiver=path.receiver,
        sent=sent,
        duplicates=sum(stream.duplicates for stream in streams),
        lines=lines,
        unexplained=unexplained,
    )


def _in_host(
    path: Path,
    record: LabRecord,
    streams: list[StreamSummary],
    host: HostCounts,
    arrived: int,
    lines: list[LedgerLine],
    unexplained: dict[str, int],
) -> None:
    """Account for what reached the host: rules, kernel counters, own buffer, and what was received."""
    where = path.receiver
    machine = _owner(path.points[-1])
    received = sum(s.received + s.duplicates + s.too_late + s.corrupt for s in streams)
    lines.append(LedgerLine(where=where, kind="received", packets=received, by="every copy"))
    missing = arrived - received
    counted = [
        (f"{fault.kind} on its own side", _counted(fault, "dropped"))
        for fault in record.faults
        if fault.side == "host" and fault.direction == "in" and _owner(fault.at) == machine
    ]
    counted += [("own buffer", sum(s.attribution.own_buffer for s in streams))]
    counted += [(name, rise) for name, rise in host.rises.items()]
    for by, packets in counted:
        if packets and missing > 0:
            taken = min(packets, missing)
            lines.append(LedgerLine(where=where, kind="counted", packets=taken, by=by))
            missing -= taken
    if missing > 0 and host.filters:
        lines.append(LedgerLine(where=where, kind="filtered", packets=missing, by=", ".join(host.filters)))
        missing = 0
    _note(unexplained, f"{where}: reached the host, and was not received", missing)


def _imbalance(record: LabRecord, faults: list[Fault], out: str, into: str) -> int:
    """Return by how much a cable lost more, or less, than the impairments on it counted, over all datagrams."""
    lost = sum(record.meters.get(out, {}).values()) - sum(record.meters.get(into, {}).values())
    counted = sum(_counted(fault, "dropped") - _counted(fault, "duplicated") for fault in faults)
    if any(fault.kind in SILENT_KINDS for fault in faults):
        return min(0, lost - counted)
    if any(fault.kind in WHOLE_KINDS for fault in faults):
        return max(0, lost - counted)
    return lost - counted


def _on_cable(faults: list[Fault], out: str, into: str) -> list[Fault]:
    """Return the impairments of one cable, in the direction that the packets go."""
    ends = {out.split(" ")[0]: "out", into.split(" ")[0]: "in"}
    return [
        fault
        for fault in faults
        if fault.at in ends and fault.side != "host" and fault.direction in ("", ends[fault.at])
    ]


_MEANT = ("", " udp", " fragment", " queue")


def _counted(fault: Fault, what: str) -> int:
    """Return the datagrams that something was done to; membership messages are none."""
    return sum(fault.counted.get(f"{what}{kind}", 0) for kind in _MEANT)


def _owner(point: str) -> str:
    return point.partition(":")[0]


def _cable(out: str, into: str) -> str:
    return f"{out.split(' ')[0]} to {into.split(' ')[0]}"


def _note(unexplained: dict[str, int], where: str, packets: int) -> None:
    if packets:
        unexplained[where] = packets
