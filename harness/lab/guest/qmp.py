"""The guest's machine by QEMU's machine protocol (QMP): commands with their answers, and events as they come.

The stream is one end of a socket pair that QEMU inherits, so there is no name that could be left behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import trio

from harness.errors import LabError

ANSWER_S = 10.0
_MOST_BYTES = 1 << 20


class Qmp:
    """A client of one QEMU; `run` has to run beside it.

    Attributes:
      events: all events so far, oldest first, as QEMU sent them.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.events: list[dict[str, Any]] = []
        self._stream = stream
        self._answers: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._n_sent = 0
        self._is_over = False
        self._changed = trio.Condition()
        self._sending = trio.Lock()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until QEMU ends; started once it takes commands.

        Raises:
          LabError: QEMU ended before it greeted, or sends something else.
        """
        lines = self._lines()
        try:
            greeting = await anext(lines, None)
            if greeting is None or "QMP" not in greeting:
                raise LabError("the guest's machine ended before it took a command")
            await self._send({"execute": "qmp_capabilities"})
            await anext(lines, None)
            task_status.started()
            async for line in lines:
                await self._take(line)
        finally:
            self._is_over = True
            for waiting in self._answers.values():
                waiting.close()
            with trio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()
            await lines.aclose()

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its value.

        Raises:
          LabError: QEMU refuses it, has ended, or does not answer in time.
        """
        if self._is_over:
            raise LabError(f"{command}: the guest's machine has ended")
        self._n_sent += 1
        number = self._n_sent
        sender, receiver = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[number] = sender
        answer = None
        try:
            with trio.move_on_after(ANSWER_S):
                await self._send({"execute": command, "arguments": arguments, "id": number})
                answer = await receiver.receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel) as exc:
            raise LabError(f"{command}: the guest's machine has ended") from exc
        finally:
            del self._answers[number]
        if answer is None:
            raise LabError(f"{command}: the guest's machine gave no answer within {ANSWER_S:.0f} s")
        if "error" in answer:
            raise LabError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    async def wait_event(
        self, name: str, *, within_s: float = math.inf, since: int = 0, where: Callable[[Any], bool] = lambda _: True
    ) -> dict[str, Any] | None:
        """Return the first event of a name, or None when QEMU ends or time is up before it comes.

        Args:
          name: "RESET", "SHUTDOWN".
          within_s: how long to wait.
          since: events before this index of `events` do not count.
          where: of its data, whether it is meant.
        """
        with trio.move_on_after(within_s):
            async with self._changed:
                while True:
                    for event in self.events[since:]:
                        if event["event"] == name and where(event.get("data", {})):
                            return event
                    if self._is_over:
                        return None
                    await self._changed.wait()
        return None

    async def _send(self, value: dict[str, Any]) -> None:
        async with self._sending:
            await self._stream.send_all(json.dumps(value).encode() + b"\n")

    async def _take(self, line: dict[str, Any]) -> None:
        if "event" in line:
            async with self._changed:
                self.events.append(line)
                self._changed.notify_all()
        elif (waiting := self._answers.get(line.get("id", 0))) is not None:
            waiting.send_nowait(line)

    async def _lines(self) -> Any:
        rest = b""
        while True:
            try:
                data = await self._stream.receive_some(65536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MOST_BYTES:
                raise LabError("the guest's machine sends lines without end")
            for line in lines:
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as exc:
                        raise LabError(f"the guest's machine sends no JSON: {line[:80]!r}") from exc
