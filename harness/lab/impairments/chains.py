"""The parts of an nftables table as text: hooks, the chain that counts and acts, and the chains that select."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.lab.commands import run_json
from harness.lab.impairments.selection import FRAGMENTS, MLD_TYPES

_KINDS = {
    "fragment": FRAGMENTS,
    "udp": ("meta l4proto udp",),
    "igmp": ("ip protocol igmp",),
    "mld": (f"icmpv6 type {MLD_TYPES}",),
    "other": ("",),
}
"""What packets are counted as: the first expression that a packet meets."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a chain stands, and the expression that its packets must meet beside."""

    namespace: str
    family: Literal["netdev", "inet"]
    line: str
    only: str = ""


def device_hook(end: tuple[str, str], hook: Literal["ingress", "egress"]) -> Hook:
    """Return the hook of an interface, given as (namespace, name)."""
    namespace, interface = end
    return Hook(namespace, "netdev", f'type filter hook {hook} device "{interface}" priority 0;')


def counters(verb: str) -> list[str]:
    """Return the counters of what is done: c_dropped_udp and so on."""
    return [f"counter c_{verb}_{kind} {{ }}" for kind in _KINDS]


def act(verb: str, statement: str, unless: list[str]) -> list[str]:
    """Return the chain "act", which decides over a packet that is meant, counts it and does the deed."""
    rules = list(unless)
    for kind, expressions in _KINDS.items():
        rules += [f'{expression} counter name "c_{verb}_{kind}" {statement}'.strip() for expression in expressions]
    return ["chain act {", *rules, "}"]


def empty_chain(name: str, hook: Hook) -> list[str]:
    """Return a chain at a hook, without rules."""
    return [f"chain {name} {{", hook.line, "}"]


def rules_of(name: str, hook: Hook, rules: list[str]) -> list[str]:
    """Return the effects that fill a chain at a hook."""
    return [f"rule {name} {hook.only} {rule}" for rule in rules]


async def bridge_of(namespace: str, interface: str) -> str | None:
    """Return the bridge that an interface is a port of, None when it is no port.

    Raises:
      LabError: no such interface.
    """
    (link,) = await run_json("ip", "-j", "-n", namespace, "link", "show", "dev", interface)
    master = link.get("master")
    return None if master is None else str(master)
