"""MDI, continuity of a transport stream, and two legs of one stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.mdi import delay_factor_ns, media_loss_rate, virtual_buffer
from harness.analyzer.ts_continuity import ts_continuity
from harness.analyzer.two_leg import merge_legs
from harness.errors import AnalysisError, UsageError

NONE = np.array([], dtype=np.int64)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 1500)), max_size=15), st.integers(1, 10**6))
def test_virtual_buffer_fills_and_drains_step_by_step(packets: list[tuple[int, int]], rate: int) -> None:
    packets.sort()
    rx_ns, sizes = (np.array([packet[i] for packet in packets], dtype=np.int64) for i in (0, 1))
    levels, received = [0.0], 0
    for t, size in packets:
        drained = rate * t / 1e9
        levels += [received - drained, received + size - drained]
        received += size
    assert virtual_buffer(5 + rx_ns, sizes, rate, start_ns=5).tolist() == pytest.approx(levels, abs=1e-6)
    factor = delay_factor_ns(5 + rx_ns, sizes, rate, start_ns=5)
    if not packets:
        assert factor is None
    else:
        assert factor == pytest.approx((max(levels) - min(levels)) / rate * 1e9, rel=1e-9, abs=1)


def test_an_interval_of_one_packet_is_its_own_buffer() -> None:
    assert delay_factor_ns(np.array([0]), np.array([500]), 1000, start_ns=0) == 500_000_000


def test_media_loss_rate_is_per_second() -> None:
    assert media_loss_rate(1000, 1000, 500_000_000) == 0.0
    assert media_loss_rate(10, 0, 500_000_000) == 20.0
    assert media_loss_rate(10, 0, 0) is None


def test_a_media_rate_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="media rate 0 B/s is not positive"):
        delay_factor_ns(np.array([0]), np.array([500]), 0, start_ns=0)


TS_PACKETS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 0, 0, 2, 5]), st.sampled_from([1, 1, 1, 0]), st.sampled_from([0, 0, 0, 0, 1])),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 15), TS_PACKETS)
def test_continuity_follows_the_decoder_packet_by_packet(counter: int, steps: list[tuple[int, int, int]]) -> None:
    packets, errors, missing, duplicates = [], [], [], 0
    last, can_repeat, is_row = None, False, False
    for i, (step, payload, announced) in enumerate(steps):
        counter = (counter + step) % 16
        packets.append((counter, payload, announced))
        if last is None or announced:
            can_repeat = bool(payload)
        elif payload and counter == last and can_repeat:
            duplicates += 1
            can_repeat = False
        elif counter == (last + payload) % 16:
            can_repeat = bool(payload)
        else:
            errors.append(i)
            missing.append((counter - last - payload) % 16)
            # Another repeat of the same packet is wrong again; any other packet may be repeated once.
            can_repeat = bool(payload) and not (is_row and counter == last)
        is_row = bool(payload)
        last = counter
    columns = np.array(packets, dtype=np.int64).reshape(len(packets), 3)
    found = ts_continuity(columns[:, 0], columns[:, 1] == 1, columns[:, 2] == 1)
    assert found.errors.tolist() == errors
    assert found.missing.tolist() == missing
    assert (found.n_duplicates, found.n_lost_min) == (duplicates, sum(missing))


@pytest.mark.parametrize("counter", [[], [9]])
def test_no_packet_and_one_packet_continue(counter: list[int]) -> None:
    n = len(counter)
    found = ts_continuity(np.array(counter, dtype=np.uint8), np.ones(n, dtype=bool), np.zeros(n, dtype=bool))
    assert (found.n_lost_min, found.n_duplicates) == (0, 0)


def test_a_byte_wide_counter_wraps_without_an_error() -> None:
    counter = (np.arange(40) % 16).astype(np.uint8)
    assert len(ts_continuity(counter, np.ones(40, dtype=bool), np.zeros(40, dtype=bool)).errors) == 0


def test_a_second_repeat_is_an_error() -> None:
    found = ts_continuity(np.array([4, 4, 4]), np.ones(3, dtype=bool), np.zeros(3, dtype=bool))
    assert (found.errors.tolist(), found.n_duplicates) == ([2], 1)


LEG = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 100)), max_size=20)


@settings(max_examples=150, deadline=None)
@given(LEG, LEG, st.integers(0, 3), st.integers(0, 100))
def test_legs_merge_number_by_number(
    a: list[tuple[int, int]], b: list[tuple[int, int]], margin: int, window: int
) -> None:
    first_a, first_b = dict(reversed(a)), dict(reversed(b))
    seen = first_a.keys() | first_b.keys()
    first, last = min(seen, default=0) - margin, max(seen, default=0) + margin
    sent = range(first, last + 1)
    seq_a, rx_a, seq_b, rx_b = (
        np.array([packet[i] for packet in leg], dtype=np.int64) for leg in (a, b) for i in (0, 1)
    )
    found = merge_legs(seq_a, rx_a, seq_b, rx_b, first, last)
    skew = {n: first_b[n] - first_a[n] for n in sent if n in first_a and n in first_b}
    assert found.n_expected == len(sent)
    assert found.lost_a.tolist() == [n for n in sent if n not in first_a]
    assert found.lost_b.tolist() == [n for n in sent if n not in first_b]
    assert found.lost_both.tolist() == [n for n in sent if n not in seen]
    assert dict(zip(found.both.tolist(), found.skew_ns.tolist(), strict=True)) == skew
    assert found.max_skew_ns == max(map(abs, skew.values()), default=None)
    assert found.beyond(window).tolist() == [n for n, value in skew.items() if abs(value) > window]


def test_without_any_packet_there_is_nothing_to_merge() -> None:
    found = merge_legs(NONE, NONE, NONE, NONE)
    assert (found.n_expected, found.max_skew_ns, found.receiver_classes) == (0, None, [])


def test_two_dead_legs_lose_the_whole_schedule() -> None:
    found = merge_legs(NONE, NONE, NONE, NONE, first_seq=1, last_seq=3)
    assert found.lost_both.tolist() == [1, 2, 3]


def test_a_skew_of_20_ms_needs_a_receiver_of_class_b_or_c() -> None:
    seq, rx_ns = np.arange(5), np.arange(5) * 1000
    assert merge_legs(seq, rx_ns, seq, rx_ns + 20_000_000).receiver_classes == ["B", "C"]
    assert merge_legs(seq, rx_ns, seq, rx_ns - 150_000).receiver_classes == ["A", "B", "C", "D"]


def test_a_number_outside_the_schedule_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"packets 1 \.\. 9 arrived, but 1 \.\. 8 were sent"):
        merge_legs(np.array([1, 9]), np.array([0, 0]), NONE, NONE, last_seq=8)


def test_numbers_too_far_apart_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(AnalysisError, match="check the width of the sequence number"):
        merge_legs(np.array([1, 2**60]), np.array([0, 0]), NONE, NONE)
