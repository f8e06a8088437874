"""Unroute: a router forwards no group any more."""

from __future__ import annotations

from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds
from harness.lab.place import Lab
from harness.model.lab import MulticastRoute, Unroute


async def unroute(impairment: Unroute, lab: Lab, deeds: Deeds) -> Applied:
    """Have a router withdraw the routes that it has; undone, it has them again.

    Raises:
      LabError: the router's process is gone.
    """
    router = lab.router(impairment.router)
    routes = list(router.routes)
    commands = [_shown(route) for route in routes]
    deeds.write("apply", await router.remove(*routes), [f"remove {command}" for command in commands])

    async def undo() -> None:
        deeds.write("undo", await router.add(*routes), [f"add {command}" for command in commands])

    return Applied(undo)


def _shown(route: MulticastRoute) -> str:
    return f"({route.source}, {route.group}) {route.incoming} -> {' '.join(route.outgoing)}"
