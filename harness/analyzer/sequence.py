"""From the number on the wire to the extended sequence number, which never wraps.

A number is extended against the *highest* seen, never against the last arrival: the candidate within half the range of
the highest is taken. A jump of exactly half the range could go either way; it is taken forward and counted. A jump of
more than half the range cannot be seen in the numbers at all, only in time: where the interval is known, an arrival
after a pause of more than half the range takes the candidate that fits the time, if one does to a sixteenth of the
range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]

LIMIT = 2**62
"""Numbers and times at or beyond this are no numbers and times; below it, differences fit 64 bits."""

_MAX_REPAIRS = 16
_LONGEST_PAUSE = 2**40
"""Intervals; a longer one is a broken clock."""


def is_time(t_ns: Int64Array) -> NDArray[np.bool_]:
    """Return which times are defined and possible, shape of `t_ns`.

    >>> is_time(np.array([-(2**63), 0])).tolist()
    [False, True]
    """
    return (t_ns > -LIMIT) & (t_ns < LIMIT)


class Extender:
    """Extends the numbers of one stream, in arrival order, in any chunks.

    Attributes:
      highest: the highest extended number seen; None before the first.
      n_undecidable: jumps of exactly half the range.
      n_resolved: jumps beyond half the range that time has resolved.
      n_unresolved: pauses longer than half the range lasts, in which no candidate fits the time.

    >>> Extender(16).extend(np.array([65534, 65535, 1, 0, 2]), np.zeros(5, np.int64)).tolist()
    [65534, 65535, 65537, 65536, 65538]
    """

    __slots__ = (
        "_last", "_last_ns", "_modulus", "_shift", "_top", "highest", "interval_ns",
        "n_resolved", "n_undecidable", "n_unresolved",
    )  # fmt: skip

    def __init__(self, bits: int, modulus: int | None = None, interval_ns: int | None = None) -> None:
        """Take the width of the number on the wire, or its modulus where it is no power of two."""
        wide = modulus if modulus is not None else 1 << bits
        self._modulus = wide if wide < LIMIT else None
        self.interval_ns = interval_ns or None
        self._last = 0  # the last number, extended without `_shift`
        self._top = 0  # the highest of those
        self._last_ns = 0
        self._shift = 0  # announced breaks and jumps that only time shows
        self.highest: int | None = None
        self.n_undecidable = self.n_resolved = self.n_unresolved = 0

    @property
    def modulus(self) -> int | None:
        """How many numbers there are before they wrap; None when they never do."""
        return self._modulus

    @property
    def last(self) -> int:
        """The last number; 0 where numbers never wrap, and so need no extension."""
        return self._last + self._shift

    @property
    def lag(self) -> tuple[int, int]:
        """How far the last number lies behind the highest: equal in two extenders that will go on alike."""
        return self._top - self._last, (self.highest or 0) - self._last - self._shift

    def wrap(self, difference: Int64Array) -> Int64Array:
        """Return differences brought into -(m - 1)//2 .. m//2."""
        if self._modulus is None:
            return difference
        low = (self._modulus - 1) // 2
        if self._modulus & (self._modulus - 1) == 0:
            return ((difference + low) & (self._modulus - 1)) - low
        return (difference + low) % self._modulus - low

    def extend(
        self,
        raw: Int64Array,
        t_ns: Int64Array,
        is_break: NDArray[np.bool_] | None = None,
        expected_first: int | None = None,
    ) -> Int64Array:
        """Return the extended number of each packet, shape (n,).

        Args:
          raw: numbers as on the wire, shape (n,), in arrival order.
          t_ns: sending or receive times, shape (n,).
          is_break: where the source announces a break in the numbering: that packet follows the highest.
          expected_first: about which number the stream's first packet should have by its schedule; else its own.
        """
        if not len(raw):
            return raw
        if self._modulus is None:
            top = int(raw.max())
            self.highest = top if self.highest is None else max(top, self.highest)
            return raw
        if self.highest is None:
            self._start(int(raw[0]), int(t_ns[0]), expected_first)
        step = self.wrap(np.diff(raw, prepend=self._last))
        extended = self._last + np.cumsum(step)
        ahead = self._settle(extended)
        if self._modulus % 2 == 0:
            self.n_undecidable += int(np.count_nonzero(ahead == self._modulus // 2))
        before = self._last_ns
        self._last, self._top = int(extended[-1]), max(self._top, int(extended.max()))
        self._last_ns = int(t_ns[-1])
        if self.interval_ns:
            extended = self._resolve_by_time(extended, step, np.diff(t_ns, prepend=before))
        else:
            extended = extended + self._shift
        if is_break is not None and is_break.any():
            self._join_breaks(extended, np.flatnonzero(is_break))
        top = int(extended.max())
        self.highest = top if self.highest is None else max(top, self.highest)
        return extended

    def advance(self, first: int, last: int, last_ns: int) -> int | None:
        """Return the extended number of the first of packets whose numbers rise, all to numbers above the highest.

        It is what `extend` returns for them, at a cost that does not depend on how many they are.

        Args:
          first: the lowest of the numbers as on the wire, which rise strictly from packet to packet.
          last: the highest.
          last_ns: sending or receive time of the last one.

        Returns:
          None, and nothing has changed, where the numbers may not all rise above the highest or time may have its say.

        >>> extender = Extender(16)
        >>> extender.extend(np.array([65534, 65535]), np.zeros(2, np.int64)).tolist(), extender.advance(1, 9, 0)
        ([65534, 65535], 65537)
        """
        number, highest = first, self.highest
        if self._modulus is not None:
            half = self._modulus // 2
            if highest is None or self.interval_ns or last - first >= half:
                return None
            ahead = (first - self._top + (self._modulus - 1) // 2) % self._modulus - (self._modulus - 1) // 2
            number = self._top + ahead + self._shift
            if number <= highest:
                return None
            if self._modulus % 2 == 0 and ahead == half:
                self.n_undecidable += 1
            self._last = self._top = self._top + ahead + last - first
            self._last_ns = last_ns
        elif highest is not None and number <= highest:
            return None
        self.highest = number + last - first
        return number

    def append(self, later: Extender, delta: int) -> None:
        """Go on where `later` stands, its numbers moved by `delta`, and add its counts."""
        self.n_undecidable += later.n_undecidable
        self.n_resolved += later.n_resolved
        self.n_unresolved += later.n_unresolved
        if later.highest is None:
            return
        self._last, self._top, self._last_ns = later._last, later._top, later._last_ns
        self._shift = later._shift + delta
        top = later.highest + delta
        self.highest = top if self.highest is None else max(top, self.highest)

    def _start(self, raw: int, t_ns: int, expected: int | None) -> None:
        if self._modulus is not None and expected is not None and abs(expected) < LIMIT // 4:
            raw += self._modulus * round((expected - raw) / self._modulus)
        self._last = self._top = raw
        self._last_ns = t_ns

    def _settle(self, extended: Int64Array) -> Int64Array:
        """Correct, in place, numbers not within half the range of the highest before; return how far each is ahead."""
        low, high = (self._modulus - 1) // 2 if self._modulus else 0, self._modulus // 2 if self._modulus else 0
        for _ in range(_MAX_REPAIRS):
            ahead = extended - np.maximum.accumulate(np.concatenate(([self._top], extended)))[:-1]
            is_wrong = (ahead > high) | (ahead < -low)
            at = int(is_wrong.argmax())
            if not is_wrong[at]:
                return ahead
            extended[at:] += int(self.wrap(ahead[at : at + 1])[0]) - int(ahead[at])
        top = self._top
        for index, number in enumerate(extended.tolist()):  # numbers without any order: one by one
            ahead[index] = int(self.wrap(np.array([number - top]))[0])
            extended[index] = top + ahead[index]
            top = max(top, int(extended[index]))
        return ahead

    def _resolve_by_time(self, extended: Int64Array, step: Int64Array, pause_ns: Int64Array) -> Int64Array:
        """Return the numbers, with whole ranges added where only the time shows that they went by."""
        modulus, interval = self._modulus or 1, self.interval_ns or 1
        at = np.flatnonzero(pause_ns > modulus // 2 * interval)
        if not len(at):
            return extended + self._shift
        due = np.rint(np.minimum(pause_ns[at] / interval, _LONGEST_PAUSE)).astype(np.int64)
        rounds = np.rint((due - step[at]) / modulus).astype(np.int64)
        fits = (np.abs(step[at] + rounds * modulus - due) <= max(1, modulus // 16)) & (due < _LONGEST_PAUSE)
        self.n_resolved += int(np.count_nonzero(fits & (rounds > 0)))
        self.n_unresolved += int(np.count_nonzero(~fits))
        extra = np.zeros(len(extended), np.int64)
        extra[at] = np.where(fits, np.maximum(rounds, 0), 0) * modulus
        shift = self._shift + np.cumsum(extra)
        self._shift = int(shift[-1])
        return extended + shift

    def _join_breaks(self, extended: Int64Array, breaks: Int64Array) -> None:
        """Let each announced break follow the highest number, in place."""
        ends = np.append(breaks[1:], len(extended))
        if breaks[0] > 0:
            top = int(extended[: breaks[0]].max())
            self.highest = top if self.highest is None else max(top, self.highest)
        moved = 0
        for start, end in zip(breaks.tolist(), ends.tolist(), strict=True):
            part = extended[start:end]
            if self.highest is not None:
                moved += self.highest + 1 - int(part[0]) - moved
                part += moved
            top = int(part.max())
            self.highest = top if self.highest is None else max(top, self.highest)
        self._shift += moved
