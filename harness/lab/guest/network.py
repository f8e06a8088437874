"""The lab of one guest: a switch and a sender, each in a network namespace without a name.

A namespace lives as long as a process in it. The process that holds one here is killed by the kernel when this program
ends, however it ends, so there is nothing to clean up afterwards, by name or otherwise.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import LabError
from harness.lab.commands import run_tool
from harness.lab.guest import tools

HOLD_S = 5.0


@dataclass(frozen=True, slots=True)
class SwitchPlace:
    """Where a guest's cable ends: a bridge of this machine.

    Attributes:
      namespace: path of the bridge's network namespace: "/run/netns/NAME" or "/proc/PID/ns/net".
      bridge: its name there.
    """

    namespace: str
    bridge: str


def orphanless(*command: str) -> list[str]:
    """Return a command that the kernel kills when the thread ends that started it (prctl(2), PR_SET_PDEATHSIG)."""
    return [tools.find("setpriv"), "--pdeathsig", "KILL", "--", *command]


def inside(namespace: str, *command: str) -> list[str]:
    """Return a command that runs in a network namespace; nothing stands between it and its parent."""
    return [tools.find("nsenter"), f"--net={namespace}", "--", *command]


async def run_ip(namespace: str, *arguments: str) -> str:
    """Run iproute2's command in a network namespace and return what it prints.

    Raises:
      LabError: it fails.
    """
    return await run_tool(*inside(namespace, tools.find("ip"), *arguments))


class HeldNamespace:
    """A network namespace without a name; gone with this program.

    Raises:
      LabError: this user may not make one.
    """

    def __init__(self) -> None:
        command = orphanless(tools.find("unshare"), "--net", "--", tools.find("sleep"), "infinity")
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        own, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + HOLD_S
        while self._holder.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if os.readlink(self.path) != own and Path(f"/proc/{self.pid}/comm").read_text().strip() == "sleep":
                    return
            time.sleep(0.002)
        self._holder.kill()
        _, said = self._holder.communicate()
        raise LabError(f"cannot make a network namespace: {said.decode(errors='replace').strip()}; it takes root")

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    async def ip(self, *arguments: str) -> str:
        """Run iproute2's command inside; see `run_ip`."""
        return await run_ip(self.path, *arguments)

    def close(self) -> None:
        """Let go of it; it is gone when the last other process in it has ended."""
        self._holder.kill()
        self._holder.communicate()


class GuestNetwork:
    """A switch with snooping and a sender on it; guests join by their own cables.

    Attributes:
      switch: where a guest's cable ends. sender: the sender's namespace; its interface is `SENDER_INTERFACE`.
    """

    BRIDGE, SENDER_INTERFACE, SENDER_ADDRESS = "br0", "tx0", "10.77.0.1/24"
    TIMERS = (
        *("mcast_igmp_version", "3", "mcast_mld_version", "2", "mcast_query_response_interval", "50"),
        *("mcast_query_interval", "200", "mcast_startup_query_interval", "100", "mcast_membership_interval", "600"),
        *("mcast_querier_interval", "600"),
    )
    """In hundredths of a second, each small enough that a boot of seconds sees several queries."""

    def __init__(self) -> None:
        self._switch = HeldNamespace()
        try:
            self.sender = HeldNamespace()
        except LabError:
            self._switch.close()
            raise
        self.switch = SwitchPlace(self._switch.path, self.BRIDGE)

    async def open(self) -> None:
        """Make the switch and the sender's cable."""
        switch, sender = self._switch, self.sender
        await switch.ip("link", "add", self.BRIDGE, "type", "bridge", "mcast_snooping", "1", *self.TIMERS)
        await switch.ip("link", "set", self.BRIDGE, "type", "bridge", "mcast_querier", "1")
        peer = ("peer", "name", self.SENDER_INTERFACE, "netns", str(sender.pid))
        await switch.ip("link", "add", "sender", "type", "veth", *peer)
        await switch.ip("link", "set", "sender", "master", self.BRIDGE, "up")
        await switch.ip("link", "set", self.BRIDGE, "up")
        await sender.ip("address", "add", self.SENDER_ADDRESS, "dev", self.SENDER_INTERFACE)
        await sender.ip("link", "set", self.SENDER_INTERFACE, "up")

    def start_sender(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program in the sender's namespace; what it says goes to a file."""
        words = inside(self.sender.path, *orphanless(*command))
        with log.open("wb") as output:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def close(self) -> None:
        """Let go of both namespaces."""
        self.sender.close()
        self._switch.close()
