"""LinkDown and Recreate: cables that are pulled, and interfaces that go and come again."""

from __future__ import annotations

import time

from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds, Script
from harness.lab.impairments.routing_state import routing_state
from harness.lab.place import Lab
from harness.model.lab import LinkDown, Recreate


async def pull(impairment: LinkDown, lab: Lab, deeds: Deeds) -> Applied:
    """Set one end of a cable down; undone, it comes up with the addresses and routes that it had.

    Raises:
      LabError: no such interface.
    """
    is_far = impairment.side == "network"
    namespace, interface = lab.far_end(impairment.at) if is_far else lab.interface(impairment.at)
    before = await routing_state(namespace)

    async def undo() -> None:
        await deeds.enact("undo", Script("ip", namespace, (f"link set dev {interface} up",)))
        await before.restore()

    await deeds.enact("apply", Script("ip", namespace, (f"link set dev {interface} down",)))
    return Applied(undo)


async def recreate(impairment: Recreate, lab: Lab, deeds: Deeds) -> Applied:
    """Have the lab delete an interface and make it again; there is nothing to undo.

    Raises:
      LabError: the lab cannot.
    """
    t_ns = time.time_ns()
    await lab.recreate(impairment.at)
    deeds.write("apply", (t_ns, time.time_ns()), [f"recreate {impairment.at}"])
    return Applied()
