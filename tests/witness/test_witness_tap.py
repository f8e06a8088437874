"""The tap's filters and decoding against a real kernel: frames made by hand go down a cable, those meant come out."""

import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from netns import Namespace, cabled

from harness.errors import InterfaceError
from harness.model import parse_endpoint
from harness.model.datagrams import address_text
from harness.net import tap
from harness.net._darwin import DarwinPlatform
from harness.net.tap import TapFrame, open_tap
from harness.net.tap_filter import membership_program, udp_program

pytestmark = pytest.mark.lab
FLOWS = [parse_endpoint("239.1.2.3:5000"), parse_endpoint("[ff15::7]:5001")]
V4_GROUP, V6_GROUP = socket.inet_aton("239.1.2.3"), socket.inet_pton(socket.AF_INET6, "ff15::7")


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Namespace, Namespace]]:
    with cabled() as pair:
        yield pair


def udp(port: int, payload: bytes = b"x" * 20) -> bytes:
    return struct.pack(">HHHH", 4000, port, 8 + len(payload), 0) + payload


def v4(body: bytes, *, group: bytes = V4_GROUP, protocol: int = 17, options: bytes = b"", fragment: int = 0) -> bytes:
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 1, fragment, 1, protocol, 0,
        socket.inet_aton("10.77.0.1"), group,
    )  # fmt: skip
    return b"\x01\x00\x5e\x01\x02\x03" + bytes(6) + b"\x08\x00" + head + options + body


def v6(body: bytes, *, group: bytes = V6_GROUP, header: int = 17) -> bytes:
    source = socket.inet_pton(socket.AF_INET6, "fd77::1")
    head = struct.pack(">IHBB16s16s", 0x60000000, len(body), header, 1, source, group)
    return b"\x33\x33\x00\x00\x00\x07" + bytes(6) + b"\x86\xdd" + head + body


def fragment_header(following: int, offset: int, is_last: bool = False) -> bytes:
    return struct.pack(">BBHI", following, 0, offset << 3 | (not is_last), 7)


TAKEN = {
    "plain v4": v4(udp(5000)),
    "v4 with options": v4(udp(5000), options=b"\x94\x04\x00\x00"),
    "v4 first fragment": v4(udp(5000), fragment=0x2000),
    "plain v6": v6(udp(5001)),
    "v6 first fragment": v6(fragment_header(17, 0) + udp(5001), header=44),
}
LEFT = {
    "v4 later fragment": v4(udp(5000), fragment=0x0010),
    "another port": v4(udp(5001)),
    "another group": v4(udp(5000), group=socket.inet_aton("239.1.2.4")),
    "tcp": v4(udp(5000), protocol=6),
    "v6 later fragment": v6(fragment_header(17, 10) + udp(5001), header=44),
    "v6 another group": v6(udp(5001), group=socket.inet_pton(socket.AF_INET6, "ff15::8")),
    "v6 another port": v6(udp(5000)),
    "arp": bytes(12) + b"\x08\x06" + bytes(40),
}
KEPT = {
    "igmp": v4(b"\x16\x00" + bytes(6), protocol=2, options=b"\x94\x04\x00\x00"),
    "mld behind hop-by-hop": v6(b"\x3a\x00\x05\x02\x00\x00\x01\x00" + bytes([143]) + bytes(19), header=0),
    "mld behind a long hop-by-hop": v6(b"\x3a\x01" + bytes(14) + bytes([130]) + bytes(23), header=0),
    "mld without": v6(bytes([131]) + bytes(23), header=58),
}
NOT_KEPT = {
    "neighbour discovery": v6(bytes([135]) + bytes(23), header=58),
    "udp behind hop-by-hop": v6(b"\x11\x00\x05\x02\x00\x00\x01\x00" + udp(5001), header=0),
}


def is_ours(frame: TapFrame) -> bool:
    """Whether a frame was made here; kernels join groups of their own at any time."""
    return not frame.is_outgoing and frame.data[6:12] == bytes(6)


def sent(sides: tuple[Namespace, Namespace], frames: list[bytes]) -> tuple[list[tuple[str, int]], list[TapFrame]]:
    """Send frames down the cable; return destination and port of what the far tap counted, and what it kept whole."""
    with sides[1].inside():
        there = open_tap(FLOWS)
    with sides[0].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("tx0", 0))
        for frame in frames:
            wire.send(frame)
    time.sleep(0.02)
    try:
        batch, kept = there.read(), there.read_frames()
        assert there.drops() == 0
    finally:
        there.close()
    if batch is None:
        return [], kept
    assert not batch.is_outgoing.any()
    assert np.all(np.abs(batch.meta["rx_ns"] - time.time_ns()) < 10**10)
    found = [(address_text(row["destination"].tobytes()), int(row["destination_port"])) for row in batch.meta]
    assert {address_text(row["source"].tobytes()) for row in batch.meta} <= {"10.77.0.1", "fd77::1"}
    assert set(batch.meta["source_port"].tolist()) == {4000}
    return found, kept


@pytest.mark.parametrize("name", TAKEN)
def test_udp_to_the_flows_is_counted(sides: tuple[Namespace, Namespace], name: str) -> None:
    found, _ = sent(sides, [TAKEN[name]])
    assert found == [("239.1.2.3", 5000) if "v4" in name else ("ff15::7", 5001)]


def test_all_else_is_left_alone(sides: tuple[Namespace, Namespace]) -> None:
    found, kept = sent(sides, [*LEFT.values(), *NOT_KEPT.values(), *KEPT.values()])
    assert found == []
    assert [frame.data for frame in kept if is_ours(frame)] == list(KEPT.values())


@pytest.mark.parametrize("name", KEPT)
def test_membership_messages_are_kept_whole(sides: tuple[Namespace, Namespace], name: str) -> None:
    found, kept = sent(sides, [KEPT[name]])
    assert found == []
    (frame,) = [frame for frame in kept if is_ours(frame)]
    assert (frame.interface, frame.link_type, frame.data) == ("rx0", 1, KEPT[name])


def test_more_packets_than_the_ring_has_slots_are_lost_and_counted(sides: tuple[Namespace, Namespace]) -> None:
    from harness.net.tap_linux import N_SLOTS

    with sides[1].inside():
        there = open_tap(FLOWS)
    with sides[0].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("tx0", 0))
        counts = []
        for n_frames in (100, N_SLOTS + 500, 300):  # the third time round the end of the ring
            for _ in range(n_frames):
                wire.send(TAKEN["plain v4"])
            time.sleep(0.05)
            n_read = 0
            while (batch := there.read()) is not None:
                n_read += len(batch.meta)
            counts.append((n_read, there.drops()))
    there.close()
    assert counts == [(100, 0), (N_SLOTS, 500), (300, 0)]


def test_a_tap_that_stops_counting_still_takes_membership(sides: tuple[Namespace, Namespace]) -> None:
    with sides[1].inside():
        there = open_tap(FLOWS)
    there.stop_counting()
    with sides[0].inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("tx0", 0))
        wire.send(TAKEN["plain v4"])
        wire.send(KEPT["igmp"])
    time.sleep(0.02)
    assert there.read() is None
    assert KEPT["igmp"] in [frame.data for frame in there.read_frames()]
    there.close()
    there.close()
    assert there.read_frames() == []


def test_no_jump_of_a_long_program_is_too_far() -> None:
    flows = [parse_endpoint(f"239.1.{n // 250}.{n % 250}:{5000 + n}") for n in range(390)]
    code = udp_program(flows)
    assert len(code) < 4096  # the kernel's bound
    assert all(if_true <= 1 and if_false <= 1 for _, if_true, if_false, _ in code)
    many = udp_program([parse_endpoint(f"239.{n // 60_000}.1.1:{n % 60_000 + 1}") for n in range(5_000)])
    assert len(many) < 60  # too many to compare with: the reader sorts them out
    assert len(membership_program()) < 40


def test_other_systems_say_that_there_is_no_tap_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "PLATFORM", DarwinPlatform())
    with pytest.raises(InterfaceError, match="no tap on this platform yet"):
        open_tap(FLOWS)
