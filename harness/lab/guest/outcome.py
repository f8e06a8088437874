"""What became of each boot of a campaign in a guest, from the guest's disk alone.

Of each boot the campaign's own word is read, and beside it what its recording shows, so that neither a wrong verdict
nor a right one for the wrong reason passes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, LabError
from harness.lab.guest.lab import BootSeen, Synced
from harness.model.boots import Outcome
from harness.store import open_run

Finding = Literal["heard", "late", "deaf-until-reopened", "joined-wrong-interface", "silent", ""]
"""What a recording shows; "" of one that was broken off, or never began."""

INTERFACE = "eth0"
"""On which the campaign receives, whichever card that is."""

LATE_NS = 1_000_000_000
"""A first packet that comes later than this after the join did not wait for the join alone: probes come every 10 ms."""


@dataclass(frozen=True, slots=True)
class BootResult:
    """One boot.

    Attributes:
      number: in the campaign's journal, from 1. boot_id: the kernel's; "" of a boot that never came.
      outcome: what the campaign calls it. finding: what its recording shows.
      first_ns: from power-on or reset to the first packet; None where none came.
      rows: packets in its recording.
    """

    number: int
    boot_id: str
    outcome: Outcome
    finding: Finding
    first_ns: int | None
    rows: int


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the journal's lines; a torn last one is none.

    Raises:
      LabError: there is no journal, or a line in the middle that is none.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]
    except (OSError, ValueError) as exc:
        raise LabError(f"the guest's journal {path}: {exc}") from exc


def results(folder: Path, seen: Sequence[BootSeen], mac: str) -> list[BootResult]:
    """Return every boot that a campaign's journal settles, in order.

    Args:
      folder: the campaign's folder, read back from the disk.
      seen: what the controller saw, which times the boots from outside.
      mac: of the card that has a cable.
    """
    journal = read_journal(folder / "journal.jsonl")
    by_id = {boot.boot_id: boot for boot in seen}
    begun = {line["boot"]: line["boot_id"] for line in journal if line["kind"] == "boot_begin"}
    return [
        _result(folder / "boots" / f"{line['boot']:04}", line, begun.get(line["boot"], ""), by_id, mac)
        for line in journal
        if line["kind"] == "boot_end"
    ]


def _result(own: Path, line: dict[str, Any], boot_id: str, by_id: dict[str, BootSeen], mac: str) -> BootResult:
    outcome: Outcome = line["outcome"]
    run = next((path.parent for path in own.glob("*/manifest.json")), own)
    arrivals, events = _recording(run)
    first_ns, boot = None, by_id.get(boot_id)
    if len(arrivals) and boot is not None and (own / "boot.json").exists():
        booted_ns = json.loads((own / "boot.json").read_bytes())["booted_ns"]
        first_ns = boot.seen_ns - boot.uptime_ns - boot.powered_ns + int(arrivals[0]) - booted_ns
    is_whole = outcome in ("ok", "reproduced")
    finding = finding_of(arrivals, events, _card(own), mac) if is_whole else ""
    return BootResult(line["boot"], boot_id, outcome, finding, first_ns, len(arrivals))


def _card(own: Path) -> str:
    """Return the MAC address that the interface had in a boot, by the boot's own evidence; "" where there is none."""
    try:
        return str(json.loads((own / "environment.json").read_bytes())["interfaces"][INTERFACE]["mac"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def finding_of(arrivals: NDArray[np.int64], events: list[tuple[str, int]], card: str, mac: str) -> Finding:
    """Return what the recording of a boot that came to its end shows.

    Args:
      arrivals: of its packets, guest's realtime in ns, sorted, shape (n,).
      events: kind and time of each event of the recording, on the same time line.
      card: MAC address of the interface that it joined on.
      mac: of the card that has a cable.
    """
    joined_ns = next((at_ns for kind, at_ns in events if kind == "join"), None)
    reopened_ns = next((at_ns for kind, at_ns in events if kind == "reopen"), None)
    if not len(arrivals):
        return "silent" if card == mac else "joined-wrong-interface"
    if reopened_ns is not None and arrivals[0] >= reopened_ns:
        return "deaf-until-reopened"
    return "late" if joined_ns is not None and arrivals[0] - joined_ns > LATE_NS else "heard"


def _recording(run: Path) -> tuple[NDArray[np.int64], list[tuple[str, int]]]:
    """Return arrival times, sorted, and events of one recording; both empty where it never began."""
    try:
        reader = open_run(run)
        times = np.concatenate([np.empty(0, np.int64), *(chunk["rx_ns"] for chunk in reader.packets())])
        return np.sort(times), [(event.kind, event.t_ns) for event in reader.events]
    except HarnessError:
        return np.empty(0, np.int64), []


def broken_promises(data: Path, claims: Iterable[Synced]) -> list[str]:
    """Return one sentence for each file of which synced bytes are missing or differ; [] when all was kept.

    Args:
      data: the disk's folder that was read back, as "/data/NAME" in the guest.
      claims: what the guest called safe. Files that are renamed once they are whole are looked at by their content
        under the final name only as far as the reader does: their temporary names are passed over.
    """
    prefix = f"/data/{data.name}/"
    broken = []
    for claim in claims:
        if not claim.path.startswith(prefix) or claim.path.endswith(".tmp"):
            continue
        path = data / claim.path.removeprefix(prefix)
        found = path.read_bytes()[: claim.size] if path.exists() else b""
        if len(found) < claim.size:
            broken.append(f"{claim.path}: {claim.size} bytes were synced, {len(found)} are there")
        elif zlib.crc32(found) != claim.crc:
            broken.append(f"{claim.path}: the first {claim.size} bytes are not those that were synced")
    return broken


def synced_rows(data: Path, claims: Iterable[Synced]) -> dict[str, tuple[int, int]]:
    """Return for each recording how many packets were synced, as told at the time, and how many are there now.

    The latest claim about a checksum file says so many bytes of it; its lines up to there tell the rows.
    """
    latest: dict[str, int] = {}
    for claim in claims:
        if claim.path.endswith("/packets.crc"):
            latest[claim.path] = max(claim.size, latest.get(claim.path, 0))
    counts = {}
    for name, size in latest.items():
        path = data / name.removeprefix(f"/data/{data.name}/")
        lines = path.read_bytes()[:size].splitlines() if path.exists() else []
        rows = sum(json.loads(line)["rows"] for line in lines)
        counts[str(path.parent.relative_to(data))] = (rows, len(_recording(path.parent)[0]))
    return counts
