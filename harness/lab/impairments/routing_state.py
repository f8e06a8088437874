"""The addresses and routes that a change takes along with what it was meant to take, and putting them back.

An address that goes takes its routes with it, and so does an interface that is switched off; neither brings them
back. The kernel's own routes (proto kernel, table local) come back by themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.lab.commands import run_json, run_tool
from harness.lab.impairments.moment import Script, run_script

_SHOWN_ONLY = re.compile(r" (?:linkdown|dead|offload|trap|rt_offload|rt_trap)\b| expires -?\d+sec| error -?\d+")
"""What `ip route show` says of a route and `ip route add` does not take."""


@dataclass(frozen=True)
class RoutingState:
    """What a namespace had at one time.

    Attributes:
      routes: of both IP versions as `ip route add` takes them, in order.
      addresses: (interface, address with prefix length, line for `ip address add`), in order.
    """

    namespace: str
    routes: tuple[str, ...]
    addresses: tuple[tuple[str, str, str], ...]

    async def restore(self, keep_out: frozenset[str] = frozenset()) -> None:
        """Put back what is gone: addresses first, since routes need them.

        Args:
          keep_out: addresses with prefix length that are not to be put back.

        Raises:
          LabError: the kernel refuses, as when the interface itself is gone.
        """
        now = await routing_state(self.namespace)
        held = {(interface, address) for interface, address, _ in now.addresses}
        lines = [
            line
            for interface, address, line in self.addresses
            if (interface, address) not in held and address not in keep_out
        ]
        await run_script(Script("ip", self.namespace, tuple(lines)))
        if lines:
            now = await routing_state(self.namespace)
        missing = tuple(f"route add {route}" for route in self.routes if route not in now.routes)
        await run_script(Script("ip", self.namespace, missing))


async def routing_state(namespace: str) -> RoutingState:
    """Return the addresses and routes of a namespace as they are.

    Raises:
      LabError: they cannot be read.
    """
    routes: list[str] = []
    for flag, default in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
        text = await run_tool("ip", "-o", flag, "-n", namespace, "route", "show", "table", "all")
        routes += [_as_added(line, default) for line in text.splitlines() if _is_settled_by_hand(line)]
    found: Any = await run_json("ip", "-j", "-n", namespace, "address", "show")
    addresses = []
    for link in found:
        for info in link.get("addr_info", ()):
            address = f"{info['local']}/{info['prefixlen']}"
            if not info.get("dynamic") and info.get("protocol") != "kernel_ll":
                addresses.append((link["ifname"], address, _address_line(link["ifname"], address, info)))
    return RoutingState(namespace, tuple(routes), tuple(addresses))


def _is_settled_by_hand(line: str) -> bool:
    return " proto kernel" not in line and " table local" not in line


def _as_added(line: str, default: str) -> str:
    """Return a shown route as one that can be added: "default" is ambiguous, some words are for show."""
    words = _SHOWN_ONLY.sub("", line.replace("\\", " ")).split()
    return " ".join(default if word == "default" else word for word in words)


def _address_line(interface: str, address: str, info: dict[str, Any]) -> str:
    words = ["address", "add", address, "dev", interface, "scope", info.get("scope", "global")]
    if info["family"] == "inet6":
        return " ".join([*words, "nodad"])
    for option, word in (("broadcast", "broadcast"), ("label", "label")):
        if option in info:
            words += [word, info[option]]
    return " ".join(words)
