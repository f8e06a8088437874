"""Fragments put together, extension headers passed over, membership messages handed out."""

import ipaddress
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from capture_files import NS, T0, V4, V6, Frame, Row, ip4, ip6, mapped, pcap, read_rows, udp
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture import Capture, Skip, fragments, open_capture

PAYLOAD = bytes(range(256)) * 8


def capture_of(path: Path, packets: list[bytes], times: list[int] | None = None, snap: int = 70_000) -> Capture:
    times = times or [T0 + i for i in range(len(packets))]
    few = [Frame(packet[:snap], t_ns, len(packet)) for packet, t_ns in zip(packets, times, strict=True)]
    (path / "a.pcap").write_bytes(pcap(few, 101))
    return open_capture(path / "a.pcap")


def pieces4(data: bytes, cuts: list[int], ident: int = 1) -> list[bytes]:
    edges = [0, *cuts, len(data)]
    return [
        ip4(data[a:b], *V4, ident=ident, ttl=9 if a else 7, fragment=a // 8 | (0x2000 if b < len(data) else 0))
        for a, b in pairwise(edges)
    ]


def header6(following: int, start: int, more: bool, ident: int = 1) -> bytes:
    return struct.pack(">BBHI", following, 0, start | more, ident)


def pieces6(data: bytes, cuts: list[int], following: int = 17, ident: int = 1) -> list[bytes]:
    edges = [0, *cuts, len(data)]
    return [
        ip6(header6(following, a, b < len(data), ident) + data[a:b], *V6, following=44, limit=9 if a else 7)
        for a, b in pairwise(edges)
    ]


def row4(t_ns: int, payload: bytes = PAYLOAD, kept: int = 70_000) -> Row:
    source, destination = map(mapped, V4)
    is_cut = kept < len(payload)
    return Row(t_ns, source, 4000, destination, 5000, 1, 7, len(payload), is_cut, payload[:kept])


cuts = st.lists(st.integers(1, 2040 // 8), max_size=12, unique=True).map(lambda few: [8 * n for n in sorted(few)])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), of_four=cuts, of_six=cuts)
def test_fragments_in_any_order_are_the_datagram(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, of_four: list[int], of_six: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp()
    four, six = pieces4(udp(PAYLOAD, *V4), of_four), pieces6(udp(PAYLOAD[:-8], *V6), of_six)
    tagged = data.draw(st.permutations([(4, p) for p in four] + [(6, p) for p in six]))
    capture = capture_of(path, [packet for _, packet in tagged])
    rows = read_rows(capture)
    ends = sorted(max(i for i, (kind, _) in enumerate(tagged) if kind == wanted) for wanted in (4, 6))
    assert [row.rx_ns - T0 for row in rows] == ends
    assert sorted(len(row.payload) for row in rows) == [len(PAYLOAD) - 8, len(PAYLOAD)]
    assert all(row.payload == PAYLOAD[: row.size] and row.ttl == 7 and not row.is_truncated for row in rows)
    joined = len(four) + len(six) - 2
    assert capture.counters == ({Skip.JOINED_FRAGMENT: joined} if joined else {})


def test_two_datagrams_keep_their_order_among_others(tmp_path: Path) -> None:
    whole = ip4(udp(b"whole", *V4), *V4)
    a, b = pieces4(udp(PAYLOAD, *V4), [800, 1600]), pieces4(udp(PAYLOAD[::-1], *V4), [400], ident=2)
    rows = read_rows(capture_of(tmp_path, [whole, a[0], b[1], whole, a[2], b[0], whole, a[1]]))
    assert [row.rx_ns - T0 for row in rows] == [0, 3, 5, 6, 7]
    assert rows[2] == row4(T0 + 5, PAYLOAD[::-1])
    assert rows[4] == row4(T0 + 7)


def test_a_missing_fragment_leaves_the_rest_counted(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, pieces4(udp(PAYLOAD, *V4), [800, 1600])[1:])
    assert read_rows(capture) == []
    assert capture.counters == {Skip.FRAGMENT: 2}


def test_a_fragment_after_a_minute_is_too_late(tmp_path: Path) -> None:
    a, b = pieces4(udp(PAYLOAD, *V4), [800])
    assert read_rows(capture_of(tmp_path, [a, b], [T0, T0 + 60 * NS])) == [row4(T0 + 60 * NS)]
    capture = capture_of(tmp_path, [a, b], [T0, T0 + 60 * NS + 1])
    assert read_rows(capture) == []
    assert capture.counters == {Skip.FRAGMENT: 2}


@pytest.mark.parametrize("at", [792, 0, 1600])
def test_overlapping_fragments_refuse_the_datagram(tmp_path: Path, at: int) -> None:
    data = udp(PAYLOAD, *V4)
    good = pieces4(data, [800, 1600])
    wrong = ip4(data[at : at + 96], *V4, ident=1, fragment=at // 8 | 0x2000)
    capture = capture_of(tmp_path, [good[0], good[2], wrong, good[1]])
    assert read_rows(capture) == []
    assert capture.counters == {Skip.OVERLAPPING_FRAGMENT: 4}


def test_a_second_end_refuses_the_datagram(tmp_path: Path) -> None:
    data = udp(PAYLOAD, *V4)
    a, b = pieces4(data, [800])
    other_end = ip4(b"12345678", *V4, ident=1, fragment=len(data) // 8)
    for packets in ([b, other_end, a], [other_end, b, a]):
        capture = capture_of(tmp_path, packets)
        assert read_rows(capture) == []
        assert capture.counters == {Skip.OVERLAPPING_FRAGMENT: 3}


def test_an_exact_copy_of_a_fragment_changes_nothing(tmp_path: Path) -> None:
    a, b = pieces4(udp(PAYLOAD, *V4), [800])
    capture = capture_of(tmp_path, [a, a, b])
    assert read_rows(capture) == [row4(T0 + 2)]
    assert capture.counters == {Skip.DUPLICATE_FRAGMENT: 1, Skip.JOINED_FRAGMENT: 1}


def test_fragments_cut_by_the_snap_length_give_the_start_of_the_datagram(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, pieces4(udp(PAYLOAD, *V4), [800, 1600]), snap=120)
    assert read_rows(capture) == [row4(T0 + 2, kept=92)]


def test_empty_crooked_and_far_fragments_are_bad_headers(tmp_path: Path) -> None:
    bad = [
        ip4(b"", *V4, ident=1, fragment=0x2000),
        ip4(b"123", *V4, ident=2, fragment=0x2000),
        ip4(b"12345678", *V4, ident=3, fragment=0x1FFF),
    ]
    capture = capture_of(tmp_path, bad)
    assert read_rows(capture) == []
    assert capture.counters == {Skip.BAD_HEADER: 3}


def test_memory_for_fragments_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAX_PENDING", 3)
    starts = [pieces4(udp(PAYLOAD, *V4), [800], ident=n)[0] for n in range(6)]
    ends = [pieces4(udp(PAYLOAD, *V4), [800], ident=n)[1] for n in (5, 0)]
    capture = capture_of(tmp_path, starts + ends)
    assert read_rows(capture) == [row4(T0 + 6)]
    assert capture.counters == {Skip.FRAGMENT: 6, Skip.JOINED_FRAGMENT: 1}


def test_bytes_of_fragments_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAX_BYTES", 2000)
    counters: Counter[str] = Counter()
    held = fragments.Fragments(counters)
    for n in range(20):
        held.add((0, 4, *V4, n, 17), T0, fragments.Piece(0, 800, bytes(800), False, 17, 1))
        assert held._held <= 2000 + 800
    assert counters == {Skip.FRAGMENT: 17}


def test_extension_headers_are_passed_over(tmp_path: Path) -> None:
    data = udp(b"behind", *V6)
    hop, options, routing = (bytes([n, 1]) + bytes(14) for n in (60, 43, 51))
    authentication = bytes([44, 4]) + bytes(22)
    atomic = header6(17, 0, False)
    packet = ip6(hop + options + routing + authentication + atomic + data, *V6, following=0)
    (row,) = read_rows(capture_of(tmp_path, [packet]))
    assert (row.payload, row.source, row.destination, row.ttl) == (b"behind", *V6, 7)


def test_extension_headers_behind_fragments_are_passed_over(tmp_path: Path) -> None:
    data = bytes([17, 0]) + bytes(6) + udp(PAYLOAD, *V6)
    (row,) = read_rows(capture_of(tmp_path, pieces6(data, [800], following=60)))
    assert row.payload == PAYLOAD


def test_extension_headers_that_lie_are_counted(tmp_path: Path) -> None:
    data = udp(b"behind", *V6)
    too_long = ip6(bytes([17, 200]) + bytes(6) + data, *V6, following=0)
    none_left = ip6(b"\x11", *V6, following=0)
    nested = header6(44, 0, True) + header6(17, 0, True, 2) + data
    inner = pieces6(header6(17, 0, True, 2) + bytes(24), [8], following=44)
    capture = capture_of(tmp_path, [too_long, none_left, *inner])
    assert read_rows(capture) == []
    assert capture.counters == {Skip.BAD_HEADER: 3, Skip.JOINED_FRAGMENT: 1}
    assert read_rows(capture_of(tmp_path, [ip6(nested, *V6, following=44)])) == []


def test_membership_messages_are_handed_out_in_order(tmp_path: Path) -> None:
    igmp = bytes([0x16, 0, 0, 0, 239, 1, 2, 3])
    report = bytes([143, 0, 0, 0, 0, 0, 0, 1]) + bytes(20)
    alert6 = bytes([58, 0, 5, 2, 0, 0, 1, 0])
    packets = [
        ip4(igmp, *V4, protocol=2, ttl=1, options=b"\x94\x04\0\0"),
        ip6(alert6 + report, *V6, following=0, limit=1),
        ip6(bytes([130]) + bytes(23), *V6, following=58, limit=1),
        ip6(bytes([128]) + bytes(23), *V6, following=58),
        ip4(igmp[:4], *V4, protocol=2),
        ip4(bytes([8]) + bytes(20), *V4, protocol=1),
    ]
    capture = capture_of(tmp_path, packets, snap=60)
    capture.scan()
    first, second, third = capture.memberships
    assert (first.kind, first.payload, first.rx_ns, first.ttl, first.ifindex) == ("igmp", igmp, T0, 1, 1)
    assert first.source == ipaddress.ip_address("10.0.0.1")
    assert first.destination == ipaddress.ip_address("239.1.2.3")
    assert (second.kind, second.payload, second.is_truncated) == ("mld", report[:12], True)
    assert second.destination == ipaddress.ip_address("ff15::7")
    assert (third.kind, third.payload[0]) == ("mld", 130)
    assert capture.counters == {Skip.OTHER_PROTOCOL: 2, Skip.BAD_HEADER: 1}


def test_membership_messages_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.capture.reader.MAX_MEMBERSHIPS", 2)
    capture = capture_of(tmp_path, [ip4(bytes(8), *V4, protocol=2)] * 5)
    capture.scan()
    assert len(capture.memberships) == 2
    assert capture.counters == {Skip.TOO_MANY_MEMBERSHIPS: 3}
