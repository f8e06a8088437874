"""Changes at a moment that is known: the tool is started and has read its first line before the clock is read.

A tool takes milliseconds to start and a fraction of one to change the kernel. So it is started first, on a pipe; a
comment is written, and when it has been taken out of the pipe, the tool stands in its reading loop. What is written
then takes effect between the two times that the truth log gets.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from harness.errors import LabError
from harness.lab.commands import LIMIT_S, answer_of, find_tool

Log = Callable[[dict[str, object]], None]
"""Takes one record of the truth log: {"t_ns", "t_done_ns", "do", "kind", "at", "commands"}."""

_COMMENT = b"#\n"
"""What all of ip, bridge, tc and nft skip."""
_POLL_S = 0.0003


@dataclass(frozen=True, slots=True)
class Script:
    """One tool in one namespace, and the lines that it reads: `ip`, `bridge` and `tc` in batches, `nft` as a file."""

    tool: str
    namespace: str
    lines: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The command that reads the lines from stdin."""
        if self.tool == "nft":
            return ["ip", "netns", "exec", self.namespace, find_tool("nft"), *self.flags, "-f", "-"]
        return [self.tool, *self.flags, "-n", self.namespace, "-batch", "-"]

    @property
    def text(self) -> str:
        """What the command reads."""
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def shown(self) -> list[str]:
        """How a person would do it, a line each; the truth log keeps it."""
        if self.tool == "nft":
            return [f"ip netns exec {self.namespace} nft -f -", *self.lines]
        return [" ".join([self.tool, *self.flags, "-n", self.namespace, line]) for line in self.lines]


@dataclass(frozen=True, slots=True)
class Deeds:
    """The truth log of one impairment."""

    log: Log
    kind: str
    at: str

    def write(self, do: str, times: tuple[int, int], commands: Sequence[str]) -> None:
        """Log that something took effect between two realtimes, in ns."""
        t_ns, t_done_ns = times
        record = {"t_ns": t_ns, "t_done_ns": t_done_ns, "do": do, "kind": self.kind, "at": self.at}
        self.log({**record, "commands": list(commands)})

    async def enact(self, do: str, *scripts: Script, recipe: Sequence[str] = ()) -> None:
        """Run scripts one after the other, all tools ready before the first begins, and log it.

        Scripts without lines are left out. `recipe` is what was prepared before, for the log's sake.

        Raises:
          LabError: a tool is missing, refuses, or is not done in time. What came before it has happened, and is not
            logged.
        """
        chosen = [script for script in scripts if script.lines]
        times = await _run(chosen) if chosen else (time.time_ns(),) * 2
        self.write(do, times, [*recipe, *(line for script in chosen for line in script.shown)])


async def run_script(script: Script) -> None:
    """Run a script whose moment nobody asks for.

    Raises:
      LabError: as `Deeds.enact`.
    """
    if script.lines:
        await _run([script])


class _Primed:
    """A tool that was started and waits for its lines."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._command = [find_tool(script.command[0]), *script.command[1:]]
        self._result: subprocess.CompletedProcess[bytes] | None = None
        self._done = trio.Event()
        self._stdin, self._feed = os.pipe2(os.O_CLOEXEC)

    async def run(self) -> None:
        """Run the tool to its end."""
        try:
            self._result = await trio.run_process(
                self._command,
                stdin=self._stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                start_new_session=True,  # a Ctrl-C is the program's to handle, and a change must not be torn
            )
        finally:
            self._done.set()

    async def wait_until_reading(self) -> None:
        """Wait until the tool has taken the comment out of the pipe, or has ended."""
        os.write(self._feed, _COMMENT)
        waiting = array.array("i", [1])
        while waiting[0] and not self._done.is_set():
            await trio.sleep(_POLL_S)
            fcntl.ioctl(self._feed, termios.FIONREAD, waiting)

    async def fire(self) -> bool:
        """Give the tool its lines, wait until it is done, and return whether it is content."""
        os.write(self._feed, self._script.text.encode())
        self.end_input()
        await self._done.wait()
        return self._result is not None and self._result.returncode == 0

    def end_input(self) -> None:
        """Let the tool end."""
        if self._feed >= 0:
            os.close(self._feed)
            self._feed = -1

    def close(self) -> None:
        """Close both ends of the pipe."""
        self.end_input()
        os.close(self._stdin)

    def check(self) -> None:
        """Raise the tool's own complaint, if it has one."""
        assert self._result is not None
        shown = " ".join(self._script.command)
        text = _COMMENT.decode() + self._script.text
        answer_of(shown, self._result.returncode, self._result.stdout, self._result.stderr, text)


async def _run(scripts: Sequence[Script]) -> tuple[int, int]:
    """Run scripts in turn; return the realtime before the first takes effect and after the last has."""
    t_ns = t_done_ns = 0
    with contextlib.ExitStack() as stack:
        tools = [_Primed(script) for script in scripts]
        for tool in tools:
            stack.callback(tool.close)
        with trio.move_on_after(LIMIT_S) as scope:
            async with trio.open_nursery() as nursery:
                for tool in tools:
                    nursery.start_soon(tool.run)
                for tool in tools:
                    await tool.wait_until_reading()
                t_ns = time.time_ns()
                for tool in tools:
                    if not await tool.fire():
                        break
                t_done_ns = time.time_ns()
                for tool in tools:
                    tool.end_input()
    if scope.cancelled_caught:
        raise LabError(f"{' '.join(scripts[0].command)} gave no answer within {LIMIT_S:.0f} s")
    for tool in tools:
        tool.check()
    return t_ns, t_done_ns
