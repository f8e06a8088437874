"""The pattern worked out from loss periods is that of the whole loss indicator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.availability import availability
from harness.analyzer.bursts import burst_gap
from harness.analyzer.gilbert import simple_gilbert
from harness.analyzer.loss import LossPeriods
from harness.analyzer.loss_pattern import inter_loss_period_lengths, loss_periods, noticeable_rate
from harness.analyzer.pattern import loss_pattern_of
from harness.model import LossPattern, Parameters
from harness.units import NS_PER_S


def pattern(is_lost: np.ndarray, low: int = 0, parameters: Parameters | None = None, block: int = 5) -> LossPattern:
    found = loss_periods(is_lost)
    periods = LossPeriods(found[:, 0] + low, found[:, 0] + found[:, 1] - 1 + low)
    parameters = parameters or Parameters()
    return loss_pattern_of(periods, low, low + len(is_lost), parameters, NS_PER_S // block)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.booleans(), max_size=80), st.integers(-50, 50), st.integers(1, 9), st.integers(1, 20), st.integers(1, 9)
)
def test_pattern_is_that_of_the_indicator(losses: list[bool], low: int, gmin: int, delta: int, block: int) -> None:
    is_lost = np.array(losses, dtype=np.bool_)
    found = pattern(is_lost, low, Parameters(gmin=gmin, delta=delta), block)
    lengths, apart = loss_periods(is_lost)[:, 1], inter_loss_period_lengths(is_lost)[1:]
    assert found.mean_loss_period == (pytest.approx(lengths.mean()) if len(lengths) else None)
    assert found.mean_inter_loss_period == (pytest.approx(apart.mean()) if len(apart) else None)
    assert found.noticeable_rate == noticeable_rate(is_lost, delta)
    bursts = burst_gap(is_lost, gmin)
    assert found.bursts == len(bursts.bursts)
    assert found.burst_density == bursts.burst_density
    assert found.gap_density == bursts.gap_density
    markov = simple_gilbert(is_lost)
    assert (found.gilbert_p, found.gilbert_r) == (markov.p, markov.r)
    packets = round(NS_PER_S / (NS_PER_S // block))
    blocks = availability(is_lost, packets)
    assert (found.blocks, found.unavailable_blocks) == (len(blocks.loss_ratio), len(blocks.unavailable_blocks))


def test_hand_example() -> None:
    is_lost = np.array([0, 1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    found = pattern(is_lost, parameters=Parameters(gmin=3, delta=4), block=5)
    assert found.mean_loss_period == 1.5
    assert found.mean_inter_loss_period == 7
    assert found.noticeable_rate == pytest.approx(1 / 3)
    assert (found.bursts, found.burst_density, found.mean_burst_packets) == (1, 1.0, 2)
    assert found.gap_density == 1 / 8
    assert (found.gilbert_p, found.gilbert_r) == (2 / 7, 1 / 2)
    assert (found.blocks, found.unavailable_blocks) == (2, 1)


def test_nothing_lost_and_all_lost() -> None:
    whole = pattern(np.zeros(10, dtype=bool))
    assert (whole.mean_loss_period, whole.noticeable_rate, whole.gilbert_p, whole.gilbert_r) == (None, None, 0.0, None)
    assert (whole.blocks, whole.unavailable_blocks) == (2, 0)
    gone = pattern(np.ones(10, dtype=bool))
    assert (gone.mean_loss_period, gone.gilbert_p, gone.gilbert_r, gone.unavailable_blocks) == (10, None, 0.0, 2)
    empty = pattern(np.zeros(0, dtype=bool))
    assert (empty.mean_loss_period, empty.gilbert_p, empty.blocks) == (None, None, 0)


def test_without_an_interval_there_are_no_blocks() -> None:
    found = loss_pattern_of(LossPeriods(np.array([3]), np.array([4])), 0, 10, Parameters(), None)
    assert (found.blocks, found.unavailable_blocks) == (None, None)
