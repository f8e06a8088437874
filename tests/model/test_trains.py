"""A train stands for its packets, one number after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import PACKET_DTYPE, TRAIN_DTYPE, UNNUMBERED, expand_trains

FIELDS = PACKET_DTYPE.names or ()


@given(st.lists(st.tuples(st.integers(-1, 2**40), st.integers(0, 5), st.integers(0, 255)), max_size=8))
def test_packets_of_trains_are_what_a_loop_makes_of_them(drawn: list[tuple[int, int, int]]) -> None:
    trains, wanted = np.zeros(len(drawn), TRAIN_DTYPE), []
    for train, (seq, count, flags) in zip(trains, drawn, strict=True):
        train["seq"], train["count"], train["flags"], train["stream"], train["tx_ns"] = seq, count, flags, 3, seq - 9
        for place in range(count):
            packet = np.zeros((), PACKET_DTYPE)
            for name in FIELDS:
                packet[name] = train[name]
            packet["seq"] = seq if seq == UNNUMBERED else seq + place
            wanted.append(packet)
    packets = expand_trains(trains)
    assert packets.dtype == PACKET_DTYPE
    assert packets.tolist() == [packet.tolist() for packet in wanted]


@pytest.mark.parametrize("k", [0, 3])
def test_no_packets_are_made_of_no_trains_and_of_empty_ones(k: int) -> None:
    assert expand_trains(np.zeros(k, TRAIN_DTYPE)).shape == (0,)


def test_trains_need_not_lie_together_in_memory() -> None:
    trains = np.zeros(6, TRAIN_DTYPE)
    trains["seq"], trains["count"] = np.arange(6) * 10, 2
    assert expand_trains(trains[::3])["seq"].tolist() == [0, 1, 30, 31]
