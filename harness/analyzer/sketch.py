"""A distribution of integer nanoseconds in bounded memory: integer counts in buckets of equal relative width.

A bucket is an octave's 256th: the exponent and the eight leading bits of the mantissa of the value as a float. Finding
it is a cast and a shift, counts add up exactly in any order, and a percentile is the mean of its bucket, within a 256th
of every value in it and exact where all are equal. Minimum, maximum, sum and number are exact beside the buckets; zero
and negative values have buckets of their own.
"""

from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from harness.model import Distribution

RELATIVE_ERROR = 1 / 256
"""Largest error of a percentile, relative to the value."""

PERCENTILES = ("50", "90", "99", "99.9")
HISTOGRAM_BINS = 128

_SUB_BITS = 8
_SHIFT = 52 - _SUB_BITS
_KEY_OF_ONE = 1023 << _SUB_BITS
_EXACT = 2**53
"""Floats count whole numbers exactly below this, in whatever order they are added."""
_WORTHWHILE = 8
"""Equal values in a row, on average, from which on it is quicker to count rows of them."""

Int64Array = NDArray[np.int64]


def bucket_keys(values: Int64Array) -> Int64Array:
    """Return the bucket of each value: 0 for 0, rising with the value, negative for negative values.

    >>> bucket_keys(np.array([-1, 0, 1, 2])).tolist()
    [-1, 0, 1, 257]
    """
    bits = np.abs(values).astype(np.float64).view(np.int64)
    bits >>= _SHIFT
    bits -= _KEY_OF_ONE - 1
    np.maximum(bits, 0, out=bits)
    is_negative = values < 0
    if is_negative.any():
        np.negative(bits, out=bits, where=is_negative)
    return bits


def _magnitude(key: int) -> float:
    """Return the lower edge of the bucket `key` >= 1."""
    return float(np.int64((key + _KEY_OF_ONE - 1) << _SHIFT).view(np.float64))


def bucket_edge(key: int) -> float:
    """Return the edge below a bucket in ns; the edge above it is that of the next bucket."""
    return _magnitude(key) if key > 0 else 0.0 if key == 0 else -_magnitude(1 - key)


def exact_sum(values: Int64Array) -> int:
    """Return the sum as an unbounded integer, also where 64 bits would overflow."""
    if not len(values):
        return 0
    largest = max(abs(int(values.max())), abs(int(values.min())))
    if largest < 2**62 // len(values):
        return int(values.sum())
    return (int((values >> 24).sum()) << 24) + int((values & 0xFFFFFF).sum())


def _runs_of_equals(values: Int64Array) -> Int64Array | None:
    """Return how often each value follows itself, shape (k,), where that makes the work much less; else None."""
    changes = np.flatnonzero(values[1:] != values[:-1])
    if len(changes) * _WORTHWHILE > len(values):
        return None
    return np.diff(changes, prepend=-1, append=len(values) - 1)


class Sketch:
    """A mergeable distribution: `add`, `merge`, then `percentile` and `distribution`.

    Attributes:
      n, total, minimum, maximum: exact; minimum and maximum are None without samples.

    >>> sketch = Sketch()
    >>> sketch.add(np.array([100, 110, 90, 500]))
    >>> sketch.percentile("50", n_undefined=1), sketch.percentile("99", n_undefined=1)
    (110.0, None)
    """

    __slots__ = ("_counts", "_low", "_sums", "maximum", "minimum", "n", "total")

    def __init__(self) -> None:
        self.n = 0
        self.total = 0
        self.minimum: int | None = None
        self.maximum: int | None = None
        self._low = 0
        self._counts: Int64Array = np.zeros(0, np.int64)
        self._sums: NDArray[np.float64] = np.zeros(0)

    def add(self, values: Int64Array) -> None:
        """Count values, shape (n,), each within +-2**62."""
        if not len(values):
            return
        low, high = int(values.min()), int(values.max())
        self._widen(low, high)
        self.n += len(values)
        if low == high and abs(low) * len(values) < _EXACT:  # a media clock's steps: no need to look at each
            key = int(bucket_keys(values[:1])[0])
            self.total += low * len(values)
            self._reserve(key, key + 1)
            self._counts[key - self._low] += len(values)
            self._sums[key - self._low] += low * len(values)
            return
        self.total += exact_sum(values)
        n_each = _runs_of_equals(values) if max(abs(low), abs(high)) * len(values) < _EXACT else None
        if n_each is not None:  # receive offload: what came in one buffer has one time
            values = values[np.cumsum(n_each) - n_each]
        self._count(values, n_each)

    def add_repeated(self, values: Int64Array, n_each: Int64Array) -> None:
        """Count values, shape (k,), each within +-2**62 and as often as `n_each`, shape (k,), 1 or more, says."""
        if not len(values):
            return
        low, high = int(values.min()), int(values.max())
        self._widen(low, high)
        n = int(n_each.sum())
        self.n += n
        if max(abs(low), abs(high)) < 2**62 // n:
            self.total += int(values @ n_each)
        else:
            self.total += sum(map(operator.mul, values.tolist(), n_each.tolist()))
        self._count(values, n_each)

    def _count(self, values: Int64Array, n_each: Int64Array | None) -> None:
        """Count values in their buckets, once or `n_each` times."""
        keys = bucket_keys(values)
        first = int(keys.min())
        keys -= first
        counts = np.bincount(keys, weights=n_each)
        self._reserve(first, first + len(counts))
        place = slice(first - self._low, first - self._low + len(counts))
        self._counts[place] += counts.astype(np.int64, copy=False)
        self._sums[place] += np.bincount(
            keys, weights=values if n_each is None else np.multiply(values, n_each, dtype=np.float64)
        )

    def merge(self, other: Sketch) -> None:
        """Count all that the other sketch has counted."""
        if not other.n or other.minimum is None or other.maximum is None:
            return
        self._widen(other.minimum, other.maximum)
        self.n += other.n
        self.total += other.total
        self._reserve(other._low, other._low + len(other._counts))
        place = slice(other._low - self._low, other._low - self._low + len(other._counts))
        self._counts[place] += other._counts
        self._sums[place] += other._sums

    def percentile(self, percent: str, n_undefined: int = 0) -> float | None:
        """Return the smallest value x with F(x) >= percent (RFC 2330 11.3).

        Args:
          percent: the percentage as a decimal number, "99.9".
          n_undefined: samples that count as +infinity (RFC 7679 5.1).

        Returns:
          The value in ns, good to RELATIVE_ERROR; None without samples or where it is infinite.
        """
        fraction = Fraction(percent) / 100 * (self.n + n_undefined)
        rank = max(1, -(-fraction.numerator // fraction.denominator))
        if rank > self.n or self.minimum is None or self.maximum is None:
            return None
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        value = float(self._sums[at] / self._counts[at])
        return min(max(value, float(self.minimum)), float(self.maximum))

    def distribution(self, n_undefined: int = 0) -> Distribution:
        """Return the figures for the summary; a percentile that is infinite is left out."""
        if not self.n:
            return Distribution(n=0)
        found = {percent: self.percentile(percent, n_undefined) for percent in PERCENTILES}
        edges, counts = self._histogram()
        return Distribution(
            n=self.n,
            minimum_ns=self.minimum,
            maximum_ns=self.maximum,
            mean_ns=float(Fraction(self.total, self.n)),
            percentiles_ns={percent: value for percent, value in found.items() if value is not None},
            relative_error=RELATIVE_ERROR,
            edges_ns=edges,
            counts=counts,
        )

    def _histogram(self) -> tuple[list[float], list[int]]:
        """Return edges and counts of at most HISTOGRAM_BINS bins, each a power of two of neighbouring buckets."""
        used = np.flatnonzero(self._counts)
        first, last = int(used[0]) + self._low, int(used[-1]) + self._low
        level = 0
        while (last >> level) - (first >> level) >= HISTOGRAM_BINS:
            level += 1
        bins = ((used + self._low) >> level) - (first >> level)
        counts = np.zeros(int(bins[-1]) + 1, np.int64)
        np.add.at(counts, bins, self._counts[used])
        edges = [bucket_edge(((first >> level) + step) << level) for step in range(len(counts) + 1)]
        return edges, counts.tolist()

    def _widen(self, low: int, high: int) -> None:
        self.minimum = low if self.minimum is None else min(low, self.minimum)
        self.maximum = high if self.maximum is None else max(high, self.maximum)

    def _reserve(self, low: int, high: int) -> None:
        """Make room for the buckets low .. high - 1."""
        if not len(self._counts):
            self._low = low
        before = max(0, self._low - low)
        after = max(0, high - self._low - len(self._counts))
        if before or after:
            self._low -= before
            self._counts = np.pad(self._counts, (before, after))
            self._sums = np.pad(self._sums, (before, after))
