"""How long a busy receiver waits: never so long that its buffer could fill."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run.gathering import ENOUGH, ENOUGH_BYTES, ENOUGH_RUNS, LEAST_PAUSE_NS, PAUSE_NS, SHARE, Gathering

MS = 1_000_000


@settings(max_examples=200, deadline=None)
@given(
    n_rows=st.integers(1, 5000),
    elapsed_ns=st.integers(1_000, 100 * MS),
    buffer_bytes=st.integers(4096, 64_000_000),
    datagram_bytes=st.integers(256, 4096),
)
def test_a_pause_fills_its_share_of_the_buffer_at_most(
    n_rows: int, elapsed_ns: int, buffer_bytes: int, datagram_bytes: int
) -> None:
    gathering = Gathering(buffer_bytes, lambda: n_rows * datagram_bytes, 0)
    gathering.before_read(elapsed_ns)
    pause_ns = gathering.pause_ns(n_rows, False, elapsed_ns)
    assert pause_ns == 0 or LEAST_PAUSE_NS <= pause_ns <= PAUSE_NS
    assert pause_ns * n_rows * datagram_bytes <= min(buffer_bytes / SHARE, ENOUGH_BYTES) * elapsed_ns


def test_slow_streams_full_reads_and_small_buffers_are_read_at_once() -> None:
    gathering = Gathering(16_000_000, lambda: None, 0)
    assert gathering.pause_ns(10, False, MS) == 0
    assert gathering.pause_ns(2048, True, 2 * MS) == 0
    assert Gathering(212_992, lambda: None, 0).pause_ns(200, False, MS) == 0


def test_the_first_read_after_a_silence_is_followed_by_another_at_once() -> None:
    gathering = Gathering(16_000_000, lambda: None, 0)
    assert gathering.pause_ns(4096, False, 1_000 * MS) == 0
    assert gathering.pause_ns(4096, False, 1_001 * MS) == 0  # more than 4,000 a millisecond: no time for a pause
    assert gathering.pause_ns(400, False, 1_021 * MS) == 0
    assert gathering.pause_ns(4096, False, 3_000 * MS) == 0
    assert gathering.pause_ns(400, False, 3_000 * MS + 100_000) == 0  # 4,000 a millisecond, in so short a time
    assert Gathering(16_000_000, lambda: None, 0).pause_ns(400, False, 20 * MS) > 0


def test_a_burst_is_remembered_between_bursts() -> None:
    gathering = Gathering(4_000_000, lambda: None, 0)
    assert gathering.pause_ns(1_000, False, MS) == 0
    assert gathering.pause_ns(40, False, 2 * MS) == 0
    pauses = [gathering.pause_ns(40, False, (3 + n) * MS) for n in range(100)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_NS


@settings(max_examples=200, deadline=None)
@given(reads=st.lists(st.tuples(st.integers(1, 5000), st.integers(1_000, 30 * MS)), max_size=60))
def test_a_pause_is_twice_as_long_as_the_one_before_at_most(reads: list[tuple[int, int]]) -> None:
    gathering, now_ns, most_ns = Gathering(16_000_000, lambda: None, 0), 0, LEAST_PAUSE_NS
    for n_rows, elapsed_ns in reads:
        now_ns += elapsed_ns
        pause_ns = gathering.pause_ns(n_rows, False, now_ns)
        assert pause_ns <= most_ns
        most_ns = min(PAUSE_NS, 2 * pause_ns) if pause_ns else most_ns


def test_a_stream_that_begins_after_a_silence_is_read_soon() -> None:
    gathering = Gathering(16_000_000, lambda: None, 0)
    for start in (0, 1_000 * MS):
        pauses = [gathering.pause_ns(100, False, start + n * MS) for n in range(1, 8)]
        assert [pause for pause in pauses if pause][:4] == [MS, 2 * MS, 4 * MS, 8 * MS]


def lasting_pause_ns(datagram_bytes: int, reads_last_ns: int) -> int:
    """Return how long pauses become for a stream of 200 a millisecond, whose datagrams take so much of the buffer.

    What comes while a read goes on is read as well.
    """
    waiting, now_ns, pause_ns = [0], 0, 0
    gathering = Gathering(3_000_000, lambda: waiting[0], 0)
    for _ in range(200):
        last_ns, now_ns = now_ns, now_ns + max(pause_ns, MS)
        n_waited = (now_ns - last_ns) * 200 // MS
        waiting[0] = n_waited * datagram_bytes
        gathering.before_read(now_ns)
        now_ns += reads_last_ns
        pause_ns = gathering.pause_ns(n_waited + reads_last_ns * 200 // MS, False, now_ns)
    return pause_ns


@pytest.mark.parametrize("datagram_bytes", [768, 2304, 4352])
@pytest.mark.parametrize("reads_last_ns", [0, MS // 2, 2 * MS])
def test_what_a_datagram_takes_is_measured_and_what_came_during_the_read_does_not_count(
    datagram_bytes: int, reads_last_ns: int
) -> None:
    room = min(3_000_000 / SHARE, ENOUGH_BYTES) / datagram_bytes
    expected = min(PAUSE_NS, room / 200 * MS)
    assert lasting_pause_ns(datagram_bytes, reads_last_ns) == pytest.approx(expected, rel=5e-3)  # one packet of 200


def test_what_datagrams_are_found_to_take_rises_at_once_and_falls_by_halves() -> None:
    waiting = [0]
    gathering = Gathering(3_000_000, lambda: waiting[0], 0)
    found = []
    for n_bytes in (2304, 4608, 768, 768, 768):
        waiting[0] = 200 * n_bytes
        for _ in range(8):
            now_ns = gathering._last_ns + MS
            gathering.before_read(now_ns)
            gathering.pause_ns(200, False, now_ns)
        found.append(gathering._datagram_bytes)
    assert found == [2304, 4608, 2688, 1728, 1248]


def test_what_gathers_is_bounded_by_what_is_enough() -> None:
    for enough in (ENOUGH, ENOUGH_RUNS):
        gathering = Gathering(64_000_000, lambda: 200 * 256, 0, enough=enough)
        n_rows = enough // 3
        for number in range(1, 100):
            gathering.before_read(number * MS)
            pause_ns = gathering.pause_ns(n_rows, False, number * MS)
            assert pause_ns * n_rows / MS <= enough
        assert enough < (pause_ns + MS) * n_rows / MS
