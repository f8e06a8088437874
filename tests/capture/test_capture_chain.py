"""The parallel walk along a chain of records finds exactly what a walk one by one finds."""

import struct

import numpy as np
import pytest
from capture_files import Frame, block, enhanced, pcap, section
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.capture import chain
from harness.capture.chain import Chain, Records
from harness.capture.pcap import _Records
from harness.capture.source import PADDING
from harness.capture.words import Words


@pytest.fixture(autouse=True, scope="module")
def small_lanes() -> object:
    """Make the parallel ways be taken on a few hundred records already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "_FIRST_WALK", 4)
        patch.setattr(chain, "_WALK", 2)
        patch.setattr(chain, "_FIRST_REACH", 2048)
        patch.setattr(chain, "_RECORDS_A_LANE", 3)
        patch.setattr(chain, "_MIN_LANES", 3)
        patch.setattr(chain, "_MIN_RUN", 20)
        yield


def padded(data: bytes) -> np.ndarray:
    room = -len(data) % 4 + PADDING
    return np.frombuffer(data + b"\x06\0\0\0" * (room // 4 + 1), np.uint8)[: len(data) // 4 * 4 + PADDING].copy()


def as_words(data: bytes, order: str = "<") -> Words:
    return Words(padded(data).view(f"{order}u4").astype(np.uint32), len(data) // 4)


def as_records(data: bytes, order: str = "<") -> _Records:
    return _Records(padded(data), len(data), order)


def one_by_one(records: Records, start: int) -> tuple[list[int], int]:
    found, at = [], start
    while step := int(records.steps(np.array([at]))[0]):
        found.append(at)
        at += step
    return found, at


def check(records: Records) -> int:
    found, end = Chain().positions(records, 0)
    expected, expected_end = one_by_one(records, 0)
    assert found.tolist() == expected
    assert end == expected_end
    return len(expected)


sizes = st.lists(
    st.one_of(
        st.integers(0, 90).map(lambda n: [n]),
        st.tuples(st.integers(0, 40), st.integers(1, 60)).map(lambda t: [t[0]] * t[1]),
    ),
    max_size=40,
).map(lambda parts: [n for part in parts for n in part])


@settings(max_examples=120, deadline=None)
@given(sizes, st.sampled_from("<>"), st.integers(0, 20), st.randoms(use_true_random=False))
def test_pcap_walk_matches_the_slow_one(lengths: list[int], order: str, cut: int, random: object) -> None:
    frames = [Frame(random.randbytes(n)) for n in lengths]  # type: ignore[attr-defined]  # a random.Random
    data = pcap(frames, order=order)[24:]
    check(as_records(data[: len(data) - cut], order))


@settings(max_examples=120, deadline=None)
@given(sizes, st.sampled_from("<>"), st.integers(0, 20), st.booleans())
def test_pcapng_walk_matches_the_slow_one(lengths: list[int], order: str, cut: int, is_six: bool) -> None:
    fill = struct.pack(order + "I", 6) if is_six else b"\xaa" * 4
    data = b"".join(enhanced(Frame((fill * 30)[:n]), order) for n in lengths)
    check(as_words(data[: len(data) - cut], order))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=300), st.integers(2, 12))
def test_a_capture_inside_a_capture_misleads_nobody(kinds: list[int], inner: int) -> None:
    nested = enhanced(Frame(b"x" * 16)) * inner
    parts = [enhanced(Frame(nested)), enhanced(Frame(nested[:-8])), enhanced(Frame(b"y" * 40)), block(0xBAD, b"z" * 24)]
    check(as_words(b"".join(parts[kind] for kind in kinds)))
    records = [pcap([Frame(b"q" * 20)] * inner)[24:], b"p" * 30, b"", pcap([Frame(b"q" * 9)])[24:-4]]
    check(as_records(pcap([Frame(records[kind]) for kind in kinds])[24:]))


@settings(max_examples=100, deadline=None)
@given(sizes, st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6))
def test_damage_ends_both_walks_at_the_same_place(lengths: list[int], damage: list[tuple[int, int]]) -> None:
    for data, make in (
        (b"".join(enhanced(Frame(bytes(n))) for n in lengths), as_words),
        (pcap([Frame(bytes(n)) for n in lengths])[24:], as_records),
    ):
        broken = bytearray(data)
        for at, value in damage:
            if at < len(broken):
                broken[at] = value
        check(make(bytes(broken)))


def test_the_walk_stops_before_a_section() -> None:
    blocks = enhanced(Frame(b"x" * 50)) * 200
    records = as_words(blocks + section() + blocks)
    assert check(records) == 200


def test_lanes_are_really_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    lanes = chain._lanes

    def counted(records: Records, start: int, stop: int, usual: int) -> tuple[np.ndarray, int]:
        found = lanes(records, start, stop, usual)
        calls.append(len(found[0]))
        return found

    monkeypatch.setattr(chain, "_lanes", counted)
    rng = np.random.default_rng(1)
    frames = [Frame(rng.bytes(int(n))) for n in rng.integers(20, 300, 3000)]
    assert check(as_words(b"".join(enhanced(frame) for frame in frames))) == 3000
    assert sum(calls) > 2500
    calls.clear()
    assert check(as_records(pcap(frames)[24:])) == 3000
    assert sum(calls) > 2500
