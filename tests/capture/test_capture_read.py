"""Datagrams read from a file are those of a slow reader, row by row."""

import gzip
import struct
from collections import Counter
from pathlib import Path

import dpkt
import pytest
from capture_files import (
    NS,
    T0,
    V4,
    V6,
    Frame,
    Row,
    enhanced,
    ethernet,
    interface,
    ip4,
    ip6,
    mapped,
    packet4,
    packet6,
    pcap,
    read_rows,
    section,
    slow_decode,
    udp,
)  # fmt: skip
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture import Skip, open_capture
from harness.errors import RecordError, UsageError

payloads = st.integers(0, 300).flatmap(lambda n: st.binary(min_size=n, max_size=n) if n < 20 else st.just(bytes(n)))


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """An IP packet, usually a good UDP one."""
    payload = draw(payloads)
    kind = draw(st.integers(0, 9))
    if kind < 3:
        return packet4(payload, ttl=draw(st.integers(0, 255)))
    if kind < 5:
        return packet6(payload)
    if kind == 5:
        return packet4(payload, options=bytes(4 * draw(st.integers(0, 10))))
    if kind == 6:
        return ip4(payload, *V4, protocol=draw(st.sampled_from([1, 6, 47])))
    if kind == 7:
        return ip6(payload, *V6, following=draw(st.sampled_from([6, 47, 59])))
    damaged = bytearray(draw(st.sampled_from([packet4(payload), packet6(payload)])))
    # any byte but those that would make it a fragment, an extension header or a membership message
    at = draw(st.sampled_from([0, 2, 3, 4, 5] if damaged[0] >> 4 == 6 else [0, 2, 3, 8, 20, 24, 25]))
    damaged[at] = draw(st.integers(0, 255))
    return bytes(damaged)


@st.composite
def frames(draw: st.DrawFn, link: int) -> Frame:
    packet = draw(packets())
    version = packet[0] >> 4
    kind = b"\x08\x00" if version == 4 else b"\x86\xdd" if version == 6 else b"\x08\x06"
    if link == 1:
        tags = draw(st.sampled_from([(), (), (), (0x8100,), (0x88A8, 0x8100), (0x9100,)]))
        data = ethernet(packet, tags, bytes(draw(st.integers(0, 18))))
    elif link == 113:
        data = bytes(14) + kind + packet
    elif link == 276:
        data = kind + bytes(18) + packet
    elif link in (0, 108):
        order = draw(st.sampled_from("<>"))
        data = struct.pack(order + "I", 2 if version == 4 else draw(st.sampled_from([10, 24, 28, 30, 7]))) + packet
    else:
        data = packet
    snap = draw(st.sampled_from([10_000, 10_000, 10_000, 60, draw(st.integers(0, 120))]))
    t_ns = draw(st.integers(0, 2**32 * NS - 1))
    return Frame(data[:snap], t_ns, len(data))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_link_type_and_any_cut_reads_as_the_slow_reader_does(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    link = data.draw(st.sampled_from([1, 1, 1, 113, 276, 12, 14, 101, 228, 229, 0, 108]))
    few = data.draw(st.lists(frames(link), max_size=12))
    order, is_pcapng = data.draw(st.sampled_from("<>")), data.draw(st.booleans())
    if is_pcapng:
        content = section(order) + interface(link, order) + b"".join(enhanced(frame, order) for frame in few)
    else:
        content = pcap(few, link, order)
    decoded = [slow_decode(frame, link) for frame in few]
    expected = [row for row in decoded if isinstance(row, Row)]
    path = tmp_path_factory.getbasetemp() / "any.cap"
    path.write_bytes(content)
    capture = open_capture(path, window_bytes=4 * data.draw(st.integers(128, 600)))
    assert read_rows(capture, data.draw(st.integers(1, 20))) == expected
    assert capture.counters == Counter(reason for reason in decoded if isinstance(reason, Skip))
    assert capture.warnings == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [True, False])
@pytest.mark.parametrize("compressed", [True, False])
def test_pcap_of_either_order_and_resolution(tmp_path: Path, order: str, nano: bool, compressed: bool) -> None:
    few = [Frame(ethernet(packet4(bytes([i]) * i)), T0 + 1_234_567 * i) for i in range(5)]
    content = pcap(few, order=order, nano=nano)
    (tmp_path / "a.pcap").write_bytes(gzip.compress(content) if compressed else content)
    rows = read_rows(open_capture(tmp_path / "a.pcap"))
    step = 1 if nano else 1000
    assert [row.rx_ns for row in rows] == [frame.t_ns // step * step for frame in few]
    assert [row.payload for row in rows] == [bytes([i]) * i for i in range(5)]


def test_dpkt_writes_what_we_read(tmp_path: Path) -> None:
    sent = dpkt.udp.UDP(sport=1, dport=2, data=b"hello")
    sent.ulen = 13
    packet = dpkt.ip.IP(src=V4[0], dst=V4[1], p=17, ttl=3, data=sent)
    frame = dpkt.ethernet.Ethernet(data=packet, type=0x0800)
    for name, make in (("a.pcap", dpkt.pcap.Writer), ("a.pcapng", dpkt.pcapng.Writer)):
        with (tmp_path / name).open("wb") as file:
            make(file).writepkt(bytes(frame), ts=1_700_000_000.5)
        rows = read_rows(open_capture(tmp_path / name))
        expected = Row(T0 + NS // 2, mapped(V4[0]), 1, mapped(V4[1]), 2, 1, 3, 5, False, b"hello")
        assert rows == [expected]


def test_a_narrow_width_keeps_less_without_calling_it_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([Frame(ethernet(packet4(bytes(range(100)))))]))
    (row,) = read_rows(open_capture(tmp_path / "a.pcap"), width=10)
    assert (row.payload, row.size, row.is_truncated) == (bytes(range(10)), 100, False)


def test_a_capture_without_frames_has_no_batches(tmp_path: Path) -> None:
    for content in (pcap([]), section(), section() + interface()):
        (tmp_path / "a").write_bytes(content)
        assert read_rows(open_capture(tmp_path / "a")) == []


def test_each_pass_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([Frame(ethernet(packet4(b"x"))), Frame(b"?" * 20)]))
    capture = open_capture(tmp_path / "a.pcap")
    assert read_rows(capture) == read_rows(capture)
    capture.scan()
    assert capture.counters == {Skip.NOT_IP: 1}
    assert (capture.n_frames, capture.n_datagrams) == (2, 1)


def test_wrong_checksums_are_counted_when_asked_for(tmp_path: Path) -> None:
    good = [ethernet(packet(bytes([n + 1]) * n)) for n in (0, 1, 2, 7, 100) for packet in (packet4, packet6)]
    wrong = [frame[:-1] + bytes([frame[-1] ^ 1]) for frame in good]
    none = ethernet(ip4(udp(b"abc", *V4)[:6] + b"\0\0abc", *V4))
    few = [Frame(data) for pair in zip(good, wrong, strict=True) for data in pair] + [
        Frame(none),
        Frame(wrong[-1][:-1], T0, len(wrong[-1])),
    ]
    (tmp_path / "a.pcap").write_bytes(pcap(few))
    assert len(read_rows(open_capture(tmp_path / "a.pcap"))) == 22
    capture = open_capture(tmp_path / "a.pcap", verify_checksums=True)
    assert len(read_rows(capture)) == 12
    assert capture.counters == {Skip.BAD_CHECKSUM: 10}


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([]))
    for max_rows, width in ((0, 10), (1, 0), (1, 65_537)):
        with pytest.raises(UsageError, match="max_rows"):
            next(open_capture(tmp_path / "a.pcap").batches(max_rows, width))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x28\xb5\x2f\xfd1234", "zstd"),
        (b"PK\x03\x04", "zip"),
        (b"hello world, no capture", "68 65 6c 6c"),
        (gzip.compress(b"hello"), "neither pcap nor pcapng"),
        (b"\n\r\r\n\x1c\0\0\0", "neither"),
        (pcap([])[:20], "ends inside the pcap header"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), "version 3.0"),
        (pcap([], link=105), "IEEE 802.11"),
        (pcap([], link=147), "link type 147"),
        (section()[:12] + struct.pack("<HH", 2, 0) + section()[16:], "version 2"),
    ],
)
def test_what_is_no_capture_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(RecordError, match=words) as caught:
        read_rows(open_capture(tmp_path / "a"))
    assert "\n" not in str(caught.value)


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(RecordError, match="cannot read"):
            open_capture(path)
