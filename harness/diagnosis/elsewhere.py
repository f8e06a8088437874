"""Queries that other interfaces of a run heard on the network of a receiver: what came there, or that nobody asks.

A host in the field cannot read the switch; another host of the run, at another port of it, hears what it sends.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from harness.diagnosis.snapshots import Snapshots
from harness.model import Manifest, MembershipTimeline

Place = tuple[str, str]
"""A host and one of its interfaces."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def tapped_beside(mine: Place, manifest: Manifest, hosts: Mapping[str, Snapshots]) -> list[Place]:
    """Return the interfaces on the network of `mine` whose IGMP and MLD the run kept, without itself.

    Those are the interfaces of senders and receivers with a tap. A subnet in common makes it one network.
    """
    asked = {(info.host, info.interface) for info in manifest.senders if info.interface}
    asked |= {(info.name.partition("/")[0], info.interface) for info in manifest.receivers if info.interface}
    networks = _networks(mine, hosts)
    return sorted(
        place
        for place in asked - {mine}
        if place[0] in hosts and _is_tapped(hosts[place[0]], place[1]) and networks & _networks(place, hosts)
    )


def queries_heard(
    timeline: MembershipTimeline | None, places: Iterable[Place], version: int, start_ns: int, end_ns: int
) -> int | None:
    """Return the most general queries that one of some interfaces heard in a time; None without any of them.

    Args:
      timeline: of the run; None where nobody captured.
      places: interfaces that listened.
      version: of IP.
      start_ns: beginning of the time.
      end_ns: its end.
    """
    family = "IGMP" if version == 4 else "MLD"
    names = {name for host, interface in places for name in (f"{host}:{interface}", f"{host}/{interface}")}
    if timeline is None or not names:
        return None
    links = [each for each in timeline.links if each.family == family and each.interface in names]
    return max((sum(start_ns <= t_ns <= end_ns for t_ns in each.query_ns) for each in links), default=0)


def _is_tapped(host: Snapshots, interface: str) -> bool:
    return any(each.kind == "tap" and each.interface == interface and each.missing is None for each in host.witnesses)


def _networks(place: Place, hosts: Mapping[str, Snapshots]) -> set[_Network]:
    host = hosts.get(place[0])
    return {
        ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        for _, address, prefix in (host.addresses(place[1]) if host is not None else [])
        if prefix and not address.is_link_local and not address.is_loopback
    }
