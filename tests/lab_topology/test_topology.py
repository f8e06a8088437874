"""The lab stands, carries packets, and is gone: by its names alone, also after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import netns
import pytest
import trio
from topology_helpers import LIMIT_S, TWO_HOSTS, lab_command, run_of, standing_lab

from harness.errors import LabError, ScenarioError
from harness.lab import journal
from harness.lab.commands import run_tool
from harness.lab.layout import make_layout
from harness.lab.meters import Meters, groups_of, paths_of
from harness.lab.topology import LabTopology, open_lab
from harness.model.scenario import Scenario
from harness.model.scenario_text import parse_scenario

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1"))
for n in range(int(sys.argv[1])):
    s.sendto(bytes(100), ("239.77.1.1", 5000))
"""


def scenario() -> Scenario:
    return parse_scenario(TWO_HOSTS, "two.toml")


def names() -> set[str]:
    """Return the namespaces of labs; other tests' may come and go meanwhile."""
    found = {line.split(" ")[0] for line in netns.run("ip", "netns", "list").splitlines()}
    return {name for name in found if name.startswith("mh")}


def inside(namespace: str, *command: str) -> str:
    return netns.run("ip", "netns", "exec", namespace, *command)


@pytest.fixture(autouse=True)
def lab() -> None:
    netns.require_lab()


def test_a_lab_is_what_the_scenario_says_and_leaves_nothing(tmp_path: Path) -> None:
    before = names()

    async def look() -> None:
        async with open_lab(scenario(), tmp_path, journal_folder=tmp_path / "labs") as topology:
            assert {topology.namespace(name) for name in ("tx", "rx", "sw")} == names() - before
            (link,) = json.loads(netns.run("ip", "-n", topology.namespace("rx"), "-j", "addr", "show", "dev", "eth0"))
            assert link["mtu"] == 1400
            assert {"10.77.0.2", "fd77::2"} <= {item["local"] for item in link["addr_info"]}
            assert "192.0.2.0/24 via 10.77.0.1" in netns.run("ip", "-n", topology.namespace("rx"), "route")
            assert inside(topology.namespace("rx"), "cat", "/proc/sys/net/ipv4/conf/all/rp_filter").strip() == "1"
            namespace, bridge = topology.bridge("sw")
            (found,) = json.loads(netns.run("ip", "-n", namespace, "-d", "-j", "link", "show", bridge))
            settings = found["linkinfo"]["info_data"]
            assert (settings["mcast_querier"], settings["mcast_query_intvl"]) == (1, 200)
            assert settings["mcast_membership_intvl"] == 624
            assert topology.far_end("rx:eth0") == (namespace, "to-rx")

    trio.run(look)
    assert names() == before
    assert list((tmp_path / "labs").iterdir()) == []


def test_two_labs_of_one_scenario_stand_side_by_side(tmp_path: Path) -> None:
    async def look() -> None:
        async with (
            open_lab(scenario(), tmp_path, journal_folder=tmp_path) as one,
            open_lab(scenario(), tmp_path, journal_folder=tmp_path) as other,
        ):
            assert not set(one.layout.own_namespaces()) & set(other.layout.own_namespaces())
            assert journal.leftovers(tmp_path) == []

    trio.run(look)


def test_meters_count_every_datagram_at_both_ends_of_each_cable(tmp_path: Path) -> None:
    async def count() -> dict[str, dict[str, int]]:
        async with open_lab(scenario(), tmp_path, journal_folder=tmp_path) as topology:
            meters = Meters(topology.layout, groups_of(scenario()))
            await meters.install()
            await trio.to_thread.run_sync(inside, topology.namespace("tx"), sys.executable, "-c", SEND, "37")
            await topology.recreate("tx:eth0")
            await meters.attach("tx:eth0")
            await topology.wait_until_ready()
            await trio.to_thread.run_sync(inside, topology.namespace("tx"), sys.executable, "-c", SEND, "5")
            return await meters.read()

    found = trio.run(count)
    assert found["tx:eth0 out"] == {"239.77.1.1:5000": 42, "239.77.1.1:5000 ends": 0, "other": 0}
    assert found["sw:to-tx in"]["239.77.1.1:5000"] == 42
    assert found["rx:eth0 in"]["239.77.1.1:5000"] == 0, "nobody joined, so the switch keeps it"


def test_the_recipe_builds_the_same_lab_by_hand(tmp_path: Path) -> None:
    topology = LabTopology(make_layout(scenario(), f"mhrecipe{os.getpid()}"), journal.Journal("x", tmp_path), tmp_path)
    recipe = topology.recipe()
    try:
        done = subprocess.run(["sh", "-ex"], input=recipe, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "eth0" in netns.run("ip", "-n", topology.namespace("rx"), "link")
    finally:
        for name in topology.layout.own_namespaces():
            journal.destroy("namespace", name)


def test_what_a_killed_program_leaves_is_found_by_its_journal_and_removed(tmp_path: Path) -> None:
    before = names()
    with standing_lab(tmp_path) as program:
        _, said = lab_command(tmp_path, "down").communicate(timeout=LIMIT_S)
        assert "no lab was left behind" in said, "a lab whose program runs is not to be touched"
        program.send_signal(signal.SIGKILL)
    left = names() - before
    assert len(left) == 3
    _, said = lab_command(tmp_path, "down").communicate(timeout=LIMIT_S)
    assert all(name in said for name in left)
    assert names() == before


def test_ctrl_c_takes_the_lab_down(tmp_path: Path) -> None:
    before = names()
    with standing_lab(tmp_path) as program:
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=10)
    assert program.returncode == 0
    assert "the lab is down" in errors
    assert names() == before


def test_a_journal_of_an_earlier_boot_names_nothing_that_is_still_there(tmp_path: Path) -> None:
    kept = journal.Journal("mhold", tmp_path)
    kept.add("namespace", "mhold-tx")
    lines = kept.path.read_text().splitlines()
    owner = json.loads(lines[0]) | {"boot_id": "of-another-boot"}
    kept.path.write_text("\n".join([json.dumps(owner), *lines[1:], '{"kind": "torn']))
    (found,) = journal.leftovers(tmp_path)
    assert found.made == ()
    journal.remove(found)
    assert not kept.path.exists()


def test_three_hosts_stand_in_less_than_a_second(tmp_path: Path) -> None:
    text = TWO_HOSTS + '[[host]]\nname = "third"\nkind = "lab"\n[[link]]\nends = ["third:eth0", "sw"]\n'

    async def build() -> float:
        start_s = time.monotonic()
        async with open_lab(parse_scenario(text, "three.toml"), tmp_path, journal_folder=tmp_path):
            return time.monotonic() - start_s

    assert any(trio.run(build) < 1.0 for _ in range(3))


def test_a_missing_tool_is_one_line_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.evidence.probe.shutil.which", lambda *_, **__: None)
    with pytest.raises(LabError, match="iproute2"):
        trio.run(run_tool, "ip", "netns")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'ends = ["rx:eth0", "sw"]',
            'ends = ["rx:eth0", "sv"]',
            "link 2, ends: no host or switch 'sv'; known: rx, sw, tx",
        ),
        ('ends = ["rx:eth0", "sw"]', 'ends = ["rx:eth0"]', "link 2, ends: two of them"),
        ('query_interval = "2s"', 'query_interval = "2"', "switch 1, query_interval"),
        ('name = "sw"', 'name = "rx"', "switch 'rx': another switch or host"),
        ("mtu = 1400", 'mtu = "big"', "link 2, mtu"),
    ],
)
def test_a_lab_that_cannot_be_built_is_refused_by_name(old: str, new: str, message: str) -> None:
    assert old in TWO_HOSTS
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(TWO_HOSTS.replace(old, new, 1), "two.toml")
    assert message in str(caught.value)


def test_the_path_of_a_stream_goes_over_the_switch() -> None:
    (path,) = paths_of(scenario(), make_layout(scenario(), "mh"))
    assert path.points == ["tx:eth0 out", "sw:to-tx in", "sw:to-rx out", "rx:eth0 in"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after_s", [0.6, 1.0, 1.6])
def test_a_run_that_is_ended_on_its_way_takes_its_lab_down(
    tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    before = names()
    program = lab_command(tmp_path, *run_of(tmp_path, TWO_HOSTS))
    time.sleep(after_s)  # in the imports, the building or the traffic, as the machine has it
    program.send_signal(number)
    program.communicate(timeout=LIMIT_S)
    assert names() == before
    folder = tmp_path / "multicast-harness" / "labs"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_command_that_fails_while_others_run_is_one_line(tmp_path: Path) -> None:
    broken = TWO_HOSTS.replace('routes = ["192.0.2.0/24 via 10.77.0.1"]', 'routes = ["192.0.2.0/24 via nowhere"]')
    program = lab_command(tmp_path, *run_of(tmp_path, broken))
    _, errors = program.communicate(timeout=LIMIT_S)
    assert program.returncode == 2
    assert errors.startswith("harness: ip ")
    assert "nowhere" in errors
    assert errors.count("\n") == 1
