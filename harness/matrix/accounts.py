"""The ledger of one lab run, from what lies on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.analysis.evidence import load_evidence
from harness.analysis.impaired import load_impairments
from harness.errors import RecordError
from harness.evidence import risen
from harness.lab.ledger import HostCounts, balance
from harness.model.lab_record import LAB_RECORD_VERSION, LabRecord, Ledger
from harness.model.scenario import Scenario
from harness.store import open_run, write_document
from harness.store.documents import read_document
from harness.store.layout import LAB, LEDGER

COUNTED = ("ip_ext.IPReversePathFilter", "ip.ReasmFails", "ip6.ReasmFails", "udp.InCsumErrors", "udp6.InCsumErrors")
"""Counters of a host that say by themselves why a datagram was not delivered."""

_SWALLOWING = {"deafen": "a filter on the socket", "reopen": "no socket while it was reopened", "leave": "not joined"}


def account(path: Path) -> list[Ledger]:
    """Balance the ledger of a lab run, write it beside the recording, and return it; [] for a run outside a lab.

    Raises:
      RecordError: the run cannot be read, or was not analyzed.
      StorageError: the ledger cannot be written.
    """
    if not (path / LAB).exists():
        return []
    record = read_document(path / LAB, LabRecord, LAB_RECORD_VERSION)
    reader = open_run(path)
    summary = reader.summary()
    if summary is None:
        raise RecordError(f"{path} was not analyzed; run harness analyze {path} first")
    told = {key: value for key, value in reader.manifest.resolved.items() if key in Scenario.__struct_fields__}
    hosts = _host_counts(path, msgspec.convert(told, Scenario), record)
    ledgers = balance(record, summary, hosts, load_impairments(reader))
    write_document(path / LEDGER, ledgers)
    return ledgers


def _host_counts(path: Path, scenario: Scenario, record: LabRecord) -> dict[str, HostCounts]:
    """Return what each receiver's host counted, and what it may have swallowed without counting."""
    rises = {host.name: risen(host.before, host.after) for host in load_evidence(path).hosts}
    found = {}
    for receiver in scenario.receiver:
        name = receiver.host or ""
        label = f"{name}/{receiver.name}" if receiver.name else name
        counted = {key: n for key, n in rises.get(name, {}).items() if key in COUNTED and n > 0}
        filters = [
            why for action, why in _SWALLOWING.items() if any(event.action == action for event in scenario.event)
        ]
        kinds = {fault.kind for fault in record.faults if fault.at.partition(":")[0] == name}
        filters += [
            why for kind, why in (("block", "a policy of the host"), ("recreate", "no membership")) if kind in kinds
        ]
        if any(fault.kind == "address" for fault in record.faults):
            filters.append("no valid source")  # sent between two addresses
        if any(fault.counted.get("dropped fragment") for fault in record.faults):
            filters.append("not all of its fragments")
        found[label] = HostCounts(counted, tuple(filters))
    return found


def ledger_lines(ledgers: list[Ledger]) -> list[str]:
    """Return the ledger as sentences, one a path."""
    lines = []
    for ledger in ledgers:
        parts = [f"{line.packets:,} {_wording(line.kind, line.by, line.where)}" for line in ledger.lines]
        state = "balanced" if ledger.is_balanced else "NOT balanced"
        lines.append(
            f"ledger of {ledger.group} at {ledger.receiver}: {ledger.sent:,} sent = {', '.join(parts)}; {state}"
        )
        lines += [f"  {packets:+,} {where}" for where, packets in ledger.unexplained.items() if packets]
    return lines


def _wording(kind: str, by: str, where: str) -> str:
    return {
        "received": "received",
        "withheld": f"not passed on by {where}",
        "other way": f"out of {by} of {where}",
        "filtered": f"swallowed at {where} ({by})",
        "counted": f"dropped at {where} ({by})",
    }[kind]
