"""A sender's log that waits for the kernel's stamps: order, bounds, and stamps of other packets."""

import errno

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import SENT_DTYPE, UNDEFINED_NS, PacketArray, SentFlag
from harness.traffic import StampedLog

KERNEL = int(SentFlag.KERNEL_STAMP)
MS = 1_000_000


def rows(first: int, n: int, tx_ns: int, refused: tuple[int, ...] = ()) -> PacketArray:
    made = np.zeros(n, SENT_DTYPE)
    made["seq"], made["tx_ns"] = np.arange(first, first + n), tx_ns
    for place in refused:
        made["errno"][place], made["tx_ns"][place] = errno.ENOBUFS, UNDEFINED_NS
    return made


def stamp(log: StampedLog, stamps: dict[int, int]) -> None:
    log.stamp(np.array(list(stamps), np.int64), np.array(list(stamps.values()), np.int64))


def test_rows_leave_in_order_with_the_kernels_stamps() -> None:
    log = StampedLog()
    log.add(rows(0, 3, 100), 10)
    stamp(log, {12: 107, 11: 106})
    assert len(log.release(200)) == 0  # the first is still waited for
    stamp(log, {10: 105})
    left = log.release(200)
    assert left["seq"].tolist() == [0, 1, 2]
    assert left["tx_ns"].tolist() == [105, 106, 107]
    assert set(left["flags"]) == {KERNEL}
    assert (log.n_stamped, log.n_missing, len(log)) == (3, 0, 0)


def test_a_row_without_a_stamp_leaves_after_a_while_with_its_own() -> None:
    log = StampedLog(patience_ns=50 * MS)
    log.add(rows(0, 2, 0), 0)
    stamp(log, {1: 5})
    assert len(log.release(49 * MS)) == 0
    left = log.release(50 * MS)
    assert left["tx_ns"].tolist() == [0, 5]
    assert left["flags"].tolist() == [0, KERNEL]
    assert (log.n_stamped, log.n_missing) == (1, 1)
    stamp(log, {0: 6})  # too late: its row is on the disk
    assert len(log.release(None)) == 0


def test_refused_packets_wait_for_nothing_and_count_as_nothing() -> None:
    log = StampedLog()
    log.add(rows(0, 3, 100, refused=(0, 2)), 0)
    stamp(log, {0: 101, 2: 102})
    assert log.release(100)["seq"].tolist() == [0]
    stamp(log, {1: 103})
    assert log.release(100)["errno"].tolist() == [0, errno.ENOBUFS]
    assert (log.n_stamped, log.n_missing) == (1, 0)


@pytest.mark.parametrize(("number", "tx_ns"), [(99, 150), (3, 150), (0, 100 * MS - 2 * MS)])
def test_a_stamp_of_another_packet_is_passed_over(number: int, tx_ns: int) -> None:
    log = StampedLog()
    log.add(rows(0, 2, 100 * MS), 0)
    log.add(rows(2, 1, 100 * MS), 4)  # 2 and 3 were an end-of-stream probe, or waited for room
    stamp(log, {number: tx_ns})
    left = log.release(None)
    assert not left["flags"].any()
    assert (left["tx_ns"] == 100 * MS).all()
    assert log.n_missing == 3


def test_an_empty_log_takes_and_gives_nothing() -> None:
    log = StampedLog()
    stamp(log, {0: 1})
    log.add(rows(0, 0, 0), 0)
    assert len(log.release(0)) == len(log.release(None)) == 0


def test_waiting_is_bounded_when_no_stamp_ever_comes() -> None:
    log = StampedLog(capacity=100)
    n_left = 0
    for n in range(50):
        log.add(rows(30 * n, 30, 0), 30 * n)
        n_left += len(log.release(0))
        assert len(log) <= 100
    n_left += len(log.release(None))
    assert (n_left, log.n_missing, log.n_stamped) == (1500, 1500, 0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_row_leaves_once_in_order_with_the_first_stamp_that_came_in_time(data: st.DataObject) -> None:
    log = StampedLog(capacity=40, patience_ns=10)
    expected: dict[int, int] = {}
    number = seq = now_ns = 0
    left: list[tuple[int, int, int]] = []
    for _ in range(data.draw(st.integers(1, 12))):
        n, gap = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 3))
        now_ns += data.draw(st.integers(0, 6))
        log.add(rows(seq, n, now_ns), number)
        known = {number + k: seq + k for k in range(n)}
        stamps = data.draw(st.dictionaries(st.sampled_from([*known, number + n + 9]), st.just(now_ns + 3), max_size=n))
        stamp(log, stamps)
        expected |= {known[each]: tx_ns for each, tx_ns in stamps.items() if each in known}
        number, seq = number + n + gap, seq + n
        left += [(int(row["seq"]), int(row["tx_ns"]), int(row["flags"])) for row in log.release(now_ns)]
    left += [(int(row["seq"]), int(row["tx_ns"]), int(row["flags"])) for row in log.release(None)]
    assert [row[0] for row in left] == list(range(seq))
    assert {row[0]: row[1] for row in left if row[2]} == expected
    assert (log.n_stamped, log.n_missing) == (len(expected), seq - len(expected))
