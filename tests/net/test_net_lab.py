"""Sockets in network namespaces: real interfaces, routes, queues and policies that say no."""

import errno
import ipaddress
import os
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from net_helpers import close_all, next_port, payloads, read_all
from netns import Namespace, require_lab, run

from harness.errors import BindError, InterfaceError, MembershipError
from harness.model import Endpoint, Membership, address_text
from harness.net._linux import IP_PKTINFO
from harness.net.batch import PathChoice
from harness.net.counters import interface_counters, udp_counters
from harness.net.interfaces import check_usable, find_interface, list_interfaces
from harness.net.opening import MOST_GROUP_SOCKETS, open_overhearing, open_receiver
from harness.net.platform import PLATFORM
from harness.net.receiver import ReceiverSocket
from harness.net.sender import open_sender

pytestmark = pytest.mark.lab
BOTH: tuple[PathChoice, ...] = ("batch", "portable")
both_paths = pytest.mark.parametrize("path", BOTH)
Pair = tuple[Namespace, Namespace]
TX4, TX6 = ipaddress.ip_address("10.77.0.1"), ipaddress.ip_address("fd77::1")
RX4, RX6 = ipaddress.ip_address("10.77.0.2"), ipaddress.ip_address("fd77::2")


def group(text: str) -> Endpoint:
    return Endpoint(ipaddress.ip_address(text), next_port())


@pytest.mark.parametrize("text", ["239.77.4.1", "ff02::77", "ff05::77", "ff15::77"])
def test_asm_over_a_cable(veth_pair: Pair, text: str) -> None:
    tx, rx = veth_pair
    endpoint = group(text)
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
        index = find_interface("rx0").index
    with tx.inside():
        sender = open_sender(endpoint, interface="tx0", ttl=5)
    with receiver, sender:
        sent = payloads(10, 200)
        assert not sender.send_nowait(sent).any()
        rows, _, meta = read_all(receiver, 10)
        assert rows == [row.tobytes() for row in sent]
        assert set(meta["ttl"]) == {5}
        assert set(meta["ifindex"]) == {index}
        assert not meta["flags"].any()
        assert address_text(meta["destination"][0].tobytes()) == text
        with tx.inside():
            assert address_text(meta["source"][0].tobytes()) == str(sender.local.address)


@pytest.mark.parametrize(
    ("text", "wanted", "other"),
    [
        ("232.77.4.1", "10.77.0.1", "10.77.0.9"),
        ("ff3e::77", "fd77::1", "fd77::9"),
    ],
)
def test_ssm_hears_its_source_only(veth_pair: Pair, text: str, wanted: str, other: str) -> None:
    tx, rx = veth_pair
    endpoint = group(text)
    with rx.inside():
        (right,) = open_receiver([Membership(endpoint, "rx0", ipaddress.ip_address(wanted))])
        (wrong,) = open_receiver([Membership(endpoint, "rx0", ipaddress.ip_address(other))])
    with tx.inside():
        sender = open_sender(endpoint, interface="tx0")
    with right, wrong, sender:
        sender.send_nowait(payloads(3, 64))
        rows, _, meta = read_all(right, 3)
        assert len(rows) == 3
        assert address_text(meta["source"][0].tobytes()) == wanted
        assert not meta["flags"].any()
        assert wrong.receive_nowait() is None
        assert str(wrong.memberships[0]) == f"({other}, {text}) on rx0"
        with rx.inside():
            wrong.leave(wrong.memberships[0])
            wrong.join(Membership(endpoint, "rx0", ipaddress.ip_address(wanted)))
        sender.send_nowait(payloads(1, 64))
        assert len(read_all(wrong, 1)[0]) == 1


def test_several_sources_share_a_socket_and_the_eleventh_names_its_limit(namespace: Namespace) -> None:
    endpoint = group("232.77.4.2")
    with namespace.inside():
        n_allowed = int(Path("/proc/sys/net/ipv4/igmp_max_msf").read_text(encoding="ascii"))
        sources = [ipaddress.ip_address(0x0A000001 + n) for n in range(n_allowed + 1)]
        (receiver,) = open_receiver([Membership(endpoint, "lo", source) for source in sources[:-1]])
        with (
            receiver,
            pytest.raises(MembershipError, match=rf"ENOBUFS .* or net\.ipv4\.igmp_max_msf.*\(now {n_allowed}\)"),
        ):
            receiver.join(Membership(endpoint, "lo", sources[-1]))


def test_the_limit_of_memberships_is_read_in_its_own_namespace(namespace: Namespace) -> None:
    run(*namespace.command("sysctl", "-qw", "net.ipv4.igmp_max_memberships=3"))
    with namespace.inside():
        assert PLATFORM.joins_per_socket(4) == 3
        port = next_port()
        addresses = [ipaddress.ip_address(0xEF4D0401 + n) for n in range(MOST_GROUP_SOCKETS + 1)]
        sockets = open_receiver([Membership(Endpoint(address, port), "lo") for address in addresses])
        assert [len(one.memberships) for one in sockets] == [3] * 21 + [2]
        with pytest.raises(MembershipError, match=r"raise net.ipv4.igmp_max_memberships \(now 3\)"):
            sockets[0].join(Membership(Endpoint(ipaddress.ip_address("239.1.1.1"), port), "lo"))
        close_all(sockets)


def test_many_ipv6_groups_share_sockets(namespace: Namespace) -> None:
    port = next_port()
    first = int(ipaddress.ip_address("ff15::1"))
    endpoints = [Endpoint(ipaddress.IPv6Address(first + n), port) for n in range(250)]
    with namespace.inside():
        sockets = open_receiver([Membership(endpoint, "lo") for endpoint in endpoints])
        assert len(sockets) == 3
        with open_sender(endpoints[249], interface="lo") as sender:
            sender.send_nowait(payloads(2, 64))
        assert read_all(sockets[2], 2)[2]["flags"].tolist() == [0, 0]
        close_all(sockets)


def test_the_same_group_on_two_interfaces_is_told_apart(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    endpoint = group("239.77.4.3")
    with rx.inside():
        by_cable, by_lo = open_receiver([Membership(endpoint, "rx0"), Membership(endpoint, "lo")])
        local = open_sender(endpoint, interface="lo")
    with tx.inside():
        remote = open_sender(endpoint, interface="tx0")
    with by_cable, by_lo, local, remote:
        local.send_nowait(payloads(2, 64))
        remote.send_nowait(payloads(3, 64))
        assert len(read_all(by_cable, 4, timeout_s=0.1)[0]) == 3
        assert len(read_all(by_lo, 4, timeout_s=0.1)[0]) == 2


def is_told(receiver: ReceiverSocket) -> bool:
    return receiver._sock.getsockopt(socket.IPPROTO_IP, IP_PKTINFO) == 1


@both_paths
def test_where_a_datagram_arrived_is_the_same_implied_and_told(veth_pair: Pair, path: PathChoice) -> None:
    tx, rx = veth_pair
    endpoint = group("239.77.4.18")
    by_cable, by_lo = Membership(endpoint, "rx0"), Membership(endpoint, "lo")
    with rx.inside():
        (implied,) = open_receiver([by_cable], path=path)
        (told,) = open_receiver([by_cable], path=path)
        told.join(by_lo)
        local = open_sender(endpoint, interface="lo")
        index = find_interface("rx0").index
    with tx.inside():
        remote = open_sender(endpoint, interface="tx0")
    with implied, told, local, remote:
        assert (is_told(implied), is_told(told)) == (False, True)
        for n_rows in (1, 40, 40):  # the second read is learned, the third is compared with it
            remote.send_nowait(payloads(n_rows, 64))
            (_, _, one), (_, _, other) = read_all(implied, n_rows), read_all(told, n_rows)
            assert one["ifindex"].tolist() == [index] * n_rows
            assert {address_text(row.tobytes()) for row in one["destination"]} == {str(endpoint.address)}
            one["rx_ns"] = other["rx_ns"] = 0
            assert one.tobytes() == other.tobytes()
        local.send_nowait(payloads(3, 64))
        assert len(read_all(told, 3)[0]) == 3
        assert not read_all(implied, 1, timeout_s=0.05)[0]


@both_paths
def test_a_second_interface_has_arrivals_told_again(veth_pair: Pair, path: PathChoice) -> None:
    tx, rx = veth_pair
    by_cable = Membership(group("239.77.4.19"), "rx0")
    by_lo = Membership(by_cable.group, "lo")
    with tx.inside():
        remote = open_sender(by_lo.group, interface="tx0")
    with rx.inside(), remote, open_sender(by_lo.group, interface="lo") as local:
        cable, lo = find_interface("rx0").index, find_interface("lo").index
        (receiver,) = open_receiver([by_cable], path=path)
        with receiver:
            receiver.leave(by_cable)
            receiver.join(by_cable)
            assert not is_told(receiver)
            remote.send_nowait(payloads(2, 64))  # queued while it is implied, read when it is told
            receiver.join(by_lo)
            assert is_told(receiver)
            local.send_nowait(payloads(2, 64))
            remote.send_nowait(payloads(2, 64))
            meta = read_all(receiver, 6)[2]
            assert meta["ifindex"].tolist() == [cable, cable, lo, lo, cable, cable]
            assert {address_text(row.tobytes()) for row in meta["destination"]} == {str(by_lo.group.address)}
            assert not meta["flags"].any()
            receiver.leave(by_lo)
            remote.send_nowait(payloads(2, 64))
            assert read_all(receiver, 2)[2]["ifindex"].tolist() == [cable, cable]


def test_an_interface_made_again_has_arrivals_told(veth_pair: Pair) -> None:
    _, rx = veth_pair
    by_cable = Membership(group("239.77.4.20"), "rx0")
    with rx.inside():
        (receiver,) = open_receiver([by_cable])
        with receiver:
            assert not is_told(receiver)
            receiver.leave(by_cable)
            rx.ip("link", "del", "rx0")
            rx.ip("link", "add", "rx0", "type", "veth", "peer", "name", "rx1")
            for name in ("rx0", "rx1"):
                rx.ip("link", "set", name, "up")
            receiver.join(by_cable)
            assert is_told(receiver)
            with open_sender(by_cable.group, interface="rx0") as sender:
                sender.send_nowait(payloads(2, 64))
            meta = read_all(receiver, 2)[2]
            assert meta["ifindex"].tolist() == [find_interface("rx0").index] * 2
            assert not meta["flags"].any()


def test_arrivals_are_told_where_the_kernel_chooses_or_several_are_heard(namespace: Namespace) -> None:
    endpoint = group("239.77.4.21")
    with namespace.inside():
        namespace.ip("route", "add", "224.0.0.0/4", "dev", "lo")
        (chosen,) = open_receiver([Membership(endpoint)])
        (wildcard,) = open_receiver([Membership(group("239.77.4.22"), "lo")], one_socket=True)
        overhearing = open_overhearing(Membership(endpoint, "lo"))
        with chosen, wildcard, overhearing:
            assert is_told(chosen)
            assert is_told(wildcard)
            assert is_told(overhearing)


def test_pinning_goes_by_the_named_interface_against_the_routes(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    tx.ip("link", "add", "tx1", "type", "veth", "peer", "name", "rx1", "netns", rx.name)
    for side, name, address in ((tx, "tx1", "10.78.0.1/24"), (rx, "rx1", "10.78.0.2/24")):
        side.ip("addr", "add", address, "dev", name)
        side.ip("link", "set", name, "up")
    tx.wait_until_up("tx1")
    tx.ip("route", "add", "224.0.0.0/4", "dev", "tx1")
    endpoint = group("239.77.4.4")
    with rx.inside():
        on_0, on_1 = open_receiver([Membership(endpoint, "rx0"), Membership(endpoint, "rx1")])
    with tx.inside():
        pinned, routed = open_sender(endpoint, interface="10.77.0.1"), open_sender(endpoint)
        assert (str(pinned.local.address), str(routed.local.address)) == ("10.77.0.1", "10.78.0.1")
    with on_0, on_1, pinned, routed:
        pinned.send_nowait(payloads(2, 64))
        routed.send_nowait(payloads(3, 64))
        assert len(read_all(on_0, 4, timeout_s=0.1)[0]) == 2
        assert len(read_all(on_1, 4, timeout_s=0.1)[0]) == 3


@pytest.mark.parametrize("address", ["ff15::4:20", "fd77::2"])
def test_hop_limit_and_traffic_class_are_on_the_wire(veth_pair: Pair, address: str) -> None:
    tx, rx = veth_pair
    endpoint = group(address)
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
        receiver._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    with tx.inside(), receiver, open_sender(endpoint, interface="tx0", ttl=37, dscp=46) as sender:
        assert sender.send_nowait(payloads(1, 64)).tolist() == [0]
        _, messages, _, _ = receiver._sock.recvmsg(2048, 256)
        told = {(level, kind): struct.unpack("=i", data[:4])[0] for level, kind, data in messages}
        assert told[socket.IPPROTO_IPV6, socket.IPV6_TCLASS] == 46 << 2
        assert told[socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT] == 37


@pytest.mark.parametrize(("destination", "source"), [(RX4, TX4), (RX6, TX6)])
def test_unicast_over_a_cable(
    veth_pair: Pair, destination: ipaddress.IPv4Address, source: ipaddress.IPv4Address
) -> None:
    tx, rx = veth_pair
    endpoint = Endpoint(destination, next_port())
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
    with tx.inside():
        sender = open_sender(endpoint, interface="tx0", ttl=3)
    with receiver, sender:
        assert sender.local.address == source
        sender.send_nowait(payloads(4, 64))
        _, _, meta = read_all(receiver, 4)
        assert set(meta["ttl"]) == {3}
        assert meta["flags"].tolist() == [0] * 4


@pytest.mark.parametrize("text", ["10.77.0.255", "255.255.255.255"])
def test_broadcast_over_a_cable(veth_pair: Pair, text: str) -> None:
    tx, rx = veth_pair
    endpoint = group(text)
    with rx.inside():
        receivers = [*open_receiver([Membership(endpoint, "rx0")]), *open_receiver([Membership(endpoint, "rx0")])]
    with tx.inside():
        sender = open_sender(endpoint, interface="tx0")
    sender.send_nowait(payloads(2, 64))
    for receiver in receivers:
        assert read_all(receiver, 2)[2]["flags"].tolist() == [0, 0]
    sender.close()
    close_all(receivers)


def test_link_local_unicast_needs_its_interface(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    rx.ip("addr", "add", "fe80::2/64", "dev", "rx0", "nodad")
    tx.ip("addr", "add", "fe80::1/64", "dev", "tx0", "nodad")
    endpoint = Endpoint(ipaddress.ip_address("fe80::2"), next_port())
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
        with pytest.raises(BindError, match="a link-local address needs its interface"):
            open_receiver([Membership(endpoint)])
    with tx.inside():
        zoned = Endpoint(ipaddress.ip_address("fe80::2%tx0"), endpoint.port)
        with open_sender(zoned) as sender:
            sender.send_nowait(payloads(1, 64))
    with receiver:
        assert len(read_all(receiver, 1)[0]) == 1


def test_a_join_without_interface_or_route_asks_for_an_interface(namespace: Namespace) -> None:
    with namespace.inside():
        for text in ("239.77.4.5",):
            with pytest.raises(MembershipError) as refusal:
                open_receiver([Membership(group(text))])
            assert refusal.value.errno == errno.ENODEV
            assert str(refusal.value) == (
                f"cannot join (*, {text}): ENODEV (No such device); "
                f"no route leads to {text}: name an interface (--interface), see harness interfaces"
            )


def test_a_send_without_route_is_refused_packet_by_packet_until_there_is_one(veth_pair: Pair) -> None:
    tx, _ = veth_pair
    tx.ip("route", "add", "unreachable", "224.0.0.0/4")
    endpoint = group("239.77.4.6")
    with tx.inside():
        for path in BOTH:
            with open_sender(endpoint, path=path) as unpinned, open_sender(endpoint, interface="tx0") as pinned:
                assert str(unpinned.local.address) == "0.0.0.0"
                assert unpinned.send_nowait(payloads(3, 64)).tolist() == [errno.EHOSTUNREACH] * 3
                assert pinned.send_nowait(payloads(3, 64)).tolist() == [0] * 3
    with tx.inside(), open_sender(endpoint) as unpinned:
        tx.ip("route", "del", "unreachable", "224.0.0.0/4")
        assert unpinned.send_nowait(payloads(1, 64)).tolist() == [errno.ENETUNREACH]
        tx.ip("route", "add", "224.0.0.0/4", "dev", "tx0")
        assert unpinned.send_nowait(payloads(3, 64)).tolist() == [0] * 3
        with pytest.raises(BindError, match=r"cannot send to 203.0.113.1:5000: ENETUNREACH .*; no route leads there"):
            open_sender(Endpoint(ipaddress.ip_address("203.0.113.1"), 5000))


def shape(side: Namespace, interface: str, rate: str, limit: int) -> None:
    """Put a queue of `limit` bytes in front of an interface, emptied at `rate`."""
    queue = ["root", "tbf", "rate", rate, "burst", "2000", "limit", str(limit)]
    run("tc", "-n", side.name, "qdisc", "add", "dev", interface, *queue)


@both_paths
def test_a_full_queue_of_the_interface_is_reported_per_datagram(veth_pair: Pair, path: PathChoice) -> None:
    tx, rx = veth_pair
    shape(tx, "tx0", "1mbit", limit=3000)
    endpoint = group("239.77.4.7")
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
    with tx.inside():
        sender = open_sender(endpoint, interface="tx0", path=path)
        with receiver, sender:
            results = sender.send_nowait(payloads(20, 400)).tolist()
            assert set(results) == {0, errno.ENOBUFS}
            n_sent = results.count(0)
            assert len(read_all(receiver, n_sent + 1, timeout_s=0.3)[0]) == n_sent


@both_paths
async def test_a_full_send_buffer_says_again_and_waiting_helps(veth_pair: Pair, path: PathChoice) -> None:
    tx, _ = veth_pair
    shape(tx, "tx0", "8mbit", limit=3_000_000)
    with tx.inside():
        sender = open_sender(group("239.77.4.8"), interface="tx0", buffer_bytes=5000, path=path)
    with sender:
        results = sender.send_nowait(payloads(50, 400)).tolist()
        n_sent = results.index(errno.EAGAIN)
        assert n_sent > 0
        assert results == [0] * n_sent + [errno.EAGAIN] * (50 - n_sent)
        await sender.wait_writable()
        assert sender.send_nowait(payloads(1, 400)).tolist() == [0]


def lacking(capability: str) -> NoReturn:
    """Skip the test, or fail where the lab is required whole."""
    if "lab" in os.environ.get("HARNESS_REQUIRE", ""):
        pytest.fail(f"the lab is required here, and lacks {capability}")
    pytest.skip(f"needs {capability}")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of its own in the unified hierarchy."""
    require_lab()
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="ascii").splitlines()]
    roots = [Path(columns[1]) for columns in mounts if columns[2] == "cgroup2"]
    if not roots or not os.access(roots[0], os.W_OK):
        lacking("a writable cgroup2 file system")
    made = roots[0] / f"hn{os.getpid()}-{uuid.uuid4().hex[:6]}"
    made.mkdir()
    yield made
    made.rmdir()


DENIED_CHILD = """
import ctypes, ipaddress, os, struct, sys
from harness.model import Endpoint
from harness.net.sender import open_sender
import numpy as np
group, path, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
deny = bytes.fromhex("b700000000000000" "9500000000000000")  # r0 = 0; exit
code, licence = ctypes.create_string_buffer(deny), ctypes.create_string_buffer(b"GPL")
load = struct.pack("=IIQQ", 8, 2, ctypes.addressof(code), ctypes.addressof(licence)).ljust(128, b"\\0")
program = libc.syscall(number, 5, load, 128)
if program < 0:
    sys.exit(77)
with open(group + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
directory = os.open(group, os.O_RDONLY)
attach = struct.pack("=IIII", directory, program, 1, 0).ljust(128, b"\\0")
if libc.syscall(number, 8, attach, 128):
    sys.exit(77)
with open_sender(Endpoint(ipaddress.ip_address("239.77.4.9"), 5000), interface="lo", path=path) as sender:
    print(sender.send_nowait(np.zeros((3, 64), np.uint8)).tolist())
"""


@both_paths
def test_a_policy_that_forbids_sending_is_named_per_datagram(cgroup: Path, path: PathChoice) -> None:
    number = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine)
    if number is None:
        lacking("the number of the bpf system call on this machine")
    child = subprocess.run(
        [sys.executable, "-c", DENIED_CHILD, str(cgroup), path, str(number)], capture_output=True, text=True, timeout=30
    )
    if child.returncode == 77:
        lacking("the bpf system call with control groups")
    assert child.stdout == f"{[errno.EPERM] * 3}\n", child.stderr


def test_leaving_works_after_the_interface_has_gone(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    endpoint = group("239.77.4.10")
    with rx.inside():
        (receiver,) = open_receiver([Membership(endpoint, "rx0")])
        tx.ip("link", "del", "tx0")
        with receiver:
            receiver.leave(receiver.memberships[0])
            assert receiver.memberships == ()
            with pytest.raises(InterfaceError, match="no network interface 'rx0'"):
                receiver.join(Membership(endpoint, "rx0"))


def test_interfaces_are_described_as_they_are(veth_pair: Pair) -> None:
    tx, _ = veth_pair
    tx.ip("link", "set", "tx0", "mtu", "1400", "address", "02:00:00:00:77:01")
    tx.ip("route", "add", "default", "via", "10.77.0.2")
    tx.ip("-6", "route", "add", "default", "via", "fd77::2")
    with tx.inside():
        lo, tx0 = list_interfaces()
        assert (lo.name, lo.index, lo.is_loopback, lo.is_multicast, lo.is_up, lo.mac) == (
            "lo",
            1,
            True,
            False,
            True,
            None,
        )
        assert (tx0.name, tx0.mtu, tx0.mac, tx0.is_up) == ("tx0", 1400, "02:00:00:00:77:01", True)
        assert [str(entry) for entry in tx0.addresses] == ["10.77.0.1/24", "fd77::1/64"]
        assert (tx0.is_multicast, tx0.is_loopback) == (True, False)
        assert (tx0.is_default_route_v4, tx0.is_default_route_v6) == (True, True)
        assert (lo.is_default_route_v4, lo.is_default_route_v6) == (False, False)
        assert (tx0.first_address(4), tx0.first_address(6)) == (TX4, TX6)
        assert find_interface("10.77.0.1") == find_interface("fd77::1") == find_interface(str(tx0.index)) == tx0
        for usable in (lo, tx0):
            check_usable(usable, group("239.77.4.11"))


def test_an_ambiguous_address_is_told_by_its_zone(veth_pair: Pair) -> None:
    tx, _ = veth_pair
    tx.ip("addr", "add", "fe80::7/64", "dev", "tx0", "nodad")
    tx.ip("link", "add", "tx1", "type", "veth", "peer", "name", "tx2")
    tx.ip("link", "set", "tx1", "up")
    tx.ip("addr", "add", "fe80::7/64", "dev", "tx1", "nodad")
    with tx.inside():
        with pytest.raises(InterfaceError, match=r"interface 'fe80::7' is ambiguous; name one of: tx\d .*; tx\d "):
            find_interface("fe80::7")
        assert find_interface("fe80::7%tx1").name == "tx1"


def test_unusable_interfaces_are_refused_with_the_remedy(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    endpoint = group("239.77.4.12")
    with tx.inside():
        tx.ip("link", "set", "tx0", "multicast", "off")
        with pytest.raises(InterfaceError, match=r"tx0 has no MULTICAST flag.*ip link set tx0 multicast on"):
            check_usable(find_interface("tx0"), endpoint)
        check_usable(find_interface("tx0"), Endpoint(RX4, 5000))
        tx.ip("link", "set", "tx0", "multicast", "on")
        rx.ip("link", "set", "rx0", "down")
        tx.wait_until_up("tx0", is_up=False)
        with pytest.raises(InterfaceError, match="interface tx0 is down or has no link"):
            check_usable(find_interface("tx0"), endpoint)


def test_counters_before_and_after(veth_pair: Pair) -> None:
    tx, rx = veth_pair
    for endpoint in (group("239.77.4.13"), group("ff15::4:13")):
        version = endpoint.version
        with rx.inside():
            (receiver,) = open_receiver([Membership(endpoint, "rx0")])
            before = udp_counters(version)
        with tx.inside():
            sender, sent_before = open_sender(endpoint, interface="tx0"), interface_counters("tx0")
            sender.send_nowait(payloads(7, 100))
            sent_after = interface_counters("tx0")
        with receiver, sender:
            read_all(receiver, 7)
        with rx.inside():
            after = udp_counters(version)
            assert interface_counters("nope0") is None
        assert before is not None
        assert after is not None
        assert sent_before is not None
        assert sent_after is not None
        assert ((after - before).received, (after - before).errors_in) == (7, 0)
        assert (sent_after - sent_before).packets_sent in range(7, 12)  # IPv6 adds packets of its own


def test_the_module_runs_in_a_child_of_a_namespace(namespace: Namespace) -> None:
    code = "from harness.net import list_interfaces; print([one.name for one in list_interfaces()])"
    assert run(*namespace.command(sys.executable, "-c", code)) == "['lo']\n"


def test_rehearsal_says_that_there_is_no_route(namespace: Namespace) -> None:
    with namespace.inside(), open_sender(group("239.77.4.2")) as sender:
        assert sender.rehearsal(200)()
        assert sender.one(payloads(1, 200))() == errno.ENETUNREACH


@pytest.mark.parametrize("text", ["239.77.4.2", "ff15::78", "10.77.0.2"])
def test_rehearsal_is_not_seen_in_any_counter(veth_pair: Pair, text: str) -> None:
    tx, _ = veth_pair

    def counted() -> list[str]:
        """Return the kernel's lines on IP and UDP; IPv6's own packets, ICMP, are none of ours."""
        lines = run(*tx.command("cat", "/proc/net/snmp", "/proc/net/snmp6")).splitlines()
        return [line for line in lines if line.startswith(("Ip:", "Udp:", "Udp6Out", "Ip6OutNoRoutes"))]

    row = payloads(1, 200)
    with tx.inside(), open_sender(group(text), interface="tx0", ttl=5) as sender:
        send = sender.one(row)
        before = counted()
        assert send() == 0
        assert counted() != before
        before = counted()
        rehearse = sender.rehearsal(200)
        assert not any(rehearse() for _ in range(1000))
        assert counted() == before
