"""Which packets a `Selection` means, as nftables expressions; text only, nothing is run here.

Of the payload these fields are read, by their offset in bits from the UDP, IGMP or ICMPv6 header (`@th`):

    probe      magic 64, 32 bits; flags 112, 16 bits; sequence number, low half 224, 32 bits  (protocols.probe)
    IGMP       group 32, 32 bits; group of a v3 report's first record 96, 32 bits            (RFC 2236 2, RFC 3376 4.2)
    MLD        group 64, 128 bits; of a v2 report's first record 96, 128 bits                (RFC 2710 3, RFC 3810 5.2)
"""

from __future__ import annotations

import ipaddress

from harness.errors import UsageError
from harness.model.lab import Selection
from harness.units import parse_ratio
from protocols import igmp, mld
from protocols.probe import FLAG_END, MAGIC

MLD_TYPES = f"{{ {mld.QUERY}, {mld.V1_REPORT}, {mld.V1_DONE}, {mld.V2_REPORT} }}"
FRAGMENTS = ("ip frag-off & 0x1fff != 0", "frag frag-off != 0")
"""Every IPv4 and IPv6 fragment but the first."""

_UDP_HEADER = 8
_MAGIC_AT, _FLAGS_AT, _SEQUENCE_AT = (8 * (_UDP_HEADER + offset) for offset in (0, 6, 20))
_MAX_SEQUENCE = 0xFFFFFFFF
_RANDOM_STEPS = 1_000_000
"""Ratios are kept to a millionth."""


def matches(selection: Selection) -> list[str]:
    """Return the expressions, any of which a packet meant by a selection meets, without ratio and every.

    Raises:
      UsageError: what it says contradicts itself: a port of IGMP, an IPv6 group of IGMP.

    >>> from harness.model.lab import Drop
    >>> matches(Drop(at="rx:eth0", group="239.1.2.3", port=5004))
    ['ip daddr 239.1.2.3 udp dport 5004']
    """
    protocol = selection.protocol
    if protocol not in ("udp", "any") and (selection.port is not None or selection.sequences is not None):
        raise UsageError(f"{protocol} packets at {selection.at} have neither a port nor sequences; these are of udp")
    version = _ip_version(selection)
    found = []
    for ip in (4, 6):
        if version in (None, ip):
            found += _of_version(selection, "ip" if ip == 4 else "ip6")
    if not found:
        raise UsageError(f"no {protocol} packet at {selection.at} can have an IPv{version} address")
    return [*dict.fromkeys(found)]


def _ip_version(selection: Selection) -> int | None:
    """Return which IP version group and source say, None for both."""
    versions = set()
    for text in filter(None, (selection.group, selection.source)):
        try:
            versions.add(ipaddress.ip_address(text).version)
        except ValueError as exc:
            raise UsageError(f"{text!r} in an impairment at {selection.at} is no IP address") from exc
    if len(versions) > 1:
        raise UsageError(f"group {selection.group} and source {selection.source} are of two IP versions")
    return versions.pop() if versions else None


def _of_version(selection: Selection, ip: str) -> list[str]:
    """Return the expressions for one IP version; none when the protocol has no such."""
    source = f"{ip} saddr {selection.source} " if selection.source else ""
    if selection.protocol in ("igmp", "mld", "membership"):
        if selection.protocol == ("mld" if ip == "ip" else "igmp"):
            return []
        return [f"{source}{expression}" for expression in _membership(selection.group, ip)]
    group = f"{ip} daddr {selection.group} " if selection.group else ""
    if selection.protocol == "fragment":
        return [f"{source}{group}{FRAGMENTS[0 if ip == 'ip' else 1]}"]
    if selection.protocol == "any" and selection.port is None and selection.sequences is None:
        return [f"{source}{group}meta protocol {ip}"]
    is_bare = not source and not group
    udp = f"udp dport {selection.port}" if selection.port is not None else "meta l4proto udp" if is_bare else ""
    if not is_bare and not udp and selection.sequences is None:
        udp = "meta l4proto udp"
    return [" ".join(f"{source}{group}{udp} {_sequences(selection.sequences)}".split())]


def _membership(group: str | None, ip: str) -> list[str]:
    """Return the expressions for IGMP or MLD, of one group by its own field or by that of the first record."""
    if ip == "ip":
        if group is None:
            return ["ip protocol igmp"]
        old = f"ip protocol igmp @th,0,8 != {igmp.V3_REPORT} @th,32,32 {_number(group)}"
        return [old, f"ip protocol igmp @th,0,8 {igmp.V3_REPORT} @th,96,32 {_number(group)}"]
    if group is None:
        return [f"icmpv6 type {MLD_TYPES}"]
    old = f"icmpv6 type {{ {mld.QUERY}, {mld.V1_REPORT}, {mld.V1_DONE} }} @th,64,128 {_number(group)}"
    return [old, f"icmpv6 type {mld.V2_REPORT} @th,96,128 {_number(group)}"]


def _number(address: str) -> str:
    return hex(int(ipaddress.ip_address(address)))


def _sequences(sequences: list[list[int]] | None) -> str:
    """Return the expression for probes of these numbers; end packets, which bear the count as theirs, are spared."""
    if sequences is None:
        return ""
    ranges: list[tuple[int, int]] = []
    for pair in sorted(sequences):
        if len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= _MAX_SEQUENCE:
            raise UsageError(f"sequences {pair} are no pair [first, last] within 0 to {_MAX_SEQUENCE}")
        if ranges and pair[0] <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(pair[1], ranges[-1][1]))
        else:
            ranges.append((pair[0], pair[1]))
    if not ranges:
        raise UsageError("sequences is an empty list; name at least one pair [first, last]")
    numbers = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    magic = int.from_bytes(MAGIC, "big")
    return f"@th,{_MAGIC_AT},32 {magic:#x} @th,{_FLAGS_AT},16 & {FLAG_END} == 0 @th,{_SEQUENCE_AT},32 {{ {numbers} }}"


def chance(selection: Selection) -> list[str]:
    """Return the rules that let some of the packets meant go free: all but one of `every`, all but `ratio`.

    The kernel's random numbers have no seed: a ratio hits other packets in every run.

    Raises:
      UsageError: every below 1, or a ratio that is none.
    """
    rules = []
    if selection.every is not None:
        if selection.every < 1:
            raise UsageError(f"every {selection.every} at {selection.at} is no count; 1 means each packet")
        rules.append(f"numgen inc mod {selection.every} != 0 return")
    ratio = parse_ratio(selection.ratio)
    if ratio < 1:
        rules.append(f"numgen random mod {_RANDOM_STEPS} >= {round(ratio * _RANDOM_STEPS)} return")
    return rules
