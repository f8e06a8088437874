"""RouteChange and AddressChange: what a host's own system does to where packets go."""

from __future__ import annotations

from harness.errors import LabError, UsageError
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds, Script, run_script
from harness.lab.impairments.routing_state import routing_state
from harness.lab.place import Lab
from harness.model.lab import AddressChange, RouteChange

_IPV6 = "-6"


async def change_routes(impairment: RouteChange, lab: Lab, deeds: Deeds) -> Applied:
    """Remove and add routes and policy rules; undone, what was added goes and what was removed comes back as it was.

    A line that names no address is taken for IPv4; "-6 " before it says IPv6: "-6 ipproto udp dport 53 table 100".

    Raises:
      LabError: the kernel refuses a line; what came before it is taken back.
    """
    namespace = lab.namespace(impairment.host)
    before = await routing_state(namespace)
    removed = [f"route del {route}" for route in impairment.remove]
    forward = [
        *removed,
        *(f"route add {route}" for route in impairment.add),
        *(f"rule add {rule}" for rule in impairment.add_rules),
    ]
    backward = [
        *(f"rule del {rule}" for rule in reversed(impairment.add_rules)),
        *(f"route del {route}" for route in reversed(impairment.add)),
    ]

    async def undo() -> None:
        await deeds.enact("undo", *_scripts(namespace, backward))
        if removed:
            await before.restore()

    try:
        await deeds.enact("apply", *_scripts(namespace, forward))
    except LabError:
        for script in _scripts(namespace, backward, "-force"):
            await _try(script)
        await before.restore()
        raise
    return Applied(undo)


async def change_addresses(impairment: AddressChange, lab: Lab, deeds: Deeds) -> Applied:
    """Remove addresses and add others, in this order; undone, routes that went with the old ones come back, too.

    Raises:
      UsageError: an address without prefix length.
      LabError: the kernel refuses; what came before is taken back.
    """
    namespace, interface = lab.interface(impairment.at)
    for address in [*impairment.add, *impairment.remove]:
        if "/" not in address:
            raise UsageError(f"address {address!r} at {impairment.at} has no prefix length; write 10.77.0.9/24")
    before = await routing_state(namespace)
    forward = [f"address del {address} dev {interface}" for address in impairment.remove]
    forward += [
        f"address add {address} dev {interface}{' nodad' if ':' in address else ''}" for address in impairment.add
    ]
    backward = tuple(f"address del {address} dev {interface}" for address in reversed(impairment.add))
    old = {address: line for name, address, line in before.addresses if name == interface}
    again = tuple(old[address] for address in impairment.remove if address in old)

    async def undo() -> None:
        await deeds.enact("undo", Script("ip", namespace, (*backward, *again)))
        await before.restore()

    try:
        await deeds.enact("apply", Script("ip", namespace, tuple(forward)))
    except LabError:
        await _try(Script("ip", namespace, backward, ("-force",)))
        await before.restore()
        raise
    return Applied(undo)


def _scripts(namespace: str, lines: list[str], *flags: str) -> list[Script]:
    """Return the lines in order, cut where the IP version that they are to be read for changes."""
    scripts: list[Script] = []
    for line in lines:
        verb, what = line.split(" ", 2)[:2], line.split(" ", 2)[2]
        family = (_IPV6,) if what.startswith(f"{_IPV6} ") or ":" in what else ()
        text = " ".join([*verb, what.removeprefix(f"{_IPV6} ")])
        if scripts and scripts[-1].flags == (*family, *flags):
            scripts[-1] = Script("ip", namespace, (*scripts[-1].lines, text), scripts[-1].flags)
        else:
            scripts.append(Script("ip", namespace, (text,), (*family, *flags)))
    return scripts


async def _try(script: Script) -> None:
    """Take back what can be taken back of a change that failed half-way; the failure itself is what is told."""
    try:
        await run_script(script)
    except LabError:
        return
