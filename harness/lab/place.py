"""What an impairment needs to know of a lab: where a host, an interface or a switch lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.model.lab import MulticastRoute


class RouterHandle(Protocol):
    """A router's process, as an impairment asks it; `harness.lab.router.Router` is one."""

    @property
    def routes(self) -> list[MulticastRoute]:
        """The routes that it forwards by now."""

    async def add(self, *routes: MulticastRoute) -> tuple[int, int]:
        """Forward by these routes; return the realtime before the first was in force and after the last, in ns."""

    async def remove(self, *routes: MulticastRoute) -> tuple[int, int]:
        """Forward by these no more; return the realtime before and after."""


class Lab(Protocol):
    """A lab that stands.

    Places are written as in a scenario: "rx" a host, "rx:eth0" its interface, "sw" a switch.
    """

    def namespace(self, host_or_switch: str) -> str:
        """Return the name of a host's or a switch's network namespace, as `ip netns` knows it."""

    def interface(self, place: str) -> tuple[str, str]:
        """Return the namespace and the name of an interface."""

    def far_end(self, place: str) -> tuple[str, str]:
        """Return the other end of the cable at an interface: a switch's port, or another host's interface."""

    def bridge(self, switch: str) -> tuple[str, str]:
        """Return the namespace and the bridge of a switch."""

    def addresses(self, place: str) -> list[str]:
        """Return the addresses of an interface, with prefix length."""

    def cgroup(self, host: str) -> Path | None:
        """Return the cgroup that a host's agent was started in, None where cgroups are closed."""

    def agents(self, host: str) -> list[int]:
        """Return the processes of a host's agents."""

    def router(self, host: str) -> RouterHandle:
        """Return the process that forwards on a router."""

    async def recreate(self, place: str) -> None:
        """Delete an interface with its cable and make both again."""
