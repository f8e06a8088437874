"""Probes like one that is known already, read quickly: what sets them apart is number, time of sending and check alone.

`decode` asks every question of every packet. Where a whole batch continues one stream, the answers are those of the
packet before, and comparing says so: a header is eight 64-bit words, of which five never change within a stream.
Numbers, times and the check of each are still read and proven; whatever is not exactly so is left to `decode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protocols.layout import Rows

if TYPE_CHECKING:
    from protocols.schema import Found

_OWN = [2, 3, 7]
"""Words that differ from probe to probe: number, time of sending, check."""
_WORDS = 8
_FLAGS = slice(6, 8)
_SUM = 0xFFFFFFFF
_NUMBER, _TIME, _CHECK_HALF = 2, 3, 15
"""Where a header holds them: the first two as 64-bit words, the last as a 32-bit one."""
FOLLOWED_ROWS = 2048
"""Packets that are read at a time: what it takes beside them stays in a processor's cache, which nothing else does from
one read of a socket to the next."""
_MASK = np.tile(np.where(np.isin(np.arange(_WORDS), _OWN), np.uint64(0), ~np.uint64(0)), FOLLOWED_ROWS)
_BLOCK_ROWS = 8192
"""Packets of trains that are proven at a time: what they are compared with stays in a processor's cache."""


class ProbeFollower:
    """Reads probes of one stream.

    Args:
      header: the first 64 bytes of a probe of it that `decode` took, without any flag set.

    >>> from protocols.probe import fill_probes
    >>> rows = np.zeros((3, 64), np.uint8)
    >>> fill_probes(rows, stream_id=1, epoch=2, seq=np.arange(3), tx_ns=np.arange(3) * 10, schedule_start_ns=0,
    ...     interval_ns=10)
    >>> follow = ProbeFollower(rows[0])
    >>> follow(rows)
    (array([0, 1, 2]), array([ 0, 10, 20]))
    >>> rows[1, 20] ^= 1
    >>> follow(rows) is None
    True
    """

    def __init__(self, header: NDArray[np.uint8]) -> None:
        words = np.ascontiguousarray(header[: 8 * _WORDS]).view(np.uint64).copy()
        words[_OWN] = 0
        fixed = int(words.view(">u4").sum(dtype=np.uint64))
        self._own_sum = np.uint32((_SUM - fixed) & _SUM)  # what the halves of the others have to add up to
        self._expected = words  # one row, and then as many as were ever asked for, like the next three
        self._found, self._is_same = np.empty(0, np.uint64), np.empty(0, np.bool_)
        self._own = np.empty((len(_OWN), 0), np.uint64)
        self._block = np.empty((0, _WORDS), np.uint64)
        self._places = np.empty(0, np.int64)

    def __call__(self, rows: Rows) -> Found | None:
        """Return numbers and times of sending, shape (n,) each, if every row is a sound probe of the stream; else None.

        They are good until the next call.

        Args:
          rows: packets, each with its 64 bytes of header at least, shape (n, width), contiguous in each row; n is at
            most FOLLOWED_ROWS.
        """
        words = rows[:, : 8 * _WORDS].view(np.uint64)
        n_rows, n_words = words.shape[0], words.size
        if len(self._found) < n_words:  # there may be thousands of followers, most of them of a few packets at a time
            self._expected = np.tile(self._expected[:_WORDS], n_rows)
            self._found, self._is_same = np.empty(n_words, np.uint64), np.empty(n_words, np.bool_)
            self._own = np.empty((len(_OWN), n_rows), np.uint64)
        found, is_same = self._found[:n_words], self._is_same[:n_words]
        np.bitwise_and(words, _MASK[:n_words].reshape(n_rows, -1), out=found.reshape(n_rows, -1))
        if not np.equal(found, self._expected[:n_words], out=is_same).all():
            return None
        own, swapped = self._own[:, :n_rows], words.view(">u8")
        for place, column in enumerate(_OWN):
            own[place] = swapped[:, column]
        number, time, check = own.view(np.uint32)  # halves; with the check comes what is reserved
        total = number + time
        total += check
        if not (total[0::2] + total[1::2] == self._own_sum).all():
            return None
        numbers, times = seen = own[:2].view(np.int64)
        # a number or time from the upper half of its range is for `decode` to judge
        return (numbers, times) if int(seen.min()) >= 0 else None

    def trains(self, rows: Rows, counts: NDArray[np.int64]) -> Found | None:
        """Return number of the first packet and time of sending of trains, shape (k,) each, if all packets are theirs.

        What every packet of a train has to be follows from the first one, so that comparing proves them.

        Args:
          rows: packets, shape (n, width), the trains one after the other, contiguous in each row.
          counts: packets of each train, shape (k,), 1 at least, n together.

        Returns:
          None: a packet is no sound probe of the stream, or not like the one before it but for its number.
        """
        starts = np.cumsum(counts) - counts
        found = self(rows[starts]) if len(starts) <= FOLLOWED_ROWS else None
        if found is None:
            return None
        first, times = found
        if int((first & _SUM).max() + counts.max()) > _SUM:
            return None  # the upper half of a number would change, and with it the check by more than 1
        checks = np.int64(self._own_sum) - _sum_of_halves(first) - _sum_of_halves(times)
        places = self._reserve(len(rows))
        numbers = places + np.repeat(first - starts, counts)
        falling = np.repeat(checks + starts, counts) - places  # what exceeds 32 bits is cut off
        sent = np.repeat(times, counts)
        block, swapped, halves = self._block, self._block.view(">u8"), self._block.view(">u4")
        for start in range(0, len(rows), len(block)):
            part = slice(start, start + len(block))
            n_rows = len(numbers[part])
            swapped[:n_rows, _NUMBER] = numbers[part]
            swapped[:n_rows, _TIME] = sent[part]
            halves[:n_rows, _CHECK_HALF] = falling[part].astype(np.uint32)
            words = rows[part, : 8 * _WORDS].view(np.uint64)
            if not (block[:n_rows].reshape(-1) == words.reshape(-1)).all():
                return None
        return found

    def _reserve(self, n_rows: int) -> NDArray[np.int64]:
        """Return 0 .. n_rows - 1, and have a block of headers to compare with, but for the packets' own words."""
        if len(self._places) < n_rows:
            self._places = np.arange(n_rows)
            self._block = np.tile(self._expected[:_WORDS], (_BLOCK_ROWS, 1))
        return self._places[:n_rows]


def _sum_of_halves(words: NDArray[np.int64]) -> NDArray[np.int64]:
    return (words >> 32) + (words & _SUM)


def follow_probe(header: NDArray[np.uint8]) -> ProbeFollower | None:
    """Return the follower of a probe that `decode` took; None when its flags say that there is more to look at."""
    return None if header[_FLAGS].any() else ProbeFollower(header)
