"""How the losses of a stream are spread, from its loss periods: RFC 3357, RFC 3611, Gilbert's model, Y.1540 blocks.

The same definitions over a whole loss indicator stand in `loss_pattern`, `bursts`, `gilbert` and `availability`; here
they are worked out from the periods alone, so that a billion packets cost no more than their gaps.
"""

from __future__ import annotations

import numpy as np

from harness.analyzer.bursts import loss_groups
from harness.analyzer.loss import LossPeriods
from harness.model import LossPattern, Parameters
from harness.units import NS_PER_S


def loss_pattern_of(
    periods: LossPeriods, low: int, high: int, parameters: Parameters, interval_ns: int | None
) -> LossPattern:
    """Return the pattern of the losses among the numbers low .. high - 1.

    Args:
      periods: the loss periods, all within low .. high - 1.
      low: the first number expected.
      high: the last one + 1.
      parameters: Gmin, the loss constraint delta, the block and the threshold c1.
      interval_ns: time between packets; None or 0 leaves the blocks of time undefined.
    """
    n, k, lost = high - low, len(periods), periods.lost
    apart = periods.first[1:] - periods.last[:-1]
    n_noticeable = lost - k + int(np.count_nonzero(apart <= parameters.delta))
    n_before_last = lost - int(k > 0 and periods.last[-1] == high - 1)
    n_entered = k - int(k > 0 and periods.first[0] == low)
    n_left = k - int(k > 0 and periods.last[-1] == high - 1)
    groups = loss_groups(periods.first, periods.last, parameters.gmin)
    is_burst = groups.is_burst
    in_bursts = int((groups.last - groups.first + 1)[is_burst].sum())
    lost_in_bursts = int(groups.lost[is_burst].sum())
    n_bursts = int(np.count_nonzero(is_burst))
    blocks = _blocks(periods, low, high, parameters, interval_ns)
    return LossPattern(
        mean_loss_period=_ratio(lost, k),
        mean_inter_loss_period=_ratio(int(apart.sum()), k - 1),
        noticeable_rate=_ratio(n_noticeable, lost),
        bursts=n_bursts,
        burst_density=_ratio(lost_in_bursts, in_bursts),
        gap_density=_ratio(lost - lost_in_bursts, n - in_bursts),
        mean_burst_packets=_ratio(in_bursts, n_bursts),
        gilbert_p=_ratio(n_entered, n - 1 - n_before_last),
        gilbert_r=_ratio(n_left, n_before_last),
        blocks=None if blocks is None else blocks[0],
        unavailable_blocks=None if blocks is None else blocks[1],
    )


def _blocks(
    periods: LossPeriods, low: int, high: int, parameters: Parameters, interval_ns: int | None
) -> tuple[int, int] | None:
    """Return whole blocks, and how many of them exceed c1 (Y.1540); None where a block has no number of packets."""
    if not interval_ns:
        return None
    block = max(1, round(NS_PER_S / interval_ns))
    n_blocks = (high - low) // block
    first, last = (periods.first - low) // block, (periods.last - low) // block
    # blocks inside a loss period are lost whole; only those that hold an end of one need counting
    ends = np.unique(np.concatenate((first, last)))
    ends = ends[ends < n_blocks]
    lost = periods.count_below(low + (ends + 1) * block) - periods.count_below(low + ends * block)
    n_unavailable = int(np.count_nonzero(lost > parameters.unavailable_threshold * block))
    if parameters.unavailable_threshold < 1:
        n_unavailable += int(np.maximum(np.minimum(last, n_blocks) - first - 1, 0).sum())
    return n_blocks, n_unavailable


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator > 0 else None
