"""A lab that stands: built from its layout, changed while it runs, and gone when the program leaves it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import trio

from harness.errors import LabError, ungrouped
from harness.lab.cgroups import make as make_cgroup
from harness.lab.commands import run_json, run_tool
from harness.lab.journal import Journal, destroy
from harness.lab.layout import (
    BRIDGE,
    Cable,
    End,
    Layout,
    bridge_lines,
    cable_line,
    end_lines,
    make_layout,
    querier_line,
    settings_of,
)
from harness.lab.router import Router
from harness.lab.wire import End as WireEnd
from harness.lab.wire import Wire, parse_wire
from harness.model.lab import Block, Switch
from harness.model.scenario import Host, Scenario
from harness.units import NS_PER_S, parse_duration

READY_S = 10.0
"""How long links and addresses may take to come up; the kernel works out a link's state within a second."""

_POLL_S = 0.02


class LabTopology:
    """The hosts, switches and cables of one lab; made by `open_lab`.

    Args:
      layout: what stands where.
      journal: of what is made.
      folder: for the truth of its wires.

    Attributes:
      layout: as given.
      wires: the user-space wires, by the place of their cable's first end.
    """

    def __init__(self, layout: Layout, journal: Journal, folder: Path) -> None:
        self.layout, self._journal, self._folder = layout, journal, folder
        self.wires: dict[str, Wire] = {}
        self._cgroups: dict[str, Path] = {}
        self._agents: dict[str, list[int]] = {}
        self._routers: dict[str, Router] = {}
        self._made: list[tuple[str, str]] = []

    def namespace(self, host_or_switch: str) -> str:
        """Return the network namespace of a host or a switch."""
        return self.layout.namespaces[host_or_switch]

    def interface(self, place: str) -> tuple[str, str]:
        """Return the namespace and the name of an interface."""
        end, _ = self.layout.ends(place)
        return end.namespace, end.interface

    def far_end(self, place: str) -> tuple[str, str]:
        """Return the other end of the cable at an interface."""
        _, other = self.layout.ends(place)
        return other.namespace, other.interface

    def bridge(self, switch: str) -> tuple[str, str]:
        """Return the namespace and the bridge of a switch."""
        return self.layout.namespaces[switch], BRIDGE

    def addresses(self, place: str) -> list[str]:
        """Return the addresses that an interface was given, with prefix length."""
        return list(self.layout.ends(place)[0].addresses)

    def cgroup(self, host: str) -> Path | None:
        """Return the cgroup that a host's agent is started in, None for the program's own."""
        return self._cgroups.get(host)

    def agents(self, host: str) -> list[int]:
        """Return the processes of a host's agents."""
        return self._agents.get(host, [])

    def note_agent(self, host: str, pid: int) -> None:
        """Take note of a process that a host runs."""
        self._agents.setdefault(host, []).append(pid)

    def router(self, host: str) -> Router:
        """Return the process that forwards on a router."""
        return self._routers[host]

    async def recreate(self, place: str) -> None:
        """Delete an interface and make it anew, with its cable, addresses and routes."""
        end, _ = self.layout.ends(place)
        cable = next(cable for cable in self.layout.cables if end in cable.ends)
        await run_tool("ip", "-n", end.namespace, "link", "delete", "dev", end.interface)
        await run_tool("ip", "-batch", "-", text=cable_line(cable) + "\n")
        for one in cable.ends:
            await self._configure(one, cable)
        host = next((host for host in self.layout.machines() if host.name == end.owner), None)
        if host is not None:
            await self._add_routes(host, replace=True)

    async def build(self, stack: contextlib.AsyncExitStack) -> None:
        """Make everything; `stack` ends the processes that belong to it.

        Raises:
          LabError: a tool or a privilege is missing, or a command failed.
        """
        layout = self.layout
        for name in layout.own_namespaces():
            self.own("namespace", name)
        await run_tool("ip", "-batch", "-", text="".join(f"netns add {name}\n" for name in layout.own_namespaces()))
        hosts = {host.name: host for host in layout.machines()}
        owners = [*hosts, *self._switches]
        await together(self._set_up, [(layout.namespaces[owner], hosts.get(owner)) for owner in owners])
        plain = [cable for cable in layout.cables if cable.link.wire is None]
        await run_tool("ip", "-batch", "-", text="".join(f"{cable_line(cable)}\n" for cable in plain))
        for cable in layout.cables:
            if cable.link.wire is not None:
                self.wires[cable.first.place] = await stack.enter_async_context(self._wire(cable))
        for number, switch in enumerate(layout.switches):
            await _batch(layout.namespaces[switch.name], bridge_lines(switch, number))
        await together(self._configure, [(end, cable) for cable in layout.cables for end in cable.ends])
        for host in layout.machines():
            await self._add_routes(host)
        for switch in layout.switches:
            await _batch(layout.namespaces[switch.name], [querier_line(switch)])
        for host in layout.hosts:
            if host.kind == "router":
                router = Router(layout.namespaces[host.name])
                self._routers[host.name] = await stack.enter_async_context(router)
                for route in host.multicast_routes:
                    await router.add(route)

    def _wire(self, cable: Cable) -> Wire:
        ends = [WireEnd(end.namespace, end.interface) for end in cable.ends]
        spec = parse_wire(cable.link.wire or {}, f"link of {cable.first.place}, wire")
        return Wire(spec, ends, self._folder / f"wire-{len(self.wires) + 1}.jsonl")

    @property
    def _switches(self) -> dict[str, Switch]:
        return {switch.name: switch for switch in self.layout.switches}

    def make_cgroup(self, host: str) -> None:
        """Make a cgroup for a host's agent.

        Raises:
          LabError: the system has none to give.
        """
        name = f"{self.layout.token}-{host}"
        path = make_cgroup(name)
        if path is None:
            raise LabError("this scenario blocks a program by its cgroup, and cgroup v2 is not writable here; try root")
        self.own("cgroup", str(path))
        self._cgroups[host] = path

    def own(self, kind: str, name: str) -> None:
        """Take note of something that is to go with the lab: "namespace" or "cgroup", and its name."""
        self._journal.add(kind, name)
        self._made.append((kind, name))

    async def _set_up(self, namespace: str, host: Host | None) -> None:
        """Set a namespace's kernel settings, before any interface is there to inherit others."""
        settings = settings_of(host)
        writes = "\n".join(f"echo {value} > /proc/sys/{key.replace('.', '/')}" for key, value in settings.items())
        await run_tool("ip", "netns", "exec", namespace, "sh", "-e", "-s", text=f"{writes}\n")
        await run_tool("ip", "-n", namespace, "link", "set", "dev", "lo", "up")

    async def _configure(self, end: End, cable: Cable) -> None:
        await _batch(end.namespace, end_lines(end, cable.link))
        switch = self._switches.get(end.owner)
        if switch is not None and not switch.flood:
            await run_tool("bridge", "-n", end.namespace, "link", "set", "dev", end.interface, "mcast_flood", "off")

    async def _add_routes(self, host: Host, *, replace: bool = False) -> None:
        do = "replace" if replace else "add"
        lines = [f"{'-6 ' if ':' in route else ''}route {do} {route}" for route in host.routes]
        rules = [] if replace else [f"{'-6 ' if ':' in rule else ''}rule add {rule}" for rule in host.rules]
        for family in ("", "-6 "):
            chosen = [line.removeprefix("-6 ") for line in [*lines, *rules] if line.startswith("-6 ") == bool(family)]
            if chosen:
                await _batch(self.layout.namespaces[host.name], chosen, family.strip())

    async def wait_until_ready(self) -> None:
        """Wait until every link is up and every querier has asked and been heard of.

        Raises:
          LabError: that does not happen in time; names what is missing.
        """
        waiting = [(end.namespace, end.interface, end.place) for cable in self.layout.cables for end in cable.ends]
        with trio.move_on_after(READY_S):
            while waiting:
                waiting = [item for item in waiting if not await _is_up(item[0], item[1])]
                await trio.sleep(_POLL_S if waiting else 0)
        if waiting:
            raise LabError(f"{waiting[0][2]} did not come up within {READY_S:.0f} s")
        answers = [parse_duration(switch.response_interval) for switch in self.layout.switches if switch.querier]
        # a bridge floods until the answers to its first query had their time: what is sent then says nothing
        await trio.sleep(max(answers, default=0) / NS_PER_S + 0.05)

    def recipe(self) -> str:
        """Return the commands that make this lab, as a person would type them; wires and routers are left out."""
        layout = self.layout
        lines = [f"ip netns add {name}" for name in layout.own_namespaces()]
        lines += [f"ip {cable_line(cable)}" for cable in layout.cables if cable.link.wire is None]
        for number, switch in enumerate(layout.switches):
            lines += [f"ip -n {layout.namespaces[switch.name]} {line}" for line in bridge_lines(switch, number)]
        lines += [
            f"ip -n {end.namespace} {line}"
            for cable in layout.cables
            for end in cable.ends
            for line in end_lines(end, cable.link)
        ]
        lines += [
            f"ip -n {layout.namespaces[host.name]} route add {route}"
            for host in layout.machines()
            for route in host.routes
        ]
        lines += [
            f"ip -n {layout.namespaces[host.name]} rule add {rule}" for host in layout.machines() for rule in host.rules
        ]
        lines += [f"ip -n {layout.namespaces[switch.name]} {querier_line(switch)}" for switch in layout.switches]
        return "\n".join(lines) + "\n"

    def remove(self) -> None:
        """Remove everything by name."""
        for kind, name in reversed(self._made):
            destroy(kind, name)
        self._journal.close()


@contextlib.asynccontextmanager
async def open_lab(
    scenario: Scenario, folder: Path, *, journal_folder: Path | None = None
) -> AsyncIterator[LabTopology]:
    """Build a scenario's lab, wait until it is ready, and remove it afterwards.

    Args:
      scenario: parsed and checked.
      folder: where its wires write their truth, "wire-1.jsonl".
      journal_folder: where its names are kept; None for the user's state directory.

    Raises:
      LabError: it cannot be built; nothing of it stays.
    """
    token = f"mh{secrets.token_hex(4)}"
    topology = LabTopology(make_layout(scenario, token), Journal(token, journal_folder), folder)
    try:
        async with contextlib.AsyncExitStack() as stack:
            await topology.build(stack)
            for host in blocked_hosts(scenario):
                topology.make_cgroup(host)
            await topology.wait_until_ready()
            yield topology
    finally:
        topology.remove()


def blocked_hosts(scenario: Scenario) -> list[str]:
    """Return the hosts whose programs are to be blocked by their cgroup."""
    return sorted({event.impair.host for event in scenario.event if isinstance(event.impair, Block)})


async def together(do: Callable[..., Awaitable[None]], items: Iterable[tuple[object, ...]]) -> None:
    """Do something with all items at once.

    Raises:
      LabError: the first that failed.
    """
    with ungrouped():
        async with trio.open_nursery() as nursery:
            for arguments in items:
                nursery.start_soon(do, *arguments)


async def _batch(namespace: str, lines: list[str], family: str = "") -> None:
    flags = [family] if family else []
    await run_tool("ip", *flags, "-n", namespace, "-batch", "-", text="".join(f"{line}\n" for line in lines))


async def _is_up(namespace: str, interface: str) -> bool:
    found = await run_json("ip", "-j", "-n", namespace, "link", "show", "dev", interface)
    # a TAP device has no carrier of its own to tell
    return bool(found) and found[0].get("operstate") in ("UP", "UNKNOWN")
