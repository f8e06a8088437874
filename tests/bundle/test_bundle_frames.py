"""Frames: other addresses, right checksums, nothing behind headers that are not known, whatever the bytes."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from bundle_helpers import (
    GROUP,
    HOST,
    MAC,
    PACKED,
    V4,
    V4_2,
    V6,
    checksum,
    ethernet,
    icmp6,
    ipv4,
    ipv6,
    membership_frames,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bundle.addresses import Addresses
from harness.bundle.frames import KNOWN_LINKS, Rewriter


def rewritten(frames: list[bytes], link_type: int = 1) -> list[bytes]:
    addresses = Addresses()
    learning, replacing = Rewriter.learning(addresses), Rewriter.replacing(addresses)
    for frame in frames:
        learning.frame(frame, link_type)
    return [replacing.frame(frame, link_type) for frame in frames]


def test_no_address_survives_and_every_length_does_but_of_what_is_unknown() -> None:
    frames = membership_frames()
    shown = rewritten(frames)
    assert [secret for secret in PACKED for frame in shown if secret in frame] == []
    assert [len(frame) for frame in shown[:5]] == [len(frame) for frame in frames[:5]]
    assert len(shown[5]) == 14 + 4 + 20 + 8, "mDNS: cut behind the UDP header"
    assert len(shown[6]) == 14, "LLDP: cut behind the Ethernet header"
    assert not any(HOST.encode() in frame for frame in shown)


def test_groups_stay_and_checksums_are_right() -> None:
    report, query, arp, mld, neighbour = rewritten(membership_frames())[:5]
    assert report[14 + 24 + 12 : 14 + 24 + 16] == GROUP.packed
    assert report[:6] == b"\x01\x00\x5e\x7f\x07\x07"
    assert query[14 + 24 - 4 : 14 + 24] != V4_2.packed
    for frame, up in ((report, 38), (query, 34)):
        assert checksum(frame[14 : 14 + (frame[14] & 15) * 4]) == 0
        assert checksum(frame[up:]) == 0
    assert arp[14 + 18 : 14 + 24] == bytes(6)
    for frame, at in ((mld, 62), (neighbour, 54)):
        pseudo = frame[22:54] + struct.pack(">II", len(frame) - at, 58)
        assert checksum(pseudo + frame[at:]) == 0


def test_a_wrong_checksum_stays_wrong() -> None:
    frame = bytearray(membership_frames()[0])
    frame[14 + 24 + 2] ^= 0x55
    (shown,) = rewritten([bytes(frame)])
    assert checksum(shown[38:]) != 0
    assert checksum(shown[14:38]) == 0


def test_a_snapped_frame_keeps_the_checksum_of_the_whole() -> None:
    payload = bytes(range(200))
    udp = struct.pack(">HHHH", 4000, 5004, 8 + len(payload), 0) + payload
    pseudo = V4.packed + GROUP.packed + struct.pack(">HH", 17, len(udp))
    udp = udp[:6] + checksum(pseudo + udp).to_bytes(2) + udp[8:]
    (shown,) = rewritten([ipv4(17, udp)[:40]], link_type=101)
    assert len(shown) == 28
    whole = shown[12:20] + struct.pack(">HH", 17, len(udp)) + shown[20:28] + payload
    assert checksum(whole) == 0


def test_a_udp_packet_without_checksum_gets_none() -> None:
    (shown,) = rewritten([ipv4(17, struct.pack(">HHHH", 1, 2, 8, 0))], link_type=101)
    assert shown[26:28] == b"\0\0"


def test_route_options_and_later_fragments_are_blanked() -> None:
    option = b"\x07\x07\x04" + V4_2.packed + b"\0"
    (shown,) = rewritten([ipv4(2, b"\x16\0\0\0" + GROUP.packed, options=option)], link_type=101)
    assert V4_2.packed not in shown
    assert shown[20:28] == b"\1" * 7 + b"\0"
    assert checksum(shown[:28]) == 0
    fragment = bytearray(ipv4(17, b"part of a name"))
    fragment[6:8] = (100).to_bytes(2)
    (shown,) = rewritten([bytes(fragment)], link_type=101)
    assert len(shown) == 20


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 128, 133, 134, 135, 136, 137, 144])
def test_other_icmpv6_is_cut_where_it_is_not_known(kind: int) -> None:
    to = ipaddress.IPv6Address("ff02::1")
    body = struct.pack(">BBHI", kind, 0, 0, 0) + V6.packed * 3
    (shown,) = rewritten([ipv6(58, icmp6(body, to), to)], link_type=101)
    assert V6.packed not in shown
    assert len(shown) >= 48


@pytest.mark.parametrize(
    ("link_type", "head"),
    [
        (113, b"\0\0\0\1\0\6" + MAC + b"\0\0\x08\0"),
        (276, b"\x08\0\0\0\0\0\0\2\0\1\0\6" + MAC + b"\0\0"),
        (0, b"\2\0\0\0"),
    ],
)
def test_other_links_are_known(link_type: int, head: bytes) -> None:
    igmp = b"\x16\0\0\0" + GROUP.packed
    igmp = igmp[:2] + checksum(igmp).to_bytes(2) + igmp[4:]
    (shown,) = rewritten([head + ipv4(2, igmp)], link_type)
    assert len(shown) == len(head) + 28
    assert MAC not in shown
    assert V4.packed not in shown
    assert shown[-4:] == GROUP.packed


def test_an_unknown_link_leaves_nothing() -> None:
    assert rewritten([b"anything at all"], link_type=127) == [b""]


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=120),
    st.sampled_from(sorted(KNOWN_LINKS)),
    st.sampled_from([b"", b"\x08\x00\x46", b"\x86\xdd\x60", b"\x08\x06"]),
)
def test_any_bytes_are_rewritten_without_an_error_and_never_grow(data: bytes, link_type: int, kind: bytes) -> None:
    frame = data[:12] + kind + data[12:]
    (shown,) = rewritten([frame], link_type)
    assert len(shown) <= len(frame)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_message_holds_no_address_either(data: st.DataObject) -> None:
    frame = data.draw(st.sampled_from(membership_frames()))
    cut = data.draw(st.integers(0, len(frame)))
    (shown,) = rewritten([frame[:cut]])
    assert [secret for secret in PACKED if secret in shown] == []


def test_an_igmp_message_in_ethernet_padding_is_cut() -> None:
    igmp = b"\x16\0\0\0" + GROUP.packed
    (shown,) = rewritten([ethernet(0x800, ipv4(2, igmp)) + b"left over: " + MAC])
    assert len(shown) == 14 + 28
