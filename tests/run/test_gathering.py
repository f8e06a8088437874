"""How long a busy receiver waits: never so long that its buffer could fill."""

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


def test_what_a_datagram_takes_is_measured() -> None:
    gathering = Gathering(3_000_000, lambda: 200 * 768, 0)
    supposed_ns = gathering.pause_ns(200, False, MS)
    gathering.before_read(2 * MS)
    assert supposed_ns < gathering.pause_ns(200, False, 2 * MS) == 6_510_416


def test_what_came_while_the_read_went_on_does_not_count_as_having_waited() -> None:
    pauses = []
    for read_ns, n_rows in ((0, 200), (MS // 2, 300), (MS, 400)):  # 200 a millisecond
        gathering = Gathering(3_000_000, lambda: 200 * 2304, 0)
        gathering.pause_ns(200, False, MS)
        gathering.before_read(2 * MS)
        gathering.pause_ns(n_rows, False, 2 * MS + read_ns)
        pauses.append(gathering.pause_ns(200, False, 3 * MS + read_ns))
    assert pauses == [pauses[0]] * 3


def test_what_gathers_is_bounded_by_what_is_enough() -> None:
    for enough in (ENOUGH, ENOUGH_RUNS):
        gathering = Gathering(64_000_000, lambda: 200 * 256, 0, enough=enough)
        gathering.before_read(MS)
        n_rows = enough // 3
        pause_ns = gathering.pause_ns(n_rows, False, MS)
        assert pause_ns * n_rows / MS <= enough < (pause_ns + MS) * n_rows / MS
