"""Probes like one that is known already, read quickly: what sets them apart is number, time of sending and check alone.

`decode` asks every question of every packet. Where a whole batch continues one stream, the answers are those of the
packet before, and comparing says so: a header is eight 64-bit words, of which five never change within a stream.
Numbers, times and the check of each are still read and proven; whatever is not exactly so is left to `decode`.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from protocols.layout import Rows

_OWN = [2, 3, 7]
"""Words that differ from probe to probe: number, time of sending, check."""
_IS_LITTLE = sys.byteorder == "little"
_WORDS = 8
_FLAGS = slice(6, 8)
_SUM = 0xFFFFFFFF


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
        self._words = np.ascontiguousarray(header[: 8 * _WORDS]).view(np.uint64).copy()
        self._words[_OWN] = 0
        fixed = int(self._words.view(">u4").sum(dtype=np.uint64))
        self._own_sum = np.uint32((_SUM - fixed) & _SUM)  # what the halves of the others have to add up to
        self._expected = self._words

    def __call__(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return numbers and times of sending, shape (n,) each, if every row is a sound probe of the stream; else None.

        Args:
          rows: packets, each with its 64 bytes of header at least, shape (n, width), contiguous in each row.
        """
        n_rows = len(rows)
        words = rows[:, : 8 * _WORDS].view(np.uint64).copy()  # side by side, where they may have stood rows apart
        own = np.empty((len(_OWN), n_rows), np.uint64)
        for place, column in enumerate(_OWN):
            own[place] = words[:, column]
            words[:, column] = 0
        if len(self._expected) < words.size:
            self._expected = np.tile(self._words, n_rows)
        if not (words.reshape(-1) == self._expected[: words.size]).all():
            return None
        if _IS_LITTLE:
            own.byteswap(inplace=True)
        number, time, check = own.view(np.uint32)  # halves; with the check comes what is reserved
        total = number + time
        total += check
        if not (total[0::2] + total[1::2] == self._own_sum).all():
            return None
        numbers, times = seen = own[:2].view(np.int64)
        # a number or time from the upper half of its range is for `decode` to judge
        return (numbers, times) if int(seen.min()) >= 0 else None


def follow_probe(header: NDArray[np.uint8]) -> ProbeFollower | None:
    """Return the follower of a probe that `decode` took; None when its flags say that there is more to look at."""
    return None if header[_FLAGS].any() else ProbeFollower(header)
