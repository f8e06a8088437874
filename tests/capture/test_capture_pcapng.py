"""Sections, interfaces, clocks and odd blocks of pcapng files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from capture_files import (
    NS,
    T0,
    Frame,
    block,
    enhanced,
    ethernet,
    interface,
    obsolete,
    option,
    packet4,
    packet6,
    read_rows,
    section,
    simple,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.capture import Skip, open_capture, pcapng
from harness.capture.interface import ticks_per_second, ticks_to_ns
from harness.errors import RecordError
from harness.model import UNDEFINED_NS

DATA = ethernet(packet4(b"payload"))


def write(path: Path, *blocks: bytes) -> Path:
    (path / "a.pcapng").write_bytes(b"".join(blocks))
    return path / "a.pcapng"


def test_sections_of_both_orders_forget_each_others_interfaces(tmp_path: Path) -> None:
    blocks = []
    for i, order in enumerate("<><<>"):
        blocks += [section(order), interface(101 if i % 2 else 1, order, name=f"if{i}")]
        blocks += [enhanced(Frame(packet6(bytes([i])) if i % 2 else DATA, T0 + i), order)]
        blocks += [enhanced(Frame(DATA, interface=1), order)]
    capture = open_capture(write(tmp_path, *blocks))
    rows = read_rows(capture)
    assert [row.rx_ns - T0 for row in rows] == [0, 1, 2, 3, 4]
    assert [row.ifindex for row in rows] == [1, 2, 3, 4, 5]
    assert [i.name for i in capture.interfaces] == ["if0", "if1", "if2", "if3", "if4"]
    assert [i.link_name for i in capture.interfaces[:2]] == ["Ethernet", "raw IP"]
    assert capture.counters == {Skip.UNKNOWN_INTERFACE: 5}


def test_each_interface_counts_time_by_its_own_clock(tmp_path: Path) -> None:
    clocks = [(None, None), (9, None), (6, 100), (0x80 | 10, None), (12, -5), (0x80 | 40, None), (0, None), (25, None)]
    blocks = [section(), *(interface(resolution=r, offset=o) for r, o in clocks)]
    ticks = 1_234_567_890_123_456_789
    blocks += [enhanced(Frame(DATA, interface=i), ticks=ticks >> 20) for i in range(8)]
    capture = open_capture(write(tmp_path, *blocks))
    few = ticks >> 20
    exact = [
        few * 1000, few, few * 1000 + 100 * NS, few * NS // 1024, few // 1000 - 5 * NS, few * NS // 2**40,
        None, few * NS // 10**25,
    ]  # fmt: skip
    assert [row.rx_ns for row in read_rows(capture)] == [UNDEFINED_NS if ns is None else ns for ns in exact]
    assert "carry no time" in capture.warnings[0]


@settings(max_examples=200, deadline=None)
@example([2**62 + 1, 2**64 - 1, 2**63], 0, -(2**62) - 5)
@example([2**63, 2**63 + 7, 0], 0, -(2**63))
@given(st.lists(st.integers(0, 2**64 - 1), max_size=5), st.integers(0, 255), st.integers(-(2**63), 2**63 - 1))
def test_ticks_are_nanoseconds_to_the_last_digit(ticks: list[int], resolution: int, offset: int) -> None:
    per_s = ticks_per_second(resolution)
    for offset_s in (0, offset, offset >> 32):
        found = ticks_to_ns(np.array(ticks, np.uint64), per_s, np.full(len(ticks), offset_s, np.int64)).tolist()
        for t, ns in zip(ticks, found, strict=True):
            exact = t * NS // per_s + offset_s * NS
            fits = -(2**63 // NS) * NS <= exact < 2**63
            assert ns == (exact if fits else UNDEFINED_NS)


def test_simple_and_obsolete_blocks_are_read(tmp_path: Path) -> None:
    for order in "<>":
        blocks = [section(order), interface(order=order, snap=len(DATA) - 2), interface(order=order)]
        blocks += [obsolete(Frame(DATA, T0 + 1, interface=1), order), simple(DATA[:-2], len(DATA), order)]
        blocks += [enhanced(Frame(DATA, T0 + 2), order)]
        first, second, third = read_rows(open_capture(write(tmp_path, *blocks)))
        assert (first.rx_ns, first.ifindex, first.payload) == (T0 + 1, 2, b"payload")
        assert (second.rx_ns, second.ifindex, second.payload) == (UNDEFINED_NS, 1, b"paylo")
        assert second.is_truncated
        assert third.rx_ns == T0 + 2


def test_unknown_blocks_and_options_are_passed_over(tmp_path: Path) -> None:
    odd = [block(0x0BAD, b"12345"), block(4, b""), block(0x80000001, bytes(400)), block(5, bytes(12))]
    packets = [enhanced(Frame(DATA, T0 + i), options=option(1, b"a comment") + option(0, b"")) for i in range(4)]
    blocks = [part for pair in zip(odd, packets, strict=True) for part in pair]
    assert len(read_rows(open_capture(write(tmp_path, section(), odd[0], interface(), *blocks)))) == 4


def test_an_unknown_block_larger_than_the_window_is_passed_over_in_gzip_too(tmp_path: Path) -> None:
    large = block(0x0BAD, bytes(50_000))
    path = write(tmp_path, section(), interface(), enhanced(Frame(DATA)), large, enhanced(Frame(DATA)))
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content))
    assert len(read_rows(open_capture(path, window_bytes=1024))) == 2
    path.write_bytes(gzip.compress(content[:-20_000]))
    capture = open_capture(path, window_bytes=1024)
    assert len(read_rows(capture)) == 1
    assert "ends inside a block" in capture.warnings[0]


def test_an_unknown_block_larger_than_the_window_is_passed_over(tmp_path: Path) -> None:
    large = block(0x0BAD, bytes(50_000))
    path = write(tmp_path, section(), interface(), enhanced(Frame(DATA)), large, enhanced(Frame(DATA)))
    assert len(read_rows(open_capture(path, window_bytes=1024))) == 2
    path.write_bytes(path.read_bytes()[:-20_000])
    capture = open_capture(path, window_bytes=1024)
    assert len(read_rows(capture)) == 1
    assert "ends inside a block" in capture.warnings[0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_the_capture_itself_dropped_is_told(tmp_path: Path, order: str) -> None:
    def statistics(number: int, *options: bytes) -> bytes:
        return block(5, struct.pack(order + "III", number, 0, 0) + b"".join(options), order)

    def count(kind: int, value: int) -> bytes:
        return option(kind, struct.pack(order + "Q", value), order)

    blocks = [section(order), interface(order=order, name="eth0"), interface(order=order), interface(order=order)]
    blocks += [statistics(0, count(4, 99), count(5, 3)), statistics(0, count(5, 7), count(7, 5)), block(5, b"", order)]
    blocks += [statistics(1, count(5, 0)), statistics(2, option(5, b"1234", order)), statistics(9, count(5, 1))]
    capture = open_capture(write(tmp_path, *blocks))
    assert read_rows(capture) == []
    assert capture.drops == {1: 12, 2: 0}
    assert capture.warnings == ["eth0: the capture itself dropped 12 packets, which look like loss"]


def test_an_interface_described_late_counts_from_there_on(tmp_path: Path) -> None:
    late = Frame(DATA, interface=1)
    blocks = [section(), interface(), enhanced(late), interface(101), enhanced(Frame(DATA)), enhanced(late)]
    for window_bytes in (256, 1 << 20):
        capture = open_capture(write(tmp_path, *blocks), window_bytes=window_bytes)
        assert len(read_rows(capture)) == 1
        assert capture.counters == {Skip.UNKNOWN_INTERFACE: 1, Skip.NOT_IP: 1}


def test_a_block_that_claims_more_than_it_holds_is_counted(tmp_path: Path) -> None:
    lying = bytearray(enhanced(Frame(DATA)))
    lying[20:24] = struct.pack("<I", 5000)
    short = block(6, bytes(8))
    path = write(tmp_path, section(), interface(), bytes(lying), short, block(3, b""), enhanced(Frame(DATA)))
    capture = open_capture(path)
    assert len(read_rows(capture)) == 1
    assert capture.counters == {Skip.BAD_RECORD: 3}


def test_frames_of_a_link_type_that_is_not_read_are_counted(tmp_path: Path) -> None:
    blocks = [section(), interface(127), interface(1), enhanced(Frame(DATA)), enhanced(Frame(DATA, interface=1))]
    capture = open_capture(write(tmp_path, *blocks))
    assert len(read_rows(capture)) == 1
    assert capture.counters == {Skip.UNKNOWN_LINK_TYPE: 1}
    capture = open_capture(write(tmp_path, *blocks[:4]))
    with pytest.raises(RecordError, match=r"IEEE 802\.11 with radiotap"):
        read_rows(capture)


def test_a_flood_of_interfaces_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcapng, "MAX_INTERFACES", 100)
    path = write(tmp_path, section(), interface() * 100, enhanced(Frame(DATA, interface=99)))
    assert len(read_rows(open_capture(path))) == 1
    with pytest.raises(RecordError, match="more than 100 interfaces"):
        open_capture(write(tmp_path, section(), interface() * 101))


def test_an_interface_description_cut_short_still_counts(tmp_path: Path) -> None:
    blocks = [section(), block(1, b"\x01\0\0\0"), interface(), enhanced(Frame(DATA, interface=1))]
    capture = open_capture(write(tmp_path, *blocks))
    assert [row.ifindex for row in read_rows(capture)] == [2]
    assert "interface description of 4 bytes" in capture.warnings[0]


def test_ten_thousand_tiny_sections_do_not_take_long(tmp_path: Path) -> None:
    path = write(tmp_path, *([section() + interface() + enhanced(Frame(DATA))] * 10_000))
    assert open_capture(path).n_frames == 0
    assert sum(len(batch) for batch in open_capture(path).batches(width=8)) == 10_000
