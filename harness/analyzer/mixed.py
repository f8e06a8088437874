"""Packets of many streams in arrival order -> packets of one stream at a time.

Sorting has its price for every batch, so the few packets that many streams have in one wait for those of the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from harness.errors import AnalysisError
from harness.model import PacketArray, TrainArray

T = TypeVar("T")

FEW_STREAMS = 64
"""With more streams than that a live view leaves the packets waiting that wait."""

_BATCH_ROWS = 512
"""Rows of a stream that make it worth while to take them; fewer wait."""
_MOST_WAITING = 1 << 22


class Mixed:
    """Gathers packets until it is worth while to sort them by stream.

    Attributes:
      n_waiting: packets put in and not yet returned.

    >>> from harness.model import PACKET_DTYPE
    >>> rows, mixed = np.zeros(4, PACKET_DTYPE), Mixed()
    >>> rows["stream"], rows["seq"] = [7, 3, 7, 3], [0, 0, 1, 1]
    >>> mixed.put(rows, 2), mixed.n_waiting
    ([], 4)
    >>> [(number, part["seq"].tolist()) for number, part in mixed.take()]
    [(3, [0, 1]), (7, [0, 1])]
    """

    __slots__ = ("_waiting", "n_waiting")

    def __init__(self) -> None:
        self._waiting: list[PacketArray] = []
        self.n_waiting = 0

    def put(self, packets: PacketArray, n_streams: int) -> list[tuple[int, PacketArray]]:
        """Take packets, PACKET_DTYPE, shape (n,), which may be reused later; return what is ripe, as `take` does.

        Args:
          packets: of any streams, in arrival order; n = 0 allowed.
          n_streams: streams that are known.
        """
        if not len(packets):
            return []
        number = int(packets["stream"][0])
        if (packets["stream"] == number).all() and (len(packets) >= _BATCH_ROWS or n_streams == 1):
            return [*self.take(), (number, packets)]
        self._waiting.append(packets.copy())
        self.n_waiting += len(packets)
        return self.take() if self.n_waiting >= min(_BATCH_ROWS * n_streams, _MOST_WAITING) else []

    def take(self) -> list[tuple[int, PacketArray]]:
        """Return all that waits: stream numbers and the packets of each in arrival order."""
        if not self._waiting:
            return []
        rows = np.concatenate(self._waiting)
        self._waiting, self.n_waiting = [], 0
        return by_stream(rows)


def by_stream(rows: PacketArray | TrainArray) -> list[tuple[int, PacketArray]]:
    """Return records sorted by their `stream`, shape (n,): each number once, with its records in order."""
    if not len(rows):
        return []
    if (rows["stream"] == rows["stream"][0]).all():
        return [(int(rows["stream"][0]), rows)]
    order = np.argsort(rows["stream"], kind="stable")
    rows = rows[order]
    starts = np.append(0, np.flatnonzero(np.diff(rows["stream"])) + 1).tolist()
    return [
        (int(rows["stream"][start]), rows[start:end])
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]


def stream_of(streams: Mapping[int, T], number: int) -> T:
    """Return the stream of that number.

    Raises:
      AnalysisError: it was not added.
    """
    stream = streams.get(number)
    if stream is None:
        raise AnalysisError(f"packets of stream {number}, which the manifest does not list; is it from this run?")
    return stream
