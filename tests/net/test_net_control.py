"""Control messages of a batch, parsed as columns, against a slow walk over each row."""

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.model import DATAGRAM_DTYPE
from harness.net._control import ControlParser, walk
from harness.net._libc import CMSG_HEADER_BYTES, WORD_BYTES
from harness.net._linux import LinuxPlatform
from harness.net._slots import ALL_CONTROL_BYTES

HEADER = "=QII" if WORD_BYTES == 8 else "=III"
Message = tuple[int, int, bytes]


def pack(messages: list[Message]) -> bytes:
    """Lay out control messages as the kernel does."""
    row = b""
    for level, kind, data in messages:
        row += struct.pack(HEADER, CMSG_HEADER_BYTES + len(data), level, kind) + data
        row += bytes(-len(row) % WORD_BYTES)
    return row


def fixed(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


stamp = st.tuples(st.integers(0, 2**33), st.integers(0, 999_999_999)).map(lambda pair: struct.pack("=qq", *pair))
ttl = st.integers(0, 255).map(lambda value: struct.pack("=i", value))
segment = st.integers(1, 65_507).map(lambda value: struct.pack("=i", value))
KINDS = {
    "pktinfo4": (0, 8, fixed(12)),
    "pktinfo6": (41, 50, fixed(20)),
    "ttl": (0, 2, ttl),
    "hops": (41, 52, ttl),
    "stamp": (1, 35, stamp),
    "drops": (1, 40, fixed(4)),
    "segment": (17, 104, segment),
    "unknown": (1, 77, fixed(9)),
}


@st.composite
def rows(draw: st.DrawFn) -> list[list[Message]]:
    """Draw rows of a few layouts, as a socket's options make them."""
    known = sorted(set(KINDS) - draw(st.sampled_from([{"pktinfo4", "ttl"}, {"pktinfo6", "hops"}])))  # v6 or v4
    layouts = draw(st.lists(st.lists(st.sampled_from(known), max_size=5, unique=True), min_size=1, max_size=4))
    chosen = draw(st.lists(st.sampled_from(layouts), min_size=1, max_size=12))
    return [[(KINDS[name][0], KINDS[name][1], draw(KINDS[name][2])) for name in layout] for layout in chosen]


def check(parser: ControlParser, control: NDArray[np.uint8], batch: list[list[Message]]) -> None:
    lengths = np.zeros(len(batch), np.uintp)
    for number, messages in enumerate(batch):
        packed = pack(messages)
        control[number, : len(packed)] = np.frombuffer(packed, np.uint8)
        lengths[number] = len(packed)
    parser.parse(lengths)
    assert parser.is_stamped == all((1, 35) in [message[:2] for message in messages] for messages in batch)
    for number, messages in enumerate(batch):
        expected = LinuxPlatform().decode(messages)
        assert parser.destination[number].tobytes() == (expected.destination or bytes(16))
        assert parser.ifindex[number] == expected.ifindex
        assert parser.ttl[number] == expected.ttl
        assert parser.segment[number] == expected.segment
        assert parser.has_stamp[number] == (expected.rx_ns is not None)
        if expected.rx_ns is not None:
            assert parser.rx_ns[number] == expected.rx_ns


@settings(max_examples=100, deadline=None)
@given(batches=st.lists(rows(), min_size=1, max_size=3))
def test_columns_equal_the_walk_row_by_row(batches: list[list[list[Message]]]) -> None:
    control = np.zeros((12, ALL_CONTROL_BYTES), np.uint8)
    parser = ControlParser(control, np.zeros(len(control), DATAGRAM_DTYPE))
    for batch in batches:  # what an earlier batch left in the rows must not show
        check(parser, control, batch)


def test_one_layout_is_learned_once() -> None:
    control = np.zeros((64, ALL_CONTROL_BYTES), np.uint8)
    parser = ControlParser(control, np.zeros(len(control), DATAGRAM_DTYPE))
    plain = [(1, 35, struct.pack("=qq", 5, 6)), (0, 8, bytes(12)), (0, 2, struct.pack("=i", 9))]
    check(parser, control, [plain] * 64)
    check(parser, control, [plain] * 40)
    assert len(parser._layouts) == 1
    check(parser, control, [plain] * 3 + [[*plain, (1, 40, struct.pack("=I", 7))]] * 3)
    assert len(parser._layouts) == 2
    assert parser.last_drops == 7


def test_more_layouts_than_are_kept_are_still_read() -> None:
    control = np.zeros((12, ALL_CONTROL_BYTES), np.uint8)
    parser = ControlParser(control, np.zeros(len(control), DATAGRAM_DTYPE))
    odd: list[list[Message]] = [[(1, 77, bytes(n)), (0, 2, struct.pack("=i", n))] for n in range(12)]
    check(parser, control, odd)
    assert len(parser._layouts) == 8


def test_no_messages_at_all_leave_everything_unknown() -> None:
    control = np.zeros((2, ALL_CONTROL_BYTES), np.uint8)
    parser = ControlParser(control, np.zeros(len(control), DATAGRAM_DTYPE))
    check(parser, control, [[], []])


def test_a_row_that_is_cut_off_ends_the_walk_without_harm() -> None:
    whole = pack([(0, 2, struct.pack("=i", 9)), (0, 8, bytes(12))])
    for length in range(len(whole)):
        first_end, second_end = CMSG_HEADER_BYTES + 4, len(whole) - (-12) % WORD_BYTES
        assert len(walk(whole[:length]).offsets) == (length >= first_end) + (length >= second_end)
    assert walk(struct.pack(HEADER, 3, 0, 2)).offsets == {}
    assert walk(struct.pack(HEADER, 2**31, 0, 2)).offsets == {}
