"""The snapshot of this very system: true, complete, in time, and never an exception."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from netns import cabled

from harness.evidence import _linux, boot_id, counters_only, environment, probe, system, versions
from harness.evidence.environment import PROBES
from harness.evidence.probe import ProbeError, answer, answers, command, text_of
from harness.units import NS_PER_S

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
is_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")


def asked(section: str, name: str = "") -> Any:
    """Return one row's answer, whose failure is the test's."""
    row: Any = system.TABLE[section]
    return (row[name] if name else row)(NS_PER_S)


def test_snapshot_answers_every_probe_in_json() -> None:
    snapshot = environment()
    assert list(snapshot) == ["version", "taken_ns", *PROBES]
    assert msgspec.json.decode(msgspec.json.encode(snapshot)) == snapshot
    for section, rows in PROBES.items():
        if isinstance(rows, dict):
            assert list(snapshot[section]) == list(rows)
    assert abs(snapshot["taken_ns"] - time.time_ns()) < 60 * NS_PER_S
    assert not [name for name, value in snapshot.items() if isinstance(value, dict) and "error" in value]
    assert snapshot["host"] == socket.gethostname()


@is_linux
def test_boot_id_and_uptime_are_the_kernels() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert len(boot_id()) == 36
    assert abs(system.uptime_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < NS_PER_S


def test_versions_are_text_and_name_this_program() -> None:
    import numpy as np

    import harness

    found = versions()
    assert found["multicast-harness"] == harness.__version__
    assert found["numpy"] == np.__version__
    assert found["python"].endswith(sys.version.split()[0])
    assert all(value for value in found.values())


def test_versions_import_no_library() -> None:
    code = "import sys; from harness.evidence import versions; versions(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "False"


@is_linux
def test_membership_of_an_open_socket_is_listed() -> None:
    def groups() -> list[tuple[str, str, int]]:
        return [(entry["interface"], entry["group"], entry["users"]) for entry in asked("memberships", "inet")]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        request = socket.inet_aton("239.255.77.1") + socket.inet_aton("127.0.0.1")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        assert ("lo", "239.255.77.1", 1) in groups()
    assert "239.255.77.1" not in [group for _, group, _ in groups()]


@is_linux
def test_ipv6_membership_of_an_open_socket_is_listed() -> None:
    try:
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        pytest.skip("no IPv6 here")
    with receiver:
        request = socket.inet_pton(socket.AF_INET6, "ff15::77") + socket.if_nametoindex("lo").to_bytes(4, sys.byteorder)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        assert {"interface": "lo", "group": "ff15::77", "users": 1} in asked("memberships", "inet6")


@is_linux
def test_udp_counters_count_datagrams() -> None:
    before = asked("counters")["udp"]["OutDatagrams"]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        for _ in range(5):
            sender.sendto(b"x", receiver.getsockname())
    counters = asked("counters")
    assert counters["udp"]["OutDatagrams"] >= before + 5
    assert {"InDatagrams", "RcvbufErrors"} <= counters["udp"].keys()
    assert "ReasmFails" in counters["ip"]
    assert {"InMcastPkts", "InNoRoutes", "IPReversePathFilter"} <= counters["ip_ext"].keys()
    assert counters["softnet"].keys() == {"dropped", "time_squeeze"}
    assert "Forwarding" not in counters["ip"]  # a setting, though listed among the counters


@is_linux
def test_settings_are_the_sysctls_by_their_dotted_names() -> None:
    found = asked("settings")
    assert found["net.ipv4.igmp_max_memberships"] == text_of("/proc/sys/net/ipv4/igmp_max_memberships")
    assert found["net.ipv4.conf.lo.rp_filter"] == text_of("/proc/sys/net/ipv4/conf/lo/rp_filter")
    assert found["net.ipv4.conf.all.force_igmp_version"].isdecimal()


@is_linux
def test_interfaces_and_launch_describe_this_process() -> None:
    snapshot = environment()
    loopback = snapshot["interfaces"]["lo"]
    assert loopback["mtu"] == int(text_of("/sys/class/net/lo/mtu"))
    assert loopback["index"] == socket.if_nametoindex("lo")
    (v4,) = (entry for entry in loopback["addresses"] if entry["family"] == "inet")
    assert (v4["address"], v4["prefix"], v4["scope"], v4["origin"]) == ("127.0.0.1", 8, "host", "static")
    launch = snapshot["launch"]
    assert (launch["pid"], launch["uid"]) == (os.getpid(), os.getuid())
    assert launch["parents"][0]["pid"] == os.getppid()
    assert launch["hints"]["network_namespace"].startswith("net:[")


@is_linux
@pytest.mark.lab
@pytest.mark.skipif(not IS_ROOT, reason="making a network namespace needs root")
def test_snapshot_inside_a_fresh_namespace_tells_of_that_namespace() -> None:
    code = (
        "import msgspec; from harness.evidence import environment; print(msgspec.json.encode(environment()).decode())"
    )
    setup = (
        "ip link add name eth0.7 type veth peer name far && ip address add 10.99.7.1/24 dev eth0.7 "
        "&& ip link set far up && ip link set eth0.7 up"
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{setup} && exec "$0" -c "$1"', sys.executable, code],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no namespace with a veth pair: {done.stderr.strip()[:100]}")
    inside = msgspec.json.decode(done.stdout)
    assert inside["boot"]["boot_id"] == boot_id()
    assert inside["launch"]["hints"]["network_namespace"] != str(Path("/proc/self/ns/net").readlink())
    assert set(inside["interfaces"]) <= {"lo", "eth0.7", "far", "sit0", "ip6tnl0"}
    assert [entry["dst"] for entry in inside["routes"]["inet"] if entry.get("table") != "local"] == ["10.99.7.0/24"]
    assert {entry["interface"] for entry in inside["memberships"]["inet"]} == {"eth0.7", "far"}
    assert inside["settings"]["net.ipv4.conf.eth0/7.rp_filter"].isdecimal()


def broken() -> Any:
    raise ZeroDivisionError("a bug")


def test_failing_probe_is_a_line_in_its_place() -> None:
    found = answers({"good": lambda: 1, "bad": broken, "silent": lambda: text_of("/nonexistent")})
    assert found == {
        "good": 1,
        "bad": {"error": "ZeroDivisionError: a bug"},
        "silent": {"error": "/nonexistent cannot be read: No such file or directory"},
    }


def test_hanging_probes_together_cost_one_limit() -> None:
    release = threading.Event()
    before_ns = time.monotonic_ns()
    found = answers({"a": release.wait, "b": release.wait, "c": lambda: 3}, limit_ns=100_000_000)
    passed_ns = time.monotonic_ns() - before_ns
    release.set()
    late = {"error": "no answer within 100 ms"}
    assert found == {"a": late, "b": late, "c": 3}
    assert 100_000_000 <= passed_ns < 2 * NS_PER_S


@pytest.mark.skipif(os.name != "posix", reason="uses tools of POSIX")
def test_tool_that_is_missing_fails_or_hangs_is_named(tmp_path: Path) -> None:
    def reason(*arguments: str) -> object:
        return answer(lambda: command(*arguments, limit_ns=200_000_000))

    assert command("echo", "a b") == "a b\n"
    assert reason("no-such-tool") == {"error": "no-such-tool is not installed"}
    assert reason("sh", "-c", "echo oh no >&2; exit 3") == {"error": "sh -c echo oh no >&2; exit 3 ended with 3: oh no"}
    assert reason("false") == {"error": "false ended with 1"}
    assert reason("sleep", "20") == {"error": "sleep 20 gave no answer within 200 ms"}


def test_tools_speak_english_and_are_found_beyond_the_users_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert command("sh", "-c", "echo $LC_ALL") == "C\n"
    tool = tmp_path / "broken-tool"
    tool.write_bytes(b"\x00not a program")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProbeError, match="broken-tool cannot be started"):
        command("broken-tool")


def test_long_output_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_MAX_OUTPUT", 3)
    assert command("echo", "abcdef") == "abc"


@is_linux
def test_snapshot_and_counters_are_cheap() -> None:
    def best_of(function: Any, times: int) -> int:
        took = []
        for _ in range(times):
            before_ns = time.monotonic_ns()
            function()
            took.append(time.monotonic_ns() - before_ns)
        return min(took)

    assert best_of(environment, 5) < 300_000_000
    assert best_of(counters_only, 20) < 5_000_000


def test_counters_alone_start_no_process_and_fit_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"started {arguments}")

    counters_only()  # the boot id is asked once, and macOS needs a process for it
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    found = counters_only()
    assert not [name for name, value in found.items() if isinstance(value, dict) and "error" in value]
    assert found["interface_counters"]
    assert found["boot"]["boot_id"] == boot_id()
    assert set(found) <= {"version", "taken_ns", *PROBES}


@is_linux
def test_own_socket_is_listed_with_its_drops_and_its_holder() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        receiver.bind(("127.0.0.1", 0))
        for _ in range(60):
            sender.sendto(bytes(1_000), receiver.getsockname())
        local = f"127.0.0.1:{receiver.getsockname()[1]}"
        inode = os.fstat(receiver.fileno()).st_ino
        (entry,) = (row for row in environment()["sockets"]["udp"] if row["inode"] == inode)
        n_queued = 0
        receiver.setblocking(False)
        try:
            while receiver.recv(2_000):
                n_queued += 1
        except BlockingIOError:
            pass
    assert (entry["local"], entry["pid"]) == (local, os.getpid())
    assert entry["process"] == Path("/proc/self/comm").read_text().strip()
    assert entry["queued_bytes"] > 0
    assert entry["drops"] == 60 - n_queued > 0


@is_linux
def test_owners_are_not_looked_for_without_end() -> None:
    from harness.evidence.sockets import owners

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        inode = os.fstat(mine.fileno()).st_ino
        assert owners({inode}, limit_ns=0) == {}
        assert owners({inode})[inode][0] == os.getpid()
        before_ns = time.monotonic_ns()
        assert owners({1 << 60}, limit_ns=20_000_000) == {}
        assert time.monotonic_ns() - before_ns < NS_PER_S


@pytest.mark.lab
def test_lab_host_tells_bridges_filters_firewall_queues_and_rules() -> None:
    with cabled() as (switch, host):
        switch.ip("link", "add", "name", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1")
        switch.ip("link", "set", "br0", "up")
        switch.ip("link", "set", "tx0", "master", "br0")
        host.ip("rule", "add", "ipproto", "udp", "dport", "53", "lookup", "100")
        host.ip("route", "add", "unreachable", "239.9.0.0/16")
        host.ip("address", "add", "10.99.0.1/24", "dev", "rx0", "valid_lft", "600", "preferred_lft", "300")
        ruleset = "table inet t {\nchain c {\ntype filter hook input priority 0\nudp dport 5 counter drop\n}\n}"
        for tool in (["nft", ruleset], ["tc", "qdisc", "add", "dev", "rx0", "root", "pfifo", "limit", "7"]):
            subprocess.run(host.command(*tool), check=True, timeout=20)
        with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            group, interface, source = (socket.inet_aton(a) for a in ("232.7.7.7", "10.77.0.2", "10.77.0.1"))
            receiver.setsockopt(socket.IPPROTO_IP, 39, group + interface + source)  # IP_ADD_SOURCE_MEMBERSHIP
            told = environment()
        with switch.inside():
            seen = environment()
    entry = told["interfaces"]["rx0"]
    assert (entry["kind"], entry["driver"], entry["has_carrier"]) == ("veth", "veth", True)
    assert entry["carrier_changes"] >= 1
    origins = {address["address"]: address["origin"] for address in entry["addresses"]}
    assert origins["10.77.0.2"] == "static"
    assert origins["10.99.0.1"] == "dynamic"
    asked_for = {"interface": "rx0", "group": "232.7.7.7", "source": "10.77.0.1", "include": 1, "exclude": 0}
    assert told["memberships"]["filters"] == [asked_for]
    assert [rule["dport"] for rule in told["routes"]["rules"] if "dport" in rule] == [53]
    assert "unreachable" in [route.get("type") for route in told["routes"]["inet"]]
    (rule,) = (item["rule"] for item in told["firewall"]["nft"] if "rule" in item)
    assert (rule["table"], rule["chain"]) == ("t", "c")
    assert {"counter": {"packets": 0, "bytes": 0}} in rule["expr"]
    assert [(q["kind"], q["options"]["limit"]) for q in told["qdiscs"] if q["dev"] == "rx0"] == [("pfifo", 7)]
    (bridge,) = seen["bridges"]["links"]
    assert bridge["linkinfo"]["info_data"]["mcast_querier"] == 1
    assert seen["interfaces"]["tx0"]["port"]["mcast_flood"] is True


@is_linux
def test_without_iproute_and_nft_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = environment()
    monkeypatch.setattr(probe, "path_of", lambda _: None)
    monkeypatch.setattr("harness.evidence.firewall.path_of", lambda _: None)
    told = environment()
    assert told["routes"]["inet"] == {"error": "ip is not installed"}
    assert told["firewall"]["nft"] == {"error": "nft is not installed"}
    assert told["firewall"]["iptables"] == {"error": "iptables-save is not installed"}
    assert told["interfaces"].keys() == whole["interfaces"].keys()
    for name, entry in told["interfaces"].items():
        same = ("index", "mtu", "is_up", "driver") if "driver" in entry else ("index", "mtu", "is_up")
        assert [entry[key] for key in same] == [whole["interfaces"][name][key] for key in same]
        addresses = [
            {address["address"] for address in side["addresses"]} for side in (entry, whole["interfaces"][name])
        ]
        assert addresses[0] == addresses[1]


def test_answer_that_is_no_json_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.as_json("") == []
    with pytest.raises(ProbeError, match="too old"):
        probe.as_json("Usage: ip [ OPTIONS ]")
    monkeypatch.setattr(probe, "_MAX_OUTPUT", 5)
    with pytest.raises(ProbeError, match="too long"):
        probe.as_json('[{"a"')


def test_limit_of_a_snapshot_is_that_of_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def command(*_: str, limit_ns: int, has_both: bool) -> str:
        limits.append(limit_ns)
        return ""

    monkeypatch.setattr(probe, "command", command)
    probe.tool("x")(NS_PER_S)
    probe.tool("x", limit_ns=7)(NS_PER_S)
    assert limits == [NS_PER_S, 7]


@is_linux
def test_files_are_read_under_the_thread_and_not_the_process() -> None:
    import inspect

    source = inspect.getsource(_linux)
    assert "/proc/net/" not in source.replace("/proc/net is", "")
    assert "/proc/self/net" not in source
