"""Trains of packets of one stream whose numbers rise, proven at a cost that does not depend on their lengths.

Within such a train nothing is lost, late or copied, and the delay does not vary; all that can happen, happens from one
train to the next. Trains of which this cannot be said are expanded, and their packets looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.runs import RunSet
from harness.analyzer.sequence import LIMIT, Extender
from harness.model import StreamInfo, TrainArray

Int64Array = NDArray[np.int64]

_WORD = np.dtype("<i8")
_REST, _FLAGS_SHIFT = 3, 40
"""After number and times, the word that holds stream, size, ttl and flags."""
_MOST = 1 << 32
"""Packets of a train; more are no train, and would pass the numbers that 64 bits hold."""


@dataclass(frozen=True, slots=True)
class RisingTrains:
    """Trains of one stream in arrival order, shape (k,) each, k > 0: every number above all before it.

    Attributes:
      first: extended number of each train's first packet.
      end: the number after that of its last packet.
      rx_ns: receive times.
      tx_ns: sender's stamps, all defined.
      delay_ns: one-way delays, none later than Tmax.
      change_ns: from the delay of each train to that of the one after it, shape (k - 1,).
      shortest_ns: least delay.
      longest_ns: largest delay.
      n_each: packets of each train, 1 or more.
      missing: numbers between each train and the one after it, shape (k - 1,).
      n: packets of all.
    """

    first: Int64Array
    end: Int64Array
    rx_ns: Int64Array
    tx_ns: Int64Array
    delay_ns: Int64Array
    change_ns: Int64Array
    shortest_ns: int
    longest_ns: int
    n_each: Int64Array
    missing: Int64Array
    n: int

    def add_to(self, runs: RunSet) -> None:
        """Add the numbers to a set that has none above the first of them."""
        breaks = self.missing.nonzero()[0]
        if not len(breaks):
            runs.add_run(int(self.first[0]), int(self.end[-1]) - 1, int(self.tx_ns[0]), int(self.tx_ns[-1]))
            return
        opens, closes = np.append(0, breaks + 1), np.append(breaks, len(self.first) - 1)
        runs.add_runs(np.stack((self.first[opens], self.end[closes], self.tx_ns[opens], self.tx_ns[closes])))

    def newest(self, most: int) -> Int64Array:
        """Return the last packets, at most so many: shape (3, n), extended numbers, receive times, delays."""
        n_back = self.n_each[::-1].cumsum()
        start = max(0, len(n_back) - 1 - int(n_back.searchsorted(most)))
        n_each = self.n_each[start:]
        packets = np.repeat(np.stack((self.first[start:], self.rx_ns[start:], self.delay_ns[start:])), n_each, axis=1)
        packets[0] += np.arange(packets.shape[1]) - np.repeat(n_each.cumsum() - n_each, n_each)
        return packets[:, -most:]


def rising_trains(
    trains: TrainArray, info: StreamInfo, extender: Extender, bounds: tuple[int, int], tmax_ns: int | None, special: int
) -> RisingTrains | None:
    """Return the trains with their extended numbers, the extender moved on; None, nothing changed, without a proof.

    Args:
      trains: TRAIN_DTYPE, shape (k,), k > 0, all of the stream, in arrival order.
      info: the stream.
      extender: which has extended the numbers before them.
      bounds: the lowest possible number on the wire and the one after the highest.
      tmax_ns: one-way delay above which a packet counts as lost; None for never.
      special: flags of packets that cannot be counted by their numbers alone.
    """
    if not info.sequence_bits or info.clock_rate:
        return None
    columns = np.ascontiguousarray(np.ascontiguousarray(trains).view(_WORD).reshape(-1, 5).T)
    seq, tx_ns, rx_ns, rest, n_each = columns
    if int(np.bitwise_or.reduce(rest)) >> _FLAGS_SHIFT & special:
        return None
    values = columns[:_REST]
    if int(values.min()) <= -LIMIT or int(values.max()) >= LIMIT or int(n_each.min()) < 1 or int(n_each.max()) > _MOST:
        return None
    end = seq + n_each
    missing = seq[1:] - end[:-1]
    first, last = int(seq[0]), int(end[-1]) - 1
    if first < bounds[0] or last >= bounds[1] or (len(missing) and int(missing.min()) < 0):
        return None
    delay_ns = rx_ns - tx_ns
    if info.clock_offset_ns:
        delay_ns -= info.clock_offset_ns
    longest_ns = int(delay_ns.max())
    if tmax_ns is not None and longest_ns > tmax_ns:
        return None
    number = extender.advance(first, last, int(tx_ns[-1]))
    if number is None:
        return None
    if number != first:
        seq += number - first
        end += number - first
    return RisingTrains(
        first=seq,
        end=end,
        rx_ns=rx_ns,
        tx_ns=tx_ns,
        delay_ns=delay_ns,
        change_ns=delay_ns[1:] - delay_ns[:-1],
        shortest_ns=int(delay_ns.min()),
        longest_ns=longest_ns,
        n_each=n_each,
        missing=missing,
        n=int(n_each.sum()),
    )
