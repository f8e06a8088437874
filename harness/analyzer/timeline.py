"""When each packet of a stream was due, by the best schedule known: two-way between numbers and times."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


_FURTHEST_NS = 2**62 - 1
"""No time lies farther from 1970: so that the difference of two fits 64 bits."""


class Timeline(Protocol):
    """Due times of the packets 0, 1, 2, ... of a stream."""

    is_interpolated: bool

    def due_ns(self, index: Int64Array) -> Int64Array:
        """Return when packets were due, shape of `index`."""

    def count_before(self, t_ns: Int64Array) -> Int64Array:
        """Return how many packets, from number 0, were due before each time, shape of `t_ns`."""


def due_before(timeline: Timeline, t_ns: int) -> int:
    """Return how many packets, from number 0, were due before a time; none before number 0."""
    within = min(max(t_ns, -_FURTHEST_NS), _FURTHEST_NS)
    return max(0, int(timeline.count_before(np.array([within], np.int64))[0]))


class PeriodicTimeline:
    """Packet k is due at `first_due_ns` + k * `interval_ns`.

    >>> line = PeriodicTimeline(100, 10)
    >>> line.due_ns(np.array([3])).tolist(), line.count_before(np.array([100, 101, 130])).tolist()
    ([130], [0, 1, 3])
    """

    is_interpolated = False

    def __init__(self, first_due_ns: int, interval_ns: int) -> None:
        self.first_due_ns = first_due_ns
        self.interval_ns = interval_ns

    def due_ns(self, index: Int64Array) -> Int64Array:
        """Return when packets were due, shape of `index`; where 64 bits do not hold the time, the last that they do."""
        furthest = (_FURTHEST_NS - abs(self.first_due_ns)) // self.interval_ns
        return self.first_due_ns + np.clip(index, -furthest, furthest) * self.interval_ns

    def count_before(self, t_ns: Int64Array) -> Int64Array:
        """Return how many packets, from number 0, were due before each time, shape of `t_ns`."""
        return -((self.first_due_ns - t_ns) // self.interval_ns)


class KnotTimeline:
    """Due times known for some packets, evenly spaced between them and, at their mean spacing, beyond them.

    With every packet's time known, as from a sender's log, nothing is interpolated.

    >>> line = KnotTimeline(np.array([0, 2, 3]), np.array([100, 140, 190]), is_interpolated=True)
    >>> line.due_ns(np.array([0, 1, 3, 4])).tolist(), line.count_before(np.array([100, 141, 190])).tolist()
    ([100, 120, 190, 220], [0, 3, 3])
    """

    def __init__(self, index: Int64Array, t_ns: Int64Array, *, is_interpolated: bool) -> None:
        """Take at least one packet's number and time, the numbers rising strictly."""
        self.is_interpolated = is_interpolated
        self._index = index
        self._t_ns = np.clip(np.maximum.accumulate(t_ns), -_FURTHEST_NS, _FURTHEST_NS)
        spread = int(index[-1] - index[0])
        self._mean_ns = int(self._t_ns[-1] - self._t_ns[0]) // spread if spread else 0

    def due_ns(self, index: Int64Array) -> Int64Array:
        """Return when packets were due, shape of `index`."""
        at = np.clip(np.searchsorted(self._index, index, side="right") - 1, 0, len(self._index) - 1)
        following = np.minimum(at + 1, len(self._index) - 1)
        step = index - self._index[at]
        width = self._index[following] - self._index[at]
        rise = self._t_ns[following] - self._t_ns[at]
        inside = _scaled(step, rise, np.maximum(width, 1))
        is_inside = (width > 0) & (step >= 0)
        due: Int64Array = self._t_ns[at] + np.where(is_inside, inside, step * self._mean_ns)
        return due

    def count_before(self, t_ns: Int64Array) -> Int64Array:
        """Return how many packets, from number 0, were due before each time, shape of `t_ns`."""
        at = np.searchsorted(self._t_ns, t_ns) - 1
        place = np.clip(at, 0, len(self._index) - 1)
        following = np.minimum(place + 1, len(self._index) - 1)
        width = self._index[following] - self._index[place]
        rise = np.maximum(self._t_ns[following] - self._t_ns[place], 1)
        spent = t_ns - self._t_ns[place]
        beyond = -(-spent // self._mean_ns) if self._mean_ns else np.where(spent > 0, 1, 0)
        inside = -_scaled(-spent, width, rise)
        count = self._index[place] + np.where((width > 0) & (at >= 0), inside, beyond)
        return np.where(at < 0, np.minimum(count, self._index[0]), count)


def _scaled(value: Int64Array, factor: Int64Array, divisor: Int64Array) -> Int64Array:
    """Return value * factor // divisor where the product may pass 64 bits."""
    whole, rest = np.divmod(factor, divisor)
    product = rest.astype(np.float64) * value
    exact = np.abs(product) < 2**52
    low = np.where(exact, rest * np.where(exact, value, 0) // divisor, np.floor(product / divisor).astype(np.int64))
    scaled: Int64Array = value * whole + low
    return scaled
