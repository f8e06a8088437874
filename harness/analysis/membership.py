"""IGMP and MLD that the taps of a run kept -> when who asked, answered, joined and left, on the run's time line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.analyzer import membership_timeline
from harness.capture import open_capture
from harness.capture.upper import MembershipMessage
from harness.errors import RecordError
from harness.model import UNDEFINED_NS, MembershipTimeline
from harness.store import RunReader, layout


def run_membership(reader: RunReader, observed: tuple[int, int] | None) -> tuple[MembershipTimeline | None, list[str]]:
    """Return the membership timeline of a run, None when no tap saw a message, and what is wrong with its captures.

    In a run over several hosts the captures of all of them are put together: their interfaces are called "host:eth0",
    and their times are moved by the hosts' clock offsets. Hosts on one link see the same queries, each on its own.

    Args:
      reader: the run.
      observed: from when to when it listened; None: from the first to the last message.
    """
    messages: list[MembershipMessage] = []
    names: dict[int, str] = {}
    notes: list[str] = []
    for path, host, offset_ns in _captures(reader):
        try:
            capture = open_capture(path)
            capture.scan()
        except RecordError as exc:
            notes.append(str(exc))
            continue
        base = len(names)
        for number, interface in enumerate(capture.interfaces, start=1):
            names[base + number] = f"{host}:{interface.name}" if host else interface.name
        messages += [
            replace(
                message,
                ifindex=base + message.ifindex,
                rx_ns=message.rx_ns if message.rx_ns == UNDEFINED_NS else message.rx_ns - offset_ns,
            )
            for message in capture.memberships
        ]
        notes += [f"{path.name}{f' of {host}' if host else ''}: {warning}" for warning in capture.warnings]
    timeline = membership_timeline(messages, observed, names)
    return timeline, notes + (timeline.notes if timeline is not None else [])


def _captures(reader: RunReader) -> list[tuple[Path, str, int]]:
    """Return the captures of a run that are there: path, host ("" for a run of one machine), and its clock offset."""
    hosts = [(info.name, info.clock_offset_ns or 0) for info in reader.manifest.hosts]
    places = [(reader.path / layout.HOSTS / name, name, offset_ns) for name, offset_ns in hosts]
    places = places or [(reader.path, "", 0)]
    found = [(folder / layout.MEMBERSHIP, name, offset_ns) for folder, name, offset_ns in places]
    return [place for place in found if place[0].exists()]
