"""A real kernel joins, answers and leaves in a namespace; what its messages look like is not for the test to say."""

import ipaddress
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from netns import Namespace, run
from rtp_captures import Frame, ip_frame, write_capture

from harness.analysis import analyze_capture
from harness.model import Member, MembershipTimeline
from protocols.igmp import build_igmp, parse_igmp
from protocols.membership import Leave, Message, Query, RecordKind, Report

pytestmark = pytest.mark.lab
GROUP, GROUP_V6 = "239.77.1.9", "ff15::779"
_ETH_P_ALL = 3


class Wire:
    """One end of the cable: every frame that passes, with its time."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        with namespace.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.bind((interface, 0))
        self.frames: list[Frame] = []

    def listen_until(self, is_enough: Callable[[bytes], bool], timeout_s: float = 8.0) -> None:
        """Record frames up to the first that is enough."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                data = self.socket.recv(65_536)
                self.frames.append(Frame(time.time_ns(), data))
                if is_enough(data):
                    return
        pytest.fail(f"nothing of that kind on the wire in {timeout_s} s")

    def send(self, data: bytes) -> None:
        """Send a frame; it does not come back to the socket that sent it."""
        self.frames.append(Frame(time.time_ns(), data))
        self.socket.send(data)


def igmp_of(data: bytes) -> Message | None:
    if data[12:14] != b"\x08\x00" or data[23] != 2:
        return None
    return parse_igmp(data[14 + (data[14] & 15) * 4 : 14 + int.from_bytes(data[16:18])])


def is_report(data: bytes) -> bool:
    found = igmp_of(data)
    return isinstance(found, Report) and any(
        str(record.group) == GROUP and record.kind != RecordKind.CHANGE_TO_INCLUDE for record in found.records
    )


def is_answer(data: bytes) -> bool:
    """Whether a report answers a query, which versions before 3 do not say."""
    found = igmp_of(data)
    is_told = isinstance(found, Report) and found.version == 3
    return is_report(data) and (not is_told or b"\x02\0\0\0" + socket.inet_aton(GROUP) in data)


def is_leave(data: bytes) -> bool:
    found = igmp_of(data)
    return isinstance(found, Leave) or (
        isinstance(found, Report) and any(record.kind == RecordKind.CHANGE_TO_INCLUDE for record in found.records)
    )


def analyzed(wire: Wire, folder: Path, group: str) -> tuple[MembershipTimeline, Member]:
    found = analyze_capture(write_capture(folder / "wire.pcapng", wire.frames, "tx0")).membership
    assert found is not None
    assert found.unused == {}
    (member,) = [member for member in found.members if member.group == group]
    return found, member


@pytest.mark.parametrize("version", [2, 3])
def test_a_kernel_joins_answers_and_leaves(
    version: int, veth_pair: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    tx, rx = veth_pair
    forced = f"echo {version} > /proc/sys/net/ipv4/conf/rx0/force_igmp_version"
    run(*rx.command("sh", "-c", forced))
    wire = Wire(tx, "tx0")
    with rx.inside():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("10.77.0.2"))
    with wire.socket, receiver:
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        wire.listen_until(is_report)
        query = Query(2, None, 1.0) if version == 2 else Query(3, None, 1.0, (), False, 2, 125)
        asked = ip_frame(0, build_igmp(query), "10.77.0.1", "224.0.0.1", 2, ttl=1).data
        wire.send(bytes.fromhex("01005e000001") + asked[6:])
        wire.listen_until(is_answer)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, request)
        wire.listen_until(is_leave)
    found, member = analyzed(wire, tmp_path, GROUP)
    assert (member.host, member.interface, member.family, member.version) == ("10.77.0.2", "tx0", "IGMP", version)
    assert [(item.start, item.end) for item in member.intervals] == [("joined", "left")]
    assert member.reports >= 2
    (querier,) = found.queriers
    assert (querier.address, querier.version, querier.general) == ("10.77.0.1", version, 1)
    (link,) = [link for link in found.links if link.family == "IGMP"]
    assert link.interval_source == ("default" if version == 2 else "stated")
    assert link.lifetime_ns == 251 * 10**9


def test_a_kernel_joins_and_leaves_an_ipv6_group(veth_pair: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    tx, rx = veth_pair
    rx.ip("addr", "add", "fe80::2/64", "dev", "rx0", "nodad")
    wire = Wire(tx, "tx0")
    with rx.inside():
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("rx0")
    group = ipaddress.IPv6Address(GROUP_V6)
    request = group.packed + struct.pack("@I", index)

    def holds(kind: RecordKind) -> Callable[[bytes], bool]:
        return lambda data: data[12:14] == b"\x86\xdd" and bytes([kind, 0, 0, 0]) + group.packed in data

    with wire.socket, receiver:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        wire.listen_until(holds(RecordKind.CHANGE_TO_EXCLUDE))
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, request)
        wire.listen_until(holds(RecordKind.CHANGE_TO_INCLUDE))
    found, member = analyzed(wire, tmp_path, GROUP_V6)
    assert (member.host, member.family, member.version) == ("fe80::2", "MLD", 2)
    assert [(item.start, item.end) for item in member.intervals] == [("joined", "left")]
    assert found.queriers == []
