"""The run's time line: realtime at the start of the run, continued by the monotonic clock.

Nobody may set it back or forth during a run. The kernel stamps arrivals by the realtime clock, which somebody may: so
the difference between both clocks is watched, each step is remembered with the span in which it happened, and every
stamp is moved to the time line with the difference that was in force when it was taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model.packets import UNDEFINED_NS

STEP_NS = 1_000_000
"""A smaller change of the difference is slewing or the noise of reading two clocks."""

DRIFT_NS = 20_000
"""A slower change beyond this is followed without a word: some systems slew only one of the two clocks."""

_READINGS, _CLOSE_NS = 5, 2_000
"""The clocks are read so many times to compare them, or until they were read so quickly after each other."""
_REMEMBERED = 8
_TOLERANCE_NS = STEP_NS


@dataclass(frozen=True, slots=True)
class _Offset:
    """Realtime minus run time, while it was in force: from `since_ns` at the earliest, to `until_ns` at the latest."""

    offset_ns: int
    since_ns: int
    until_ns: int


class RunClock:
    """The time line of one run.

    Args:
      realtime: returns the realtime clock in ns.
      monotonic: returns the monotonic clock in ns.
    """

    def __init__(
        self, realtime: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._realtime, self._monotonic = realtime, monotonic
        difference, _, self.start_monotonic_ns = self._read()
        self.start_realtime_ns = self.start_monotonic_ns + difference
        self._current = _Offset(0, 0, 0)
        self._past: list[_Offset] = []
        self._step_ns = 0
        self._last_read_ns = self.start_realtime_ns

    def now_ns(self) -> int:
        """Return the time on the run's time line."""
        return self.from_monotonic(self._monotonic())

    def from_monotonic(self, monotonic_ns: int) -> int:
        """Return a reading of the monotonic clock on the run's time line."""
        return self.start_realtime_ns + monotonic_ns - self.start_monotonic_ns

    def to_monotonic(self, run_ns: int) -> int:
        """Return a time of the run's time line as the monotonic clock shows it."""
        return self.start_monotonic_ns + run_ns - self.start_realtime_ns

    @property
    def realtime_offset_ns(self) -> int:
        """Realtime minus run time when the clocks were last compared: the sum of all steps since the start."""
        return self._current.offset_ns

    def _read(self) -> tuple[int, int, int]:
        """Return realtime - monotonic, how far that may be wrong, and the monotonic time; the tightest of a few."""
        best: tuple[int, int, int] | None = None
        for _ in range(_READINGS):
            before = self._monotonic()
            realtime = self._realtime()
            after = self._monotonic()
            middle = (before + after) // 2
            if best is None or after - before < best[1]:
                best = (realtime - middle, after - before, middle)
            if best[1] <= _CLOSE_NS:
                break
        assert best is not None
        return best

    def _compare(self) -> int:
        """Compare the clocks, remember a step, and return the run time of the reading."""
        difference, error_ns, monotonic_ns = self._read()
        now_ns = self.from_monotonic(monotonic_ns)
        offset_ns = difference - (self.start_realtime_ns - self.start_monotonic_ns)
        change_ns = offset_ns - self._current.offset_ns
        if abs(change_ns) > STEP_NS + error_ns:
            ended = _Offset(self._current.offset_ns, self._current.since_ns, now_ns)
            self._past = [ended, *self._past][:_REMEMBERED]
            self._current = _Offset(offset_ns, self._last_read_ns, 0)
            self._step_ns += change_ns
        elif abs(change_ns) > DRIFT_NS + error_ns:
            self._current = _Offset(offset_ns, self._current.since_ns, 0)
        self._last_read_ns = now_ns
        return now_ns

    def check_step(self) -> int:
        """Return by how much the realtime clock was set since the last call, in ns; 0 when it was not.

        Call it about once a second: the shorter the span, the surer the assignment of stamps around a step.
        """
        self._compare()
        step_ns, self._step_ns = self._step_ns, 0
        return step_ns

    def to_run_time(self, rx_realtime_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return arrival stamps of the realtime clock on the run's time line; call it right after reading them.

        After a step a batch may hold stamps from before and after it. Each is moved with the difference that makes it
        youngest without lying in the future, among those that were in force at the time which results.

        Args:
          rx_realtime_ns: shape (n,); UNDEFINED_NS stays what it is.

        Returns:
          Shape (n,); the array itself as long as the clocks go alike.
        """
        now_ns = self._compare()
        if not self._past and not self._current.offset_ns:  # nearly always
            return rx_realtime_ns
        run_ns = rx_realtime_ns - self._current.offset_ns
        if self._past:
            best_age = np.full(len(run_ns), np.iinfo(np.int64).max)
            for candidate in (self._current, *self._past):
                moved = rx_realtime_ns - candidate.offset_ns
                age = now_ns - moved
                is_better = (age >= -_TOLERANCE_NS) & (age < best_age) & (moved >= candidate.since_ns - _TOLERANCE_NS)
                if candidate.until_ns:
                    is_better &= moved <= candidate.until_ns + _TOLERANCE_NS
                run_ns[is_better] = moved[is_better]
                best_age[is_better] = age[is_better]
        run_ns[rx_realtime_ns == UNDEFINED_NS] = UNDEFINED_NS
        return run_ns
