import struct

import pytest
import wire_helpers as h
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.lab.wire.frames import MEMBERSHIP, OTHER, UDP, Carried, carried, complete_checksum, flip, is_probe, parse

GROUPS = {"239.1.2.3": "239.1.2.3:5000", "ff15::1": "[ff15::1]:5000"}


def extended(frame: bytes, *headers: tuple[int, bytes]) -> bytes:
    """Return an IPv6 frame with extension headers, each given with its number."""
    body = frame[54:]
    following = frame[20]
    for number, header in reversed(headers):
        body, following = bytes([following]) + header[1:] + body, number
    return frame[:18] + struct.pack("!HB", len(body), following) + frame[21:54] + body


@pytest.mark.parametrize("to", GROUPS)
@pytest.mark.parametrize("tag", [False, True])
def test_a_datagram_is_read(to: str, tag: bool) -> None:
    frame = h.udp_frame(b"payload", to, tag=tag) + bytes(20)  # padding of the Ethernet
    parsed = parse(frame)
    assert parsed.kind == UDP
    assert parsed.port == 5000
    assert frame[parsed.payload : parsed.end] == b"payload"
    assert frame[parsed.checksum - 6 : parsed.checksum - 2] == struct.pack("!HH", 4000, 5000)
    assert carried(frame, parsed) == Carried(GROUPS[to])


@pytest.mark.parametrize("to", GROUPS)
def test_a_probe_is_named(to: str) -> None:
    frame = h.udp_frame(h.probe(2**40 + 5, stream=3), to)
    parsed = parse(frame)
    assert is_probe(frame, parsed)
    assert carried(frame, parsed) == Carried(GROUPS[to], 3, 9, 2**40 + 5)


def test_an_end_packet_has_no_number() -> None:
    frame = h.udp_frame(h.probe(100, end=True))
    assert carried(frame, parse(frame)) == Carried("239.1.2.3:5000", 7, 9, None, True)


def test_a_foreign_sequence_number_is_read_where_it_was_said_to_be() -> None:
    rtp = h.udp_frame(struct.pack("!BBHII", 0x80, 96, 4711, 0, 0))
    assert carried(rtp, parse(rtp), (2, 2)).seq == 4711
    assert carried(rtp, parse(rtp), (11, 2)).seq is None  # beyond the datagram
    assert carried(rtp, parse(rtp)).seq is None


def test_later_fragments_are_udp_without_a_port() -> None:
    frame = h.udp_frame(bytes(40), fragment=0x0005)
    assert parse(frame)[:3] == (UDP, bytes([239, 1, 2, 3]), 0)
    assert carried(frame, parse(frame)) == Carried("239.1.2.3")
    assert parse(h.udp_frame(bytes(40), fragment=0x2000)).port == 5000  # the first one
    v6 = h.udp_frame(bytes(40), "ff15::1")
    assert parse(extended(v6, (44, bytes([0, 0, 0, 1, 0, 0, 0, 1])))).port == 5000
    assert parse(extended(v6, (44, bytes([0, 0, 1, 0, 0, 0, 0, 1]))))[:3] == (UDP, parse(v6).destination, 0)


def test_extension_headers_are_stepped_over() -> None:
    frame = extended(h.udp_frame(b"payload", "ff15::1"), (0, bytes(8)), (60, bytes([0, 1]) + bytes(14)))
    parsed = parse(frame)
    assert frame[parsed.payload : parsed.end] == b"payload"


def test_igmp_and_mld_are_membership() -> None:
    igmp = bytearray(h.udp_frame(bytes(8), "224.0.0.22"))
    igmp[23] = 2
    assert parse(bytes(igmp)).kind == MEMBERSHIP
    mld = bytearray(h.udp_frame(bytes(8), "ff02::16"))
    mld[20], mld[54] = 58, 143
    assert parse(extended(bytes(mld), (0, bytes(8)))).kind == MEMBERSHIP
    mld[54] = 135  # neighbour solicitation
    assert parse(bytes(mld)).kind == OTHER


@pytest.mark.parametrize("frame", [b"", bytes(12), bytes(60), bytes(12) + b"\x08\x06" + bytes(28)])
def test_the_rest_is_other(frame: bytes) -> None:
    assert parse(frame).kind == OTHER


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\x08\0", b"\x86\xdd", b"\x81\0\0\1\x08\0"]), st.binary(max_size=120))
def test_no_frame_makes_it_raise(ether_type: bytes, rest: bytes) -> None:
    frame = bytes(12) + ether_type + rest
    carried(frame, parse(frame), (2, 2))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(GROUPS)), st.binary(min_size=1, max_size=60), st.data())
def test_damage_is_one_byte_and_the_checksum_fits(to: str, payload: bytes, data: st.DataObject) -> None:
    byte = data.draw(st.integers(0, len(payload) - 1))
    frame = h.udp_frame(payload, to)
    parsed = parse(frame)
    assert h.udp_checksum_errors(frame) == 0
    damaged = flip(frame, parsed, byte, fix=True)
    expected = bytearray(payload)
    expected[byte] ^= 0x55
    assert damaged[parsed.payload :] == expected
    assert h.udp_checksum_errors(damaged) == 0
    assert damaged[parsed.checksum : parsed.checksum + 2] != b"\0\0"
    assert damaged[: parsed.checksum] == frame[: parsed.checksum]
    kept = flip(frame, parsed, byte, fix=False)
    assert kept[: parsed.payload] == frame[: parsed.payload]
    assert h.udp_checksum_errors(kept) != 0


def test_a_datagram_without_checksum_stays_so() -> None:
    frame = bytearray(h.udp_frame(b"payload"))
    frame[40:42] = bytes(2)
    assert flip(bytes(frame), parse(bytes(frame)), 0, fix=True)[40:42] == bytes(2)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(GROUPS)), st.binary(max_size=60))
def test_a_checksum_left_to_the_card_is_completed(to: str, payload: bytes) -> None:
    frame = h.udp_frame(payload, to)
    start = parse(frame).payload - 8
    addresses = frame[26:34] if "." in to else frame[22:54]
    pseudo = ~h.checksum(addresses + struct.pack("!HH", 17, 8 + len(payload))) & 0xFFFF
    left = frame[: start + 6] + pseudo.to_bytes(2, "big") + frame[start + 8 :]
    assert complete_checksum(left, start, 6) == frame


def test_a_checksum_beyond_the_frame_is_left_alone() -> None:
    assert complete_checksum(bytes(20), 18, 6) == bytes(20)
