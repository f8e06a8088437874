"""By which interface a sender's packets left, and by which they should have."""

from __future__ import annotations

from dataclasses import dataclass

from harness.diagnosis.snapshots import Snapshots
from harness.model import IPAddress, SenderInfo
from harness.model.witness import WitnessSeries

MIN_PACKETS = 3
LOOPBACK = ("lo", "lo0")


@dataclass(frozen=True)
class Egress:
    """Where a stream left.

    Attributes:
      expected: the interface asked for, else that of the plain route to the group.
      is_pinned: whether the sender asked for an interface.
      by_interface: packets by interface.
      astray: (interface, start, end, packets) of times in which packets left elsewhere and none as expected.
      first_ns, last_ns: of packets that left as expected; None when none did.
    """

    expected: str
    is_pinned: bool
    by_interface: dict[str, int]
    astray: list[tuple[str, int, int, int]]
    first_ns: int | None
    last_ns: int | None

    @property
    def n_astray(self) -> int:
        """Packets that left elsewhere."""
        return sum(each[3] for each in self.astray)

    @property
    def is_moved(self) -> bool:
        """Whether packets left as expected before some went astray, or after."""
        if self.first_ns is None or self.last_ns is None:
            return False
        return any(self.first_ns < end_ns or self.last_ns > start_ns for _, start_ns, end_ns, _ in self.astray)

    def overlap(self, start_ns: int, end_ns: int) -> float:
        """Return the share of a time in which packets went astray."""
        inside = sum(max(0, min(end_ns, last) - max(start_ns, first)) for _, first, last, _ in self.astray)
        return inside / max(1, end_ns - start_ns)


def egress_of(info: SenderInfo, group: IPAddress, host: Snapshots) -> Egress | None:
    """Return where a stream left; None without taps at the sender, or without a word on where it should have."""
    taps = [
        each
        for each in host.witnesses
        if each.kind == "tap" and each.direction == "out" and each.group == info.group and each.missing is None
        if each.interface not in LOOPBACK
    ]
    expected = info.interface or planned_interface(host, group)
    if not taps or not expected or expected in LOOPBACK:
        return None
    mine = _times([each for each in taps if each.interface == expected])
    edge_ns = 2 * max(each.bin_ns for each in taps)  # in which packets of both ways may lie
    astray = []
    for name in sorted({each.interface for each in taps} - {expected}):
        for start_ns, end_ns, n in _runs([each for each in taps if each.interface == name]):
            inside = [t_ns for t_ns in mine if start_ns + edge_ns < t_ns < end_ns - edge_ns]
            if not inside and n >= MIN_PACKETS:
                astray.append((name, start_ns, end_ns, n))
    counts: dict[str, int] = {}
    for each in taps:
        counts[each.interface] = counts.get(each.interface, 0) + sum(each.counts)
    return Egress(
        expected, info.interface is not None, counts, astray, min(mine, default=None), max(mine, default=None)
    )


def planned_interface(host: Snapshots, group: IPAddress) -> str | None:
    """Return the interface of the plain route to a group, as the main table had it before the run; None if not told."""
    before = Snapshots(host.name, host.before, {})
    for entry in before.multicast_routes(group) or []:
        if entry.get("table", "main") in ("main", 254) and entry.get("dev"):
            return str(entry["dev"])
    return None


def _times(series: list[WitnessSeries]) -> list[int]:
    """Return the middles of the bins that hold packets."""
    return sorted(
        each.start_ns + place * each.bin_ns + each.bin_ns // 2
        for each in series
        for place, count in enumerate(each.counts)
        if count
    )


def _runs(series: list[WitnessSeries]) -> list[tuple[int, int, int]]:
    """Return (start, end, packets) of the times with packets, joined over pauses of up to a second."""
    found: list[tuple[int, int, int]] = []
    for each in series:
        run: tuple[int, int, int] | None = None
        for place, count in enumerate(each.counts):
            if not count:
                continue
            start_ns = each.start_ns + place * each.bin_ns
            if run is not None and start_ns - run[1] <= 1_000_000_000:
                run = (run[0], start_ns + each.bin_ns, run[2] + count)
            else:
                found += [run] if run is not None else []
                run = (start_ns, start_ns + each.bin_ns, count)
        found += [run] if run is not None else []
    return sorted(found)
