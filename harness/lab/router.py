"""A router of the lab: its process in a namespace, and the routes that it has."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from types import TracebackType
from typing import Any

import msgspec
import trio

from harness.errors import LabError
from harness.lab.commands import LIMIT_S, find_tool
from harness.model.lab import MulticastRoute

_MODULE = "harness.lab.forwarding"
_MAX_ANSWER = 65_536


class Router:
    """Forwards multicast between the interfaces of a namespace while it is open.

    async with Router(namespace) as router: await router.add(route)
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._process: trio.Process | None = None
        self._routes: list[MulticastRoute] = []
        self._one_at_a_time = trio.Lock()

    @property
    def routes(self) -> list[MulticastRoute]:
        """The routes that it forwards by now."""
        return list(self._routes)

    async def __aenter__(self) -> Router:
        """Start the process.

        Raises:
          LabError: ip is missing.
        """
        command = [find_tool("ip"), "netns", "exec", self._namespace, sys.executable, "-m", _MODULE]
        self._process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process: its stdin ends, and what does not heed that is killed."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with trio.CancelScope(shield=True):
            await process.stdin.aclose()
            with trio.move_on_after(1):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdout.aclose()

    async def add(self, *routes: MulticastRoute) -> tuple[int, int]:
        """Forward by these routes; return the realtime before the first was in force and after the last, in ns.

        Raises:
          LabError: the process is gone, or the kernel refuses; names the route.
        """
        times = await self._ask("add", routes)
        self._routes += [route for route in routes if route not in self._routes]
        return times

    async def remove(self, *routes: MulticastRoute) -> tuple[int, int]:
        """Forward by these routes no more; return the realtime before and after, in ns.

        Raises:
          LabError: as `add`.
        """
        times = await self._ask("remove", routes)
        self._routes = [route for route in self._routes if route not in routes]
        return times

    async def _ask(self, verb: str, routes: tuple[MulticastRoute, ...]) -> tuple[int, int]:
        line = json.dumps({verb: [_bare(route) for route in routes]})
        async with self._one_at_a_time:
            answer = await self._answer(f"{line}\n".encode())
        if "error" in answer:
            raise LabError(f"the router in {self._namespace} cannot {verb} a route: {answer['error']}")
        return int(answer["t_ns"]), int(answer["t_done_ns"])

    async def _answer(self, request: bytes) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        received = b""
        with trio.move_on_after(LIMIT_S), contextlib.suppress(trio.BrokenResourceError, ValueError):
            await process.stdin.send_all(request)
            while not received.endswith(b"\n") and len(received) < _MAX_ANSWER:
                part = await process.stdout.receive_some()
                if not part:
                    break
                received += bytes(part)
            answer = json.loads(received)
            if isinstance(answer, dict):
                return answer
        raise LabError(f"the router in {self._namespace} gives no answer; its process has ended or hangs")


def _bare(route: MulticastRoute) -> dict[str, Any]:
    """Return a route with the names of interfaces alone: "router:left" is "left" there."""
    fields: dict[str, Any] = msgspec.to_builtins(route)
    fields["incoming"] = route.incoming.rpartition(":")[2]
    fields["outgoing"] = [place.rpartition(":")[2] for place in route.outgoing]
    return fields
