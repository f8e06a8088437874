"""Meters: how many datagrams of each group pass each end of each cable, counted by the kernel (nftables, netdev)."""

from __future__ import annotations

from collections import deque
from typing import Any

from harness.lab.commands import run_json, run_tool
from harness.lab.layout import End, Layout
from harness.model import Endpoint, parse_endpoint
from harness.model.lab_record import Path
from harness.model.scenario import Scenario
from protocols.probe import FLAG_END

TABLE = "harness_meter"
OTHER = "other"
_EARLY, _LATE = -400, 400
"""Outgoing datagrams are counted before any impairment of that end, incoming ones after it."""


def groups_of(scenario: Scenario) -> list[Endpoint]:
    """Return the groups of a scenario's streams, each once."""
    return list(dict.fromkeys(parse_endpoint(stream.group) for stream in scenario.stream))


class Meters:
    """The meters of one lab."""

    def __init__(self, layout: Layout, groups: list[Endpoint]) -> None:
        self._layout, self._groups = layout, groups
        self._ends = [end for cable in layout.cables for end in cable.ends]

    async def install(self) -> None:
        """Put a meter at every end of every cable.

        Raises:
          LabError: nft is missing or refuses.
        """
        for namespace in self._layout.own_namespaces():
            ends = [end for end in self._ends if end.namespace == namespace]
            if ends:
                await self._add(namespace, ends)

    async def attach(self, place: str) -> None:
        """Put the meters back at both ends of a cable that was made anew; they count on."""
        for end in self._layout.ends(place):
            await self._add(end.namespace, [end])

    async def _add(self, namespace: str, ends: list[End]) -> None:
        lines = [f"add table netdev {TABLE}"]
        for end in ends:
            for direction in ("in", "out"):
                lines += self._chain(end, direction)
        await run_tool("ip", "netns", "exec", namespace, "nft", "-f", "-", text="\n".join([*lines, ""]))

    def _chain(self, end: End, direction: str) -> list[str]:
        """Return the lines of one meter; a chain that outlived its interface, as newer kernels keep it, starts anew."""
        hook, priority = ("ingress", _LATE) if direction == "in" else ("egress", _EARLY)
        chain = f"netdev {TABLE} {direction}_{_plain(end.interface)}"
        head = f'type filter hook {hook} device "{end.interface}" priority {priority}; policy accept;'
        lines = [f"add chain {chain} {{ {head} }}", f"flush chain {chain}"]
        for place, group in enumerate(self._groups):
            for which, condition in _FLAGS.items():
                counter = _counter(end, direction, place, which)
                lines += [
                    f"add counter netdev {TABLE} {counter}",
                    f"add rule {chain} {_match(group)} {condition} counter name {counter} accept",
                ]
        other = f"other_{direction}_{_plain(end.interface)}"
        lines += [f"add counter netdev {TABLE} {other}", f"add rule {chain} meta l4proto udp counter name {other}"]
        return lines

    async def read(self) -> dict[str, dict[str, int]]:
        """Return the counts by point, "rx:eth0 in", and group.

        End packets stand apart, under `ends_of(group)`, and all other UDP packets under OTHER, later fragments of
        datagrams among them.
        """
        found: dict[str, dict[str, int]] = {}
        for namespace in self._layout.own_namespaces():
            ends = [end for end in self._ends if end.namespace == namespace]
            if not ends:
                continue
            answer = await run_json("ip", "netns", "exec", namespace, "nft", "-j", "list", "counters")
            counts = _counts(answer)
            for end in ends:
                for direction in ("in", "out"):
                    found[f"{end.place} {direction}"] = {
                        name: counts.get(_counter(end, direction, place, which), 0)
                        for place, group in enumerate(self._groups)
                        for which, name in (("data", str(group)), ("ends", ends_of(str(group))))
                    }
                    other = counts.get(f"other_{direction}_{_plain(end.interface)}", 0)
                    found[f"{end.place} {direction}"][OTHER] = other
        return found


def ends_of(group: str) -> str:
    """Return under which name the packets stand that tell a stream's end: they are no part of its numbering."""
    return f"{group} ends"


_FLAGS_AT = 8 * (8 + 6)
"""Of the probe's flags behind the UDP header, in bits."""
_FLAGS = {
    "data": f"@th,{_FLAGS_AT},16 & {FLAG_END} == 0",
    "ends": f"@th,{_FLAGS_AT},16 & {FLAG_END} == {FLAG_END}",
}


def _counter(end: End, direction: str, place: int, which: str) -> str:
    return f"{which}_{direction}_{_plain(end.interface)}_{place}"


def _plain(interface: str) -> str:
    """Return an interface's name as nft takes names: letters, digits and underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in interface)


def _match(group: Endpoint) -> str:
    """Match whole datagrams and first fragments: the others carry no port."""
    family = "ip6" if group.version == 6 else "ip"
    return f"{family} daddr {group.address} udp dport {group.port}"


def _counts(answer: dict[str, Any]) -> dict[str, int]:
    counters = [entry["counter"] for entry in answer.get("nftables", []) if "counter" in entry]
    return {item["name"]: item["packets"] for item in counters if item["table"] == TABLE}


def paths_of(scenario: Scenario, layout: Layout) -> list[Path]:
    """Return the shortest way of every stream to every receiver that wants it, over switches and routers."""
    found = []
    for stream in scenario.stream:
        for receiver in scenario.receiver:
            if parse_endpoint(stream.group) not in [parse_endpoint(group) for group in receiver.groups]:
                continue
            start, goal = _machine(layout, stream.host), _machine(layout, receiver.host)
            points = _points(layout, start, goal, stream.interface, receiver.interface)
            if points:
                found.append(
                    Path(
                        group=str(parse_endpoint(stream.group)),
                        sender=start,
                        receiver=f"{receiver.host}/{receiver.name}" if receiver.name else str(receiver.host),
                        points=points,
                    )
                )
    return found


def _machine(layout: Layout, name: str | None) -> str:
    host = next((host for host in layout.hosts if host.name == name), None)
    return host.shares if host is not None and host.shares is not None else name or ""


def _points(layout: Layout, start: str, goal: str, first: str | None, last: str | None) -> list[str]:
    """Return the points from one machine to another; [] when there is no way, or both are one."""
    waiting: deque[tuple[str, list[str]]] = deque([(start, [])])
    seen = {start}
    passing = {host.name for host in layout.hosts if host.kind == "router"} | {s.name for s in layout.switches}
    while waiting:
        owner, points = waiting.popleft()
        for end in layout.ends_of(owner):
            if owner == start and first not in (None, end.interface):
                continue
            other = layout.ends(end.place)[1]
            further = [*points, f"{end.place} out", f"{other.place} in"]
            if other.owner == goal and last in (None, other.interface):
                return further
            if other.owner in passing and other.owner not in seen:
                seen.add(other.owner)
                waiting.append((other.owner, further))
    return []
