"""A host as the controller sees it: started, asked, ended, started again. One interface for every way to get there."""

from __future__ import annotations

import contextlib
import subprocess
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self

import msgspec
import trio

from harness.errors import HostError
from harness.hosts.clockwork import N_EXCHANGES, Offset, offset_of
from harness.hosts.wire import PROTOCOL_VERSION, Answer, LineReader, LongLine, Request, encode
from harness.net import RunClock
from harness.units import NS_PER_S, format_duration

HELLO_S = 20.0
REQUEST_S = 5.0
END_S = 5.0
_MAX_NOISE_LINES = 100
"""Lines that a login may print before the agent speaks; shells' start-up files do."""
_KEPT_ERROR_LINES = 20
_SHOWN = 80
_DECODER = msgspec.json.Decoder(Answer)


class Host(ABC):
    """One host and its agent.

    Use it as an async context manager: at its end nothing is left of it here. `start` may be called again after the
    agent was lost.

    Args:
      name: in the scenario.
      python: the Python there.
      program: this program's version.

    Attributes:
      hello: what the agent said of itself; {} before the first start.
      pid: of the process started here, None when none is.
    """

    kind = ""

    def __init__(self, name: str, python: str, program: str) -> None:
        self.name, self.python, self.program = name, python, program
        self.hello: dict[str, Any] = {}
        self._process: trio.Process | None = None
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._stack = contextlib.AsyncExitStack()
        self._waiting: dict[int, trio.MemorySendChannel[Answer | HostError]] = {}
        self._last_id = 0
        self._failure: HostError | None = None
        self._errors: deque[str] = deque(maxlen=_KEPT_ERROR_LINES)
        self._writing = trio.Lock()
        self._is_over = trio.Event()

    @property
    @abstractmethod
    def where(self) -> str:
        """The namespace or address, "" for this machine."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the agent there with its stdin and stdout here."""

    def explain(self, errors: list[str]) -> str:
        """Return why the agent did not start, in one line, from what stood on stderr; the remedy with it."""
        return errors[-1] if errors else "nothing was said about why"

    @property
    def pid(self) -> int | None:
        """The process here that is or leads to the agent."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            await self.kill()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        await self._stack.aclose()

    async def start(self, timeout_s: float = HELLO_S) -> None:
        """Start the agent and agree with it on the protocol.

        Raises:
          HostError: it cannot be started, does not answer, or is of another version.
        """
        assert self._nursery is not None, "used outside of its context"
        await self.kill()
        self._failure, self._errors, self._is_over = None, deque(maxlen=_KEPT_ERROR_LINES), trio.Event()
        try:
            # a session of its own: Ctrl-C is for the controller, and no terminal is there to be asked for a password
            self._process = await trio.lowlevel.open_process(
                self.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise HostError(self.name, f"cannot run {self.command()[0]}: {exc.strerror}") from exc
        self._nursery.start_soon(self._follow, self._process)
        try:
            hello = await self.request("hello", timeout_s, protocol=PROTOCOL_VERSION, program=self.program)
        except HostError:
            await self.kill()
            raise
        if hello.get("protocol") != PROTOCOL_VERSION:
            await self.kill()
            raise HostError(
                self.name,
                f"its agent speaks protocol {hello.get('protocol')} (multicast-harness {hello.get('program')}), this "
                f"program protocol {PROTOCOL_VERSION} (multicast-harness {self.program}); install the same on both",
            )
        self.hello = hello

    async def request(self, do: str, timeout_s: float = REQUEST_S, /, **values: Any) -> dict[str, Any]:
        """Ask the agent and return its answer's values.

        Raises:
          HostError: it refuses, says something else, is gone, or does not answer in time; the agent is killed in the
            latter cases, because what it is doing is not known any more.
        """
        if self._process is None or self._failure is not None:
            raise self._failure or HostError(self.name, "its agent is not running")
        self._last_id += 1
        number = self._last_id
        tell, hear = trio.open_memory_channel[Answer | HostError](1)
        self._waiting[number] = tell
        answer: Answer | HostError | None = None
        try:
            with trio.move_on_after(timeout_s):
                await self._send(encode(Request(id=number, do=do, values=values)))
                answer = await hear.receive()
        finally:
            del self._waiting[number]
        if answer is None:
            await self._fail(f"its agent gave no answer to {do} within {format_duration(timeout_s * NS_PER_S)}")
            assert self._failure is not None
            raise self._failure
        if isinstance(answer, HostError):
            raise answer
        if answer.error is not None:
            raise HostError(self.name, answer.error)
        return answer.ok or {}

    async def measure_clock(self, clock: RunClock, n: int = N_EXCHANGES) -> Offset:
        """Return the agent's time line minus `clock`'s, from `n` round trips.

        Raises:
          HostError: as for `request`.
        """
        exchanges = []
        for _ in range(n):
            t1 = clock.now_ns()
            answer = await self.request("clock")
            t4 = clock.now_ns()
            exchanges.append((t1, self._int(answer, "heard_ns"), self._int(answer, "told_ns"), t4))
        return offset_of(exchanges)

    async def close(self) -> None:
        """Say goodbye and wait for the agent's end; one that does not go is killed."""
        with contextlib.suppress(HostError):
            await self.request("bye")
        if self._process is not None and self._failure is None:
            with trio.move_on_after(END_S):
                await self._is_over.wait()
        await self.kill()

    async def kill(self) -> None:
        """End the process here at once; an agent behind ssh then finds the end of its stdin."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        with trio.move_on_after(END_S):
            await self._is_over.wait()
        self._process = None

    def _int(self, answer: dict[str, Any], name: str) -> int:
        value = answer.get(name)
        if not isinstance(value, int):
            raise HostError(self.name, f"its agent's answer has no number {name!r}")
        return value

    async def _send(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            async with self._writing:
                await self._process.stdin.send_all(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the end of its stdout tells why

    async def _follow(self, process: trio.Process) -> None:
        """Hear a process to its end, and end with it."""
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        is_over = self._is_over
        async with process.stdin, process.stdout, process.stderr:
            async with trio.open_nursery() as nursery:
                is_all_said = trio.Event()
                nursery.start_soon(self._hear_errors, process.stderr, is_all_said)
                reason = await self._hear(LineReader(process.stdout))
                with trio.move_on_after(1):  # its last words may still be on their way
                    await process.wait()
                with trio.move_on_after(0.2):
                    await is_all_said.wait()
                nursery.cancel_scope.cancel()
            if self._process is process:  # not one that was given up for another
                self._lose(HostError(self.name, reason or self._end_of(process)))
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        is_over.set()

    async def _hear(self, lines: LineReader) -> str:
        """Hand answers to who waits for them; return what was wrong with them, "" at the end."""
        n_noise, noise, has_spoken = 0, "", False
        while (line := await lines.next()) is not None:
            if isinstance(line, LongLine):
                return "its agent sent a line that is too long"
            try:
                answer = _DECODER.decode(line)
            except (ValueError, RecursionError):
                noise = noise if noise and not has_spoken else line[:_SHOWN].decode("utf-8", "replace")
                n_noise += 1
                if has_spoken or n_noise > _MAX_NOISE_LINES:
                    return f"{noise!r} is no answer of an agent; does something print to its stdout?"
                continue
            has_spoken = True
            waiting = self._waiting.get(answer.id) if answer.id is not None else None
            if waiting is not None:
                with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                    waiting.send_nowait(answer)
            elif answer.id is None:
                return f"its agent did not understand: {answer.error}"
        return f"{noise!r} is no answer of an agent; does a start-up file print it?" if noise and not has_spoken else ""

    async def _hear_errors(self, stream: trio.abc.ReceiveStream, is_all_said: trio.Event) -> None:
        lines = LineReader(stream)
        while (line := await lines.next()) is not None:
            if isinstance(line, bytes) and line.strip():
                self._errors.append(line.decode("utf-8", "replace").strip())
        is_all_said.set()

    def _end_of(self, process: trio.Process) -> str:
        """Return the reason of an end that nobody asked for."""
        if not self.hello:
            return f"its agent did not start: {self.explain(list(self._errors))}"
        code = process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"its agent {how}" + (f": {self.explain(list(self._errors))}" if self._errors else "")

    def _lose(self, failure: HostError) -> None:
        """Tell everybody who waits that no answer will come; the first reason stands."""
        self._failure = self._failure or failure
        for waiting in self._waiting.values():
            with contextlib.suppress(trio.WouldBlock, trio.BrokenResourceError):
                waiting.send_nowait(self._failure)

    async def _fail(self, reason: str) -> None:
        self._lose(HostError(self.name, reason))
        with trio.CancelScope(shield=True):
            await self.kill()
