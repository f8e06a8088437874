"""What the system counted during a run, beside what the run's own sockets counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from harness.net import interface_counters, udp_counters


class CounterWatch:
    """Reads the system's counters now, and says later by how much they have risen.

    UDP counters are those of the whole host (on Linux of this network namespace), so other programs' datagrams are
    among them: `receive_buffer_errors` above the receivers' own drops means that another program's socket overflowed.
    """

    def __init__(self, interfaces: Iterable[str]) -> None:
        self._udp = {version: udp_counters(version) for version in (4, 6)}
        self._interfaces = {name: interface_counters(name) for name in sorted(set(interfaces))}

    def risen(self) -> dict[str, int]:
        """Return the rise of each counter that is known, by name: "udp4.receive_buffer_errors", "eth0.drops_in"."""
        rises: dict[str, int] = {}
        for version, before in self._udp.items():
            now = udp_counters(version)
            if before is not None and now is not None:
                rises |= _named(f"udp{version}", asdict(now - before))
        for name, was in self._interfaces.items():
            counted = interface_counters(name)
            if was is not None and counted is not None:  # an interface that went away has taken its counters along
                rises |= _named(name, asdict(counted - was))
        return rises


def overflows(rises: Mapping[str, int]) -> int | None:
    """Return how many datagrams full buffers cost all sockets of this host; None where the system does not count them.

    >>> overflows({"udp4.receive_buffer_errors": 3, "udp4.memory_errors": 0, "udp6.receive_buffer_errors": 1})
    4
    """
    names = [f"udp{version}.{name}" for version in (4, 6) for name in ("receive_buffer_errors", "memory_errors")]
    found = [rises[name] for name in names if name in rises]
    return sum(found) if found else None


def only_overflows(drops: Mapping[str, int], limit: int | None) -> tuple[dict[str, int], int]:
    """Return sockets' drops as far as buffers can have caused them, and how many are left.

    The kernel counts at a socket, beside what its full buffer cost, what a filter on it or a wrong checksum did.

    Args:
      drops: by receiver, as the kernel counts them.
      limit: what buffers cost all sockets of the host; None: not known.

    >>> only_overflows({"a": 61, "b": 3}, 3), only_overflows({"a": 61}, None)
    (({'a': 3, 'b': 0}, 61), ({'a': 61}, 0))
    """
    if limit is None:
        return dict(drops), 0
    kept: dict[str, int] = {}
    for name, n in drops.items():
        kept[name] = min(n, limit - sum(kept.values()))
    return kept, sum(drops.values()) - sum(kept.values())


def without_witnesses(rises: Mapping[str, int], n_lost: int) -> dict[str, int]:
    """Return the rises without what the sockets of witnesses lost: neither a receiver of the run nor another program.

    >>> without_witnesses({"udp4.receive_buffer_errors": 5, "udp4.errors_in": 5}, 3)
    {'udp4.receive_buffer_errors': 2, 'udp4.errors_in': 2}
    """
    left, changed = n_lost, dict(rises)
    for version in (4, 6):
        name = f"udp{version}.receive_buffer_errors"
        taken = min(left, changed.get(name, 0))
        left -= taken
        for counter in (name, f"udp{version}.errors_in"):
            if counter in changed:
                changed[counter] -= min(taken, changed[counter])
    return changed


def _named(prefix: str, values: dict[str, int | None]) -> dict[str, int]:
    return {f"{prefix}.{name}": value for name, value in values.items() if value is not None}
