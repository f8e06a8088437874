"""Blocks by cgroup: who gets which errno, who hears, by when a socket was born, and nothing stays."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from impairment_lab import GROUP4, GROUP6, PORT, Listener, Speaker, SwitchLab, switch_lab, wait_until
from netns import require, require_lab

from harness.errors import LabError, UsageError
from harness.lab import cgroups
from harness.lab.impairments import apply, bpf
from harness.model.lab import Block

pytestmark = pytest.mark.lab
AGENT = f"""
import json, os, socket, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from impairment_lab import Listener, Speaker, number_of
class Here:
    def inside(self):
        from contextlib import nullcontext
        return nullcontext()
made = {{}}
for line in sys.stdin:
    verb, name, *rest = json.loads(line)
    if verb == "listen":
        made[name] = Listener(Here(), *rest); answer = True
    elif verb == "speak":
        made[name] = Speaker(Here(), *rest); answer = True
    elif verb == "twin":
        made[name] = socket.socket(socket.AF_INET6 if ":" in rest[0] else socket.AF_INET, socket.SOCK_DGRAM)
        made[name].bind(tuple(rest)); made[name].settimeout(0.0); answer = True
    elif verb == "errno":
        answer = made[name].errno()
    elif verb == "heard":
        answer = made[name].heard()
    elif verb == "receive":
        answer = number_of(made[name].recv(65536))
    print(json.dumps(answer), flush=True)
"""


class Agent:
    """A program in a host and in a cgroup, which opens and uses sockets as it is told."""

    def __init__(self, lab: SwitchLab, host: str, group: Path) -> None:
        command = lab.spaces[host].command(sys.executable, "-c", AGENT)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "IMPAIRMENT_LAB_PORT": str(PORT)},
            preexec_fn=lambda: cgroups.move(0, group),  # 0 is the writing process itself
        )

    def ask(self, *words: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def missing_bpf() -> str:
    try:
        os.close(bpf.load(bpf.refuse_multicast(4, errno.EPERM), bpf.UDP4_SENDMSG))
    except LabError as exc:
        return f"BPF: {exc}"
    return ""


@pytest.fixture(scope="module")
def module_lab() -> Iterator[SwitchLab]:
    require_lab()
    require(missing_bpf())
    with switch_lab() as made:
        yield made


@pytest.fixture
def lab(module_lab: SwitchLab) -> Iterator[SwitchLab]:
    group = cgroups.make(f"{module_lab.namespace('rx')}-rx")
    require("" if group else "a writable cgroup v2")
    assert group is not None
    module_lab.groups["rx"] = group
    with module_lab.left_clean():
        yield module_lab
        cgroups.remove(group)
        assert not list(group.parent.glob(f"{group.name}*"))


@pytest.fixture
def agent(lab: SwitchLab) -> Iterator[Agent]:
    started = Agent(lab, "rx", lab.groups["rx"])
    lab.pids["rx"] = [started.process.pid]
    yield started
    started.end()
    lab.pids.clear()


@pytest.mark.parametrize(("group", "unicast"), [(GROUP4, "10.77.0.2"), (GROUP6, "fd77::2")])
async def test_a_blocked_program_neither_sends_nor_hears_multicast_and_its_unicast_is_free(
    lab: SwitchLab, agent: Agent, group: str, unicast: str
) -> None:
    agent.ask("listen", "old", group)
    agent.ask("speak", "out", group)
    agent.ask("twin", "twin", unicast, PORT + 1)
    free = Listener(lab.spaces["rx"], group)  # another program of the same host
    speaker = Speaker(lab.spaces["tx"], group)
    to_twin = Speaker(lab.spaces["tx"], group)
    to_twin.destination = (unicast, PORT + 1)
    wait_until(lambda: speaker.errno() == 0 and agent.ask("heard", "old"), "the first probe")
    free.heard()

    applied = await apply(Block(host="rx"), lab, log=lab.log.append)
    speaker.say(range(5))
    assert (agent.ask("heard", "old"), free.heard()) == ([], [0, 1, 2, 3, 4])
    assert await applied.counted() == {"withheld deliveries": 5}
    assert agent.ask("errno", "out") == errno.EHOSTUNREACH
    agent.ask("listen", "new", group)
    agent.ask("speak", "new out", group)
    speaker.say(range(1))
    assert (agent.ask("heard", "new"), agent.ask("errno", "new out")) == ([], errno.EHOSTUNREACH)
    to_twin.say(range(7, 8))
    assert agent.ask("receive", "twin") == 7

    await applied.undo()
    free.heard()
    speaker.say(range(2))
    assert agent.ask("heard", "old") == agent.ask("heard", "new") == free.heard() == [0, 1]
    assert agent.ask("errno", "out") == 0
    assert await applied.counted() == {"withheld deliveries": 7}
    for used in (free, speaker, to_twin):
        used.close()


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_a_block_of_what_was_born_before_leaves_new_sockets_free(
    lab: SwitchLab, agent: Agent, group: str
) -> None:
    agent.ask("listen", "old", group)
    agent.ask("speak", "old out", group)
    speaker = Speaker(lab.spaces["tx"], group)
    wait_until(lambda: speaker.errno() == 0 and agent.ask("heard", "old"), "the first probe")
    applied = await apply(Block(host="rx", born="before", errno="EPERM"), lab, log=lab.log.append)
    assert [kind for kind, _ in applied.owned] == ["cgroup"]
    agent.ask("listen", "new", group)
    agent.ask("speak", "new out", group)
    speaker.say(range(3))
    assert (agent.ask("heard", "old"), agent.ask("heard", "new")) == ([], [0, 1, 2])
    assert (agent.ask("errno", "old out"), agent.ask("errno", "new out")) == (errno.EPERM, 0)
    agent.ask("heard", "new")
    await applied.undo()
    assert cgroups.processes(lab.groups["rx"]) == [agent.process.pid]
    speaker.say(range(3, 5))
    assert agent.ask("heard", "old") == agent.ask("heard", "new") == [3, 4]
    speaker.close()


@pytest.mark.parametrize(("send", "receive"), [(True, False), (False, True)])
async def test_a_block_of_one_way_leaves_the_other(lab: SwitchLab, agent: Agent, send: bool, receive: bool) -> None:
    agent.ask("listen", "in", GROUP4)
    agent.ask("speak", "out", GROUP4)
    speaker = Speaker(lab.spaces["tx"], GROUP4)
    wait_until(lambda: speaker.errno() == 0 and agent.ask("heard", "in"), "the first probe")
    applied = await apply(Block(host="rx", send=send, receive=receive), lab, log=lab.log.append)
    assert agent.ask("errno", "out") == (errno.EHOSTUNREACH if send else 0)
    agent.ask("heard", "in")
    speaker.say(range(1))
    assert agent.ask("heard", "in") == ([] if receive else [0])
    await applied.undo()
    speaker.close()


async def test_a_host_without_a_cgroup_cannot_be_blocked(lab: SwitchLab) -> None:
    with pytest.raises(LabError, match="host tx cannot be blocked: cgroup v2 is not writable here"):
        await apply(Block(host="tx"), lab, log=lab.log.append)


def test_a_cgroup_is_made_once_and_removed_when_empty(lab: SwitchLab, agent: Agent) -> None:
    group = lab.groups["rx"]
    with pytest.raises(LabError, match="exists already"):
        cgroups.make(group.name)
    with pytest.raises(LabError, match=rf"cannot remove cgroup .*; in it: {agent.process.pid}"):
        cgroups.remove(group)
    with pytest.raises(UsageError, match="no name for a cgroup"):
        cgroups.make("../up")


def test_without_cgroup_v2_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_read", lambda _path: "30 23 0:26 / /sys rw - sysfs sysfs rw\n")
    assert cgroups.make("mh-none") is None


def test_removing_a_cgroup_that_is_gone_is_no_error(tmp_path: Path) -> None:
    cgroups.remove(tmp_path / "gone")
