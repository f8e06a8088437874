"""Shape: an interface that sends at a rate at most, from a queue that overflows (tbf, a token bucket)."""

from __future__ import annotations

from typing import Any

import trio

from harness.errors import LabError, UsageError
from harness.lab.commands import run_json
from harness.lab.impairments.applied import Applied, Counts
from harness.lab.impairments.moment import Deeds, Script, run_script
from harness.lab.place import Lab
from harness.model.lab import Shape
from harness.units import parse_rate, parse_size

_LINK_HEADER = 18
"""Ethernet with a VLAN tag; what tbf counts has the header and no preamble."""
_OPEN = "rate 10gbit burst 1mb"
_DRAINED_S = 1.0
_POLL_S = 0.002


async def shape(impairment: Shape, lab: Lab, deeds: Deeds) -> Applied:
    """Limit what an interface sends; undone, the queue is let out before it goes, so that nothing is lost uncounted.

    Raises:
      UsageError: a rate in packets per second.
      LabError: tc is missing or refuses, or the interface is shaped already.
    """
    namespace, interface = lab.interface(impairment.at)
    rate, queue = parse_rate(impairment.rate), parse_size(impairment.queue)
    if rate.bps is None:
        raise UsageError(f"an interface is shaped by bits per second, not by {impairment.rate!r}; write 2Mbit/s")
    (link,) = await run_json("ip", "-j", "-n", namespace, "link", "show", "dev", interface)
    packet = int(link["mtu"]) + _LINK_HEADER
    device = f"dev {interface} root"
    limits = f"limit {max(queue, packet)}"
    setting = f"tbf rate {round(rate.bps)}bit burst {packet} {limits}"
    final: Counts = {}
    is_over = False

    async def undo() -> None:
        nonlocal is_over
        await deeds.enact("undo", Script("tc", namespace, (f"qdisc change {device} tbf {_OPEN} {limits}",)))
        await _drain(namespace, interface)
        final.update(await counted())
        is_over = True
        await run_script(Script("tc", namespace, (f"qdisc del {device}",)))

    async def counted() -> Counts:
        if is_over:
            return dict(final)
        n_dropped = int((await _queue(namespace, interface))["drops"])
        return {"dropped queue": n_dropped} if n_dropped else {}

    await deeds.enact("apply", Script("tc", namespace, (f"qdisc add {device} {setting}",)))
    return Applied(undo, counted)


async def _drain(namespace: str, interface: str) -> None:
    """Wait until the queue is empty; what the interface does not send within a second is lost with it."""
    with trio.move_on_after(_DRAINED_S):
        while True:
            if not (await _queue(namespace, interface))["backlog"]:
                return
            await trio.sleep(_POLL_S)


async def _queue(namespace: str, interface: str) -> dict[str, Any]:
    """Return the statistics of the interface's token bucket."""
    found: Any = await run_json("tc", "-s", "-j", "-n", namespace, "qdisc", "show", "dev", interface, "root")
    for queue in found:
        if queue.get("kind") == "tbf":
            return dict(queue)
    raise LabError(f"the token bucket of {interface} in {namespace} is gone: somebody else removed it")
