"""One-to-group loss, join and leave delay, availability: metrics over what several receivers or blocks saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.availability import availability
from harness.analyzer.group import one_to_group
from harness.analyzer.join_leave import JoinLeaveDelay, join_leave_delay
from harness.errors import AnalysisError, UsageError
from harness.model import UNDEFINED_NS

MATRICES = st.integers(0, 12).flatmap(
    lambda n: st.lists(st.lists(st.none() | st.integers(-9, 99), min_size=n, max_size=n), min_size=1, max_size=4)
)


@settings(max_examples=100, deadline=None)
@given(MATRICES)
def test_group_figures_count_cell_by_cell(rows: list[list[int | None]]) -> None:
    n = len(rows[0])
    matrix = np.array([[UNDEFINED_NS if cell is None else cell for cell in row] for row in rows], dtype=np.int64)
    found = one_to_group(matrix.reshape(len(rows), n))
    columns = [[row[i] for row in rows] for i in range(n)]
    n_seen = sum(any(cell is not None for cell in column) for column in columns)
    lost = [row.count(None) for row in rows]
    ratios = [count / n for count in lost] if n else []
    means = [sum(cells) / len(cells) for row in rows if (cells := [cell for cell in row if cell is not None])]
    assert found.loss_ratio == (ratios if n else [None for _ in rows])
    assert found.comparative_loss_ratio == [count / n_seen if n_seen else None for count in lost]
    assert found.group_loss_ratio == (pytest.approx(sum(lost) / n / len(rows)) if n else None)
    assert found.group_loss_ratio_range == (max(ratios) - min(ratios) if n else None)
    assert found.group_mean_delay_ns == (pytest.approx(sum(means) / len(means)) if means else None)
    assert found.group_mean_delay_max_ns == max(means, default=None)
    assert found.group_mean_delay_range_ns == (max(means) - min(means) if means else None)
    assert found.lost_by_all.tolist() == [i for i, column in enumerate(columns) if all(c is None for c in column)]
    assert found.lost_by_some.tolist() == [
        i for i, column in enumerate(columns) if None in column and any(c is not None for c in column)
    ]


def test_a_group_that_received_nothing_has_loss_and_no_delay() -> None:
    found = one_to_group(np.full((2, 3), UNDEFINED_NS))
    assert (found.loss_ratio, found.comparative_loss_ratio) == ([1.0, 1.0], [None, None])
    assert (found.group_mean_delay_ns, found.group_mean_delay_range_ns) == (None, None)
    assert found.lost_by_all.tolist() == [0, 1, 2]


def test_a_group_of_nobody_has_no_figures() -> None:
    found = one_to_group(np.zeros((0, 3), dtype=np.int64))
    assert (found.group_loss_ratio, found.group_mean_delay_ns) == (None, None)
    assert (len(found.lost_by_all), len(found.lost_by_some)) == (0, 0)


def test_a_single_row_of_delays_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"shape \(3,\) are not receivers by packets"):
        one_to_group(np.array([1, 2, 3]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=20), st.integers(0, 30) | st.none(), st.integers(0, 30) | st.none())
def test_join_and_leave_look_at_every_packet(rx: list[int], join: int | None, leave: int | None) -> None:
    since = [t - join for t in rx if t >= join] if join is not None else []
    after = [t - leave for t in rx if t > leave] if leave is not None else []
    assert join_leave_delay(np.array(rx, dtype=np.int64), join, leave) == JoinLeaveDelay(
        min(since, default=None),
        None if leave is None else max(after, default=0),
        None if leave is None else len(after),
    )


def test_a_group_that_never_came_has_no_join_delay() -> None:
    assert join_leave_delay(np.array([], dtype=np.int64), 5, 9) == JoinLeaveDelay(None, 0, 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7), st.integers(0, 4), st.integers(0, 4))
def test_blocks_are_judged_one_by_one(lost: list[bool], block: int, s1: int, c1: int) -> None:
    found = availability(np.array(lost, dtype=bool), block, s1 / 4, c1 / 4)
    blocks = [lost[i : i + block] for i in range(0, len(lost) - block + 1, block)]
    unavailable = [i for i, cells in enumerate(blocks) if 4 * sum(cells) > c1 * block]
    assert found.severe_blocks.tolist() == [i for i, cells in enumerate(blocks) if 4 * sum(cells) > s1 * block]
    assert found.unavailable_blocks.tolist() == unavailable
    assert found.unavailability_percent == (100 * len(unavailable) / len(blocks) if blocks else None)


def test_less_than_a_block_has_no_availability() -> None:
    found = availability(np.array([True] * 9), block=10)
    assert (found.availability_percent, found.unavailability_percent, found.severe_ratio) == (None, None, None)


def test_a_stream_lost_whole_was_never_available() -> None:
    found = availability(np.ones(30, dtype=bool), block=10)
    assert (found.availability_percent, found.severe_ratio) == (0.0, 1.0)


def test_a_block_at_the_threshold_is_not_above_it() -> None:
    assert availability(np.array([1, 0, 0, 0, 0], dtype=bool), block=5).severe_ratio == 0.0


@pytest.mark.parametrize(("block", "s1", "message"), [(0, 0.2, "block of 0 packets"), (5, 1.5, "threshold 1.5")])
def test_impossible_thresholds_are_refused(block: int, s1: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        availability(np.array([True]), block, s1)
