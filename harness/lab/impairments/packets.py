"""Drop and Duplicate: nftables rules, and where on a packet's way they stand.

The kernel shows a packet to taps (AF_PACKET sockets) after the egress hook of the interface that sends it, and before
the ingress hook of the one that receives it. So:

    side, direction        hook                                  tap on the host   what the sender is told
    network, in            netdev egress of the far end          sees nothing      nothing
    network, out           netdev ingress of the far end         sees it           nothing
    host, in               inet input of the host                sees it           nothing
    host, out              inet output of the host               sees nothing      EPERM
    host, in, fragments    inet prerouting, before reassembly    sees it           nothing
    host, out, fragments   netdev egress, after fragmentation    sees nothing      ENOBUFS with IP_RECVERR, else nothing

The far end is the switch's port. Where it is another host's interface, a tap over there does not see what
"network, in" takes: it is the sender's own egress.

A rule counts IP packets: of a datagram in fragments only the first has ports and sequence numbers. Datagrams that the
sender hands over as one buffer (UDP_SEGMENT) pass as one packet, so impaired streams are sent without offload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError
from harness.lab.commands import run_json
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds
from harness.lab.impairments.selection import FRAGMENTS, MLD_TYPES, chance, matches
from harness.lab.impairments.tables import Table, next_number
from harness.lab.place import Lab
from harness.model.lab import Drop, Duplicate, Selection

_BEFORE_REASSEMBLY = -450
"""Priority; connection tracking reassembles at -400."""
_COPY_MARK = 0x4D000000
_KINDS = {
    "fragment": FRAGMENTS,
    "udp": ("meta l4proto udp",),
    "igmp": ("ip protocol igmp",),
    "mld": (f"icmpv6 type {MLD_TYPES}",),
    "other": ("",),
}
"""What packets are counted as: the first expression that a packet meets."""


@dataclass(frozen=True, slots=True)
class _Hook:
    """Where a chain stands, and the expression that its packets must meet beside."""

    namespace: str
    family: Literal["netdev", "inet"]
    line: str
    only: str = ""


async def drop(impairment: Drop, lab: Lab, deeds: Deeds) -> Applied:
    """Have packets dropped.

    Raises:
      UsageError: a selection that means no packet.
      LabError: nft is missing or refuses.
    """
    hook = _hook(impairment, lab)
    table = Table(hook.namespace, hook.family, next_number())
    body = [*_counters("dropped"), *_act(impairment, "dropped", "drop"), *_chain("select", hook, _calls(impairment))]
    return await _in_force(table, body, deeds)


async def duplicate(impairment: Duplicate, lab: Lab, deeds: Deeds) -> Applied:
    """Have packets sent twice; each copy bears a mark, so that it is not copied again.

    Outwards, on the network's side, the switch gets the copy as if from itself, and the host that sent it none. On
    the host's side a tap sees both, as with a driver that sends twice.

    Raises:
      UsageError: a selection that means no packet, or a place where nothing can copy.
      LabError: nft is missing or refuses.
    """
    number = next_number()
    mark = _COPY_MARK + number
    hook, device = await _copying_hook(impairment, lab)
    table = Table(hook.namespace, hook.family, number)
    body = [*_counters("duplicated"), *_act(impairment, "duplicated", f'meta mark set {mark} dup to "{device}" return')]
    if impairment.side == "network" and impairment.direction == "out":
        _, port = lab.far_end(impairment.at)
        back = _Hook(hook.namespace, "netdev", f'type filter hook egress device "{port}" priority 0;')
        body += _chain("back", back, [f"meta mark {mark} drop"])
    body += _chain("select", hook, [f"meta mark {mark} return", *_calls(impairment)])
    return await _in_force(table, body, deeds)


async def _in_force(table: Table, body: list[str], deeds: Deeds) -> Applied:
    await table.make(deeds, body)
    return Applied(lambda: table.remove(deeds), table.counts)


def _hook(selection: Selection, lab: Lab) -> _Hook:
    """Return the hook of the table above."""
    is_in = selection.direction == "in"
    if selection.side == "network":
        return _device_hook(lab.far_end(selection.at), "egress" if is_in else "ingress")
    namespace, interface = lab.interface(selection.at)
    if selection.protocol == "fragment":
        if not is_in:
            return _device_hook((namespace, interface), "egress")
        line = f"type filter hook prerouting priority {_BEFORE_REASSEMBLY};"
    else:
        line = f"type filter hook {'input' if is_in else 'output'} priority 0;"
    return _Hook(namespace, "inet", line, f'{"iifname" if is_in else "oifname"} "{interface}"')


def _device_hook(end: tuple[str, str], hook: str) -> _Hook:
    namespace, interface = end
    return _Hook(namespace, "netdev", f'type filter hook {hook} device "{interface}" priority 0;')


async def _copying_hook(selection: Duplicate, lab: Lab) -> tuple[_Hook, str]:
    """Return the hook at which copies are made, and the interface that they are handed to."""
    if selection.side == "host":
        if selection.direction == "in":
            raise UsageError(f'no packet is duplicated inside a host ({selection.at}, "in"); use side = "network"')
        end = lab.interface(selection.at)
        return _device_hook(end, "egress"), end[1]
    end = lab.far_end(selection.at)
    if selection.direction == "in":
        return _device_hook(end, "egress"), end[1]
    bridge = await bridge_of(*end)
    if bridge is None or selection.protocol in ("igmp", "mld", "membership"):
        what = "without a switch" if bridge is None else f"of {selection.protocol}"
        raise UsageError(f'duplicates {what} out from {selection.at} are made on the host only; use side = "host"')
    return _device_hook(end, "ingress"), bridge


async def bridge_of(namespace: str, interface: str) -> str | None:
    """Return the bridge that an interface is a port of, None when it is no port.

    Raises:
      LabError: no such interface.
    """
    (link,) = await run_json("ip", "-j", "-n", namespace, "link", "show", "dev", interface)
    master = link.get("master")
    return None if master is None else str(master)


def _counters(verb: str) -> list[str]:
    return [f"counter c_{verb}_{kind} {{ }}" for kind in _KINDS]


def _act(selection: Selection, verb: str, statement: str) -> list[str]:
    """Return the chain that decides over a packet which is meant, counts it and does the deed."""
    rules = chance(selection)
    for kind, expressions in _KINDS.items():
        rules += [f'{expression} counter name "c_{verb}_{kind}" {statement}'.strip() for expression in expressions]
    return ["chain act {", *rules, "}"]


def _chain(name: str, hook: _Hook, rules: list[str]) -> list[str]:
    return [f"chain {name} {{", hook.line, *(f"{hook.only} {rule}".strip() for rule in rules), "}"]


def _calls(selection: Selection) -> list[str]:
    return [f"{expression} goto act" for expression in matches(selection)]
