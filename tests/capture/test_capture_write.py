"""What is written reads back the same; slices hold exactly the frames of their window."""

import errno
import struct
from pathlib import Path

import dpkt
import numpy as np
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
    mapped,
    ones,
    packet4,
    packet6,
    pcap,
    read_rows,
    section,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture import Interface, blocks, open_capture, slice_capture, write_pcapng
from harness.errors import StorageError, UsageError
from harness.model import DATAGRAM_DTYPE, UNDEFINED_NS, Datagrams

addresses4 = st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4))
addresses6 = st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)).filter(
    lambda pair: any(a[:10].strip(b"\0") for a in pair)
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    source, destination = map(mapped, draw(st.one_of(addresses4, addresses6)))
    payload = draw(st.binary(max_size=40))
    missing = draw(st.sampled_from([0, 0, 0, 1, 1000]))
    return Row(
        draw(st.integers(0, 2**63 - 1)), source, draw(st.integers(0, 65_535)), destination,
        draw(st.integers(0, 65_535)), draw(st.integers(0, 3)), draw(st.integers(0, 255)), len(payload) + missing,
        missing > 0, payload,
    )  # fmt: skip


def batch_of(few: list[Row], width: int = 48) -> Datagrams:
    data = np.full((len(few), width), 0xEE, np.uint8)
    meta = np.zeros(len(few), DATAGRAM_DTYPE)
    for i, row in enumerate(few):
        data[i, : len(row.payload)] = np.frombuffer(row.payload, np.uint8)
        meta[i] = (
            np.frombuffer(row.source, np.uint8), np.frombuffer(row.destination, np.uint8), row.source_port,
            row.destination_port, row.ifindex, row.rx_ns, row.size, row.ttl, 32 if row.is_truncated else 0, 0,
        )  # fmt: skip
    return Datagrams(data, np.array([len(row.payload) for row in few], np.int64), meta)


@settings(max_examples=80, deadline=None)
@given(few=st.lists(rows(), max_size=12), at=st.integers(0, 12))
def test_datagrams_written_read_back_with_right_checksums(
    tmp_path_factory: pytest.TempPathFactory, few: list[Row], at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.pcapng"
    assert write_pcapng(path, [batch_of(few[:at]), batch_of(few[at:])], {1: "eth0"}) == len(few)
    capture = open_capture(path, verify_checksums=True)
    found = read_rows(capture)
    names = list(dict.fromkeys(name for part in (few[:at], few[at:]) for name in sorted({r.ifindex for r in part})))
    assert found == [row._replace(ifindex=names.index(row.ifindex) + 1) for row in few]
    assert [i.name for i in capture.interfaces] == ["eth0" if n == 1 else f"ifindex {n}" for n in names]
    with path.open("rb") as file:
        written = [data for _, data in dpkt.pcapng.Reader(file)] if few else []
    for data in written:
        assert data[0] >> 4 == 6 or ones(data[:20]) == 0xFFFF


def test_a_whole_datagram_never_claims_to_have_no_checksum(tmp_path: Path) -> None:
    zero = Row(T0, mapped(V4[0]), 0, mapped(V4[1]), 0, 1, 1, 2, False, b"\0\0")
    plain = 17 + 10 + 10 + sum(struct.unpack(">8H", V4[0] + V4[1] + bytes(8)))
    folded = (plain - 1) % 0xFFFF + 1
    row = zero._replace(payload=struct.pack(">H", 0xFFFF - folded))
    write_pcapng(tmp_path / "a", [batch_of([row])])
    frame = next(iter(open_capture(tmp_path / "a").frames()))
    assert frame.bytes_of(0)[26:28] == b"\xff\xff"


def test_times_that_are_not_known_are_written_as_zero(tmp_path: Path) -> None:
    few = [Row(t, *(V6[0], 1, V6[1], 2), 1, 1, 1, False, b"x") for t in (UNDEFINED_NS, -5, 7)]
    write_pcapng(tmp_path / "a", [batch_of(few)])
    assert [row.rx_ns for row in read_rows(open_capture(tmp_path / "a"))] == [0, 0, 7]


def test_a_datagram_that_fits_no_header_is_refused_without_a_file(tmp_path: Path) -> None:
    row = Row(0, mapped(V4[0]), 1, mapped(V4[1]), 2, 1, 1, 65_508, True, b"x")
    with pytest.raises(UsageError, match="65508"):
        write_pcapng(tmp_path / "a", [batch_of([row])])
    assert list(tmp_path.iterdir()) == []


def raw_frames(path: Path) -> list[tuple[bytes, int, int, int]]:
    return [
        (frames.bytes_of(i), int(frames.wire[i]), int(frames.rx_ns[i]), int(frames.interface[i]))
        for frames in open_capture(path).frames()
        for i in range(len(frames))
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), is_pcapng=st.booleans(), order=st.sampled_from("<>"))
def test_a_slice_holds_exactly_the_frames_of_its_window(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, is_pcapng: bool, order: str
) -> None:
    frame = st.builds(
        lambda size, t, more, number: Frame(bytes(range(size)), T0 + t, size + more, number * is_pcapng),
        st.integers(0, 100), st.integers(0, 20), st.integers(0, 2), st.integers(0, 1),
    )  # fmt: skip
    few = data.draw(st.lists(frame, max_size=15))
    start, length = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20))
    path = tmp_path_factory.getbasetemp() / "whole.cap"
    interfaces = interface(1, order, name="a", snap=200) + interface(105, order, name="b", resolution=9)
    content = section(order) + interfaces + b"".join(enhanced(frame, order) for frame in few)
    path.write_bytes(content if is_pcapng else pcap(few, order=order))
    sliced = path.with_suffix(".slice")
    inside = [f for f in few if T0 + start <= f.t_ns < T0 + start + length]
    assert slice_capture(path, sliced, T0 + start, T0 + start + length) == len(inside)
    assert raw_frames(sliced) == [(f.data, f.wire, f.t_ns, f.interface) for f in inside]
    if is_pcapng and few:
        found = [(i.name, i.link_type, i.snaplen) for i in open_capture(sliced).interfaces]
        assert found == [("a", 1, 200), ("b", 105, 0)]


def test_a_predicate_chooses_among_the_frames_of_the_window(tmp_path: Path) -> None:
    few = [Frame(ethernet(packet4(bytes([n]))), T0 + n) for n in range(6)] + [Frame(ethernet(packet6(b"")), T0)]
    (tmp_path / "a.pcap").write_bytes(pcap(few))
    seen: list[tuple[int, str]] = []

    def wanted(frame: bytes, source: Interface) -> bool:
        seen.append((frame[-1], source.link_name))
        return frame[-1] % 2 == 1

    assert slice_capture(tmp_path / "a.pcap", tmp_path / "b", T0 + 1, T0 + 5, wanted) == 2
    assert seen == [(n, "Ethernet") for n in (1, 2, 3, 4)]
    assert [row.payload for row in read_rows(open_capture(tmp_path / "b"))] == [b"\1", b"\3"]


def test_a_slice_onto_itself_or_backwards_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([Frame(ethernet(packet4(b"x")))]))
    with pytest.raises(UsageError, match="itself"):
        slice_capture(path, path, 0, NS)
    with pytest.raises(UsageError, match="before it starts"):
        slice_capture(path, tmp_path / "b", NS, 0)
    assert len(read_rows(open_capture(path))) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        write_pcapng(tmp_path / "none" / "a", [])


def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: blocks.PcapngFile, data: bytes) -> None:
        raise StorageError(f"cannot write: {errno.errorcode[errno.ENOSPC]}")

    row = Row(0, mapped(V4[0]), 1, mapped(V4[1]), 2, 1, 1, 1, False, b"x")
    (tmp_path / "a").write_bytes(b"what was there")
    file = blocks.PcapngFile(tmp_path / "a")
    monkeypatch.setattr(blocks.PcapngFile, "write", full)
    with pytest.raises(StorageError, match="ENOSPC"), file:
        file.add_interface(Interface("x", 1, 0))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"what was there"
    assert write_pcapng(tmp_path / "a", [batch_of([row])]) == 1
