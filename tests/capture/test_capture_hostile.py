"""Files cut anywhere, bytes that lie: all whole packets, a warning, or one line of error; never anything else."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import pytest
from capture_files import (
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
    obsolete,
    packet4,
    packet6,
    pcap,
    read_rows,
    section,
    simple,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture import open_capture, slice_capture
from harness.errors import RecordError

FRAMES = [Frame(ethernet(packet4(bytes([n]) * n)), T0 + n) for n in (0, 5, 30)] + [Frame(ethernet(packet6(b"six")))]
FRAGMENT6 = ip6(struct.pack(">BBHI", 17, 0, 1, 5) + bytes(16), *V6, following=44)
ODD = [
    Frame(ethernet(ip4(bytes(16), *V4, fragment=0x2000))),
    Frame(ethernet(FRAGMENT6)),
    Frame(ethernet(ip6(bytes([58, 0, 5, 2, 0, 0, 1, 0, 143]) + bytes(31), *V6, following=0))),
    Frame(ethernet(ip4(bytes(8), *V4, protocol=2))),
    Frame(ethernet(packet4(b"tagged"), (0x88A8, 0x8100))),
]


def ng(order: str = "<") -> bytes:
    blocks = [enhanced(frame, order) for frame in FRAMES + ODD]
    odd = [simple(FRAMES[1].data, 60, order), obsolete(FRAMES[2], order), interface(113, order)]
    return section(order) + interface(1, order, name="eth0") + b"".join(blocks + odd)


def read(path: Path, content: bytes, window_bytes: int = 1 << 20) -> tuple[list[Row], list[str]] | str:
    path.write_bytes(content)
    try:
        capture = open_capture(path, window_bytes=window_bytes)
        return read_rows(capture, width=64), capture.warnings
    except RecordError as exc:
        return str(exc)


def test_a_pcap_cut_at_every_byte_gives_all_whole_packets(tmp_path: Path) -> None:
    content = pcap(FRAMES)
    whole = [24]
    for frame in FRAMES:
        whole.append(whole[-1] + 16 + len(frame.data))
    expected = read(tmp_path / "a", content)[0]
    assert isinstance(expected, list)
    for size in range(24, len(content)):
        found = read(tmp_path / "a", content[:size])
        n = sum(edge <= size for edge in whole) - 1
        assert found[0] == expected[:n]
        assert found[1] == ([] if size in whole else [
            f"byte {whole[n]}: the file ends inside a packet; all whole packets before it are used"
        ])  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pcapng_cut_at_every_byte_gives_all_whole_packets(tmp_path: Path, order: str) -> None:
    parts = [section(order), interface(1, order), *(enhanced(frame, order) for frame in FRAMES), section(order)]
    content = b"".join(parts)
    whole = [0]
    for part in parts:
        whole.append(whole[-1] + len(part))
    expected = read(tmp_path / "a", content)[0]
    assert len(expected) == len(FRAMES)
    for size in range(12, len(content)):
        found = read(tmp_path / "a", content[:size])
        n = sum(edge <= size for edge in whole) - 1
        assert found[0] == expected[: max(n - 2, 0)]
        assert found[1] == ([] if size in whole else [
            f"byte {whole[n]}: the file ends inside a block; all whole packets before it are used"
        ])  # fmt: skip


def test_a_gzip_stream_cut_anywhere_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    content = pcap(FRAMES * 200)
    packed = gzip.compress(content)
    expected = read(tmp_path / "a", content)[0]
    for size in range(2, len(packed), 7):
        found = read(tmp_path / "a", packed[:size])
        if isinstance(found, str):
            assert "pcap" in found
        else:
            assert found[0] == expected[: len(found[0])]
            assert "gzip stream" in found[1][0]


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    base=st.sampled_from([pcap(FRAMES + ODD), pcap(FRAMES + ODD, order=">"), ng(), ng(">"), ng() + ng(">")]),
)
def test_any_bytes_changed_are_never_more_than_one_line_of_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, base: bytes
) -> None:
    broken = bytearray(base)
    values = st.sampled_from([0, 1, 4, 8, 12, 16, 28, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4, 6, 0x0A0D0D0A])
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            at = 4 * data.draw(st.integers(0, len(broken) // 4 - 1))
            broken[at : at + 4] = struct.pack(data.draw(st.sampled_from("<>")) + "I", data.draw(values))
        else:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "hostile.cap"
    whole = read(path, bytes(broken))
    assert "\n" not in whole
    # the window's size must never show in what is read; in a warning it may
    assert read(path, bytes(broken), 512)[0] == whole[0]
    if not isinstance(whole, str):
        slice_capture(path, path.with_suffix(".slice"), 0, 2**63 - 1)


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from([pcap([]), section() + interface(), section(">") + interface(1, ">")]),
    tail=st.binary(max_size=400),
)
def test_noise_behind_a_good_header_is_survived(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes
) -> None:
    assert read(tmp_path_factory.getbasetemp() / "noise.cap", head + tail)


def test_a_huge_length_is_damage_and_not_memory(tmp_path: Path) -> None:
    for length in (2**32 - 1, 2**31, 1 << 21):
        content = pcap(FRAMES) + struct.pack("<IIII", 1, 1, length, length) + bytes(100)
        found = read(tmp_path / "a", content)
        assert len(found[0]) == len(FRAMES)
        assert f"byte {len(pcap(FRAMES))}: a packet of {length}" in found[1][0]


def test_memory_stays_bounded_over_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(pcap([]) + pcap([Frame(ethernet(packet4(bytes(180))))])[24:] * 60_000)
    tracemalloc.start()
    n = sum(len(batch) for batch in open_capture(path, window_bytes=1 << 18).batches(2000, 32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == 60_000
    assert peak < 4 << 20
