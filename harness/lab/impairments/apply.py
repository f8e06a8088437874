"""One function for every kind of impairment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from harness.lab.impairments import links, packets, routes, switches
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.block import block
from harness.lab.impairments.lifetime import limit_lifetime
from harness.lab.impairments.moment import Deeds, Log
from harness.lab.impairments.queries import send_queries
from harness.lab.impairments.shape import shape
from harness.lab.impairments.unroute import unroute
from harness.lab.place import Lab
from harness.model import lab as model

_KINDS: dict[type, Callable[[Any, Lab, Deeds], Awaitable[Applied]]] = {
    model.Drop: packets.drop,
    model.Duplicate: packets.duplicate,
    model.Lifetime: limit_lifetime,
    model.Shape: shape,
    model.LinkDown: links.pull,
    model.Recreate: links.recreate,
    model.SwitchSetting: switches.set_switch,
    model.Flush: switches.flush,
    model.Query: send_queries,
    model.RouteChange: routes.change_routes,
    model.AddressChange: routes.change_addresses,
    model.Block: block,
    model.Unroute: unroute,
}


async def apply(impairment: model.Impairment, lab: Lab, *, log: Log) -> Applied:
    """Put an impairment in force.

    Args:
      impairment: what is done, and where.
      lab: the lab, which stands.
      log: takes a record of the truth log for each change, also for the undo's.

    Returns:
      What ends it and counts what it did.

    Raises:
      UsageError: it contradicts itself, or means something that no kernel does.
      LabError: a tool, a privilege or a kernel feature is missing; the lab is as it was.
    """
    struct = impairment.__struct_config__
    return await _KINDS[type(impairment)](impairment, lab, Deeds(log, str(struct.tag), _place(impairment)))


def _place(impairment: model.Impairment) -> str:
    """Return where it is done, as the scenario writes it."""
    names = ("at", "switch", "host", "router")
    return next(str(getattr(impairment, name)) for name in names if hasattr(impairment, name))
