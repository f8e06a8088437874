"""Silences of a stream whose schedule is not known: windows between arrivals, on the receiver's time line.

The interval I is the lower median of the spacings between consecutive arrivals whose numbers differ by one. A silence
is a spacing above max(silence_factor * I, silence_floor). Whether the source was sending is not known, so a silence is
a loss only where numbers are missing across it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sketch import Sketch
from harness.model import UNDEFINED_NS, Parameters, Window
from harness.model.summary import WindowClass
from harness.units import NS_PER_S

Int64Array = NDArray[np.int64]

MAX_SILENCES = 512
"""Longest spacings kept of a stream; more silences than that are said to be more."""

_SPACING, _FROM, _TO, _TOP, _NUMBER = range(5)
_NO_NUMBER = UNDEFINED_NS


class Spacings:
    """The spacings between consecutive first copies: their distribution and the longest of them.

    Attributes:
      first_ns, last_ns: first and last arrival; None before it.
      spacing: distribution of the spacings between successive numbers (all spacings when unnumbered).
      ticks: the same in ticks of the media clock, for streams that have one.
    """

    __slots__ = (
        "_clock_mask", "_last_number", "_last_ticks", "_longest", "_top",
        "first_ns", "last_ns", "max_silences", "spacing", "ticks",
    )  # fmt: skip

    def __init__(self, clock_bits: int | None = None, max_silences: int = MAX_SILENCES) -> None:
        self.max_silences = max_silences
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._clock_mask = None if clock_bits is None else (1 << min(clock_bits, 62)) - 1
        self._last_number = self._top = self._last_ticks = _NO_NUMBER
        self.restart_counts()

    def restart_counts(self) -> None:
        """Count from zero, with the last packet kept."""
        self.spacing = Sketch()
        self.ticks = Sketch()
        self._longest: Int64Array = np.empty((5, 0), np.int64)

    def add(self, rx_ns: Int64Array, numbers: Int64Array | None, ticks: Int64Array | None) -> None:
        """Take first copies in arrival order, shape (n,) each; `ticks` is the media clock as on the wire."""
        if not len(rx_ns):
            return
        if self.last_ns is None or self.first_ns is None:
            self.first_ns = int(rx_ns[0])
            spacing, start = np.diff(rx_ns), rx_ns[:-1]
            skipped = 1
        else:
            spacing, start = np.diff(rx_ns, prepend=self.last_ns), np.append(self.last_ns, rx_ns[:-1])
            skipped = 0
        is_next = None
        if numbers is None:
            tops = following = np.full(len(spacing), _NO_NUMBER)
        else:
            before = self._last_number if not skipped else int(numbers[0]) - 1
            is_next = (np.diff(numbers, prepend=before) == 1)[skipped:]
            tops = np.maximum.accumulate(np.concatenate(([max(self._top, before)], numbers)))
            self._top = int(tops[-1])
            tops, following = tops[skipped:-1], numbers[skipped:]
            self._last_number = int(numbers[-1])
        self.spacing.add(spacing if is_next is None else spacing[is_next])
        if ticks is not None and self._clock_mask is not None:
            before_ticks = np.append(self._last_ticks, ticks[:-1])[skipped:]
            is_known = (before_ticks != UNDEFINED_NS) & (ticks[skipped:] != UNDEFINED_NS)
            is_known = is_known if is_next is None else is_known & is_next
            self.ticks.add((ticks[skipped:] - before_ticks)[is_known] & self._clock_mask)
            self._last_ticks = int(ticks[-1])
        self._offer(spacing, start, rx_ns[skipped:], tops, following)
        self.last_ns = int(rx_ns[-1])

    def append(self, later: Spacings, delta: int) -> None:
        """Add what followed, its numbers moved by `delta`; `later` counted from zero after a packet known here."""
        self.spacing.merge(later.spacing)
        self.ticks.merge(later.ticks)
        moved = later._longest.copy()
        if later._last_number != _NO_NUMBER:
            moved[_TOP:] += delta
            self._last_number = later._last_number + delta
            self._top = max(self._top, later._top + delta)
        self._keep(np.concatenate((self._longest, moved), axis=1))
        self._last_ticks = later._last_ticks
        self.first_ns = later.first_ns if self.first_ns is None else self.first_ns
        self.last_ns = later.last_ns

    @property
    def longest_ns(self) -> int | None:
        """The largest spacing; None without one."""
        return int(self._longest[_SPACING].max()) if self._longest.shape[1] else None

    def interval_ns(self, clock_rate: int | None) -> int | None:
        """Return the lower median of the spacings, by the media clock if it advances; None without a spacing."""
        ticks = self.ticks.percentile("50")
        if ticks and clock_rate:
            return round(ticks * NS_PER_S / clock_rate)
        spacing = self.spacing.percentile("50")
        return None if spacing is None else round(spacing)

    def silences(self, threshold_ns: int) -> tuple[Int64Array, bool]:
        """Return the spacings above a threshold in time order, and whether there may be more of them.

        Returns:
          Shape (k, 4): last arrival before, first after, highest number before, number after (UNDEFINED_NS: none).
        """
        found = self._longest[:, self._longest[_SPACING] > threshold_ns]
        found = found[:, np.argsort(found[_FROM], kind="stable")]
        return found[1:].T, found.shape[1] == self.max_silences

    def _offer(
        self, spacing: Int64Array, start: Int64Array, end: Int64Array, tops: Int64Array, following: Int64Array
    ) -> None:
        if not len(spacing):
            return
        columns = (spacing, start, end, tops, following)
        if self._longest.shape[1] == self.max_silences:
            is_long = spacing > self._longest[_SPACING, -1]
            if not is_long.any():
                return
            columns = tuple(column[is_long] for column in columns)
        self._keep(np.concatenate((self._longest, np.stack(columns)), axis=1))

    def _keep(self, rows: Int64Array) -> None:
        """Keep the longest, the earlier one of equals; sorted, longest first, once there are enough."""
        if rows.shape[1] >= self.max_silences:
            if rows.shape[1] > 4 * self.max_silences:
                least = np.partition(rows[_SPACING], -self.max_silences)[-self.max_silences]
                rows = rows[:, rows[_SPACING] >= least]
            rows = rows[:, np.lexsort((rows[_FROM], -rows[_SPACING]))[: self.max_silences]]
        self._longest = rows


def silence_threshold(interval_ns: int | None, parameters: Parameters) -> int | None:
    """Return the spacing above which there is a silence; None when neither interval nor floor is known."""
    if interval_ns is None:
        return parameters.silence_floor_ns or None
    return max(parameters.silence_factor * interval_ns, parameters.silence_floor_ns)


def edge_windows(
    spacings: Spacings, interval_ns: int | None, threshold_ns: int | None, observed: tuple[int, int] | None
) -> list[Window]:
    """Return the windows at the edges of the observation: silent_start, silent_end or never_received."""
    if observed is None:
        return []
    start, end = observed
    if spacings.first_ns is None or spacings.last_ns is None:
        return [_unnumbered("never_received", start, end)] if end > start else []
    if threshold_ns is None:
        return []
    windows = []
    if spacings.first_ns - start > threshold_ns:
        windows.append(_unnumbered("silent_start", start, spacings.first_ns))
    if end - spacings.last_ns > threshold_ns:
        windows.append(_unnumbered("silent_end", spacings.last_ns + (interval_ns or 0), end))
    return windows


def _unnumbered(kind: WindowClass, start_ns: int, end_ns: int) -> Window:
    return Window(kind=kind, first_seq=None, last_seq=None, start_ns=start_ns, end_ns=end_ns, packets=None)


def silence_windows(
    silences: Int64Array, interval_ns: int, gaps: tuple[Int64Array, Int64Array] | None
) -> tuple[list[Window], NDArray[np.bool_]]:
    """Return the windows of silences and which gaps lie in them.

    Args:
      silences: shape (k, 4), as `Spacings.silences` returns them.
      interval_ns: the stream's interval.
      gaps: first and last number of each loss period, shape (g,) each, ascending; None when unnumbered.
    """
    windows = []
    is_taken = np.zeros(0 if gaps is None else len(gaps[0]), np.bool_)
    for before_ns, after_ns, top, number in silences.tolist():
        start = before_ns + interval_ns
        if gaps is None or number == _NO_NUMBER:
            windows.append(_unnumbered("silence", start, after_ns))
            continue
        first, last = gaps
        low, high = np.searchsorted(first, top, side="right"), np.searchsorted(first, number)
        if low >= high:
            packets, first_seq, last_seq = 0, None, None
        else:
            packets = int((last[low:high] - first[low:high] + 1).sum())
            first_seq, last_seq = int(first[low]), int(last[high - 1])
            is_taken[low:high] = True
        kind: WindowClass = "outage" if packets else "stall"
        windows.append(
            Window(kind=kind, first_seq=first_seq, last_seq=last_seq, start_ns=start, end_ns=after_ns, packets=packets)
        )
    return windows, is_taken
