"""Axes of times: which unit, and how much is taken off, so that labels stay short and exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

_UNITS = (("ns", 1), ("µs", 10**3), ("ms", 10**6), ("s", 10**9))


@dataclass(frozen=True)
class TimeScale:
    """How times of some range are shown: as (value - base_ns) in a unit.

    Attributes:
      unit, unit_ns: the unit's sign and size.
      base_ns: what is taken off; 0 unless the values lie far from 0 and close together, as with clocks that disagree.
      step_ns: differences below this do not matter.
    """

    unit: str
    unit_ns: int
    base_ns: int
    step_ns: float

    def __call__(self, ns: float) -> float:
        """Return a time's position on the axis."""
        return (ns - self.base_ns) / self.unit_ns

    def title(self, name: str) -> str:
        """Return the axis' label."""
        return f"{name} [{self.unit}]" if not self.base_ns else f"{name} minus {self._whole()} [{self.unit}]"

    def _whole(self) -> str:
        unit, size = _unit(abs(self.base_ns))
        return f"({self.base_ns / size:.12g} {unit})" if self.base_ns < 0 else f"{self.base_ns / size:.12g} {unit}"

    def text(self, ns: float) -> str:
        """Return a time to the resolution of the axis, "1.2 ms", "-1.9991 s"."""
        unit, size = _unit(abs(ns))
        digits = max(0, math.ceil(math.log10(size / self.step_ns))) if self.step_ns > 0 else 3
        number = f"{ns / size:.{min(digits, 9)}f}"
        return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _unit(extent_ns: float) -> tuple[str, int]:
    return max((pair for pair in _UNITS if pair[1] <= extent_ns), key=lambda pair: pair[1], default=_UNITS[0])


def time_scale(low_ns: float, high_ns: float) -> TimeScale:
    """Return the scale for an axis from low to high.

    >>> time_scale(400_000, 1_200_000).title("delay")
    'delay [ms]'
    >>> time_scale(-2_000_100_000, -1_999_500_000).title("delay")
    'delay minus (-2.001 s) [µs]'
    >>> time_scale(-2_000_100_000, -1_999_500_000).text(-1_999_800_000)
    '-1.9998 s'
    """
    size = max(abs(low_ns), abs(high_ns))
    extent = high_ns - low_ns if high_ns > low_ns else max(size, 1.0)
    base = 0
    if size > 30 * extent:
        coarse = 10 ** math.ceil(math.log10(extent))
        base = math.floor(low_ns / coarse) * coarse
    unit, unit_ns = _unit(extent if base else size)
    return TimeScale(unit, unit_ns, base, extent / 1_000)
