"""Agents that are none, or another version's, or that fall silent: each is named in one line, and ended."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from host_helpers import ScriptHost, is_alive

from harness.errors import HostError
from harness.hosts import Agent, PartStatus, Spool
from harness.hosts.wire import LineReader, Request, encode
from harness.model import SenderInfo
from harness.model.scenario import Scenario, TimedEvent
from harness.net import RunClock

OLD = """
import json, sys
request = json.loads(sys.stdin.readline())
print(json.dumps({"id": request["id"], "ok": {"protocol": 0, "program": "0.0.1"}}))
sys.stdin.read()
"""
REFUSING = """
import json, sys
request = json.loads(sys.stdin.readline())
print(json.dumps({"id": request["id"], "error": "protocol 7 is spoken here, protocol 1 there"}))
sys.stdin.read()
"""
GREETED = """
import json, sys
print("Welcome to the lab!"); print("{not json"); print()
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "ok": {"protocol": 1, "program": "0.1.0"}}))
    if request["do"] == "status":
        print("a library prints this")
"""


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            OLD,
            r"speaks protocol 0 \(multicast-harness 0\.0\.1\), this program protocol 1 \(multicast-harness 0\.1\.0\)",
        ),
        (REFUSING, "protocol 7 is spoken here, protocol 1 there"),
        ("print('Last login: today'); import time; time.sleep(9)", "gave no answer to hello within 1 s"),
        ("print('Last login: today')", "'Last login: today' is no answer of an agent; does a start-up file print it"),
        ("print('noise\\n' * 200)\nimport time\ntime.sleep(60)", "'noise' is no answer of an agent"),
        ("print('x' * (1 << 21)); import time; time.sleep(60)", "a line that is too long"),
        ("import sys; sys.exit('No module named harness')", "its agent did not start: No module named harness"),
        (
            "import os; os.close(1); os.close(2); import time; time.sleep(60)",
            "its agent did not start: nothing was said",
        ),
        ('import sys\nprint(\'{"id":null,"error":"what?"}\'); sys.stdin.read()', r"did not understand: what\?"),
    ],
)
async def test_agent_that_is_none_is_named_in_one_line_and_ended(script: str, says: str) -> None:
    async with ScriptHost(script) as host:
        with pytest.raises(HostError, match=says) as raised:
            await host.start(1.0 if "sleep(9)" in script else 30.0)
        assert "\n" not in str(raised.value)
        assert raised.value.host == "odd"
        assert host.pid is None


async def ask_on(host: ScriptHost) -> None:
    for _ in range(10):
        await host.request("status")


async def test_greetings_of_a_login_are_passed_over_and_garbage_after_them_is_not() -> None:
    async with ScriptHost(GREETED) as host:
        await host.start(30.0)
        pid = host.pid
        assert await host.request("bye") == {"protocol": 1, "program": "0.1.0"}
        with pytest.raises(HostError, match="'a library prints this' is no answer of an agent"):
            await ask_on(host)
        with pytest.raises(HostError, match="'a library prints this'"):
            await host.request("status")
    assert pid is not None
    assert not is_alive(pid)


async def test_program_that_is_not_there_is_named() -> None:
    async with ScriptHost("") as host:
        host.python = "/nowhere/python"
        with pytest.raises(HostError, match="cannot run /nowhere/python: No such file"):
            await host.start()
        with pytest.raises(HostError, match="not running"):
            await host.request("status")


class Waiting:
    """A performance that does nothing until it is stopped."""

    def __init__(self) -> None:
        self.stopped, self.reason = trio.Event(), ""

    async def perform(self, begin: Callable[[], Awaitable[int]]) -> None:
        await begin()
        await self.stopped.wait()

    def notes(self) -> list[str]:
        return []

    def senders(self) -> list[SenderInfo]:
        return []

    def status(self) -> PartStatus:
        return PartStatus()

    def act(self, event: TimedEvent) -> None:
        raise RuntimeError(f"a defect in {event.action}")

    async def stop_sending(self) -> None:
        await self.stopped.wait()

    def stop(self, reason: str) -> None:
        self.reason = reason
        self.stopped.set()


async def test_controller_that_falls_silent_loses_its_part_and_a_defect_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.hosts.agent.LEASE_S", 0.3)
    made = list[Waiting]()

    def make(scenario: Scenario, path: Path, files: Path, clock: RunClock) -> Waiting:
        made.append(Waiting())
        return made[-1]

    async def never(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    ours, its_in = trio.testing.memory_stream_one_way_pair()
    its_out, answers = trio.testing.memory_stream_one_way_pair()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Agent(make, "0.1.0", Spool(tmp_path)).serve, its_in, its_out, never)
            lines = LineReader(answers)
            asked: list[tuple[str, dict[str, object]]] = [
                ("hello", {"protocol": 1, "program": "0.1.0"}),
                ("prepare", {"part": "p", "scenario": {}}),
                ("start", {"start_ns": 0}),
                ("event", {"action": "note"}),
            ]
            for number, (do, values) in enumerate(asked):
                await ours.send_all(encode(Request(id=number, do=do, values=values)))
                line = await lines.next()
                assert isinstance(line, bytes)
                answer = json.loads(line)
                assert answer["id"] == number
                assert ("error" in answer) is (do == "event")
            assert answer["error"] == "event failed: RuntimeError: a defect in note"
    assert made[0].reason == "controller gone"
