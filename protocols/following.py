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
_NUMBER, _TIME, _CHECK = _OWN
"""Where a header holds them, in words; the check is the lower half of its word, and the upper one is reserved."""
FOLLOWED_ROWS = 2048
"""Packets that are read at a time: what it takes beside them stays in a processor's cache, which nothing else does from
one read of a socket to the next."""
_MASK = np.tile(np.where(np.isin(np.arange(_WORDS), _OWN), np.uint64(0), ~np.uint64(0)), FOLLOWED_ROWS)
_BLOCK_ROWS = 4096
"""Packets of trains that are compared and then read, before they have left a processor's cache."""
_OWN_SAME = int(np.isin(np.arange(_WORDS), _OWN).view(np.uint64)[0])
"""That these words are like those of the row before, of eight answers as one number."""

Words = NDArray[np.int64]


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
        self._pairs, self._columns = np.empty((0, _WORDS), np.bool_), np.empty((2, 0), np.int64)
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

        Within a train each packet is like the one before it, but that its number is one more and its check one less;
        and the first packet of each has to be a sound probe of the stream.

        Args:
          rows: packets, shape (n, width), the trains one after the other, contiguous in each row.
          counts: packets of each train, shape (k,), 1 at least, n together.

        Returns:
          None: a packet is no sound probe of the stream, or not like the one before it but for its number.
        """
        words, n_rows = rows[:, : 8 * _WORDS].view(np.uint64), len(rows)
        if not (words[0] & _MASK[:_WORDS] == self._expected[:_WORDS]).all():
            return None
        same, numbers, checks, places = self._reserve(n_rows)
        swapped = words.view(">i8")
        for start in range(0, n_rows, _BLOCK_ROWS):
            block, after = slice(start, start + _BLOCK_ROWS), slice(start + 1, start + _BLOCK_ROWS + 1)
            n_pairs = len(words[after])
            np.equal(words[block][:n_pairs], words[after], out=same[block][:n_pairs])
            np.subtract(swapped[block, _NUMBER], places[block], out=numbers[block])
            np.add(swapped[block, _CHECK], places[block], out=checks[block])
        same, ends = same[: n_rows - 1], np.cumsum(counts)
        np.equal(numbers[1:], numbers[:-1], out=same[:, _NUMBER])
        np.equal(checks[1:], checks[:-1], out=same[:, _CHECK])
        same.view(np.uint64)[ends[:-1] - 1, 0] |= _OWN_SAME  # from train to train
        if not same.all():
            return None
        own = words[ends - counts].view(">i8")[:, _OWN].astype(np.int64, order="C")
        first, times, first_checks = own.T
        is_sound = (
            int(own.min()) >= 0
            and int(first_checks.max()) <= _SUM  # nothing stands in what is reserved
            and int((first & _SUM).max()) + int(counts.max()) <= _SUM  # else a number's upper half would change, too
            and (own.view(np.uint32).sum(axis=1, dtype=np.uint32) == self._own_sum).all()
        )
        return (first, times) if is_sound else None

    def _reserve(self, n_rows: int) -> tuple[NDArray[np.bool_], Words, Words, Words]:
        """Return room for what is found out of so many rows, by word, twice by row, and 0 .. n_rows - 1."""
        if len(self._places) < n_rows:
            self._places = np.arange(n_rows)
            self._pairs = np.empty((n_rows, _WORDS), np.bool_)
            self._columns = np.empty((2, n_rows), np.int64)
        numbers, checks = self._columns[:, :n_rows]
        return self._pairs, numbers, checks, self._places[:n_rows]


def follow_probe(header: NDArray[np.uint8]) -> ProbeFollower | None:
    """Return the follower of a probe that `decode` took; None when its flags say that there is more to look at."""
    return None if header[_FLAGS].any() else ProbeFollower(header)
