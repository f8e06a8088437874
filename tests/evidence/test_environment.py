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

from harness.evidence import boot_id, environment, probe, system, versions
from harness.evidence.environment import PROBES
from harness.evidence.probe import ProbeError, answer, answers, command, text_of
from harness.units import NS_PER_S

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
is_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")


def test_snapshot_answers_every_probe_in_json() -> None:
    snapshot = environment()
    assert list(snapshot) == ["version", "taken_ns", *PROBES]
    assert msgspec.json.decode(msgspec.json.encode(snapshot)) == snapshot
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
        return [(entry["interface"], entry["group"], entry["users"]) for entry in system.memberships()["inet"]]

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
        assert {"interface": "lo", "group": "ff15::77", "users": 1} in system.memberships()["inet6"]


@is_linux
def test_udp_counters_count_datagrams() -> None:
    before = system.counters()["Udp"]["OutDatagrams"]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        for _ in range(5):
            sender.sendto(b"x", receiver.getsockname())
    counters = system.counters()
    assert counters["Udp"]["OutDatagrams"] >= before + 5
    assert {"InDatagrams", "RcvbufErrors"} <= counters["Udp"].keys()
    assert "ReasmFails" in counters["Ip"]
    assert list(counters["TcpExt"]) in ([], ["IPReversePathFilter"])


@is_linux
def test_settings_are_the_sysctls_by_their_dotted_names() -> None:
    found = system.settings()
    assert found["net.ipv4.igmp_max_memberships"] == text_of("/proc/sys/net/ipv4/igmp_max_memberships")
    assert found["net.ipv4.conf.lo.rp_filter"] == text_of("/proc/sys/net/ipv4/conf/lo/rp_filter")
    assert found["net.ipv4.conf.all.force_igmp_version"].isdecimal()


@is_linux
def test_interfaces_and_launch_describe_this_process() -> None:
    snapshot = environment()
    loopback = snapshot["interfaces"]["lo"]
    assert loopback["mtu"] == int(text_of("/sys/class/net/lo/mtu"))
    assert {"family": "inet", "address": "127.0.0.1", "netmask": "255.0.0.0", "broadcast": None} in loopback[
        "addresses"
    ]
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
