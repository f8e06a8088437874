from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.loss_pattern import (
    inter_loss_period_lengths,
    loss_distance_stream,
    loss_distances,
    loss_period_stream,
    loss_periods,
    loss_ratio,
    noticeable_rate,
)
from harness.errors import UsageError

MASKS = st.lists(st.booleans(), max_size=60)


def runs(is_lost: list[bool]) -> list[tuple[int, int]]:
    found, at = [], 0
    for value, group in groupby(is_lost):
        length = len(list(group))
        if value:
            found.append((at, length))
        at += length
    return found


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_periods_are_the_maximal_runs(values: list[bool]) -> None:
    is_lost = np.array(values, dtype=bool)
    assert [tuple(row) for row in loss_periods(is_lost).tolist()] == runs(values)
    stream, number = [], 0
    for i, lost in enumerate(values):
        number += lost and (i == 0 or not values[i - 1])
        stream.append([number if lost else 0, int(lost)])
    assert loss_period_stream(is_lost).tolist() == stream


@settings(max_examples=100, deadline=None)
@given(MASKS, st.integers(1, 8))
def test_distances_are_counted_packet_by_packet(values: list[bool], delta: int) -> None:
    is_lost = np.array(values, dtype=bool)
    stream, last = [], None
    for i, lost in enumerate(values):
        stream.append([i - last if lost and last is not None else 0, int(lost)])
        last = i if lost else last
    distances = [distance for distance, lost in stream if lost]
    assert loss_distance_stream(is_lost).tolist() == stream
    assert loss_distances(is_lost).tolist() == distances
    n_noticeable = sum(0 < distance <= delta for distance in distances)
    assert noticeable_rate(is_lost, delta) == (n_noticeable / len(distances) if distances else None)


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_inter_loss_periods_reach_from_end_to_start(values: list[bool]) -> None:
    periods = runs(values)
    wanted = [b[0] - (a[0] + a[1] - 1) for a, b in pairwise(periods)]
    assert inter_loss_period_lengths(np.array(values, dtype=bool)).tolist() == [0, *wanted][: len(periods)]


def test_nothing_sent_has_no_ratio() -> None:
    none = np.array([], dtype=bool)
    assert loss_ratio(none) is None
    assert noticeable_rate(none, 1) is None
    assert loss_periods(none).shape == (0, 2)
    assert len(inter_loss_period_lengths(none)) == 0


@pytest.mark.parametrize(("lost", "ratio", "rate"), [([0], 0.0, None), ([1], 1.0, 0.0), ([1, 1, 1], 1.0, 2 / 3)])
def test_single_packets_and_whole_losses(lost: list[int], ratio: float, rate: float | None) -> None:
    is_lost = np.array(lost, dtype=bool)
    assert loss_ratio(is_lost) == ratio
    assert noticeable_rate(is_lost, 1) == rate


def test_a_loss_constraint_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="delta is 0"):
        noticeable_rate(np.array([True]), 0)
