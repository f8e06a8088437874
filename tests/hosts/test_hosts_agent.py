"""The agent as a real process: what it answers, what it refuses, and that it ends when it should."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
from host_helpers import PATIENCE_S, ScriptHost, is_alive, local, wait_for

from harness.errors import HostError
from harness.hosts import Host, PartStatus, fetch_part
from harness.net import RunClock
from harness.store import open_run

GROUP = "239.255.78.2:5078"
AGENT = [sys.executable, "-m", "harness", "agent"]
HELLO = {"id": 1, "do": "hello", "with": {"protocol": 1, "program": "0.1.0"}}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agents of a test record."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "multicast-harness" / "agent"


def part(**more: object) -> dict[str, object]:
    """Return a part that sends to itself over loopback until it is stopped."""
    stream = {"group": GROUP, "interface": "127.0.0.1", "rate": "500pps", "stream": 1}
    receiver = {"groups": [GROUP], "interface": "127.0.0.1"}
    return {"name": "t", "stream": [stream], "receiver": [receiver], **more}


async def start(host: Host, name: str = "p", **more: object) -> None:
    await host.start()
    await host.request("prepare", PATIENCE_S, part=name, scenario=part(**more), files={})
    await host.request("start", start_ns=time.time_ns())


async def until_received(host: Host, least: int) -> None:
    await until_status(host, lambda status: status["n_received"] >= least)


async def until_status(host: Host, is_so: Callable[[dict[str, Any]], bool]) -> None:
    """Ask until the answer is so, or the agent is lost."""
    with trio.fail_after(PATIENCE_S):
        while not is_so(await host.request("status", PATIENCE_S)):  # noqa: ASYNC110 - the agent tells by being asked
            await trio.sleep(0.02)


class Raw:
    """An agent that a test writes bytes to."""

    def __init__(self, words: list[str]) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def say(self, line: bytes) -> dict[str, object]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        return self.say(json.dumps(request).encode())


@pytest.fixture
def raw() -> Iterator[Raw]:
    made = Raw(AGENT)
    yield made
    for stream in (made.process.stdin, made.process.stdout):
        assert stream is not None
        stream.close()
    assert made.process.wait(PATIENCE_S) == 0  # the end of its stdin is its own


def test_garbage_is_answered_with_an_error_and_is_not_the_end(raw: Raw) -> None:
    for line, says in (
        (b"garbage", "no request: 'garbage'"),
        (b"\xff\xfe", "no request"),
        (b"[1, 2]", "no request"),
        (b'{"id": "x", "do": 3}', "no request"),
        (b"[" * 100_000, "no request"),
        (b"x" * (1 << 20) + b"y", "too long"),
    ):
        answer = raw.say(line)
        assert answer.get("id") is None
        assert says in str(answer["error"])
    assert "status before hello" in str(raw.ask({"id": 7, "do": "status"})["error"])
    assert raw.ask(HELLO)["id"] == 1
    assert "did you mean 'status'" in str(raw.ask({"id": 8, "do": "statsu"})["error"])
    assert "no part" in str(raw.ask({"id": 9, "do": "status"})["error"])
    assert "'part' is missing" in str(raw.ask({"id": 10, "do": "files"})["error"])
    assert "does not fit" in str(raw.ask({"id": 11, "do": "files", "with": {"part": 5}})["error"])
    assert "unknown field" in str(raw.ask({"id": 12, "do": "prepare", "with": {"part": "p", "scenario": {"x": 1}}}))
    assert raw.ask({"id": 13, "do": "bye"}) == {"id": 13, "ok": {}}


@pytest.mark.parametrize("protocol", [0, 2])
def test_other_version_is_refused_in_a_line_that_names_both(raw: Raw, protocol: int) -> None:
    answer = raw.ask({"id": 1, "do": "hello", "with": {"protocol": protocol, "program": "9.9", "news": True}})
    for word in ("protocol 1 ", "0.1.0", f"protocol {protocol} ", "9.9"):
        assert word in str(answer["error"])
    assert "before hello" in str(raw.ask({"id": 2, "do": "interfaces"})["error"])


async def test_what_an_agent_says_of_its_host() -> None:
    async with local() as host:
        began = time.perf_counter()
        await host.start()
        took = time.perf_counter() - began
        assert took < PATIENCE_S
        assert (host.hello["protocol"], host.hello["platform"]) == (1, sys.platform)
        assert {"clock", "fetch", "prepare"} <= set(host.hello["capabilities"])
        names = {entry["name"] for entry in (await host.request("interfaces"))["interfaces"]}
        assert "lo" in names
        found = await host.request("environment", PATIENCE_S)
        assert found["environment"]["versions"]["multicast-harness"] == host.program
        offset = await host.measure_clock(RunClock())
        assert abs(offset.offset_ns) <= offset.bound_ns + 50_000  # one kernel, one clock
        pid = host.pid
        await host.close()
    assert pid is not None
    assert not is_alive(pid)


async def test_part_runs_is_told_events_and_is_fetched(tmp_path: Path, state: Path) -> None:
    async with local() as host:
        await start(host)
        await until_received(host, 50)
        await host.request("event", action="note", text="now")
        await host.request("event", action="leave")
        await host.request("event", action="reopen")
        with pytest.raises(HostError, match="no receiver 'x' here"):
            await host.request("event", action="leave", receiver="x")
        with pytest.raises(HostError, match="still running"):
            await host.request("prepare", part="q", scenario=part(), files={})
        await host.request("stop", PATIENCE_S, what="streams")
        status = await host.request("stop", PATIENCE_S, what="all", reason="enough")
        assert status["is_over"]
        assert set(status) == set(PartStatus.__struct_fields__)
        names = await fetch_part(host, "p", tmp_path / "here")
        await host.request("discard", part="p")
        await host.close()
    assert {"manifest.json", "packets.bin", "sent.bin"} <= set(names)
    assert os.listdir(state) == []
    run = open_run(tmp_path / "here")
    assert run.warnings == []
    assert run.manifest.end is not None
    assert run.manifest.end.reason == "enough"
    kinds = [event.kind for event in run.events]
    assert {"note", "leave", "reopen", "end_of_stream"} <= set(kinds)


NOISY = """
import os
import harness.cli.agent as agent
true = agent.make_part
def make_part(*arguments):
    print("Python prints", flush=True)
    os.write(1, b"C prints")
    os.system("echo a child prints; cat")
    return true(*arguments)
agent.make_part = make_part
from harness.cli import main
main(["agent"])
"""


async def test_whatever_prints_or_reads_in_an_agent_stays_out_of_the_conversation() -> None:
    async with ScriptHost(NOISY) as host:
        await host.start()
        await host.request("prepare", PATIENCE_S, part="p", scenario=part())
        assert (await host.request("stop", PATIENCE_S, reason="enough"))["is_over"]
        await host.close()


async def test_refused_join_is_the_answer_and_leaves_the_agent_usable() -> None:
    async with local() as host:
        await host.start()
        with pytest.raises(HostError, match=r"host here: .*nope0"):
            await host.request(
                "prepare", PATIENCE_S, part="p", scenario={"receiver": [{"groups": [GROUP], "interface": "nope0"}]}
            )
        await host.request("prepare", PATIENCE_S, part="q", scenario=part())
        await host.request("stop", PATIENCE_S, reason="given up")


async def test_fetch_goes_on_where_it_was_cut_off_and_mends_what_was_of_another_file(
    tmp_path: Path, state: Path
) -> None:
    folder = state / "old" / "recording"
    folder.mkdir(parents=True)
    data = bytes(range(256)) * 5000
    for name in ("packets.bin", "sent.bin", "events.jsonl"):
        (folder / name).write_bytes(data if name != "events.jsonl" else b"")
    here = tmp_path / "here"
    here.mkdir()
    (here / "packets.bin").write_bytes(data[:700_001])
    (here / "sent.bin").write_bytes(b"x" * 1000)
    async with local() as host:
        await host.start()
        asked = list[int]()
        request = host.request

        async def counting(do: str, timeout_s: float = 5.0, /, **values: object) -> dict[str, object]:
            if do == "fetch" and values["name"] == "packets.bin":
                asked.append(int(str(values["offset"])))
            return await request(do, timeout_s, **values)

        host.request = counting  # type: ignore[method-assign] # counts, and passes on
        assert await fetch_part(host, "old", here) == ["events.jsonl", "packets.bin", "sent.bin"]
        assert await fetch_part(host, "none", here) == []
    assert asked[0] == 700_001
    assert [(here / name).read_bytes() for name in ("packets.bin", "sent.bin", "events.jsonl")] == [data, data, b""]


async def test_agent_that_is_killed_is_named_and_its_recording_is_fetched_by_the_next(tmp_path: Path) -> None:
    async with local() as host:
        await start(host)
        await until_received(host, 700)  # more than a second: some of it is on the disk
        assert host.pid is not None
        os.kill(host.pid, signal.SIGKILL)
        with pytest.raises(HostError, match="its agent was killed by signal 9"):
            await until_status(host, lambda _: False)
        await host.start()
        assert (await host.request("claim", PATIENCE_S, part="p")) == {"had_owner": False}
        await fetch_part(host, "p", tmp_path / "here")
    run = open_run(tmp_path / "here")
    assert not run.is_complete
    assert sum(len(rows) for rows in run.packets()) >= 100


async def test_stalled_agent_is_named_with_what_it_did_not_answer_and_ended_by_the_next(tmp_path: Path) -> None:
    async with local() as first, local() as second:
        await start(first)
        await until_received(first, 20)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGSTOP)
        await second.start()
        claimed = await second.request("claim", PATIENCE_S, part="p")
        assert claimed == {"had_owner": True}
        await fetch_part(second, "p", tmp_path / "here")
        assert open_run(tmp_path / "here").manifest.end is not None  # asked politely, it ended in order
        await first.start()
        os.kill(first.pid or 0, signal.SIGSTOP)
        pid = first.pid
        with pytest.raises(HostError, match="host here: its agent gave no answer to status within 300 ms"):
            await first.request("status", 0.3)
        assert pid is not None
        assert not is_alive(pid)


CONTROLLER = """
import os, sys, time, trio
from host_helpers import local
from test_hosts_agent import start, until_received
async def main():
    async with local() as host:
        await start(host)
        await until_received(host, 20)
        print(host.pid, flush=True)
        keeper = os.fork()  # it keeps the agent's stdin open, so that only the signal tells of the end
        if keeper == 0:
            time.sleep(60)
            os._exit(0)
        print(keeper, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's end")
def test_no_agent_is_left_of_a_controller_that_was_killed(state: Path) -> None:
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert controller.stdout is not None
    with controller.stdout:
        agent, keeper = int(controller.stdout.readline()), int(controller.stdout.readline())
    try:
        assert psutil.Process(agent).ppid() == controller.pid
        controller.kill()
        controller.wait(PATIENCE_S)
        wait_for("end of the agent", lambda: not is_alive(agent))
        assert is_alive(keeper)
    finally:
        os.kill(keeper, signal.SIGKILL)
    run = open_run(state / "p" / "recording")
    assert run.manifest.end is not None
    assert run.manifest.end.reason == "controller gone"


def test_end_of_stdin_ends_the_part_in_order(state: Path, raw: Raw) -> None:
    assert raw.ask(HELLO)["id"] == 1
    assert "ok" in raw.ask({"id": 2, "do": "prepare", "with": {"part": "p", "scenario": part()}})
    assert "ok" in raw.ask({"id": 3, "do": "start", "with": {"start_ns": time.time_ns()}})
    assert raw.process.stdin is not None
    raw.process.stdin.close()
    assert raw.process.wait(PATIENCE_S) == 0
    end = open_run(state / "p" / "recording").manifest.end
    assert end is not None
    assert end.reason == "controller gone"
