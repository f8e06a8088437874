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

The group of a membership message is that of an IGMPv3 or MLDv2 report's first record; an answer to a general query
names all groups of a host in one report, which is lost or passes as a whole.

A rule counts IP packets: of a datagram in fragments only the first has ports and sequence numbers. Datagrams that the
sender hands over as one buffer (UDP_SEGMENT) pass as one packet, so impaired streams are sent without offload.
"""

from __future__ import annotations

from harness.errors import UsageError
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.chains import Hook, act, bridge_of, counters, device_hook, empty_chain, rules_of
from harness.lab.impairments.moment import Deeds
from harness.lab.impairments.selection import chance, matches
from harness.lab.impairments.tables import Table, next_number
from harness.lab.place import Lab
from harness.model.lab import Drop, Duplicate, Selection

_BEFORE_REASSEMBLY = -450
"""Priority; connection tracking reassembles at -400."""
_COPY_MARK = 0x4D000000


async def drop(impairment: Drop, lab: Lab, deeds: Deeds) -> Applied:
    """Have packets dropped.

    Raises:
      UsageError: a selection that means no packet.
      LabError: nft is missing or refuses.
    """
    hook = _hook(impairment, lab)
    table = Table(hook.namespace, hook.family, next_number())
    body = [*counters("dropped"), *act("dropped", "drop", chance(impairment)), *empty_chain("select", hook)]
    return await _in_force(table, body, rules_of("select", hook, _calls(impairment)), deeds)


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
    statement = f'meta mark set {mark} dup to "{device}" return'
    body = [*counters("duplicated"), *act("duplicated", statement, chance(impairment)), *empty_chain("select", hook)]
    effects = rules_of("select", hook, [f"meta mark {mark} return", *_calls(impairment)])
    if impairment.side == "network" and impairment.direction == "out":
        _, port = lab.far_end(impairment.at)
        back = device_hook((hook.namespace, port), "egress")
        body += empty_chain("back", back)
        effects += rules_of("back", back, [f"meta mark {mark} drop"])
    return await _in_force(table, body, effects, deeds)


async def _in_force(table: Table, body: list[str], effects: list[str], deeds: Deeds) -> Applied:
    await table.make(deeds, body, effects)
    return Applied(lambda: table.remove(deeds), table.counts)


def _hook(selection: Selection, lab: Lab) -> Hook:
    """Return the hook of the table above."""
    is_in = selection.direction == "in"
    if selection.side == "network":
        return device_hook(lab.far_end(selection.at), "egress" if is_in else "ingress")
    namespace, interface = lab.interface(selection.at)
    if selection.protocol == "fragment":
        if not is_in:
            return device_hook((namespace, interface), "egress")
        line = f"type filter hook prerouting priority {_BEFORE_REASSEMBLY};"
    else:
        line = f"type filter hook {'input' if is_in else 'output'} priority 0;"
    return Hook(namespace, "inet", line, f'{"iifname" if is_in else "oifname"} "{interface}"')


async def _copying_hook(selection: Duplicate, lab: Lab) -> tuple[Hook, str]:
    """Return the hook at which copies are made, and the interface that they are handed to."""
    if selection.side == "host":
        if selection.direction == "in":
            raise UsageError(f'no packet is duplicated inside a host ({selection.at}, "in"); use side = "network"')
        end = lab.interface(selection.at)
        return device_hook(end, "egress"), end[1]
    end = lab.far_end(selection.at)
    if selection.direction == "in":
        return device_hook(end, "egress"), end[1]
    bridge = await bridge_of(*end)
    if bridge is None or selection.protocol in ("igmp", "mld", "membership"):
        what = "without a switch" if bridge is None else f"of {selection.protocol}"
        raise UsageError(f'duplicates {what} out from {selection.at} are made on the host only; use side = "host"')
    return device_hook(end, "ingress"), bridge


def _calls(selection: Selection) -> list[str]:
    return [f"{expression} goto act" for expression in matches(selection)]
