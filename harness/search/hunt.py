"""The hunt for the loss-free rate, without I/O: which load comes next, what a trial says of it, when it is over.

The analyzer's state machines know loads and loss ratios only. Here is what makes a loss ratio trustworthy: a trial
counts as passed only if the load was really offered and nothing that arrived was dropped by this very host. A sender
that fell behind and lost nothing has shown nothing about the load it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.analyzer.mlrsearch import Goal, MlrSearch
from harness.analyzer.search import ThroughputSearch
from harness.errors import HarnessError, UsageError
from harness.model.search import SearchEnd, SearchMethod, SearchTrial, TrialVerdict

BEHIND = 0.98
"""A sender that offered less than this part of the load has fallen behind."""

MOST_TRIALS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HuntSettings:
    """What is searched, and how long at most.

    Attributes:
      method: RFC 2544 26.1, one trial a load; or MLRsearch, `trials_per_load` of them weighed together.
      lowest_pps, highest_pps, resolution_pps: bounds of the search and how close they are to come.
      trial_ns: duration of each trial.
      loss_tolerance: loss ratio of a trial that still passes.
      trials_per_load, exceed_ratio: MLRsearch's goal: how many trials decide a load at most, and which share of them
        may lose more than is tolerated.
      most_trials, most_ns: the search ends unresolved after so many trials, or when the next would end later than this.
    """

    method: SearchMethod = "rfc2544"
    lowest_pps: float
    highest_pps: float
    resolution_pps: float
    trial_ns: int
    loss_tolerance: float = 0.0
    trials_per_load: int = 3
    exceed_ratio: float = 0.0
    most_trials: int = 40
    most_ns: int = 600 * 10**9

    def __post_init__(self) -> None:
        if not 1 <= self.most_trials <= MOST_TRIALS:
            raise UsageError(f"{self.most_trials} trials: between 1 and {MOST_TRIALS} can be allowed")
        if self.trial_ns <= 0 or self.trials_per_load < 1:
            raise UsageError(f"{self.trials_per_load} trials a load of {self.trial_ns} ns each are none")


def judge(
    *, asked_pps: float, offered_pps: float | None, scheduled: int, sent: int, lost: int, own_buffer: int | None,
    loss_tolerance: float = 0.0,
) -> TrialVerdict:  # fmt: skip
    """Return what a trial says of its load.

    Loss in the network condemns a load even when less than it was offered: more would not have fared better. What is
    dropped by the receiver's buffer, or was never offered, condemns this host's share in the test and not the network.

    >>> judge(asked_pps=1e5, offered_pps=1e5, scheduled=1000, sent=1000, lost=0, own_buffer=0)
    'loss-free'
    >>> judge(asked_pps=1e5, offered_pps=6e4, scheduled=1000, sent=1000, lost=0, own_buffer=0)
    'sender-limited'
    >>> judge(asked_pps=1e5, offered_pps=1e5, scheduled=1000, sent=1000, lost=7, own_buffer=7)
    'own-buffer'
    """
    allowed = loss_tolerance * sent
    if lost - (own_buffer or 0) > allowed:
        return "loss"
    if lost > allowed:
        return "own-buffer"
    if sent < scheduled or not sent or offered_pps is None or offered_pps < BEHIND * asked_pps:
        return "sender-limited"
    return "loss-free"


class Hunt:
    """One search as a state machine.

    Attributes:
      trials: what was tried, in order.
    """

    def __init__(self, settings: HuntSettings) -> None:
        """Start with nothing tried.

        Raises:
          UsageError: bounds that do not ascend, a resolution that is not positive, a ratio that is none.
        """
        self.settings = settings
        self.trials: list[SearchTrial] = []
        bounds = settings.lowest_pps, settings.highest_pps, settings.resolution_pps
        self._search: ThroughputSearch | MlrSearch
        if settings.method == "rfc2544":
            self._search = ThroughputSearch(*bounds, settings.loss_tolerance)
        else:
            goal = Goal(
                settings.trial_ns,
                settings.trials_per_load * settings.trial_ns,
                settings.loss_tolerance,
                settings.exceed_ratio,
            )
            self._search = MlrSearch(goal, *bounds)

    def next_load(self) -> float | None:
        """Return the load to try next in packets per second; None when the search is over by itself."""
        return self._search.next_load()

    def record(self, trial: SearchTrial) -> None:
        """Take the trial at the load of `next_load`; whatever did not pass counts as a trial that lost everything."""
        self._search.record((trial.loss_ratio or 0.0) if trial.verdict == "loss-free" else 1.0)
        self.trials.append(trial)

    @property
    def throughput_pps(self) -> float | None:
        """The highest load that passed; None when none did."""
        return self._search.throughput if isinstance(self._search, ThroughputSearch) else self._search.lower_bound

    @property
    def upper_bound_pps(self) -> float | None:
        """The lowest load that did not pass; None while none has failed."""
        return self._search.upper_bound

    @property
    def limited_by(self) -> TrialVerdict | None:
        """Why the load of `upper_bound_pps` did not pass: the network's loss before what this host failed in."""
        failed = [t.verdict for t in self.trials if t.asked_pps == self.upper_bound_pps and t.verdict != "loss-free"]
        order: tuple[TrialVerdict, ...] = ("loss", "own-buffer", "sender-limited")
        return next((verdict for verdict in order if verdict in failed), None)

    @property
    def natural_end(self) -> SearchEnd:
        """How a search ended that asks for no further trial."""
        if self.upper_bound_pps is None:
            return "highest passed"
        return "lowest failed" if self.throughput_pps is None else "resolved"


def pursue(
    hunt: Hunt, try_load: Callable[[int, float], SearchTrial | None], now_ns: Callable[[], int]
) -> tuple[SearchEnd, str | None]:
    """Try loads until the search ends; return why it did, and the error in one line if that was it.

    Args:
      hunt: holds the trials done, also after an interruption.
      try_load: makes trial number n at a load; None when the user ended it.
      now_ns: a clock.
    """
    settings = hunt.settings
    start_ns = now_ns()
    try:
        while (load := hunt.next_load()) is not None:
            if len(hunt.trials) >= settings.most_trials:
                return "trials", None
            if now_ns() - start_ns + settings.trial_ns > settings.most_ns:
                return "time", None
            trial = try_load(len(hunt.trials) + 1, load)
            if trial is None:
                return "interrupted", None
            hunt.record(trial)
    except KeyboardInterrupt:
        return "interrupted", None
    except HarnessError as exc:
        if not hunt.trials:
            raise
        return "error", str(exc)
    return hunt.natural_end, None
