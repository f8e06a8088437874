"""Where between the interruptions of its machine a stream with a fixed interval is best due.

Timer ticks, of this system and of one that it may be a guest of, take the processor for some 10 us up to a thousand
times a second, always at the same part of a millisecond. Intervals are fractions or multiples of that as a rule: a
stream whose due times meet the ticks meets them throughout, and one that is due in between does not, until the clocks
have drifted apart; by 20 us a second on a virtual machine that was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import gcd

import numpy as np
from numpy.typing import NDArray

WATCH_NS = 40_000_000
"""How long the clock is watched: ten ticks of the slowest usual kind."""

HORIZON_NS = 1_000_000_000
"""For so long what is found is to hold, drift or not."""

INTERRUPTED_NS = 2_000
"""From one look at the clock to the next it takes a tenth of that."""

TICK_NS, LEAST_NS = 4_000_000, 20_000
"""The tick of most systems, or a multiple of it; and the shortest time that is worth being divided."""

_N_BINS = 128
_RARE = 8
"""A part of the interval that is interrupted in fewer than one of so many turns of the busiest is quiet."""

_LEAST_EVENTS, _MOST_DRIFT = 8, 200e-6
"""Interruptions that tell how they drift, and a drift that is none: clocks differ by less."""


def quiet_phase_ns(
    interval_ns: int, lasts_ns: int = WATCH_NS, monotonic: Callable[[], int] = time.monotonic_ns
) -> int | None:
    """Watch the clock, and return the time within the interval that is farthest from what interrupts it.

    Args:
      interval_ns: between due times, above 0.
      lasts_ns: how long to watch.
      monotonic: returns the monotonic clock in ns.

    Returns:
      In ns, on the monotonic clock, modulo the interval or a part of it; None where nothing interrupts, or everywhere.
    """
    period_ns = gcd(interval_ns, TICK_NS)  # of what comes once a tick, more than one tick is not to be seen
    if period_ns < LEAST_NS:
        return None
    last_ns = monotonic()
    end_ns, found = last_ns + lasts_ns, list[tuple[int, int]]()
    while last_ns < end_ns:
        now_ns = monotonic()
        if now_ns - last_ns >= INTERRUPTED_NS:
            found.append((last_ns, now_ns))
            now_ns = monotonic()
        last_ns = now_ns
    n_times = np.zeros(_N_BINS, np.int64)
    for first, last in found:
        place = _N_BINS * first // period_ns
        n_bins = min(_N_BINS * last // period_ns - place + 1, _N_BINS)
        n_times[np.arange(place, place + n_bins) % _N_BINS] += 1
    is_loud = n_times * _RARE >= n_times.max()
    if is_loud.all():  # also where nothing was found
        return None
    loudest_ns = int(n_times.argmax()) * period_ns // _N_BINS
    starts_ns = np.array([first for first, _ in found])
    is_loud = _drifted(is_loud, _drift(starts_ns, loudest_ns, period_ns) * HORIZON_NS / period_ns)
    loud = np.flatnonzero(is_loud)
    gaps = np.diff(loud, append=loud[0] + _N_BINS)  # from one to the next, around the end
    widest = int(gaps.argmax())
    middle = float(loud[widest] + gaps[widest] / 2 + 0.5)
    return int(middle * period_ns / _N_BINS) % period_ns


def _drift(starts_ns: NDArray[np.int64], loudest_ns: int, period_ns: int) -> float:
    """Return by how much the phase of the loudest interruptions grows per time; 0.0 where they do not tell.

    Args:
      starts_ns: when interruptions began, shape (n,).
      loudest_ns: phase at which most of them are.
      period_ns: what phases are modulo.
    """
    phases_ns = (starts_ns - loudest_ns + period_ns // 2) % period_ns - period_ns // 2
    is_near = abs(phases_ns) < period_ns // 8
    phases_ns, times_ns = phases_ns[is_near], (starts_ns - starts_ns[0])[is_near]
    if len(phases_ns) < _LEAST_EVENTS:
        return 0.0
    # the median of the slopes of all pairs (Theil and Sen) does not mind what does not belong to the tick
    first, second = np.triu_indices(len(phases_ns), 1)
    is_apart = times_ns[second] - times_ns[first] > (times_ns[-1] - times_ns[0]) / 4
    rises, lasts = phases_ns[second] - phases_ns[first], times_ns[second] - times_ns[first]
    slope = float(np.median(rises[is_apart] / lasts[is_apart])) if is_apart.any() else 0.0
    return slope if abs(slope) < _MOST_DRIFT else 0.0


def _drifted(is_loud: NDArray[np.bool_], n_periods: float) -> NDArray[np.bool_]:
    """Return where it will have been loud when all has drifted by a part of a period; somewhere it stays quiet."""
    for _ in range(round(abs(n_periods) * _N_BINS)):
        wider = is_loud | np.roll(is_loud, 1 if n_periods > 0 else -1)
        if wider.all():
            break
        is_loud = wider
    return is_loud
