"""Probes like one that is known already, read quickly: what sets them apart is number, time of sending and check alone.

`decode` asks every question of every packet. Where a whole batch continues one stream, the answers are those of the
packet before, and comparing says so: a header is eight 64-bit words, of which five never change within a stream.
Numbers, times and the check of each are still read and proven; whatever is not exactly so is left to `decode`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocols.layout import Rows

_FIXED = (0, 1, 4, 5, 6)
"""Magic, version, length and flags; stream id and epoch; start of the schedule; interval; count."""
_SEQUENCE, _SENT, _CHECK = 2, 3, 7
_WORDS = 8
_FLAGS = slice(6, 8)
_SUM = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


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
        words = np.ascontiguousarray(header[: 8 * _WORDS]).view(np.uint64)
        self._expected = [(column, words[column]) for column in _FIXED]
        fixed = _native(words[list(_FIXED)])
        self._sum = (fixed + (fixed >> _HALF)).sum(dtype=np.uint64) & _SUM

    def __call__(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return numbers and times of sending, shape (n,) each, if every row is a sound probe of the stream; else None.

        Args:
          rows: packets, each with its 64 bytes of header at least, shape (n, width), contiguous in each row.
        """
        words = rows[:, : 8 * _WORDS].view(np.uint64)
        for column, expected in self._expected:
            if not (words[:, column] == expected).all():
                return None
        seq, sent, check = (_native(words[:, column]) for column in (_SEQUENCE, _SENT, _CHECK))
        total = seq >> _HALF
        total += seq
        total += sent
        total += check
        sent_high = sent >> _HALF
        total += sent_high
        np.right_shift(check, _HALF, out=check)  # reserved
        total += check
        total += self._sum
        total &= _SUM
        is_sound = bool((total == _SUM).all())
        numbers, times = seq.view(np.int64), sent.view(np.int64)
        # a number or time from the upper half of its range is for `decode` to judge
        return (numbers, times) if is_sound and int(numbers.min()) >= 0 and int(times.min()) >= 0 else None


def follow_probe(header: NDArray[np.uint8]) -> ProbeFollower | None:
    """Return the follower of a probe that `decode` took; None when its flags say that there is more to look at."""
    return None if header[_FLAGS].any() else ProbeFollower(header)


def _native(column: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a column of network order as numbers of this machine; a copy."""
    numbers: NDArray[np.uint64] = column.view(">u8").astype(np.uint64)
    return numbers
