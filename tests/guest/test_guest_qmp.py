"""The client of QEMU's machine protocol, against a QEMU made of a script."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from harness.errors import LabError
from harness.lab.guest.qmp import Qmp

GREETING = {"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}


class FakeQemu:
    """The other end: sends what the test says, and reads commands."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._held = b""

    async def say(self, value: dict[str, Any]) -> None:
        await self.stream.send_all(json.dumps(value).encode() + b"\r\n")

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self._held:
            self._held += await self.stream.receive_some(4096)
        line, _, self._held = self._held.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Qmp, FakeQemu]]:
    ours, theirs = trio.testing.memory_stream_pair()
    qmp, qemu = Qmp(ours), FakeQemu(theirs)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as beginning:
            beginning.start_soon(nursery.start, qmp.run)
            await qemu.say(GREETING)
            assert await qemu.hear() == {"execute": "qmp_capabilities"}
            await qemu.say({"return": {}})
        yield qmp, qemu
        nursery.cancel_scope.cancel()


async def answer(qemu: FakeQemu, **reply: Any) -> None:
    command = await qemu.hear()
    await qemu.say({"event": "NOISE", "timestamp": {}})
    await qemu.say({**reply, "id": command["id"]})


async def test_a_command_gets_its_own_answer() -> None:
    async with connected() as (qmp, qemu), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: answer(qemu, **{"return": {"status": "running"}}))
        assert await qmp.execute("query-status") == {"status": "running"}


async def test_a_refusal_is_one_line() -> None:
    async with connected() as (qmp, qemu), trio.open_nursery() as nursery:
        nursery.start_soon(lambda: answer(qemu, error={"class": "GenericError", "desc": "Device 'x' not found"}))
        raised = None
        try:
            await qmp.execute("set_link", name="x", up=False)
        except LabError as exc:
            raised = exc
        assert str(raised) == "set_link: Device 'x' not found"


async def test_events_are_kept_and_waited_for() -> None:
    async with connected() as (qmp, qemu):
        await qemu.say({"event": "RESET", "data": {"guest": False}})
        first = await qmp.wait_event("RESET")
        assert first is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(qemu.say, {"event": "RESET", "data": {"guest": True}})
            second = await qmp.wait_event("RESET", since=1)
        assert second == qmp.events[1]
        assert await qmp.wait_event("RESET", where=lambda data: data["guest"]) == second


async def test_the_wait_for_an_event_ends_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async with connected() as (qmp, _):
        assert await qmp.wait_event("SHUTDOWN", within_s=5) is None
        assert trio.current_time() == pytest.approx(5)


async def test_a_machine_that_does_not_answer_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with connected() as (qmp, _):
        raised = None
        try:
            await qmp.execute("stop")
        except LabError as exc:
            raised = exc
        assert "no answer within 10 s" in str(raised)


async def test_the_end_of_the_machine_ends_every_wait() -> None:
    async with connected() as (qmp, qemu):
        raised: list[str] = []

        async def ask() -> None:
            try:
                await qmp.execute("stop")
            except LabError as exc:
                raised.append(str(exc))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(qmp.wait_event, "SHUTDOWN")
            await qemu.hear()
            await qemu.stream.aclose()
        await ask()
        assert raised == ["stop: the guest's machine has ended"] * 2


async def test_a_machine_that_never_greets_is_told_apart() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(LabError, match="before it took a command"):
        await Qmp(ours).run()
