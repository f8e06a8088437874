"""What witnesses heard while a receiver heard nothing: counts inside a time, held against counts outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.witness import WitnessSeries

HEARD, SILENT = 0.3, 0.05
"""Share of a witness's usual rate from which on it heard, and up to which it was deaf; between them nobody can tell."""
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


def hearing(
    series: Sequence[WitnessSeries],
    start_ns: int,
    end_ns: int,
    quiet: Sequence[tuple[int, int]],
    n_expected: int | None,
) -> Hearing:
    """Return whether any of some witnesses of one kind heard during a time.

    Args:
      series: of that kind, beside one receiver and of one group.
      start_ns: of the time.
      end_ns: of the time.
      quiet: times in which the receiver missed packets, which do not count as a witness's usual rate.
      n_expected: packets that were due in the time; the measure for a witness without a usual rate.
    """
    present = [each for each in series if each.missing is None]
    if not present:
        reasons = [each.missing for each in series if each.missing]
        return Hearing(None, why=reasons[0] if reasons else "there was none")
    found = [_hearing(each, start_ns, end_ns, quiet, n_expected) for each in present]
    told = [each for each in found if each.is_heard is not None]
    if not told:
        return found[0]
    return max(told, key=lambda each: (each.is_heard, each.n))


def _hearing(
    series: WitnessSeries, start_ns: int, end_ns: int, quiet: Sequence[tuple[int, int]], n_expected: int | None
) -> Hearing:
    bins = [
        (series.start_ns + place * series.bin_ns, series.start_ns + (place + 1) * series.bin_ns, count)
        for place, count in enumerate(series.counts)
    ]
    edge_ns = min((end_ns - start_ns) // 10, 500_000_000)
    inside = [count for first, last, count in bins if first >= start_ns + edge_ns and last <= end_ns - edge_ns]
    if not inside:
        return Hearing(None, why="the time is too short for its counts, or it did not listen then")
    outside = [count for first, last, count in bins if all(last <= begin or first >= end for begin, end in quiet)]
    n = sum(inside)
    usual = sum(outside) / len(outside) if len(outside) >= _MIN_BINS else 0.0
    if usual > 0:
        share = n / (usual * len(inside))
        if usual * len(inside) < 2:
            return Hearing(True, n) if n else Hearing(None, why="it hears too seldom to tell")
    elif n_expected:
        share = n / n_expected
    else:
        share = 1.0 if n else 0.0
    if share >= HEARD:
        return Hearing(True, n)
    return Hearing(False, n) if share <= SILENT else Hearing(None, n, f"it heard {share:.0%} of its usual rate")
