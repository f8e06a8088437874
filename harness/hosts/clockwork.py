"""The offset between two hosts' time lines, from round trips (RFC 5905 section 8), with a bound on its error.

Of a round trip the controller knows when it asked (t1) and heard (t4), the agent when it heard (t2) and answered (t3).
The true offset lies within half of the time that the messages were on their way, t4 - t1 - (t3 - t2), of the middle,
however unequal the two ways are; so the fastest of several round trips tells most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

N_EXCHANGES = 16


@dataclass(frozen=True, slots=True)
class Offset:
    """An agent's time line minus the controller's: `offset_ns`, at most `bound_ns` wrong."""

    offset_ns: int
    bound_ns: int


def offset_of(exchanges: Iterable[tuple[int, int, int, int]]) -> Offset:
    """Return the offset that the fastest round trip shows.

    Args:
      exchanges: t1, t2, t3, t4 of each, in ns; at least one.

    >>> offset_of([(0, 1_000_050, 1_000_060, 110), (200, 1_000_900, 1_000_905, 1_500)])
    Offset(offset_ns=1000000, bound_ns=50)
    """
    best: Offset | None = None
    for t1, t2, t3, t4 in exchanges:
        seen = Offset(((t2 - t1) + (t3 - t4)) // 2, max(0, (t4 - t1) - (t3 - t2) + 1) // 2)
        if best is None or seen.bound_ns < best.bound_ns:
            best = seen
    assert best is not None, "no exchange"
    return best


def united(before: Offset, after: Offset) -> Offset:
    """Return one offset for all of a run from those at its start and its end; the drift between them is in the bound.

    >>> united(Offset(100, 30), Offset(140, 10))
    Offset(offset_ns=120, bound_ns=50)
    """
    drift_ns = abs(after.offset_ns - before.offset_ns)
    return Offset((before.offset_ns + after.offset_ns) // 2, max(before.bound_ns, after.bound_ns) + (drift_ns + 1) // 2)
