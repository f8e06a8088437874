"""A scenario with every unit parsed, every default filled in and every name resolved: what a run will really do."""

from __future__ import annotations

import ipaddress
import os
import random
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import InterfaceError, UsageError
from harness.limits import with_profile
from harness.model import Endpoint, Interface, Membership, parse_address, parse_endpoint
from harness.model.scenario import Expect, Impair, Receiver, Scenario, Stream, TimedEvent
from harness.model.scenario_hosts import host_of, receiver_label
from harness.model.witness import WitnessKind
from harness.net import check_buffer, check_usable, find_interface
from harness.net.batch import choose_path
from harness.net.platform import RxSource
from harness.run.attendance import TwinPlan, is_sender_tapped, plan_twins, witnesses_of
from harness.traffic import ImpairmentSpec, Schedule, check_size, load_protocol, parse_schedule
from harness.units import format_duration, parse_duration, parse_rate, parse_ratio, parse_size
from protocols.schema import Protocol

COALESCE_BELOW_NS = 50_000
"""Streams with a shorter interval are sent in groups."""

KEPT_BYTES = 2048
"""Bytes of each payload that a receiver keeps: what an Ethernet frame carries, so that its pattern can be checked."""


Find = Callable[[str], Interface]
"""Finds an interface by name, address or index."""

SSM_V4 = ipaddress.ip_network("232.0.0.0/8")


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream to send, resolved."""

    number: int
    stream_id: int
    epoch: int
    group: Endpoint
    interface: str | None
    schedule: Schedule
    size: int
    count: int | None
    duration_ns: int | None
    start_ns: int
    ttl: int
    dscp: int
    loop: bool
    has_pattern: bool
    offload: bool
    tx_stamps: bool
    precise: bool
    impairment: ImpairmentSpec | None


@dataclass(frozen=True, slots=True)
class ReceiverPlan:
    """One receiver, resolved."""

    name: str
    memberships: tuple[Membership, ...]
    protocol: Protocol
    buffer_bytes: int | None
    start_ns: int
    offload: bool
    stamps: RxSource
    witnesses: tuple[WitnessKind, ...] = ()
    one_socket: bool = False


@dataclass(frozen=True, slots=True)
class EventPlan:
    """Something to do at `at_ns` after the start of the run; what lasts ends `lasts_ns` later, None: with the run."""

    at_ns: int
    action: str
    receiver: str
    group: Endpoint | None
    text: str
    lasts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, resolved."""

    name: str
    streams: tuple[StreamPlan, ...]
    receivers: tuple[ReceiverPlan, ...]
    events: tuple[EventPlan, ...]
    duration_ns: int | None
    timeout_ns: int | None
    linger_ns: int
    expect: Expect
    is_counting: bool = False
    is_part: bool = False
    is_sender_tapped: bool = False
    twins: tuple[TwinPlan, ...] = ()
    notes: tuple[str, ...] = ()
    resolved: dict[str, Any] = field(default_factory=dict)

    @property
    def interfaces(self) -> list[str]:
        """The names of all interfaces that are named in it, sorted."""
        named = {stream.interface for stream in self.streams}
        named |= {joined.interface for receiver in self.receivers for joined in receiver.memberships}
        return sorted(name for name in named if name is not None)

    @property
    def kind(self) -> str:
        """The manifest's kind: "send", "receive" or "run" for both."""
        if not self.receivers:
            return "send"
        return "run" if self.streams else "receive"


def resolve(scenario: Scenario, folder: Path = Path(), *, is_part: bool = False) -> Plan:
    """Return the plan of a scenario on this machine.

    Args:
      scenario: as parsed.
      folder: where relative file names in it (a schedule's) start from.
      is_part: a part of a run over several hosts, which is ended from outside.

    Raises:
      UsageError: a value that cannot mean anything here.
      InterfaceError: no such interface, or one that cannot do multicast.
    """
    # Numbers instead of a profile's name: the manifest then tells by which limits the run was judged, for good.
    scenario = msgspec.structs.replace(scenario, expect=with_profile(scenario.expect, folder))
    chance = random.Random(scenario.seed)
    find = cache(find_interface)  # there may be a thousand groups
    streams = tuple(_stream(place, stream, chance, folder, find) for place, stream in enumerate(scenario.stream))
    for (number, group), n in Counter((stream.stream_id, str(stream.group)) for stream in streams).items():
        if n > 1:
            raise UsageError(f"two streams with id {number} to {group}; give each its own --stream")
    for stream in streams:
        _check_precise(stream, is_alone=len(streams) == 1 and not scenario.receiver)
    is_counting = scenario.record == "counters"
    receivers = tuple(_receiver(receiver, is_counting, find) for receiver in scenario.receiver)
    events = tuple(event_plan(_named_here(event, scenario)) for event in scenario.event)
    duration_ns = parse_duration(scenario.duration) if scenario.duration else None
    if not is_part:
        check_endless(scenario)
    return Plan(
        name=scenario.name,
        streams=streams,
        receivers=receivers,
        events=tuple(sorted(events, key=lambda event: event.at_ns)),
        duration_ns=duration_ns,
        timeout_ns=parse_duration(scenario.timeout) if scenario.timeout else None,
        linger_ns=parse_duration(scenario.linger),
        expect=scenario.expect,
        is_counting=is_counting,
        is_part=is_part,
        is_sender_tapped=is_sender_tapped(scenario.attendance, streams, receivers),
        twins=plan_twins(scenario.attendance, streams, receivers),
        notes=(*_notes(streams, receivers), *_too_late(events, duration_ns)),
        resolved=_described(scenario, streams, receivers),
    )


def _named_here(event: TimedEvent, scenario: Scenario) -> TimedEvent:
    """Return an event whose receiver goes by its name alone, without its host's."""
    for receiver in scenario.receiver:
        if event.receiver == receiver_label(host_of(scenario, receiver.host).name, receiver.name):
            return msgspec.structs.replace(event, receiver=receiver.name)
    return event


def event_plan(event: TimedEvent) -> EventPlan:
    """Return an event with its quantities parsed.

    Raises:
      UsageError: it changes the network, which a host cannot do to itself.
    """
    if event.action == "impair":
        raise UsageError(
            f"event impair at {event.at}: only a lab's network can be impaired; give the scenario hosts of kind lab, "
            "or leave the event out"
        )
    return EventPlan(
        at_ns=parse_duration(event.at),
        action=event.action,
        receiver=event.receiver,
        group=parse_endpoint(event.group) if event.group else None,
        text=event.text,
        lasts_ns=parse_duration(event.lasts) if event.lasts else None,
    )


def check_endless(scenario: Scenario) -> None:
    """Refuse a run that would wait for the end of a stream that has none.

    Raises:
      UsageError: there is such a stream.
    """
    endless = [
        stream
        for stream in scenario.stream
        if stream.count is None and stream.duration is None and not stream.schedule.startswith("file:")
    ]
    if endless and scenario.receiver and scenario.duration is None:
        raise UsageError(f"stream to {endless[0].group} never ends; give it a count or a duration, or the run one")


def _stream(place: int, stream: Stream, chance: random.Random, folder: Path, find: Find) -> StreamPlan:
    group = parse_endpoint(stream.group)
    size, rate = parse_size(stream.size), parse_rate(stream.rate)
    check_size(size)
    if not 0 <= stream.ttl <= 255:
        raise UsageError(f"ttl {stream.ttl} to {group}: from 0 (this host) to 255; 1 stays on the link")
    if stream.ttl == 0 and not group.is_multicast:
        raise UsageError(f"ttl 0 to {group}: only a multicast group can be sent to with TTL 0; 1 stays on the link")
    if not 0 <= stream.dscp <= 63:
        raise UsageError(f"dscp {stream.dscp} to {group}: from 0 to 63 (RFC 2474)")
    if stream.count is not None and stream.count < 1:
        raise UsageError(f"count {stream.count} to {group}: at least 1")
    if stream.stream is not None and not 0 <= stream.stream < 2**32:
        raise UsageError(f"stream id {stream.stream} to {group}: from 0 to 4294967295")
    choose_path("auto", stream.offload, stream.tx_stamps)
    if stream.tx_stamps and stream.impair is not None:
        raise UsageError(f"tx_stamps with impair to {group}: what is impaired leaves as other packets than the log's")
    seed = chance.randrange(2**31)
    return StreamPlan(
        number=place,
        stream_id=stream.stream if stream.stream is not None else place + 1,
        epoch=secrets.randbits(32),
        group=group,
        interface=_interface(stream.interface, group, find),
        schedule=parse_schedule(stream.schedule, rate, size, _offsets(stream.schedule, folder)),
        size=size,
        count=stream.count,
        duration_ns=parse_duration(stream.duration) if stream.duration else None,
        start_ns=parse_duration(stream.start),
        ttl=stream.ttl,
        dscp=stream.dscp,
        loop=stream.loop,
        has_pattern=stream.pattern,
        offload=stream.offload,
        tx_stamps=stream.tx_stamps,
        precise=stream.precise,
        impairment=_impairment(stream.impair, seed) if stream.impair else None,
    )


def _check_precise(stream: StreamPlan, *, is_alone: bool) -> None:
    """Refuse to watch the clock for a stream where that would hold up others, or has nothing to keep to."""
    if not stream.precise:
        return
    if not is_alone:
        raise UsageError(
            f"precise stream to {stream.group}: who watches the clock does nothing else; "
            "send it alone, and receive and send the rest from other processes"
        )
    if stream.schedule.interval_ns < COALESCE_BELOW_NS:
        least = format_duration(COALESCE_BELOW_NS)
        raise UsageError(
            f"precise stream to {stream.group}: only an even pace of one packet every {least} or slower can be kept "
            f"so; this is {stream.schedule}"
        )


def _offsets(schedule: str, folder: Path) -> str | None:
    kind, _, name = schedule.partition(":")
    if kind != "file":
        return None
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"schedule file {name!r} cannot be read: {exc}") from exc


def _impairment(impair: Impair, seed: int) -> ImpairmentSpec:
    starts = [(parse_duration(dropout.at), parse_duration(dropout.lasts)) for dropout in impair.dropouts]
    return ImpairmentSpec(
        dropouts_ns=tuple((start, start + lasts) for start, lasts in starts),
        loss=parse_ratio(impair.loss),
        duplicate=parse_ratio(impair.duplicate),
        reorder=parse_ratio(impair.reorder),
        corrupt=parse_ratio(impair.corrupt),
        displacement=impair.displacement,
        seed=impair.seed if impair.seed is not None else seed,
    )


def _receiver(receiver: Receiver, is_counting: bool, find: Find) -> ReceiverPlan:
    source = parse_address(receiver.source) if receiver.source else None
    groups = [parse_endpoint(group) for group in receiver.groups]
    for group, n in Counter(groups).items():
        if n > 1:
            raise UsageError(f"group {group} is named twice; a socket can join it once")
        if source is not None and not group.is_multicast:
            raise UsageError(f"source {source} with {group}: only a multicast group is joined for one source")
    buffer_bytes = parse_size(receiver.buffer) if receiver.buffer else None
    check_buffer(buffer_bytes)
    return ReceiverPlan(
        name=receiver.name,
        memberships=tuple(Membership(group, _interface(receiver.interface, group, find), source) for group in groups),
        protocol=load_protocol(receiver.protocol, clock_rate=receiver.clock_rate),
        buffer_bytes=buffer_bytes,
        start_ns=parse_duration(receiver.start),
        offload=receiver.offload,
        stamps=receiver.stamps,
        witnesses=() if is_counting else witnesses_of(receiver),
        one_socket=receiver.one_socket,
    )


def _interface(asked: str | None, group: Endpoint, find: Find) -> str | None:
    """Return the interface's name; refuse one that cannot carry the group."""
    if asked is not None and group.zone is not None and asked != group.zone:
        raise UsageError(f"{group} names the interface {group.zone}, and --interface says {asked}; use one of them")
    text = asked or group.zone
    if text is None:
        if group.version == 6 and group.is_multicast:
            raise InterfaceError(
                f"{group}: an IPv6 group is joined and sent on one interface; name it with --interface"
            )
        return None
    interface = find(text)
    check_usable(interface, group)
    return interface.name


def _notes(streams: tuple[StreamPlan, ...], receivers: tuple[ReceiverPlan, ...]) -> list[str]:
    """Return what is allowed and yet worth saying."""
    notes = []
    ends: dict[Endpoint, str | None] = {stream.group: stream.interface for stream in streams}
    ends |= {joined.group: joined.interface for receiver in receivers for joined in receiver.memberships}
    for group, interface in ends.items():
        if not group.is_multicast:
            notes.append(f"{group} is a unicast or broadcast address: nothing is joined for it")
        elif interface is None:
            notes.append(f"{group}: no interface named, the kernel's route table chooses it; pin it with --interface")
    return notes + [
        f"{joined.group} is for source-specific multicast (RFC 4607); join it with --source"
        for receiver in receivers
        for joined in receiver.memberships
        if joined.group.address in SSM_V4 and joined.source is None
    ]


def _too_late(events: tuple[EventPlan, ...], duration_ns: int | None) -> list[str]:
    """Return a sentence for each event that the run will not live to see."""
    return [
        f"the event {event.action} at {format_duration(event.at_ns)} never happens: the run ends before it"
        for event in events
        if duration_ns is not None and event.at_ns >= duration_ns
    ]


def _described(
    scenario: Scenario, streams: tuple[StreamPlan, ...], receivers: tuple[ReceiverPlan, ...]
) -> dict[str, Any]:
    """Return the scenario as JSON values, with what was resolved in place of what was left open."""
    resolved: dict[str, Any] = msgspec.to_builtins(scenario)
    for entry, stream in zip(resolved["stream"], streams, strict=True):
        entry |= {"interface": stream.interface, "stream": stream.stream_id, "schedule": str(stream.schedule)}
        if stream.impairment:
            entry["impair"]["seed"] = stream.impairment.seed
    for entry, receiver in zip(resolved["receiver"], receivers, strict=True):
        entry["interface"] = receiver.memberships[0].interface
    resolved["process"] = {"pid": os.getpid()}
    return resolved
