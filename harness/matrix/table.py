"""The confusion matrix as text."""

from __future__ import annotations

from collections import Counter

from harness.model.matrix import Matrix, Trial


def format_matrix(matrix: Matrix) -> str:
    """Return one line a scenario: how often its cause came first, what came first else, and how its ledgers stand."""
    names = list(dict.fromkeys(trial.row for trial in matrix.trials))
    width = max((len(name) for name in names), default=8)
    causes = max((len(trial.expected) for trial in matrix.trials), default=8)
    lines = [f"{'scenario':<{width}}  {'cause':<{causes}}  first   ledger    otherwise"]
    for name in names:
        trials = [trial for trial in matrix.trials if trial.row == name]
        n_first = sum(trial.is_named for trial in trials)
        n_balanced = sum(trial.is_balanced is True for trial in trials)
        lines.append(
            f"{name:<{width}}  {trials[0].expected:<{causes}}  {n_first:>2}/{len(trials):<2}   "
            f"{n_balanced:>2}/{len(trials):<2}     {otherwise(trials)}".rstrip()
        )
    total = len(matrix.trials)
    healthy = [trial for trial in matrix.trials if trial.expected == "ok"]
    share = f" ({matrix.n_right / total:.1%})" if total else ""
    lines.append(
        f"{matrix.n_right} of {total} trials right{share}, {matrix.n_false_alarms} false alarms in {len(healthy)} "
        f"healthy runs; {matrix.seconds:.0f} s, {matrix.jobs} side by side"
    )
    return "\n".join(lines)


def otherwise(trials: list[Trial]) -> str:
    """Return what came first where the cause did not, and what went wrong."""
    wrong = Counter(
        ", ".join(name for name, _ in trial.ranking[:3]) or "no verdict"
        for trial in trials
        if trial.error is None and not trial.is_named
    )
    parts = [f"{name} ({n} times)" if n > 1 else name for name, n in wrong.most_common()]
    parts += [f"seed {trial.seed}: {trial.error}" for trial in trials if trial.error is not None]
    parts += [f"seed {trial.seed}: ledger not balanced" for trial in trials if trial.is_balanced is False]
    return "; ".join(parts)
