"""Many lab runs held against their scenarios: trials, and the confusion matrix."""

from __future__ import annotations

import msgspec

MATRIX_VERSION = 1


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of one scenario.

    Attributes:
      scenario, family, seed: what was run.
      expected: the verdict that the scenario provokes; two of them as "one + other".
      ranking: names of the verdicts found, the first first, with their scores.
      is_balanced: whether its ledger accounts for every packet; None when it came to no ledger.
      seconds: how long it took, with building the lab and analysis.
      path: of the run.
      error: why it came to no verdict, one line.
    """

    scenario: str
    family: int
    seed: int
    expected: str
    ranking: list[tuple[str, float]] = []
    is_balanced: bool | None = None
    seconds: float = 0.0
    path: str = ""
    error: str | None = None

    @property
    def row(self) -> str:
        """The scenario as tables name it: healthy runs at random share a row."""
        name, tilde, _ = self.scenario.partition("~")
        return f"{name} at random" if tilde else self.scenario

    @property
    def first(self) -> str:
        """The first verdict, "" for none."""
        return self.ranking[0][0] if self.ranking else ""

    @property
    def is_named(self) -> bool:
        """Whether the expected verdict came first; of two, whether both are among the first three."""
        wanted = self.expected.split(" + ")
        if len(wanted) > 1:
            return set(wanted) <= {name for name, _ in self.ranking[:3]}
        return self.error is None and self.first == self.expected

    @property
    def is_right(self) -> bool:
        """Whether the cause was named and the ledger balances."""
        return self.error is None and self.is_named and self.is_balanced is True


class Matrix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All trials of one `harness lab run`, in the order of the catalogue."""

    version: int = MATRIX_VERSION
    created: str = ""
    seconds: float = 0.0
    jobs: int = 1
    real_timers: bool = False
    trials: list[Trial] = []

    @property
    def n_right(self) -> int:
        """Trials whose verdict and ledger are right."""
        return sum(trial.is_right for trial in self.trials)

    @property
    def n_false_alarms(self) -> int:
        """Healthy runs whose first verdict is not "ok"."""
        return sum(trial.expected == "ok" and trial.first != "ok" for trial in self.trials)
