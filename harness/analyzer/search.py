"""The search for the highest load that a path carries without loss (RFC 2544 26.1, 26.3), without I/O.

A search says which load to try next and takes the trial's result; who sends the packets, and how, is not its affair.

    while (load := search.next_load()) is not None:
        search.record(loss_ratio_of_a_trial_at(load))

A load may be in any unit, packets per second for instance; the search only compares and halves. mlrsearch holds the
search that repeats trials, rate_adjust the one that follows a path as it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UsageError


def frame_loss_rate(n_sent: int, n_received: int) -> float | None:
    """Return frames lost in percent (RFC 2544 26.3), negative when duplicates came; None when nothing was sent.

    >>> frame_loss_rate(1000, 985)
    1.5
    """
    return (n_sent - n_received) * 100 / n_sent if n_sent else None


def check_loss_ratio(name: str, ratio: float) -> None:
    """Check that a loss ratio, of a trial or of a goal, is one.

    Raises:
      UsageError: it lies outside 0 to 1.
    """
    if not 0 <= ratio <= 1:
        raise UsageError(f"{name} {ratio} is no ratio from 0 to 1")


class Bisection:
    """The loads between one that passes and one that does not: first the highest, then the lowest, then halves.

    Attributes:
      passed: highest load that passed, or None.
      failed: lowest load that did not pass, or None.
    """

    def __init__(self, lowest: float, highest: float, resolution: float) -> None:
        """Start with nothing tried.

        Args:
          lowest: load that is tried last; nothing below it is.
          highest: load that is tried first; when it passes the search is over.
          resolution: how close the bounds are to come.

        Raises:
          UsageError: the loads do not ascend from 0, or the resolution is not positive.
        """
        if not 0 <= lowest < highest < float("inf"):
            raise UsageError(f"loads to search, {lowest} to {highest}, do not ascend")
        if not resolution > 0:
            raise UsageError(f"resolution {resolution} never ends the search; give a positive one")
        self._lowest, self._highest, self._resolution = lowest, highest, resolution
        self.passed: float | None = None
        self.failed: float | None = None

    def next_load(self) -> float | None:
        """Return the load to try next, the same until `record` is called; None when the search is over."""
        if self.failed is None:
            return self._highest if self.passed is None else None
        if self.passed is None:
            return self._lowest if self.failed > self._lowest else None
        middle = (self.passed + self.failed) / 2
        # The second condition holds where the resolution is finer than the floats.
        if self.failed - self.passed <= self._resolution or not self.passed < middle < self.failed:
            return None
        return middle

    def record(self, *, is_passed: bool) -> None:
        """Take the verdict on the load of `next_load`.

        Raises:
          UsageError: the search is over.
        """
        load = self.next_load()
        if load is None:
            raise UsageError("the search is over; no trial is due")
        if is_passed:
            self.passed = load
        else:
            self.failed = load


@dataclass(frozen=True, slots=True)
class LoadTrial:
    """A load that was tried, and the loss ratio found."""

    load: float
    loss_ratio: float


class ThroughputSearch:
    """RFC 2544 26.1: the highest load at which a trial loses nothing, or no more than is tolerated.

    >>> search = ThroughputSearch(lowest=0, highest=1000, resolution=250)
    >>> while (load := search.next_load()) is not None:
    ...     search.record(max(0.0, 1 - 640 / load) if load else 0.0)
    >>> search.throughput, search.upper_bound
    (500.0, 750.0)

    Attributes:
      trials: what was tried, in order.
    """

    def __init__(self, lowest: float, highest: float, resolution: float, loss_tolerance: float = 0.0) -> None:
        """Start with nothing tried; arguments as for Bisection.

        Args:
          lowest: load that is tried last; nothing below it is.
          highest: load that is tried first.
          resolution: how close the bounds are to come.
          loss_tolerance: loss ratio that still passes.

        Raises:
          UsageError: the loads do not ascend, the resolution is not positive, or the tolerance is no ratio.
        """
        check_loss_ratio("loss tolerance", loss_tolerance)
        self._bisection = Bisection(lowest, highest, resolution)
        self._loss_tolerance = loss_tolerance
        self.trials: list[LoadTrial] = []

    @property
    def throughput(self) -> float | None:
        """Highest load that passed; None when none has."""
        return self._bisection.passed

    @property
    def upper_bound(self) -> float | None:
        """Lowest load that did not pass; None when none was found."""
        return self._bisection.failed

    def next_load(self) -> float | None:
        """Return the load to try next, the same until `record` is called; None when the search is over."""
        return self._bisection.next_load()

    def record(self, loss_ratio: float) -> None:
        """Take the loss ratio of a trial at the load of `next_load`.

        Raises:
          UsageError: the search is over, or that is no ratio from 0 to 1.
        """
        check_loss_ratio("loss ratio", loss_ratio)
        load = self._bisection.next_load()
        self._bisection.record(is_passed=loss_ratio <= self._loss_tolerance)
        if load is not None:
            self.trials.append(LoadTrial(load, loss_ratio))


class FrameLossSweep:
    """RFC 2544 26.3: loads from the highest down in equal steps, until two in a row lose nothing.

    Attributes:
      trials: what was tried, in order.
    """

    def __init__(self, highest: float, step_percent: float = 10.0) -> None:
        """Start with nothing tried.

        Args:
          highest: load of 100 percent, tried first.
          step_percent: by how much of it to step down, at most the 10 of 26.3.

        Raises:
          UsageError: the load or the step is out of range.
        """
        if not 0 < highest < float("inf") or not 0.1 <= step_percent <= 10:
            raise UsageError(f"a sweep from {highest} in steps of {step_percent} %: use a positive load, 0.1 to 10 %")
        self._highest, self._step_percent = highest, step_percent
        self.trials: list[LoadTrial] = []

    def next_load(self) -> float | None:
        """Return the load to try next, the same until `record` is called; None when the sweep is over."""
        percent = 100 - len(self.trials) * self._step_percent
        is_clean = len(self.trials) >= 2 and not any(trial.loss_ratio for trial in self.trials[-2:])
        return None if is_clean or percent <= 0 else self._highest * percent / 100

    def record(self, loss_ratio: float) -> None:
        """Take the loss ratio of a trial at the load of `next_load`.

        Raises:
          UsageError: the sweep is over, or that is no ratio from 0 to 1.
        """
        check_loss_ratio("loss ratio", loss_ratio)
        load = self.next_load()
        if load is None:
            raise UsageError("the sweep is over; no trial is due")
        self.trials.append(LoadTrial(load, loss_ratio))
