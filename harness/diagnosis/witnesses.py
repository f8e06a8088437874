"""What witnesses heard while a receiver heard nothing: counts inside a time, held against counts outside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.witness import WitnessSeries

HEARD, SILENT = 0.3, 0.05
"""Share of a witness's usual rate from which on it heard, and up to which it was deaf; between them nobody can tell."""
EDGE_NS = 500_000_000
"""A tenth of a time, at most this, is left out at both of its edges."""
OPEN_NS = 900_000_000
"""How long after its opening a reopened socket surely listens."""
_MIN_BINS = 3


@dataclass(frozen=True)
class Hearing:
    """A witness during a time.

    Attributes:
      is_heard: None when it cannot be told.
      n: packets it counted inside.
      why: the reason for None; "" otherwise.
    """

    is_heard: bool | None
    n: int = 0
    why: str = ""


class Ear:
    """One witness's counts, ready to be asked about many times."""

    def __init__(self, series: WitnessSeries, quiet: Sequence[tuple[int, int]]) -> None:
        self._series = series
        self._start_ns, self._bin_ns = series.start_ns, series.bin_ns
        self._total = [0, *itertools.accumulate(series.counts)]
        is_usual = [True] * len(series.counts)
        for start_ns, end_ns in quiet:
            first = max(0, (start_ns - series.start_ns) // series.bin_ns)
            last = max(first, min(len(is_usual), -(-(end_ns - series.start_ns) // series.bin_ns)))
            is_usual[first:last] = [False] * (last - first)
        n_usual = sum(is_usual)
        counted = sum(itertools.compress(series.counts, is_usual))
        self._usual = counted / n_usual if n_usual >= _MIN_BINS else 0.0

    def hearing(self, start_ns: int, end_ns: int, n_expected: int | None) -> Hearing:
        """Return whether it heard during a time; `n_expected` is the measure where it has no usual rate."""
        if self._series.kind == "reopened-socket":
            return self._reopened(start_ns, end_ns, n_expected)
        edge_ns = min((end_ns - start_ns) // 10, EDGE_NS)
        first = max(0, -(-(start_ns + edge_ns - self._start_ns) // self._bin_ns))
        last = min(len(self._total) - 1, (end_ns - edge_ns - self._start_ns) // self._bin_ns)
        if last <= first:
            return Hearing(None, why="the time is too short for its counts, or it did not listen then")
        n = self._total[last] - self._total[first]
        usual = self._usual * (last - first)
        if 0 < usual < 2:
            return Hearing(True, n) if n else Hearing(None, why="it hears too seldom to tell")
        return _judged(n, usual or n_expected or n or 1)

    def _reopened(self, start_ns: int, end_ns: int, n_expected: int | None) -> Hearing:
        """Return whether a socket that listens now and then heard while it was open."""
        n = n_bins = 0
        for opened_ns in self._series.opened_ns:
            if start_ns <= opened_ns < end_ns:
                first = -(-(opened_ns - self._start_ns) // self._bin_ns)
                last = (min(opened_ns + OPEN_NS, end_ns) - self._start_ns) // self._bin_ns
                last = min(len(self._total) - 1, last)
                if last > first >= 0:
                    n += self._total[last] - self._total[first]
                    n_bins += last - first
        if not n_bins:
            return Hearing(None, why="the time is too short for it: it was not opened")
        due = (n_expected or n) * n_bins * self._bin_ns / max(1, end_ns - start_ns)
        return _judged(n, due or 1) if due >= 1 or n else Hearing(None, why="it listened too shortly")


def _judged(n: int, due: float) -> Hearing:
    share = n / due
    if share >= HEARD:
        return Hearing(True, n)
    return Hearing(False, n) if share <= SILENT else Hearing(None, n, f"it heard {100 * share:.0f} % of what was due")


class Ears:
    """All witnesses of one kind beside one receiver, of one group.

    Args:
      series: theirs.
      quiet: times in which the receiver missed packets, which do not count as a witness's usual rate.
    """

    def __init__(self, series: Sequence[WitnessSeries], quiet: Sequence[tuple[int, int]]) -> None:
        self._ears = [Ear(each, quiet) for each in series if each.missing is None]
        self._why = next((each.missing for each in series if each.missing), "there was none")

    def hearing(self, start_ns: int, end_ns: int, n_expected: int | None) -> Hearing:
        """Return whether any of them heard during a time."""
        if not self._ears:
            return Hearing(None, why=self._why)
        found = [ear.hearing(start_ns, end_ns, n_expected) for ear in self._ears]
        told = [each for each in found if each.is_heard is not None]
        return max(told, key=lambda each: (each.is_heard, each.n)) if told else found[0]
