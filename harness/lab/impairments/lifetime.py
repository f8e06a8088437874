"""Lifetime: a switch's port passes a group's packets for a fixed time from each new membership on, and then no more.

Two sets in the port's own table. A group enters `known` and `alive` by a report while it is not known; it leaves
`known` by a leave, and `alive` by itself after the lifetime. So neither the answers to periodic queries nor a report's
retransmissions (RFC 3376 4.2.12, robustness) renew it, while a socket that leaves and joins again does.

Of IGMPv3 and MLDv2 only records of type 3 to 6 are changes; the first four records of a report are read, as long as
none before names sources. Versions 1 and 2 of IGMP and 1 of MLD cannot tell an answer from a join: there the sets do.

A set's times are kept by the kernel's tick, so the end is up to one tick (1 to 10 ms) late.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Literal

from harness.lab.commands import run_json
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.chains import act, bridge_of, counters, device_hook, empty_chain, rules_of
from harness.lab.impairments.moment import Deeds
from harness.lab.impairments.tables import Table, next_number
from harness.lab.place import Lab
from harness.model.lab import Lifetime
from harness.units import parse_duration
from protocols import igmp, mld
from protocols.membership import RecordKind

_NS_PER_MS = 1_000_000
_RECORDS = 4
_DESTINATION = {"4": "@nh,128,32", "6": "@nh,192,128"}
"""Of the IP header; nft compares a raw field only with sets that are keyed by raw fields."""
_JOINS = f"{{ {RecordKind.CHANGE_TO_EXCLUDE:d}, {RecordKind.ALLOW_NEW_SOURCES:d} }}"
_LINK_SCOPE = ("ip daddr 224.0.0.0/24 return", "ip6 daddr { ff01::/16, ff02::/16 } return")
"""Groups that nobody reports, queries and neighbour discovery among them."""


async def limit_lifetime(impairment: Lifetime, lab: Lab, deeds: Deeds) -> Applied:
    """Let groups reach a host for a while after each join; those that its switch knows of by now begin to age now.

    Raises:
      LabError: nft is missing or refuses.
    """
    end = lab.far_end(impairment.at)
    table = Table(end[0], "netdev", next_number())
    known = await _known(end)
    lifetime_ms = max(1, parse_duration(impairment.after) // _NS_PER_MS)
    reports, select = device_hook(end, "ingress"), device_hook(end, "egress")
    body = [line for version in _DESTINATION for line in _sets(version, lifetime_ms)]
    body += [*counters("dropped"), *act("dropped", "drop", [])]
    body += [*empty_chain("reports", reports), *empty_chain("select", select)]
    over = [f"ip daddr 224.0.0.0/4 {_DESTINATION['4']} != @alive4 goto act"]
    over += [f"ip6 daddr ff00::/8 {_DESTINATION['6']} != @alive6 goto act"]
    effects = [f"element {name}{version} {{ {group} }}" for name in ("known", "alive") for version, group in known]
    effects += rules_of("reports", reports, _report_rules())
    effects += rules_of("select", select, [*_LINK_SCOPE, *over])
    await table.make(deeds, body, effects)
    return Applied(lambda: table.remove(deeds), table.counts)


async def _known(end: tuple[str, str]) -> list[tuple[str, str]]:
    """Return IP version and group of all that the switch has learned at its port, none without a switch."""
    namespace, port = end
    bridge = await bridge_of(namespace, port)
    if bridge is None:
        return []
    tables: Any = await run_json("bridge", "-j", "-n", namespace, "mdb", "show", "dev", bridge)
    entries = [entry for table in tables for entry in table.get("mdb", ()) if entry["port"] == port]
    groups = [ipaddress.ip_address(group) for group in sorted({str(entry["grp"]) for entry in entries})]
    return [(str(group.version), hex(int(group))) for group in groups]


def _sets(version: str, lifetime_ms: int) -> list[str]:
    kind = f"typeof {_DESTINATION[version]}"
    return [
        f"set known{version} {{ {kind}; flags dynamic; size 4096; }}",
        f"set alive{version} {{ {kind}; flags dynamic,timeout; timeout {lifetime_ms}ms; size 4096; }}",
    ]


def _report_rules() -> list[str]:
    rules = [
        f"igmp type {{ {igmp.V1_REPORT}, {igmp.V2_REPORT} }} {_renew('4', _DESTINATION['4'])}",
        f"igmp type {igmp.LEAVE} delete @known4 {{ @th,32,32 }}",
        f"icmpv6 type {mld.V1_REPORT} {_renew('6', _DESTINATION['6'])}",
        f"icmpv6 type {mld.V1_DONE} delete @known6 {{ @th,64,128 }}",
    ]
    for number in range(_RECORDS):
        rules += _record_rules("4", f"igmp type {igmp.V3_REPORT}", number, 32)
        rules += _record_rules("6", f"icmpv6 type {mld.V2_REPORT}", number, 128)
    return rules


def _record_rules(version: Literal["4", "6"], report: str, number: int, address_bits: int) -> list[str]:
    """Return the rules for the n-th record: type 8 bits, auxiliary length 8, number of sources 16, group."""
    size = 32 + address_bits
    first = 64
    at = first + number * size
    there = f"{report} @th,48,16 > {number}"  # the report's number of records
    for before in range(number):
        there += f" @th,{first + before * size + 16},16 0"
    kind, n_sources, group = f"@th,{at},8", f"@th,{at + 16},16", f"@th,{at + 32},{address_bits}"
    becomes_include = f"{kind} {RecordKind.CHANGE_TO_INCLUDE:d}"
    gone = f"delete @known{version} {{ {group} }}"
    return [
        f"{there} {kind} {_JOINS} {_renew(version, group)}",
        f"{there} {becomes_include} {n_sources} > 0 {_renew(version, group)}",
        f"{there} {becomes_include} {n_sources} 0 {gone}",
        f"{there} {kind} {RecordKind.BLOCK_OLD_SOURCES:d} {gone}",
    ]


def _renew(version: str, group: str) -> str:
    return f"{group} != @known{version} update @alive{version} {{ {group} }} add @known{version} {{ {group} }}"
