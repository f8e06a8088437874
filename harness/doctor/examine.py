"""The whole examination: the quick questions first, the querier last, each line as soon as it is known."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

from harness.diagnosis.snapshots import Snapshots
from harness.doctor import live, system
from harness.doctor.line import Line, Patient
from harness.doctor.querier import OnWait, querier
from harness.evidence import environment
from harness.model import Endpoint, Interface
from harness.net import find_interface, list_interfaces
from harness.units import NS_PER_S

LISTEN_NS = 25 * NS_PER_S


def own_group() -> Endpoint:
    """Return a group of one's own, in the administratively scoped block (RFC 2365), and a port."""
    number = os.getpid() % 65_536
    return Endpoint(ipaddress.ip_address((239 << 24) | (255 << 16) | number), 20_000 + number % 20_000)


def patient_of(group: Endpoint | None, interface: str | None) -> Patient:
    """Return what is to be examined, with a snapshot of the system.

    Args:
      group: None for one of one's own.
      interface: name, address or index; None: the one that the routes take.

    Raises:
      InterfaceError: no such interface.
    """
    group = group or own_group()
    named = find_interface(interface) if interface is not None else None
    every = list_interfaces()
    snapshot = environment()
    likely = named or _by_route(group, every, snapshot)
    loopback = next((each for each in every if each.is_loopback), None)
    return Patient(group, named, likely, loopback, snapshot)


def _by_route(group: Endpoint, every: list[Interface], snapshot: dict[str, object]) -> Interface | None:
    """Return the interface of the route to a group, else that of the default route, else any that is up."""
    routes = Snapshots("", snapshot).multicast_routes(group.address) or []
    names = [str(entry["dev"]) for entry in routes if entry.get("dev")]
    outward = [each for each in every if not each.is_loopback]
    by_route = [each for name in names for each in outward if each.name == name]
    default = [
        each for each in outward if (each.is_default_route_v4 if group.version == 4 else each.is_default_route_v6)
    ]
    return next(iter([*by_route, *default, *(each for each in outward if each.is_up)]), None)


def examine(
    patient: Patient, *, listen_ns: int = LISTEN_NS, on_wait: OnWait = lambda _waited_ns, _whole_ns: None
) -> Iterator[Line]:
    """Yield the answers, each as soon as it is known.

    Args:
      patient: see `patient_of`.
      listen_ns: how long a querier is waited for, at most.
      on_wait: told while that goes on.
    """
    for question in system.QUESTIONS:
        yield question(patient)
    yield from live.loopback(patient)
    yield live.unicast(patient)
    yield live.tap(patient)
    yield querier(patient, listen_ns, on_wait)
