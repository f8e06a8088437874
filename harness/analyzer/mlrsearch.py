"""Multiple Loss Ratio search (MLRsearch, to be RFC 9971): is a load below or above what a goal allows?

RFC 2544 judges a load by one trial. Here trials at a load are weighed together: a goal grants that a share of the
time (the exceed ratio) loses more than its loss ratio, and asks for a sum of trial durations before a verdict. A
verdict may come sooner, once no further trial could change it: the optimistic view takes all missing time as good,
the pessimistic one as bad, and where both agree the load is decided.

Short trials, below the goal's final duration, only ever count against a load: their bad time beyond what their good
time balances is bad, their good time is not good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from harness.analyzer.search import Bisection, check_loss_ratio
from harness.errors import UsageError


@dataclass(frozen=True, slots=True)
class Goal:
    """What a load has to achieve.

    Attributes:
      final_trial_ns: duration of a full-length trial.
      duration_sum_ns: duration of trials that is enough for a verdict.
      loss_ratio: a trial with more is a high-loss trial.
      exceed_ratio: share of the duration that may be high-loss, below 1.
    """

    final_trial_ns: int
    duration_sum_ns: int
    loss_ratio: float = 0.0
    exceed_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.final_trial_ns <= 0 or self.duration_sum_ns <= 0:
            raise UsageError(f"goal durations {self.final_trial_ns} and {self.duration_sum_ns} ns are not positive")
        check_loss_ratio("goal loss ratio", self.loss_ratio)
        if not 0 <= self.exceed_ratio < 1:
            raise UsageError(f"goal exceed ratio {self.exceed_ratio} lies outside 0 to below 1")


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of `n` like trials at one load."""

    duration_ns: int
    loss_ratio: float
    n: int = 1

    def __post_init__(self) -> None:
        check_loss_ratio("trial loss ratio", self.loss_ratio)
        if self.duration_ns <= 0 or self.n < 1:
            raise UsageError(f"{self.n} trials of {self.duration_ns} ns are none")


@dataclass(frozen=True, slots=True)
class Classification:
    """What the trials at one load say of it.

    Attributes:
      bound: "lower" (the load achieves the goal), "upper" (it does not) or "undecided".
      optimistic_exceed_ratio, pessimistic_exceed_ratio: share of bad time, missing time taken as good and as bad.
      missing_ns: time of full-length trials that is missing for a verdict in any case.
      pessimistic_high_loss_ns: bad time, missing time among it.
    """

    bound: Literal["lower", "upper", "undecided"]
    optimistic_exceed_ratio: float
    pessimistic_exceed_ratio: float
    missing_ns: float
    pessimistic_high_loss_ns: float


def _exact(ratio: float) -> Fraction:
    """Return a ratio as it was written, in decimal: 0.2 of 60 s is 12 s, and no rounding error decides a load."""
    return Fraction(str(ratio))


def classify(goal: Goal, trials: Sequence[Trial]) -> Classification:
    """Return whether the trials at a load make it a lower or an upper bound for a goal (MLRsearch load classification).

    Args:
      goal: what the load has to achieve.
      trials: all trials at that load, any order; none leaves it undecided.

    >>> s = 10**9
    >>> classify(Goal(60 * s, 60 * s), [Trial(1 * s, 0.0, n=59), Trial(1 * s, 0.01, n=60)]).bound
    'upper'
    """
    full = {False: 0, True: 0}  # duration by "is high-loss"
    short = {False: 0, True: 0}
    for trial in trials:
        durations = full if trial.duration_ns >= goal.final_trial_ns else short
        durations[trial.loss_ratio > goal.loss_ratio] += trial.n * trial.duration_ns
    exceed = _exact(goal.exceed_ratio)
    balanced = short[False] * exceed / (1 - exceed)
    high_loss = full[True] + max(Fraction(0), short[True] - balanced)
    measured = full[False] + high_loss
    whole = max(measured, Fraction(goal.duration_sum_ns))
    pessimistic = whole - full[False]
    allowed = whole * exceed
    return Classification(
        bound="lower" if pessimistic <= allowed else "upper" if high_loss > allowed else "undecided",
        optimistic_exceed_ratio=float(high_loss / whole),
        pessimistic_exceed_ratio=float(pessimistic / whole),
        missing_ns=float(whole - measured),
        pessimistic_high_loss_ns=float(pessimistic),
    )


def conditional_throughput(goal: Goal, trials: Sequence[Trial], load: float) -> float | None:
    """Return the forwarding rate to be expected at a load (MLRsearch conditional throughput).

    It is the load less the loss ratio that the goal's share of the time stays within; missing time lost everything.

    Args:
      goal: what the load had to achieve.
      trials: all trials at that load, any order; only full-length ones count.
      load: in any unit.

    Returns:
      In the unit of the load; None without a full-length trial.

    >>> s = 10**9
    >>> conditional_throughput(Goal(60 * s, 120 * s, 0.0, 0.5), [Trial(60 * s, 0.001), Trial(60 * s, 0.0)], 1e6)
    1000000.0
    """
    full = sorted((t for t in trials if t.duration_ns >= goal.final_trial_ns), key=lambda trial: trial.loss_ratio)
    if not full:
        return None
    measured = sum(trial.n * trial.duration_ns for trial in full)
    remaining = max(goal.duration_sum_ns, measured) * (1 - _exact(goal.exceed_ratio))
    for trial in full:
        remaining -= trial.n * trial.duration_ns
        if remaining <= 0:
            return load * (1 - trial.loss_ratio)
    return 0.0


class MlrSearch:
    """The search for one goal, without I/O: bisection, with as many full-length trials at a load as decide it.

    A load takes at most duration_sum / final_trial trials, rounded up, so the search ends.

    >>> search = MlrSearch(Goal(10**9, 3 * 10**9), lowest=100, highest=1000, resolution=300)
    >>> while (load := search.next_load()) is not None:
    ...     search.record(0.1 if load > 640 else 0.0)
    >>> search.lower_bound, search.upper_bound, search.throughput
    (550.0, 775.0, 550.0)

    Attributes:
      goal: what a load has to achieve; `goal.final_trial_ns` is the duration of each trial.
      trials: the trials so far, by load.
    """

    def __init__(self, goal: Goal, lowest: float, highest: float, resolution: float) -> None:
        """Start with nothing tried.

        Args:
          goal: what a load has to achieve.
          lowest: load that is tried last; nothing below it is.
          highest: load that is tried first.
          resolution: how close the bounds are to come.

        Raises:
          UsageError: the loads do not ascend, or the resolution is not positive.
        """
        self.goal = goal
        self.trials: dict[float, list[Trial]] = {}
        self._bisection = Bisection(lowest, highest, resolution)

    @property
    def lower_bound(self) -> float | None:
        """Highest load that achieves the goal; None when none was found."""
        return self._bisection.passed

    @property
    def upper_bound(self) -> float | None:
        """Lowest load that does not achieve the goal; None when none was found."""
        return self._bisection.failed

    @property
    def throughput(self) -> float | None:
        """Conditional throughput at the lower bound; None without one."""
        load = self.lower_bound
        return None if load is None else conditional_throughput(self.goal, self.trials[load], load)

    def next_load(self) -> float | None:
        """Return the load of the next trial, the same until `record` is called; None when the search is over."""
        return self._bisection.next_load()

    def record(self, loss_ratio: float) -> None:
        """Take the loss ratio of a full-length trial at the load of `next_load`.

        Raises:
          UsageError: the search is over, or that is no ratio from 0 to 1.
        """
        load = self.next_load()
        if load is None:
            raise UsageError("the search is over; no trial is due")
        trials = self.trials.setdefault(load, [])
        trials.append(Trial(self.goal.final_trial_ns, loss_ratio))
        bound = classify(self.goal, trials).bound
        if bound != "undecided":
            self._bisection.record(is_passed=bound == "lower")
