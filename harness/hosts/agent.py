"""The agent: what a host runs, `python -m harness agent`. It does what the controller asks, and dies with it.

All of its work hangs in one task group. It ends with `bye`, with the end of its stdin, with its parent, or when its
controller has been silent for LEASE_S while a part runs; a part that is still running then is ended in order, and its
recording waits in the spool.
"""

from __future__ import annotations

import base64
import os
import platform
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import trio

from harness.errors import HarnessError, UsageError, nearest
from harness.evidence import boot_id, clock_state, environment, versions
from harness.hosts.lifeline import until_orphaned
from harness.hosts.performance import PartStatus, Performance, Performer
from harness.hosts.spool import Spool
from harness.hosts.wire import PROTOCOL_VERSION, Answer, LineReader, LongLine, Request, encode
from harness.model.scenario import Scenario, TimedEvent
from harness.net import RunClock, list_interfaces

LEASE_S = 60.0
"""A part whose controller asks nothing for so long has lost it.

It asks several times a second, except while it waits for other hosts to be ready, which takes less than this.
"""

LAST_WORDS_S = 10.0
"""How long a part may take to end in order once its controller is gone."""

MAX_AT_ONCE = 16
_SHOWN = 80

T = TypeVar("T")


class _Part:
    """A part of a scenario on its way: prepared, begun, over."""

    def __init__(self, name: str, performance: Performance) -> None:
        self.name, self.performance = name, performance
        self.is_ready, self.is_begun, self.is_over = trio.Event(), trio.Event(), trio.Event()
        self.start_ns = 0
        self.error: str | None = None

    async def run(self) -> None:
        """Perform it; an error that nobody foresaw ends the part, and the agent lives on to tell it."""
        try:
            await self.performance.perform(self._begin)
        except HarnessError as exc:
            self.error = str(exc)
        except Exception as exc:
            self.error = f"{type(exc).__name__}: {exc}"
        finally:
            self.is_ready.set()
            self.is_over.set()

    async def _begin(self) -> int:
        self.is_ready.set()
        await self.is_begun.wait()
        return self.start_ns

    def status(self) -> PartStatus:
        """Return the live numbers, with how it ended once it has."""
        status = self.performance.status()
        error = self.error or status.error
        return msgspec.structs.replace(status, is_over=self.is_over.is_set(), error=error)


class Agent:
    """Serves one controller.

    Args:
      performer: carries out parts.
      program: this program's version.
      spool: where recordings wait to be fetched.
      clock: the time line that everything here is told on.
    """

    def __init__(self, performer: Performer, program: str, spool: Spool, clock: RunClock | None = None) -> None:
        self._performer, self._program, self._spool = performer, program, spool
        self._clock = clock or RunClock()
        self._part: _Part | None = None
        self._is_welcome = False
        self._last_heard = 0.0
        self._is_told = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._handlers: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "bye": self._bye,
            "claim": self._claim,
            "clock": self._answer_clock,
            "discard": self._discard,
            "environment": self._environment,
            "event": self._event,
            "fetch": self._fetch,
            "files": self._files,
            "hello": self._hello,
            "interfaces": self._interfaces,
            "prepare": self._prepare,
            "start": self._start,
            "status": self._status,
            "stop": self._stop,
        }

    async def serve(
        self,
        reader: trio.abc.ReceiveStream,
        writer: trio.abc.SendStream,
        orphaned: Callable[..., Awaitable[None]] = until_orphaned,
    ) -> None:
        """Answer requests until the controller says goodbye or is gone; then end a part that is running.

        Args:
          reader: the controller's words.
          writer: ours to it.
          orphaned: returns when the parent process is gone.
        """
        self._last_heard = trio.current_time()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            async with trio.open_nursery() as listening:
                await listening.start(self._until_gone, listening.cancel_scope, orphaned)
                listening.start_soon(self._until_silent, listening.cancel_scope)
                await self._listen(LineReader(reader), writer)
                listening.cancel_scope.cancel()
            if self._part is not None and not self._part.is_over.is_set():
                self._part.performance.stop("controller gone")
                self._part.is_begun.set()
                with trio.move_on_after(LAST_WORDS_S):
                    await self._part.is_over.wait()
            nursery.cancel_scope.cancel()

    async def _listen(self, lines: LineReader, writer: trio.abc.SendStream) -> None:
        assert self._nursery is not None
        places = trio.Semaphore(MAX_AT_ONCE)
        while (line := await lines.next()) is not None:
            heard_ns, self._last_heard = self._clock.now_ns(), trio.current_time()
            if isinstance(line, LongLine):
                await self._tell(writer, Answer(id=None, error="a line is too long; it was not read"))
                continue
            if not line.strip():
                continue
            try:
                request = msgspec.json.decode(line, type=Request)
            except (ValueError, RecursionError) as exc:
                shown = line[:_SHOWN].decode("utf-8", "replace")
                await self._tell(writer, Answer(id=None, error=f"no request: {shown!r} ({exc})"))
                continue
            request.values["heard_ns"] = heard_ns
            if request.do == "bye":
                await self._tell(writer, Answer(id=request.id, ok={}))
                return
            await places.acquire()
            self._nursery.start_soon(self._serve_one, request, writer, places)

    async def _serve_one(self, request: Request, writer: trio.abc.SendStream, places: trio.Semaphore) -> None:
        try:
            await self._tell(writer, await self._answer(request))
        finally:
            places.release()

    async def _answer(self, request: Request) -> Answer:
        """Return the answer to a request; whatever goes wrong is one line of it."""
        try:
            if request.do not in self._handlers:
                raise UsageError(f"unknown request {request.do!r}{nearest(request.do, self._handlers)}")
            if request.do != "hello" and not self._is_welcome:
                raise UsageError(f"{request.do} before hello; the versions have to agree first")
            return Answer(id=request.id, ok=await self._handlers[request.do](request.values))
        except HarnessError as exc:
            return Answer(id=request.id, error=str(exc))
        except Exception as exc:  # a defect of ours must not take the recording with it
            return Answer(id=request.id, error=f"{request.do} failed: {type(exc).__name__}: {exc}")

    async def _tell(self, writer: trio.abc.SendStream, answer: Answer) -> None:
        try:
            line = encode(answer)
            async with self._is_told:
                await writer.send_all(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # nobody listens; the end of stdin says so as well, and ends us

    async def _until_gone(
        self,
        scope: trio.CancelScope,
        orphaned: Callable[..., Awaitable[None]],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await orphaned(task_status=task_status)
        scope.cancel()

    async def _until_silent(self, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(LEASE_S / 10)
            is_running = self._part is not None and not self._part.is_over.is_set()
            if is_running and trio.current_time() - self._last_heard > LEASE_S:
                scope.cancel()

    async def _hello(self, values: dict[str, Any]) -> dict[str, Any]:
        asked, program = _value(values, "protocol", int), _value(values, "program", str)
        if asked != PROTOCOL_VERSION:
            raise UsageError(
                f"protocol {PROTOCOL_VERSION} is spoken here (multicast-harness {self._program}) and protocol {asked} "
                f"there (multicast-harness {program}); install the same version on both"
            )
        self._is_welcome = True
        sync, error_bound_ns = await trio.to_thread.run_sync(clock_state)
        return {
            "protocol": PROTOCOL_VERSION,
            "program": self._program,
            "platform": sys.platform,
            "host": platform.node(),
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "versions": versions(),
            "sync": sync,
            "error_bound_ns": error_bound_ns,
            "capabilities": sorted(self._handlers),
        }

    async def _answer_clock(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"heard_ns": _value(values, "heard_ns", int), "told_ns": self._clock.now_ns()}

    async def _interfaces(self, _: dict[str, Any]) -> dict[str, Any]:
        found = await trio.to_thread.run_sync(list_interfaces)
        return {"interfaces": msgspec.to_builtins(found, enc_hook=str)}

    async def _environment(self, _: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(await trio.to_thread.run_sync(environment), enc_hook=str)
        return {"environment": found}

    async def _prepare(self, values: dict[str, Any]) -> dict[str, Any]:
        """Make a part and open all it needs; answered when it is joined and waits for its start."""
        assert self._nursery is not None
        if self._part is not None and not self._part.is_over.is_set():
            raise UsageError(f"part {self._part.name} is still running; stop it first")
        name, scenario = _value(values, "part", str), _convert(values.get("scenario"), Scenario)
        texts = _convert(values.get("files", {}), dict[str, str])
        recording, files = self._spool.make(name, texts)
        performance = await trio.to_thread.run_sync(self._performer, scenario, recording, files, self._clock)
        part = self._part = _Part(name, performance)
        self._nursery.start_soon(part.run)
        await part.is_ready.wait()
        status = part.status()
        if status.is_over:
            raise UsageError(status.error or f"part {name} ended before its start")
        return {"notes": performance.notes(), "senders": msgspec.to_builtins(performance.senders())}

    async def _start(self, values: dict[str, Any]) -> dict[str, Any]:
        part = self._current()
        if part.is_begun.is_set():
            raise UsageError(f"part {part.name} was started already")
        part.start_ns = _value(values, "start_ns", int)
        late_ns = self._clock.now_ns() - part.start_ns
        part.is_begun.set()
        return {"late_ns": max(0, late_ns)}

    async def _event(self, values: dict[str, Any]) -> dict[str, Any]:
        self._current().performance.act(_convert({"at": "0", **_without_time(values)}, TimedEvent))
        return {}

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        return dict(msgspec.to_builtins(self._current().status()))

    async def _stop(self, values: dict[str, Any]) -> dict[str, Any]:
        """End the streams alone, or all; answered when they have told their end, or the recording is complete."""
        part = self._current()
        if values.get("what", "all") == "streams":
            await part.performance.stop_sending()
        else:
            part.performance.stop(_value(values, "reason", str))
            part.is_begun.set()  # one that never began ends as well
            await part.is_over.wait()
        return dict(msgspec.to_builtins(part.status()))

    async def _claim(self, values: dict[str, Any]) -> dict[str, Any]:
        name = _value(values, "part", str)
        return {"had_owner": await trio.to_thread.run_sync(self._spool.claim, name)}

    async def _files(self, values: dict[str, Any]) -> dict[str, Any]:
        found = await trio.to_thread.run_sync(self._spool.files, _value(values, "part", str))
        return {"files": msgspec.to_builtins(found)}

    async def _fetch(self, values: dict[str, Any]) -> dict[str, Any]:
        part, name, offset = _value(values, "part", str), _value(values, "name", str), _value(values, "offset", int)
        data = await trio.to_thread.run_sync(self._spool.read, part, name, offset)
        return {"offset": offset, "crc32": zlib.crc32(data), "data": base64.b64encode(data).decode("ascii")}

    async def _discard(self, values: dict[str, Any]) -> dict[str, Any]:
        name = _value(values, "part", str)
        if self._part is not None and self._part.name == name and not self._part.is_over.is_set():
            raise UsageError(f"part {name} is still running; stop it first")
        await trio.to_thread.run_sync(self._spool.discard, name)
        return {}

    async def _bye(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _current(self) -> _Part:
        if self._part is None:
            raise UsageError("no part was prepared here")
        return self._part


def _without_time(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "heard_ns"}


def _convert(value: object, kind: type[T]) -> T:
    """Return an argument as the type that it has to be.

    Raises:
      UsageError: it is none.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise UsageError(f"an argument does not fit: {exc}") from exc


def _value(values: dict[str, Any], name: str, kind: type[T]) -> T:
    """Return an argument by name.

    Raises:
      UsageError: it is missing, or of another type.
    """
    if name not in values:
        raise UsageError(f"the argument {name!r} is missing")
    return _convert(values[name], kind)
