"""Which witnesses a run has: those of each receiver, the senders' tap, and where the unicast twins go to."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import UsageError
from harness.model import Endpoint, parse_address, parse_endpoint
from harness.model.scenario import Receiver, Scenario
from harness.model.witness import WITNESS_KINDS, Attendance, Twin, WitnessKind
from harness.net import list_interfaces

if TYPE_CHECKING:
    from harness.run.plan import ReceiverPlan, StreamPlan

FIRST_PORT, N_PORTS = 20_000, 10_000
"""Twins' ports are taken from here, below those that systems give to programs that ask for any."""


@dataclass(frozen=True, slots=True)
class TwinPlan:
    """One unicast twin as far as this host has to do with it.

    Attributes:
      receiver, group: whose, and the group whose twin it is, as text.
      address: where it goes to; port 0: one that is free. None where there is none.
      streams: numbers of the streams here that are copied to it.
      is_received: whether it arrives here.
      missing: why there is none.
    """

    receiver: str
    group: str
    address: Endpoint | None
    streams: tuple[int, ...] = ()
    is_received: bool = True
    missing: str | None = None


def witnesses_of(receiver: Receiver) -> tuple[WitnessKind, ...]:
    """Return a receiver's witnesses; one that measures rate (`offload`) has only those that it asks for.

    >>> witnesses_of(Receiver(groups=[], offload=True)), witnesses_of(Receiver(groups=[], witnesses=["tap"]))
    ((), ('tap',))
    """
    if receiver.witnesses is not None:
        return tuple(dict.fromkeys(receiver.witnesses))
    return () if receiver.offload else WITNESS_KINDS


def is_sender_tapped(
    attendance: Attendance | None, streams: Sequence[StreamPlan], receivers: Sequence[ReceiverPlan]
) -> bool:
    """Whether the senders here have a tap: when a receiver wants one, here or, as the controller says, elsewhere."""
    is_wanted = any("tap" in receiver.witnesses for receiver in receivers)
    return bool(streams) and (is_wanted or (attendance is not None and attendance.is_tapped))


def plan_twins(
    attendance: Attendance | None, streams: Sequence[StreamPlan], receivers: Sequence[ReceiverPlan]
) -> tuple[TwinPlan, ...]:
    """Return the unicast twins as far as they begin or end here.

    In a run of this machine alone each goes to the address of the receiver's interface; in a part of a run over
    several hosts, where the controller says.
    """
    if attendance is not None:
        return tuple(_given(twin, streams) for twin in attendance.twins)
    twins = []
    for receiver in receivers:
        for joined in receiver.memberships if "unicast-twin" in receiver.witnesses else ():
            sent = tuple(stream.number for stream in streams if stream.group == joined.group and not stream.offload)
            if sent and joined.group.is_multicast:
                interface = joined.interface or joined.group.zone or streams[sent[0]].interface
                address = _own_address(interface, joined.group.version)
                missing = None if address else f"{interface or 'this host'} has no IPv{joined.group.version} address"
                twins.append(TwinPlan(receiver.name, str(joined.group), address, sent, missing=missing))
    return tuple(twins)


def _given(twin: Twin, streams: Sequence[StreamPlan]) -> TwinPlan:
    """Return one end of a twin as the controller gave it."""
    numbers = tuple(stream.number for stream in streams if stream.stream_id == twin.stream)
    address = parse_endpoint(twin.address) if twin.address else None
    if address is not None and address.address.is_link_local and address.zone is None:
        zone = next((streams[number].interface for number in numbers), None)
        address = Endpoint(parse_address(f"{address.address}%{zone}"), address.port) if zone else address
    return TwinPlan(twin.receiver, twin.group, address, numbers, is_received=twin.stream is None, missing=twin.missing)


def _own_address(name: str | None, version: int) -> Endpoint | None:
    """Return an address of an interface, or of the one that the default route leaves by; port 0."""
    interfaces = [interface for interface in list_interfaces() if name in (None, interface.name)]
    interfaces.sort(key=lambda one: (not one.is_default_route_v4, one.is_loopback))
    for interface in interfaces:
        address = interface.first_address(version)
        if address is not None:
            zone = f"%{interface.name}" if address.version == 6 and address.is_link_local else ""
            return Endpoint(parse_address(f"{address}{zone}"), 0)
    return None


def attendances(
    scenarios: Mapping[str, Scenario], interfaces: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Attendance]:
    """Return what the parts of a run over several hosts are told of witnesses.

    Args:
      scenarios: the parts, by host.
      interfaces: of the hosts with receivers, as their agents list them.
    """
    told: dict[str, Attendance] = dict.fromkeys(scenarios, Attendance())
    port = FIRST_PORT + random.randrange(N_PORTS - 1_000)
    for host, scenario in scenarios.items():
        for receiver in scenario.receiver:
            kinds = witnesses_of(receiver)
            for group in receiver.groups:
                senders = _senders(scenarios, group)
                if "tap" in kinds:
                    for name in senders:
                        told[name] = msgspec.structs.replace(told[name], is_tapped=True)
                if "unicast-twin" in kinds and senders and parse_endpoint(group).is_multicast:
                    port += 1
                    _add_twin(
                        told, host, receiver, group, senders, _address_of(receiver, group, interfaces[host], port)
                    )
    return told


def _senders(scenarios: Mapping[str, Scenario], group: str) -> dict[str, list[int]]:
    """Return the ids of the streams to a group, by host."""
    wanted = _without_zone(group)
    found = {
        host: [
            stream.stream
            for stream in scenario.stream
            if stream.stream is not None and not stream.offload and _without_zone(stream.group) == wanted
        ]
        for host, scenario in scenarios.items()
    }
    return {host: ids for host, ids in found.items() if ids}


def _without_zone(group: str) -> tuple[str, int]:
    endpoint = parse_endpoint(group)
    return str(endpoint.address).partition("%")[0], endpoint.port


def _add_twin(
    told: dict[str, Attendance],
    host: str,
    receiver: Receiver,
    group: str,
    senders: Mapping[str, list[int]],
    address: Endpoint | None,
) -> None:
    """Tell both ends of a twin."""
    missing = None if address is not None else "its host has no address there"
    if address is not None and address.address.is_loopback and set(senders) != {host}:
        missing, address = f"{address.address} cannot be reached from {', '.join(senders)}", None
    text = str(address) if address is not None else ""
    _tell(told, host, Twin(receiver=receiver.name, group=group, address=text, missing=missing))
    for name, ids in senders.items() if text else ():
        for number in ids:
            _tell(told, name, Twin(receiver=receiver.name, group=group, address=text, stream=number))


def _tell(told: dict[str, Attendance], host: str, twin: Twin) -> None:
    told[host] = msgspec.structs.replace(told[host], twins=[*told[host].twins, twin])


def _address_of(receiver: Receiver, group: str, interfaces: Sequence[Mapping[str, Any]], port: int) -> Endpoint | None:
    """Return the address of a receiver's interface on its host, the widest scope first; None when there is none."""
    endpoint = parse_endpoint(group)
    wanted = receiver.interface or endpoint.zone
    candidates = [one for one in interfaces if wanted is None or _is_named(one, wanted)]
    candidates.sort(
        key=lambda one: (not one.get(f"is_default_route_v{endpoint.version}"), bool(one.get("is_loopback")))
    )
    for interface in candidates:
        found = [_parsed(entry) for entry in interface.get("addresses", ())]
        mine = [(scope, address) for scope, address in found if address and address.version == endpoint.version]
        if mine:
            return Endpoint(min(mine, key=lambda pair: ("global", "link", "host").index(pair[0]))[1], port)
    return None


def _is_named(interface: Mapping[str, Any], wanted: str) -> bool:
    addresses = [str(entry.get("address")) for entry in interface.get("addresses", ())]
    return wanted in (interface.get("name"), str(interface.get("index"))) or wanted.partition("%")[0] in addresses


def _parsed(entry: Mapping[str, Any]) -> tuple[str, Any]:
    """Return scope and address of an entry; an address of None is none."""
    try:
        scope = str(entry.get("scope"))
        return (scope if scope in ("global", "link") else "host"), parse_address(str(entry.get("address")))
    except UsageError:
        return "host", None
