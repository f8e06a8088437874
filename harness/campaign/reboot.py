"""How a machine is rebooted: this one, or a host behind ssh while this one stays up. Nothing here asks twice.

`Rebooter` is what a campaign needs of it; whoever can reboot another machine (a guest, a board behind a relay) offers
`RemoteRebooter`, and passes it in `Asked`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import trio

from harness.model.campaign import RemoteHost
from harness.units import NS_PER_S, format_duration, parse_duration

GRACE_S = 120.0
"""A machine that was told to reboot and still runs after this will not."""
_POLL_S = 2.0
_ANSWER_S = 20.0

_COMMANDS = {
    "linux": ["systemctl", "reboot"],
    "darwin": ["shutdown", "-r", "now"],
    "win32": ["shutdown", "/r", "/t", "0"],
}


@dataclass(frozen=True, slots=True)
class Rebooted:
    """What came of a reboot: the new boot id, "" when this very machine goes down; or why not."""

    boot_id: str | None
    reason: str = ""
    is_hung: bool = False


class Rebooter(Protocol):
    """Something that can be rebooted."""

    async def reboot(self, boot_id: str) -> Rebooted:
        """Reboot it, out of the boot with this id; return once it is back, hangs, or did not go down at all."""


@runtime_checkable
class RemoteRebooter(Rebooter, Protocol):
    """Another machine, which this one outlives: a host behind ssh, a guest, a board behind a relay."""

    async def boot_id(self) -> str | None:
        """Return the boot that it is in; None when it does not answer."""


def reboot_command(platform: str = sys.platform) -> list[str]:
    """Return the system's command.

    >>> reboot_command("win32")
    ['shutdown', '/r', '/t', '0']
    """
    return _COMMANDS.get(platform, _COMMANDS["linux"])


class LocalRebooter:
    """This machine. The program that called ends with it, and is started again by its unit.

    Attributes:
      command: the system's.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        execute: Callable[[Sequence[str]], int] | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        """Make one; `execute` runs a command and returns its exit code, for tests."""
        self.command = list(command if command is not None else reboot_command())
        self._execute = execute or _execute
        self._grace_s = grace_s

    async def reboot(self, boot_id: str) -> Rebooted:
        """Run the command, and wait for the end of this process; returning means that the machine did not go down."""
        try:
            code = await trio.to_thread.run_sync(self._execute, self.command)
        except (OSError, subprocess.SubprocessError) as exc:
            return Rebooted(None, f"{' '.join(self.command)} cannot be run: {exc}")
        if code:
            return Rebooted(None, f"{' '.join(self.command)} ended with {code}; it usually takes root")
        await trio.sleep(self._grace_s)
        return Rebooted(None, f"still in boot {boot_id} {self._grace_s:.0f} s after {' '.join(self.command)}")


def _execute(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False, timeout=60).returncode


class SshRebooter:
    """A host behind OpenSSH, with the options and the errors of `harness.hosts`.

    Attributes:
      host: as the campaign file names it.
    """

    def __init__(self, host: RemoteHost, *, poll_s: float | None = None) -> None:
        self.host = host
        self._poll_s = poll_s if poll_s is not None else _POLL_S

    async def boot_id(self) -> str | None:
        """Return the boot that the host is in; None when it does not answer."""
        try:
            with trio.fail_after(_ANSWER_S):
                done = await self._run(_BOOT_ID)
        except (trio.TooSlowError, OSError):
            return None
        found = done.stdout.decode(errors="replace").strip()
        return found if done.returncode == 0 and found else None

    async def reboot(self, boot_id: str) -> Rebooted:
        """Run the reboot command there and wait for another boot id, for as long as `back_within` says."""
        limit_ns = parse_duration(self.host.back_within)
        try:
            with trio.move_on_after(_ANSWER_S):
                done = await self._run(self.host.reboot_command)
                if done.returncode not in (0, 255):  # ssh's own 255: the host went down before it could answer
                    said = done.stderr.decode(errors="replace").strip().splitlines()
                    return Rebooted(None, f"{' '.join(self.host.reboot_command)}: {said[-1] if said else 'failed'}")
        except OSError as exc:
            return Rebooted(None, f"ssh cannot be started: {exc.strerror}")
        with trio.move_on_after(limit_ns / NS_PER_S):
            while True:
                await trio.sleep(self._poll_s)
                now = await self.boot_id()
                if now is not None and now != boot_id:
                    return Rebooted(now)
        if await self.boot_id() == boot_id:
            return Rebooted(None, f"{self.host.name} is still in boot {boot_id}")
        return Rebooted(None, f"not back within {format_duration(limit_ns)}", is_hung=True)

    async def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        from harness.hosts import SshHost  # a machine that reboots itself starts without it

        host = self.host
        ssh = SshHost(
            host.name,
            host.python or "python3",
            "",
            host.address or "",
            user=host.user,
            port=host.port,
            identity=host.identity,
            known_hosts=host.known_hosts,
        )
        words = [*ssh.command()[:-1], shlex.join(command)]  # the agent's command is the last word of its own
        return await trio.run_process(words, stdin=b"", capture_stdout=True, capture_stderr=True, check=False)


_BOOT_ID = ["sh", "-c", "cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid"]
