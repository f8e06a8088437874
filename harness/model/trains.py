"""Packet trains: packets with consecutive numbers that are alike in all else, as one record.

Receive offload hands over up to 64 packets at a time, which came with one receive stamp and mostly left with one send
stamp. What holds for each of them is worked out once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.model.packets import PACKET_DTYPE, PacketArray

__all__ = ["TRAIN_DTYPE", "TrainArray", "expand_trains"]

TRAIN_DTYPE = np.dtype([*PACKET_DTYPE.descr, ("count", "<i8")])
"""One train: the fields of PACKET_DTYPE for its first packet, and `count`.

It stands for `count` packets with consecutive numbers from `seq`, all else alike; those of an unnumbered one are all
unnumbered. The numbers on the wire do not wrap within a train.
"""

TrainArray = NDArray[np.void]
"""A one-dimensional array of TRAIN_DTYPE records."""

_WORD = np.dtype("<i8")
_SEQ, _COUNT = 0, -1


def expand_trains(trains: TrainArray) -> PacketArray:
    """Return the packets of trains one by one, PACKET_DTYPE, shape (sum of the counts,), in their order.

    Args:
      trains: TRAIN_DTYPE, shape (k,), k = 0 allowed, and counts of 0 as well.

    >>> trains = np.zeros(2, TRAIN_DTYPE)
    >>> trains["seq"], trains["rx_ns"], trains["count"] = [5, 9], [70, 80], [3, 1]
    >>> expand_trains(trains)[["seq", "rx_ns"]].tolist()
    [(5, 70), (6, 70), (7, 70), (9, 80)]
    """
    words = np.ascontiguousarray(trains).view(_WORD).reshape(len(trains), TRAIN_DTYPE.itemsize // 8)
    count = words[:, _COUNT]
    packets = np.repeat(words[:, :_COUNT], count, axis=0)
    is_numbered = np.repeat(words[:, _SEQ] >= 0, count)
    place = np.arange(len(packets)) - np.repeat(np.cumsum(count) - count, count)
    packets[:, _SEQ] += np.where(is_numbered, place, 0)
    return packets.reshape(-1).view(PACKET_DTYPE)
