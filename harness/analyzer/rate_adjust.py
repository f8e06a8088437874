"""The load adjustment of RFC 9097 (8.1, Appendix A): up while a path is clean, down when it loses or delays.

Loads stand in a table in ascending order; the state is an index into it. Below the high-speed index it climbs by
many rows at a time until trouble has shown a few times, from then on by single rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UsageError

_BACK_OFF = 3
"""Fast steps that the one fast step down makes up for."""


@dataclass(frozen=True, slots=True)
class RateAdjustParameters:
    """Thresholds of RFC 9097 Appendix A, with its defaults.

    Attributes:
      max_sequence_errors: losses, reordered and duplicate packets in a feedback interval that are still clean.
      low_delay_ns: delay variation below this is clean.
      high_delay_ns: delay variation above this is congestion; in between the load is kept.
      slow_after: congested intervals after which single rows are stepped.
      fast_step: rows of a fast step.
      high_speed_index: row from which on single rows are stepped (1 Gbit/s).
      n_rates: rows of the table.
    """

    max_sequence_errors: int = 10
    low_delay_ns: int = 30_000_000
    high_delay_ns: int = 90_000_000
    slow_after: int = 3
    fast_step: int = 10
    high_speed_index: int = 1000
    n_rates: int = 2000

    def __post_init__(self) -> None:
        if self.low_delay_ns > self.high_delay_ns:
            raise UsageError(f"low delay {self.low_delay_ns} ns exceeds high delay {self.high_delay_ns} ns")
        if min(self.slow_after, self.fast_step, self.n_rates) < 1:
            raise UsageError("slow_after, fast_step and n_rates of a rate adjustment are at least 1 each")


class RateAdjuster:
    """RFC 9097 Appendix A, one step per feedback, without I/O.

    >>> adjuster = RateAdjuster()
    >>> adjuster.update(0, 5_000_000), adjuster.update(0, 50_000_000), adjuster.update(20, 5_000_000)
    (10, 10, 9)

    Attributes:
      index: row of the load to send next, 0 .. n_rates - 1.
    """

    def __init__(self, index: int = 0, parameters: RateAdjustParameters | None = None) -> None:
        """Start at a row of the table.

        Raises:
          UsageError: there is no such row.
        """
        self._parameters = parameters or RateAdjustParameters()
        if not 0 <= index < self._parameters.n_rates:
            raise UsageError(f"row {index} is not in a table of {self._parameters.n_rates} rates")
        self._n_congested = 0
        self.index = index

    def update(self, n_sequence_errors: int, delay_ns: int) -> int:
        """Take the feedback of one interval and return the row of the load to send next.

        Args:
          n_sequence_errors: losses, reordered and duplicate packets of the interval.
          delay_ns: delay variation of the interval.
        """
        limits = self._parameters
        is_fast = self.index < limits.high_speed_index
        if n_sequence_errors > limits.max_sequence_errors or delay_ns > limits.high_delay_ns:
            self._n_congested += 1
            is_back_off = is_fast and self._n_congested == limits.slow_after
            step = -_BACK_OFF * limits.fast_step if is_back_off else -1
        elif delay_ns >= limits.low_delay_ns:
            step = 0
        elif is_fast and self._n_congested < limits.slow_after:
            self._n_congested = 0
            step = limits.fast_step
        else:
            step = 1
        self.index = min(max(self.index + step, 0), limits.n_rates - 1)
        return self.index
