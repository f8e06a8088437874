"""Query: general queries of IGMP and MLD by a hand of our own, with any source address."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time

import trio

from harness.errors import LabError, UsageError, errno_text
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds
from harness.lab.namespaces import inside
from harness.lab.place import Lab
from harness.model.lab import Query
from harness.units import NS_PER_S, parse_duration
from protocols import membership
from protocols.igmp import build_igmp
from protocols.membership import internet_checksum
from protocols.mld import build_mld

_ALL_HOSTS = ipaddress.IPv4Address("224.0.0.1")
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_IPV4_ROUTER_ALERT = bytes.fromhex("94040000")
"""RFC 2113."""
_IPV6_HOP_BY_HOP = bytes.fromhex("3a00 0502 0000 0100")
"""Next header ICMPv6, router alert for MLD, PadN (RFC 2711)."""
_INTERNETWORK_CONTROL = 0xC0


async def send_queries(impairment: Query, lab: Lab, deeds: Deeds) -> Applied:
    """Send the first query now and the others in the background; undone, those that are not sent yet are not sent.

    Raises:
      UsageError: a source that is no address, or of IPv6 and not link-local, which every listener ignores.
      LabError: no permission for packet sockets, or the interface is down.
    """
    source = _source(impairment)
    is_ipv4 = isinstance(source, ipaddress.IPv4Address)
    packet = general_query(
        source,
        impairment.version,
        parse_duration(impairment.response_interval),
        parse_duration(impairment.query_interval),
    )
    namespace, interface = lab.interface(impairment.at)
    protocol = _ETH_P_IP if is_ipv4 else _ETH_P_IPV6
    try:
        # protocol 0: it sends only, and no packet of the interface waits in it
        sock = inside(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
    except OSError as exc:
        raise LabError(f"no packet socket in {namespace}: {errno_text(exc.errno or 0)}; the lab needs root") from exc
    station = bytes.fromhex("01005e000001" if is_ipv4 else "333300000001")
    what = f"general query, version {impairment.version}, from {source} by {interface} in {namespace}"

    def send() -> None:
        t_ns = time.time_ns()
        try:
            sock.sendto(packet, (interface, protocol, 0, 0, station))
        except OSError as exc:
            raise LabError(f"cannot send a {what}: {errno_text(exc.errno or 0)}") from exc
        deeds.write("apply", (t_ns, time.time_ns()), [what])

    try:
        send()
    except LabError:
        sock.close()
        raise
    scope, ended = trio.CancelScope(), trio.Event()

    async def repeat() -> None:
        try:
            with scope:
                first = trio.current_time()
                for number in range(1, impairment.queries):
                    await trio.sleep_until(first + number * parse_duration(impairment.every) / NS_PER_S)
                    send()
        except LabError as exc:  # the interface may be down by now, and a query that is not sent is told by its lack
            deeds.write("failed", (time.time_ns(),) * 2, [str(exc)])
        finally:
            sock.close()
            ended.set()

    async def undo() -> None:
        scope.cancel()
        await ended.wait()
        deeds.write("undo", (time.time_ns(),) * 2, [])

    trio.lowlevel.spawn_system_task(repeat)
    return Applied(undo)


def general_query(
    source: membership.Address, version: int, response_ns: int, interval_ns: int = 125 * NS_PER_S
) -> bytes:
    """Return a general query as an IP packet (RFC 3376 4.1, RFC 3810 5.1).

    Args:
      source: IPv4 asks by IGMP, IPv6 by MLD.
      version: of IGMP; MLD has no third, so 3 means its second there.
      response_ns: time in which members answer; IGMPv1 cannot say it.
      interval_ns: the query interval that it states, whole seconds; only IGMPv3 and MLDv2 can say it.

    >>> general_query(ipaddress.IPv4Address("10.77.0.1"), 2, 10**9).hex(" ", 4)
    '46c00020 00004000 0102f9c8 0a4d0001 e0000001 94040000 110aeef5 00000000'
    """
    if isinstance(source, ipaddress.IPv4Address):
        body = build_igmp(_message(version, response_ns, interval_ns))
        head = struct.pack(
            ">BBHHHBBH4s4s4s",
            0x46,
            _INTERNETWORK_CONTROL,
            24 + len(body),
            0,
            0x4000,
            1,
            socket.IPPROTO_IGMP,
            0,
            source.packed,
            _ALL_HOSTS.packed,
            _IPV4_ROUTER_ALERT,
        )
        return head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:] + body
    body = build_mld(_message(min(version, 2), response_ns, interval_ns), source, _ALL_NODES)
    head = struct.pack(">IHBB", 6 << 28, len(_IPV6_HOP_BY_HOP) + len(body), socket.IPPROTO_HOPOPTS, 1)
    return head + source.packed + _ALL_NODES.packed + _IPV6_HOP_BY_HOP + body


def _message(version: int, response_ns: int, interval_ns: int) -> membership.Query:
    return membership.Query(
        version,
        None,
        response_ns / NS_PER_S,
        is_router_suppressed=False,
        robustness=2,
        interval_s=interval_ns // NS_PER_S,
    )


def _source(impairment: Query) -> membership.Address:
    try:
        source = ipaddress.ip_address(impairment.source)
    except ValueError as exc:
        raise UsageError(f"source {impairment.source!r} of a query at {impairment.at} is no IP address") from exc
    if source.version == 6 and not source.is_link_local:
        raise UsageError(f"an MLD query from {source} is ignored by all; give a link-local source (RFC 3810 5.1.14)")
    return source
