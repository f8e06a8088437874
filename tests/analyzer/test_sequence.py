"""Extended sequence numbers: against the highest seen, with the time where numbers do not tell."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import StreamFold
from harness.analyzer.sequence import Extender
from harness.model import PACKET_DTYPE, UNNUMBERED, PacketFlag, StreamInfo, StreamSummary

MS = 1_000_000
T0 = 1_700_000_000_000_000_000


def extend(raw: list[int], bits: int = 8, modulus: int | None = None) -> list[int]:
    return list(Extender(bits, modulus).extend(np.array(raw, np.int64), np.zeros(len(raw), np.int64)).tolist())


def one_by_one(raw: list[int], modulus: int) -> list[int]:
    found: list[int] = []
    for value in raw:
        if found:
            ahead = (value - max(found)) % modulus
            value = max(found) + (ahead if ahead <= modulus // 2 else ahead - modulus)
        found.append(value)
    return found


@given(
    modulus=st.sampled_from([16, 255, 256, 2**16, 2**32]),
    seed=st.integers(0, 2**32),
    reach=st.sampled_from([3, 100, 2**40]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_numbers_without_any_order_follow_the_highest(modulus: int, seed: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    raw = (np.arange(80) + rng.integers(0, reach, 80)) % modulus
    extender = Extender(8, modulus)
    parts = [extender.extend(part, np.zeros(len(part), np.int64)) for part in np.array_split(raw, 4)]
    assert np.concatenate(parts).tolist() == one_by_one(raw.tolist(), modulus)
    assert extender.highest == max(one_by_one(raw.tolist(), modulus))


def test_a_late_packet_before_the_wrap_stays_before_it() -> None:
    assert extend([254, 0, 255, 1]) == [254, 256, 255, 257]


def test_a_copy_over_the_wrap_keeps_its_number() -> None:
    assert extend([255, 0, 255, 1]) == [255, 256, 255, 257]


def test_art_net_counts_from_1_to_255() -> None:
    assert extend([254, 255, 1, 2], modulus=255) == [254, 255, 256, 257]


def test_64_bit_numbers_stay_as_they_are() -> None:
    assert extend([5, 2**61, 4], bits=64) == [5, 2**61, 4]


def test_nothing_gives_nothing() -> None:
    extender = Extender(16)
    assert extender.extend(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    assert extender.highest is None


def test_half_the_range_is_counted_as_undecidable() -> None:
    extender = Extender(8)
    assert extender.extend(np.array([0, 128, 129]), np.zeros(3, np.int64)).tolist() == [0, 128, 129]
    assert extender.n_undecidable == 1


def summary(raw: list[int], rx_ms: list[int], flags: list[int] | None = None, **known: Any) -> StreamSummary:
    rows = np.zeros(len(raw), PACKET_DTYPE)
    rows["seq"], rows["rx_ns"] = raw, T0 + np.array(rx_ms, np.int64) * MS
    rows["tx_ns"] = rows["rx_ns"]
    rows["flags"] = flags or 0
    fold = StreamFold(StreamInfo(number=0, protocol="sacn", sequence_bits=8, **known))
    for row in range(len(rows)):
        fold.update(rows[row : row + 1])
    return fold.summary()


def test_300_packets_lost_of_an_8_bit_stream_are_300_where_the_interval_is_known() -> None:
    numbers = [*range(100), *range(400, 500)]
    found = summary([k % 256 for k in numbers], [20 * k for k in numbers], interval_ns=20 * MS)
    assert (found.received, found.lost) == (200, 300)
    assert any("resolved by time" in note for note in found.notes)
    assert [(window.kind, window.packets) for window in found.windows] == [("outage", 300)]


def test_300_packets_lost_of_an_8_bit_stream_are_flagged_where_the_interval_is_not_known() -> None:
    numbers = [*range(100), *range(400, 500)]
    found = summary([k % 256 for k in numbers], [20 * k for k in numbers])
    assert found.lost == 44
    assert any("multiples of 256" in note for note in found.notes)


def test_a_source_that_pauses_for_long_is_no_loss_although_the_interval_is_known() -> None:
    found = summary([*range(100), *range(100, 200)], [*range(100), *range(400, 500)], interval_ns=MS)
    assert found.lost == 0
    assert any("undecidable" in note for note in found.notes)


def test_an_announced_break_in_the_numbering_is_no_loss() -> None:
    flags = [0, 0, 0, PacketFlag.DISCONTINUITY, 0, PacketFlag.DISCONTINUITY, 0, 0]
    found = summary([5, 6, 7, 100, 101, 3, 4, 6], list(range(8)), flags)
    assert (found.received, found.lost, found.duplicates) == (8, 1, 0)


def test_a_scheduled_stream_joined_after_many_wraps_is_numbered_by_its_schedule() -> None:
    numbers = list(range(100_000, 100_050))
    found = summary([k % 256 for k in numbers], numbers, first_due_ns=T0, interval_ns=MS)
    assert (found.expected, found.lost) == (100_050, 100_000)
    assert [(window.kind, window.first_seq, window.last_seq) for window in found.windows] == [("late_start", 0, 99_999)]


def test_a_scheduled_stream_whose_numbers_start_anywhere_is_placed_by_time() -> None:
    found = summary(
        [(77 + k) % 256 for k in range(5, 60)], list(range(5, 60)), first_due_ns=T0, interval_ns=MS, sent=60
    )
    assert (found.expected, found.lost) == (60, 5)
    assert [window.kind for window in found.windows] == ["late_start"]
    assert found.windows[0].start_ns == T0


def test_packets_whose_number_is_switched_off_are_counted_apart() -> None:
    found = summary([1, 2, UNNUMBERED, 3], [1, 2, 3, 4])
    assert (found.received, found.lost, found.expected) == (3, 0, 3)
    assert any("without a sequence number" in note for note in found.notes)


@pytest.mark.parametrize("raw", [256, 2**63 - 1])
def test_an_impossible_number_is_left_out_and_said(raw: int) -> None:
    found = summary([1, raw, 2], [1, 2, 3])
    assert (found.received, found.lost) == (2, 0)
    assert any("impossible" in note for note in found.notes)


def test_a_number_beyond_the_count_is_no_part_of_the_stream() -> None:
    rows = np.zeros(4, PACKET_DTYPE)
    rows["seq"], rows["tx_ns"] = [0, 1, 2**61, 2], T0
    rows["rx_ns"] = T0 + np.arange(4)
    fold = StreamFold(StreamInfo(number=0, first_due_ns=T0, interval_ns=MS, sent=3))
    fold.update(rows)
    found = fold.summary()
    assert (found.expected, found.received, found.lost) == (3, 3, 0)
    assert any("beyond the count" in note for note in found.notes)
    wild = StreamFold(StreamInfo(number=0, first_due_ns=T0, interval_ns=MS))
    wild.update(rows)
    assert wild.summary().lost == 2**61 - 3
