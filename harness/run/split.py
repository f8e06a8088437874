"""A scenario over several hosts -> the share of each: its streams, its receivers, their events, the files they name."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.model.scenario import Host, Receiver, Scenario, Stream, TimedEvent
from harness.model.scenario_hosts import host_of, is_meant
from harness.run.plan import check_endless


@dataclass(frozen=True, slots=True)
class Share:
    """What one host does: a scenario without hosts, and texts of the files that it names, by name."""

    host: Host
    scenario: Scenario
    files: dict[str, str] = field(default_factory=dict)


def is_distributed(scenario: Scenario) -> bool:
    """Whether a scenario needs agents: anything but this machine alone, by this Python.

    >>> is_distributed(Scenario(host=[Host(name="a")])), is_distributed(Scenario(host=[Host(name="a"), Host(name="b")]))
    (False, True)
    """
    return len(scenario.host) > 1 or any(host.kind != "local" or host.python is not None for host in scenario.host)


def split(scenario: Scenario, folder: Path = Path()) -> list[Share]:
    """Return the shares of all hosts that have something to do, in the order in which they are first named.

    Stream ids and seeds are given out over the whole scenario, so that they are those of a run on one machine.

    Args:
      scenario: as parsed and checked.
      folder: where relative names of schedule files start from; those of schemas start from the working directory.

    Raises:
      UsageError: a stream without end, two streams that cannot be told apart, a file that cannot be read.
    """
    if scenario.record != "packets":
        raise UsageError(f'record = "{scenario.record}" is for a run on one machine; leave it out to record packets')
    check_endless(scenario)
    chance = random.Random(scenario.seed)
    shares: dict[str, Share] = {}
    identities: set[tuple[int, str]] = set()
    for place, stream in enumerate(scenario.stream):
        stream = _numbered(stream, place, chance.randrange(2**31))
        identity = (stream.stream or 0, stream.group)
        if identity in identities:
            raise UsageError(f"two streams with id {identity[0]} to {identity[1]}; give each its own `stream`")
        identities.add(identity)
        share = _share(shares, scenario, stream.host)
        kind, _, name = stream.schedule.partition(":")
        if kind == "file":
            name = _attach(share, folder / name, f"schedule-{place + 1}.txt")
            stream = msgspec.structs.replace(stream, schedule=f"file:{name}")
        share.scenario.stream.append(msgspec.structs.replace(stream, host=None))
    for place, receiver in enumerate(scenario.receiver):
        share = _share(shares, scenario, receiver.host)
        share.scenario.receiver.append(_with_schema(share, receiver, place))
        share.scenario.event.extend(_events(scenario.event, share.host.name, receiver))
    return list(shares.values())


def _share(shares: dict[str, Share], scenario: Scenario, name: str | None) -> Share:
    host = host_of(scenario, name)
    if host.name not in shares:
        # fresh lists, since those of a default are shared by nobody but filled here
        part = Scenario(
            name=scenario.name, linger=scenario.linger, seed=scenario.seed, stream=[], receiver=[], event=[]
        )
        shares[host.name] = Share(host, part)
    return shares[host.name]


def _numbered(stream: Stream, place: int, seed: int) -> Stream:
    """Return a stream with the id and the seed that it would have in a run on one machine."""
    number = stream.stream if stream.stream is not None else place + 1
    impair = stream.impair
    if impair is not None and impair.seed is None:
        impair = msgspec.structs.replace(impair, seed=seed)
    return msgspec.structs.replace(stream, stream=number, impair=impair)


def _with_schema(share: Share, receiver: Receiver, place: int) -> Receiver:
    path, colon, name = receiver.protocol.rpartition(":")
    protocol = receiver.protocol
    if colon and path.endswith(".py"):
        protocol = f"{_attach(share, Path(path), f'schema_{place + 1}.py')}:{name}"
    return msgspec.structs.replace(receiver, host=None, protocol=protocol)


def _events(events: list[TimedEvent], host: str, receiver: Receiver) -> list[TimedEvent]:
    """Return the events that mean a receiver, by its name on its host; notes and impairments are the controller's."""
    return [
        msgspec.structs.replace(event, receiver=receiver.name)
        for event in events
        if event.action not in ("note", "impair") and is_meant(event.receiver, host, receiver)
    ]


def _attach(share: Share, path: Path, name: str) -> str:
    """Take a file along, and return the name that it has there."""
    try:
        share.files[name] = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"file {str(path)!r} cannot be read: {exc}") from exc
    return name
