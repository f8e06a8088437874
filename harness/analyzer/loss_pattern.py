"""Loss ratio (RFC 7680 4.1) and patterns of loss (RFC 3357) of a stream in *sending* order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError


def loss_ratio(is_lost: NDArray[np.bool_]) -> float | None:
    """Return lost / sent (RFC 7680 4.1); None when nothing was sent.

    >>> loss_ratio(np.array([False, False, True, False, False]))
    0.2
    """
    return int(np.count_nonzero(is_lost)) / len(is_lost) if len(is_lost) else None


def loss_distances(is_lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for every lost packet its distance in packets to the loss before it (RFC 3357 5.4.1).

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Shape (k,) for k losses; the first has no predecessor and the distance 0.

    >>> loss_distances(np.array([0, 1, 0, 0, 1, 1], dtype=bool))
    array([0, 3, 1])
    """
    lost = np.flatnonzero(is_lost)
    return np.diff(lost, prepend=lost[:1])


def loss_periods(is_lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the loss periods, the maximal runs of lost packets (RFC 3357 5.4.2, 6.3).

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Shape (k, 2): index of the first lost packet, length in packets; k = 0 when nothing was lost.

    >>> loss_periods(np.array([0, 1, 0, 0, 1, 1], dtype=bool))
    array([[1, 1],
           [4, 2]])
    """
    lost = np.flatnonzero(is_lost)
    is_first = np.diff(lost, prepend=-2) > 1
    first = lost[is_first]
    return np.column_stack([first, np.diff(np.flatnonzero(is_first), append=len(lost))])


def loss_distance_stream(is_lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return Type-P-One-Way-Loss-Distance-Stream (RFC 3357 5.4.1).

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Shape (n, 2): loss distance and loss indicator of every packet; (0, 0) where none was lost.
    """
    stream = np.zeros((len(is_lost), 2), dtype=np.int64)
    stream[:, 1] = is_lost
    stream[is_lost, 0] = loss_distances(is_lost)
    return stream


def loss_period_stream(is_lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return Type-P-One-Way-Loss-Period-Stream (RFC 3357 5.4.2).

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Shape (n, 2): number of the loss period, from 1, and loss indicator of every packet; (0, 0) where none was lost.
    """
    periods = loss_periods(is_lost)
    stream = np.zeros((len(is_lost), 2), dtype=np.int64)
    stream[:, 1] = is_lost
    stream[is_lost, 0] = np.repeat(np.arange(1, len(periods) + 1), periods[:, 1])
    return stream


def noticeable_rate(is_lost: NDArray[np.bool_], delta: int) -> float | None:
    """Return the share of losses at most `delta` packets after the loss before (RFC 3357 6.1).

    Args:
      is_lost: shape (n,), sending order.
      delta: loss constraint in packets, at least 1.

    Returns:
      From 0 to 1; the first loss has no distance and is never noticeable. None when nothing was lost.

    Raises:
      UsageError: delta is below 1.

    >>> noticeable_rate(np.array([0, 1, 0, 0, 1, 1], dtype=bool), delta=2)
    0.3333333333333333
    """
    if delta < 1:
        raise UsageError(f"loss constraint delta is {delta}; two losses are at least 1 packet apart")
    distance = loss_distances(is_lost)
    return int(np.count_nonzero(distance[1:] <= delta)) / len(distance) if len(distance) else None


def inter_loss_period_lengths(is_lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each loss period its distance to the end of the period before (RFC 3357 6.4).

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Shape (k,) for k loss periods, in packets; 0 for the first, otherwise at least 2.

    >>> inter_loss_period_lengths(np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool))
    array([0, 3, 2])
    """
    periods = loss_periods(is_lost)
    lengths = np.zeros(len(periods), dtype=np.int64)
    lengths[1:] = periods[1:, 0] - (periods[:-1, 0] + periods[:-1, 1] - 1)
    return lengths
