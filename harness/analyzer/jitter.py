"""The interarrival jitter of RFC 3550 6.4.1, the only jitter here: J += (|D| - J) / 16 in arrival order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.trains import RisingTrains
from harness.units import NS_PER_S

Int64Array = NDArray[np.int64]

_DECAY = 15 / 16
_MEMORY = 4_096
"""(15/16)**4096 is 10**-115: what lies farther back weighs nothing."""
_WEIGHTS = _DECAY ** np.arange(_MEMORY - 1, -1, -1, dtype=np.float64)


class Jitter:
    """The running estimate over first copies in arrival order, from sender's stamps in ns or in media clock ticks.

    Attributes:
      n: differences counted; the estimate is undefined with none.
      value: the estimate in ns.

    >>> jitter = Jitter()
    >>> jitter.add(np.array([0, 176, 320, 496]), np.array([0, 160, 320, 480]))
    >>> jitter.n, jitter.value
    (3, 2.81640625)
    """

    __slots__ = ("_clock_rate", "_half", "_last", "n", "value")

    def __init__(self, clock_rate: int | None = None, clock_bits: int = 32) -> None:
        """Take the media clock's rate and width on the wire; without a rate the stamps are ns and do not wrap."""
        self._clock_rate = clock_rate
        self._half = 1 << (clock_bits - 1) if clock_rate is not None and clock_bits < 63 else None
        self._last: tuple[int, int] | None = None
        self.restart_counts()

    def restart_counts(self) -> None:
        """Count from zero, with the last packet kept."""
        self.n = 0
        self.value = 0.0

    def add(self, rx_ns: Int64Array, tx: Int64Array) -> None:
        """Take packets in arrival order: receive times in ns and sender's stamps, shape (n,) each."""
        if not len(rx_ns):
            return
        if self._last is None:
            self._last = int(rx_ns[0]), int(tx[0])
            rx_ns, tx = rx_ns[1:], tx[1:]
            if not len(rx_ns):
                return
        before, count = self._last, len(rx_ns)
        self._last = int(rx_ns[-1]), int(tx[-1])
        if count > _MEMORY:
            before = int(rx_ns[-_MEMORY - 1]), int(tx[-_MEMORY - 1])
            rx_ns, tx = rx_ns[-_MEMORY:], tx[-_MEMORY:]
        received, sent = np.diff(rx_ns, prepend=before[0]), np.diff(tx, prepend=before[1])
        if self._half is not None:
            sent = ((sent + self._half) & (2 * self._half - 1)) - self._half
        if self._clock_rate is None:
            size = np.abs(received - sent).astype(np.float64)
        else:
            size = np.abs(received - sent * (NS_PER_S / self._clock_rate))
        self.value = self.value * _DECAY**count + float(_WEIGHTS[_MEMORY - len(size) :] @ size) / 16
        self.n += count

    def add_trains(self, trains: RisingTrains) -> None:
        """Take trains, stamped in ns: within one D is 0, so that each further packet but takes a sixteenth away."""
        n_back = trains.n_each[::-1].cumsum()  # from each train's first packet to the end, the last train first
        heavy = int(n_back[:-1].searchsorted(_MEMORY, side="right"))
        size = np.abs(trains.change_ns[::-1][:heavy]).astype(np.float64)
        added = float(_WEIGHTS[_MEMORY - n_back[:heavy]] @ size)
        rx_ns, tx_ns, n = int(trains.rx_ns[0]), int(trains.tx_ns[0]), trains.n
        if self._last is None:
            n -= 1
        elif n <= _MEMORY:
            added += float(_WEIGHTS[_MEMORY - n]) * abs(rx_ns - self._last[0] - tx_ns + self._last[1])
        self._last = int(trains.rx_ns[-1]), int(trains.tx_ns[-1])
        self.value = self.value * _DECAY**n + added / 16
        self.n += n

    def append(self, later: Jitter) -> None:
        """Add what followed; `later` has counted from zero, after a packet that this one knows."""
        self.value = self.value * _DECAY**later.n + later.value
        self.n += later.n
        if later._last is not None:
            self._last = later._last
