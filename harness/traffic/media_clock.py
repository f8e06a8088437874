"""The rate of a media clock that nobody named: by the packets' own type, or estimated from when they arrived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.units import NS_PER_S
from protocols.decoded import Decoded
from protocols.schema import Protocol

Int64Array = NDArray[np.int64]

USUAL_RATES = (
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 90_000, 96_000, 176_400, 192_000,
)  # fmt: skip
"""Rates of RFC 3551, AES67 and ST 2110; two neighbours lie 2 % apart or more."""
_TOLERANCE = 0.004
_ENOUGH = 50
_SPAN_NS = NS_PER_S // 2
"""Arrivals this long apart, each a few ms early or late, tell two usual rates apart."""


def media_clock_rate(
    protocol: Protocol, decoded: Decoded, places: Int64Array, rx_ns: Int64Array
) -> tuple[int | None, str]:
    """Return the rate of one stream's media clock in ticks per second, and how it is known; None when it is not.

    Args:
      protocol: one with a `clock`.
      decoded: a batch.
      places: the records of the stream in it, in order of arrival, at least one.
      rx_ns: their receive times.
    """
    if protocol.clock_rate is not None:
        return protocol.clock_rate, "given"
    if protocol.clock_rates is not None:
        path, rates = protocol.clock_rates
        kind = int(decoded.field(path)[places[0]])
        if kind in rates:
            return rates[kind], f"{path.rpartition('.')[2].replace('_', ' ')} {kind}"
    rate = estimated_rate(decoded.tx[places], rx_ns, protocol.clock_bits)
    return rate, "" if rate is None else "estimated from the arrivals"


def estimated_rate(ticks: Int64Array, rx_ns: Int64Array, bits: int) -> int | None:
    """Return the usual rate at which a clock advances, over the whole and over either half; None when there is none.

    Args:
      ticks: the clock as on the wire, shape (n,), in order of arrival.
      rx_ns: receive times, shape (n,).
      bits: width of the clock, which wraps.

    >>> t = np.arange(1_000) * 1_000_000
    >>> estimated_rate(t * 48 // 1_000_000, t, 32), estimated_rate(t * 50 // 1_000_000, t, 32)
    (48000, None)
    """
    n = len(ticks)
    if n < _ENOUGH or int(rx_ns[-1]) - int(rx_ns[0]) < _SPAN_NS:
        return None
    half = 1 << (bits - 1)
    elapsed = np.concatenate(([0], np.cumsum(((np.diff(ticks) + half) & (2 * half - 1)) - half)))
    found = {_usual(elapsed, rx_ns, begin, end) for begin, end in ((0, n - 1), (0, n // 2), (n // 2, n - 1))}
    return found.pop() if len(found) == 1 else None


def _usual(elapsed: Int64Array, rx_ns: Int64Array, begin: int, end: int) -> int | None:
    span_ns = int(rx_ns[end]) - int(rx_ns[begin])
    if span_ns <= 0:
        return None
    rate = int(elapsed[end] - elapsed[begin]) * NS_PER_S / span_ns
    nearest = min(USUAL_RATES, key=lambda usual: abs(usual - rate))
    return nearest if abs(rate - nearest) <= _TOLERANCE * nearest else None
