"""Changes as they happen: real kernel messages in a namespace, hostile bytes, and what macOS and Windows tell."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import Namespace, namespaces

from harness.evidence import _darwin_watch, _linux_watch, _windows_watch, monitor, netlink, watch_changes
from harness.evidence.route_monitor import RouteMonitor
from harness.evidence.tracker import Told, Tracker
from harness.model.evidence_change import ObservedChange

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel, and imitates the others on it")
WITHIN_NS = 20_000_000


@pytest.fixture
def host() -> Iterator[Namespace]:
    with namespaces(1) as (namespace,):
        namespace.ip("link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
        for name in ("v0", "v1"):
            namespace.ip("link", "set", name, "addrgenmode", "none")
            namespace.ip("link", "set", name, "up")
        namespace.ip("address", "add", "10.0.0.2/24", "dev", "v0")
        for name in ("v0", "v1"):
            namespace.wait_until_up(name)
        yield namespace


class Seen:
    """Collects what is reported, and waits for it."""

    def __init__(self) -> None:
        self.changes: list[ObservedChange] = []

    def __call__(self, change: ObservedChange) -> None:
        self.changes.append(change)

    async def wait_for(self, text: str) -> ObservedChange:
        with trio.fail_after(5):
            while True:
                for change in self.changes:
                    if change.text == text:
                        return change
                await trio.sleep(0.002)


CASES = [
    (["link set v1 down"], [("link", "v1 down (switched off)"), ("link", "v0 down (no carrier)")]),
    (["link set v1 down", "link set v1 up"], [("link", "v1 up"), ("link", "v0 up")]),
    (["address add 10.0.1.2/24 dev v1"], [("address", "10.0.1.2/24 added on v1")]),
    (["address del 10.0.0.2/24 dev v0"], [("address", "10.0.0.2/24 removed from v0")]),
    (["-6 address add fd00::2/64 dev v0 nodad"], [("address", "fd00::2/64 added on v0")]),
    (
        ["route add 224.0.0.0/4 dev v0", "route del 224.0.0.0/4 dev v0"],
        [("route", "route 224.0.0.0/4 on v0 added"), ("route", "route 224.0.0.0/4 on v0 removed")],
    ),
    (
        ["address add 10.0.1.2/24 dev v1", "route add default via 10.0.0.9", "route replace default via 10.0.1.9"],
        [("route", "default route now via v0 (10.0.0.9)"), ("route", "default route now via v1 (10.0.1.9)")],
    ),
    (["route add default via 10.0.0.9", "route del default"], [("route", "default route gone")]),
    (
        ["route add 239.0.0.0/8 dev v0", "route replace 239.0.0.0/8 dev v1"],
        [("route", "route 239.0.0.0/8 on v1 changed to this")],
    ),
    (["route add unreachable 224.0.0.0/4 table 9"], [("route", "route unreachable 224.0.0.0/4 in table 9 added")]),
    (
        ["rule add ipproto udp dport 53 lookup 100", "rule del ipproto udp dport 53 lookup 100"],
        [
            ("rule", "rule 32765: from all ipproto udp dport 53 lookup 100 added"),
            ("rule", "rule 32765: from all ipproto udp dport 53 lookup 100 removed"),
        ],
    ),
    (
        ["-6 rule add to fd00::/64 iif v0 fwmark 7 sport 5-9 blackhole"],
        [("rule", "IPv6 rule 32765: from all to fd00::/64 fwmark 0x7 iif v0 sport 5-9 blackhole added")],
    ),
    (["link del v0"], [("link", "v0 gone"), ("link", "v1 gone"), ("route", "route 10.0.0.0/24 on v0 removed")]),
    (["link set v1 mtu 1400"], [("link", "v1 MTU 1500 -> 1400")]),
    (["link set v1 address 02:00:00:00:00:77"], [("link", "v1 MAC {mac} -> 02:00:00:00:00:77")]),
    (["link set v1 name lan0"], [("link", "v1 renamed to lan0")]),
    (
        ["link add name br0 type bridge", "link set v1 master br0", "link set v1 nomaster"],
        [("link", "v1 joined br0"), ("link", "v1 left br0")],
    ),
]


@pytest.mark.lab
@pytest.mark.parametrize(("commands", "expected"), CASES, ids=[commands[-1] for commands, _ in CASES])
async def test_change_is_told_at_once(host: Namespace, commands: list[str], expected: list[tuple[str, str]]) -> None:
    mac = host.ip("-o", "link", "show", "dev", "v1").partition("link/ether ")[2].split()[0]
    seen = Seen()
    with host.inside():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_changes, seen)
            began_ns = time.time_ns()
            for command in commands:
                await trio.run_process(["ip", "-n", host.name, *command.split()])
            ended_ns = time.time_ns()
            told = [await seen.wait_for(text.format(mac=mac)) for _, text in expected]
            nursery.cancel_scope.cancel()
    assert [change.kind for change in told] == [kind for kind, _ in expected]
    assert all(began_ns <= change.t_realtime_ns <= ended_ns + WITHIN_NS for change in told)
    assert [change.t_realtime_ns for change in seen.changes] == sorted(c.t_realtime_ns for c in seen.changes)


@pytest.mark.lab
async def test_ipv4_routes_that_go_silently_with_their_link_are_found(host: Namespace) -> None:
    host.ip("address", "add", "10.0.1.2/24", "dev", "v1")
    host.ip("route", "add", "224.0.0.0/4", "dev", "v1")
    host.ip("route", "add", "default", "via", "10.0.1.9", "metric", "5")
    host.ip("route", "add", "default", "via", "10.0.0.9", "metric", "50")
    seen = Seen()
    with host.inside():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_changes, seen)
            host.ip("link", "set", "v1", "down")
            await seen.wait_for("default route now via v0 (10.0.0.9)")
            await seen.wait_for("route 224.0.0.0/4 on v1 removed")
            nursery.cancel_scope.cancel()


@pytest.mark.lab
async def test_membership_and_bridge_entry_are_told(host: Namespace) -> None:
    with namespaces(1) as (far,):
        host.ip("link", "set", "v1", "netns", far.name)  # takes v0's carrier, which the kernel notices when it likes
        host.wait_until_up("v0", is_up=False)
        far.ip("address", "add", "10.0.0.3/24", "dev", "v1")
        far.ip("link", "set", "v1", "up")
        far.wait_until_up("v1")
        host.wait_until_up("v0")
        host.ip("link", "add", "name", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1")
        host.ip("link", "set", "br0", "type", "bridge", "mcast_igmp_version", "3")  # a v2 report may take its 10 s
        host.ip("link", "set", "br0", "up")
        host.ip("link", "set", "v0", "master", "br0")
        group = "239.255.5.5"
        switch, member = Seen(), Seen()
        async with trio.open_nursery() as nursery:
            with host.inside():
                await nursery.start(watch_changes, switch)
            with far.inside():
                await nursery.start(watch_changes, member)
                receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with receiver:
                request = socket.inet_aton(group) + socket.inet_aton("10.0.0.3")
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                await switch.wait_for(f"{group} added on v0 of br0")
                if any(change.kind == "membership" for change in member.changes):  # only recent kernels tell
                    await member.wait_for(f"{group} joined on v1")
            await trio.run_process(
                host.command("bridge", "mdb", "del", "dev", "br0", "port", "v0", "grp", group), check=False
            )
            await switch.wait_for(f"{group} removed from v0 of br0")
            nursery.cancel_scope.cancel()


@pytest.mark.lab
def test_overrun_is_told_and_what_it_hid_is_found(host: Namespace) -> None:
    n_addresses = 400
    batch = "".join(f"address add 10.8.{n // 200}.{n % 200 + 1}/32 dev v0\n" for n in range(n_addresses))
    seen = Seen()
    with host.inside(), _linux_watch.open_watch(buffer_bytes=4_096) as kernel:
        state, whole = _linux_watch.listing(_linux_watch._TABLES)
        assert set(whole) >= {"links", "addresses", "routes", "rules"}
        subprocess.run(["ip", "-n", host.name, "-batch", "-"], input=batch, text=True, check=True, timeout=20)
        _linux_watch.read_all(kernel, state, seen)
        again = Seen()
        _linux_watch.read_all(kernel, state, again)
    assert [change.kind for change in seen.changes].count("overrun") >= 1
    added = [change for change in seen.changes if change.kind == "address"]
    assert len(added) == len({change.text for change in added}) == n_addresses
    assert again.changes == []


@pytest.mark.lab
async def test_what_is_there_already_and_what_is_told_again_is_no_change(host: Namespace) -> None:
    seen = Seen()
    with host.inside():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_changes, seen)
            host.ip("link", "set", "v0", "up")
            host.ip("address", "change", "10.0.0.2/24", "dev", "v0", "valid_lft", "900", "preferred_lft", "800")
            host.ip("link", "set", "v0", "promisc", "on")
            host.ip("address", "add", "10.0.7.7/24", "dev", "v0")
            await seen.wait_for("10.0.7.7/24 added on v0")
            nursery.cancel_scope.cancel()
    assert [change.text for change in seen.changes if change.kind in ("link", "address")] == ["10.0.7.7/24 added on v0"]


@pytest.mark.lab
async def test_duplicate_address_detection_is_told(host: Namespace) -> None:
    seen = Seen()
    with host.inside():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_changes, seen)
            host.ip("address", "add", "fd00::5/64", "dev", "v0")
            await seen.wait_for("fd00::5/64 added on v0 (tentative)")
            await seen.wait_for("fd00::5/64 on v0 now usable")
            nursery.cancel_scope.cancel()


async def test_system_without_a_way_to_watch_is_said_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_linux_watch, "open_watch", refuse)
    seen = Seen()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_changes, seen)
    (change,) = seen.changes
    assert (change.kind, change.text) == ("unwatched", "changes are not seen: Operation not permitted")


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_datagram_is_passed_over_or_told(data: bytes) -> None:
    for told in Tracker().feed(data):
        assert told.text


KINDS = [16, 17, 20, 21, 24, 25, 32, 33, 56, 57, 84, 85]
attribute = st.tuples(st.integers(0, 40), st.binary(max_size=40)).map(
    lambda pair: struct.pack("=HH", 4 + len(pair[1]), pair[0]) + pair[1] + bytes(-len(pair[1]) % 4)
)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    fixed=st.binary(min_size=8, max_size=16),
    attributes=st.lists(attribute, max_size=5),
    n_kept=st.integers(0, 120),
)
def test_any_body_of_a_known_message_raises_nothing(
    kind: int, fixed: bytes, attributes: list[bytes], n_kept: int
) -> None:
    body = (fixed + b"".join(attributes))[:n_kept]
    message = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    state = Tracker()
    state.feed(message + message)
    assert state.compare(Tracker(), ("links", "addresses", "routes", "rules")) is not None


def test_messages_of_a_datagram_end_where_it_is_torn() -> None:
    message = struct.pack("=IHHII", 18, 16, 5, 0, 0) + b"ab"
    assert [found.body for found in netlink.messages(message + b"\0\0" + message)] == [b"ab", b"ab"]
    assert [found.body for found in netlink.messages(message + b"\0\0" + message[:-1])] == [b"ab"]
    assert list(netlink.messages(struct.pack("=IHHII", 3, 16, 0, 0, 0))) == []


ROUTE_MONITOR = """
got message of size 112 on Tue Oct  1 10:00:00 2024
RTM_IFINFO: iface status change: len 112, if# 11, flags:<UP,BROADCAST,SMART,SIMPLEX,MULTICAST>

got message of size 112 on Tue Oct  1 10:00:00 2024
RTM_IFINFO: iface status change: len 112, if# 11, flags:<UP,BROADCAST,SMART,SIMPLEX,MULTICAST>

got message of size 124 on Tue Oct  1 10:00:02 2024
RTM_NEWADDR: address being added to iface: len 124, metric 0, flags:<UP>
sockaddrs: <NETMASK,IFP,IFA,BRD>
 255.255.255.0 en0:a4.5e.60.1.2.3 192.168.1.5 192.168.1.255

got message of size 140 on Tue Oct  1 10:00:02 2024
RTM_ADD: Add Route: len 140, pid: 0, seq 0, errno 0, flags:<UP,HOST,DONE,LLINFO,WASCLONED,IFSCOPE>
locks:  inits:
sockaddrs: <DST,GATEWAY>
 192.168.1.9 link#11

got message of size 140 on Tue Oct  1 10:00:02 2024
RTM_DELETE: Delete Route: len 140, pid: 91, seq 4, errno 0, flags:<UP,GATEWAY,DONE,STATIC,PRCLONING>
locks:  inits:
sockaddrs: <DST,GATEWAY,NETMASK>
 default 192.168.1.1 default

got message of size 80 on Tue Oct  1 10:00:03 2024
RTM_DELMADDR: multicast group membership removed from iface: len 80, metric 0, flags:<>
sockaddrs: <GATEWAY,IFP,IFA>
 1.0.5e.1.2.3 en0:a4.5e.60.1.2.3 239.1.2.3

got message of size 112 on Tue Oct  1 10:00:04 2024
RTM_IFINFO: iface status change: len 112, if# 11, flags:<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST>
"""
TOLD_BY_MACOS = [
    Told("link", "en0", "en0 down (no carrier)"),
    Told("address", "en0", "192.168.1.5 added on en0"),
    Told("route", "", "route default via 192.168.1.1 removed"),
    Told("membership", "en0", "239.1.2.3 left on en0"),
    Told("link", "en0", "en0 up"),
]
"""From text written after route(8) and the open source of network_cmds as of macOS 14; none was recorded there."""


def test_macos_messages_become_changes_and_neighbours_are_left_out() -> None:
    reader = RouteMonitor({11: "en0"})
    assert [told for line in ROUTE_MONITOR.splitlines() for told in reader.feed(line)] == TOLD_BY_MACOS


LINES = [*ROUTE_MONITOR.splitlines(), "sockaddrs: <>", "RTM_NEWADDR: flags:<", "RTM_IFINFO: if# 11", " ", " x"]


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=15))
def test_any_lines_of_a_monitor_raise_nothing(lines: list[str]) -> None:
    reader = RouteMonitor({})
    for line in lines:
        assert all(told.text for told in reader.feed(line))


async def test_macos_tool_is_read_as_it_prints_and_ended_with_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_darwin_watch, "_names", lambda: {11: "en0"})
    code = f"import sys, time; print({ROUTE_MONITOR!r}, flush=True); time.sleep(60)"
    seen = Seen()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_darwin_watch.watch, seen, lambda: None, (sys.executable, "-c", code))
            await seen.wait_for("en0 up")
            nursery.cancel_scope.cancel()
    assert [(change.kind, change.text) for change in seen.changes] == [(told.kind, told.text) for told in TOLD_BY_MACOS]
    assert abs(seen.changes[0].t_realtime_ns - time.time_ns()) < 10**10


@pytest.mark.parametrize("command", [("/nonexistent/route",), ("true",)])
async def test_macos_tool_that_is_missing_or_ends_is_said(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(_darwin_watch.watch, "__defaults__", (command,))
    monkeypatch.setattr(monitor, "_platform", _darwin_watch)
    seen = Seen()
    with trio.fail_after(10):
        await watch_changes(seen)
    assert [change.kind for change in seen.changes] == ["unwatched"]


async def test_windows_states_are_compared_each_interval() -> None:
    def entry(is_up: bool, address: str) -> dict[str, object]:
        shown = {"family": "inet", "address": address, "prefix": 24, "origin": "", "flags": []}
        return {"index": 12, "flags": [], "is_up": is_up, "has_carrier": None, "addresses": [shown]}

    states: list[dict[str, Any]] = [
        {"interfaces": {"Ethernet": entry(True, "10.0.0.2")}, "routes": {"print": []}},
        {"interfaces": {"Ethernet": entry(False, "10.0.0.3")}, "routes": {"print": []}},
        {"interfaces": {}, "routes": {"print": [{"family": "inet", "dst": "224.0.0.0/4", "dev": "10.0.0.3"}]}},
    ]
    asked = iter(states)
    seen = Seen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_windows_watch.watch, seen, lambda: None, lambda: next(asked, states[-1]), 0.01)
        await seen.wait_for("route 224.0.0.0/4 dev 10.0.0.3 family inet added")
        nursery.cancel_scope.cancel()
    assert [(change.kind, change.subject, change.text) for change in seen.changes[:3]] == [
        ("address", "Ethernet", "address 10.0.0.2/24 on Ethernet removed"),
        ("address", "Ethernet", "address 10.0.0.3/24 on Ethernet added"),
        ("link", "Ethernet", "interface Ethernet state: up -> switched off"),
    ]
    state = _windows_watch.state()
    assert state["interfaces"]
    assert "error" in state["routes"]["print"] or isinstance(state["routes"]["print"], list)


@pytest.mark.lab
def test_table_too_long_to_list_is_not_taken_for_the_whole(host: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with host.inside():
        state, whole = _linux_watch.listing(("links", "routes"))
        assert whole == ["links", "routes"]
        monkeypatch.setattr(_linux_watch, "_DUMP_BYTES", 1)
        cut, whole = _linux_watch.listing(("routes",))
    assert state.routes
    assert whole == []
    assert state.compare(cut, whole) == []
