"""Batches of one known stream, the quick way: what is usual for a whole batch is found out once for it, not by packet.

Nearly every batch is of one stream, all of it sound. Then flow, stream and record are those of the batch before but for
numbers and times; `protocols.following` proves it packet by packet. Whatever is otherwise, in any packet, sends the
whole batch the long way, which has the say on everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.model import (
    FLOW_BYTES,
    PACKET_DTYPE,
    TRAIN_DTYPE,
    Alike,
    Batch,
    Datagrams,
    PacketArray,
    PacketFlag,
    Runs,
    TrainArray,
)
from protocols.following import FOLLOWED_ROWS
from protocols.schema import Follow, Protocol

_FLOW_WORDS = FLOW_BYTES // 8
_TTL_SHIFT, _FLAGS_SHIFT, _SIZE_SHIFT = 32, 40, 16
"""Where PACKET_DTYPE holds them in its last word, in bits, above the stream's number."""

_ODD = PacketFlag.MISDELIVERED | PacketFlag.TRUNCATED


class KnownStream:
    """The stream of a batch that the long way has been through.

    Args:
      number: of the stream.
      flow: the first FLOW_BYTES bytes of its datagrams' records.
      size: bytes of each packet.
      n_needed: of which the first so many have to be at hand.
      follow: reads its packets.
    """

    def __init__(self, number: int, flow: bytes, size: int, n_needed: int, follow: Follow) -> None:
        self.number, self.flow, self._size, self._follow = number, flow, size, follow
        self._n_needed = n_needed
        self._flow_words = np.frombuffer(flow, np.uint64)
        self._constant = self.number | min(size, 0xFFFF) << _SIZE_SHIFT
        self._fitting: PacketArray | None = None  # what batches share that fit, and the last word of their records
        self._fitting_word = 0

    def records(self, batch: Batch) -> PacketArray | None:
        """Return the records of a batch, PACKET_DTYPE, shape (n,), if all of it is of this stream, and sound."""
        if not self._fits(batch):
            return None
        records = np.empty(len(batch), PACKET_DTYPE)
        columns = records.view("<i8").reshape(len(batch), -1)
        rows = batch.front if isinstance(batch, Alike) else batch.data
        for start in range(0, len(batch), FOLLOWED_ROWS):
            part = slice(start, start + FOLLOWED_ROWS)
            found = self._follow(rows[part])
            if found is None:
                return None
            columns[part, 0], columns[part, 1] = found
        shared, rx_ns = self._last_words(batch), batch.arrivals_ns
        if isinstance(batch, Runs):
            rx_ns = np.repeat(rx_ns, batch.counts)
            shared = shared if isinstance(shared, int) else np.repeat(shared, batch.counts)
        columns[:, 2], columns[:, 3] = rx_ns, shared
        return records

    def trains(self, batch: Runs) -> TrainArray | None:
        """Return a batch as trains, TRAIN_DTYPE, shape (k,), if all is of this stream, sound, and each run a train."""
        if not self._fits(batch):
            return None
        found = self._follow.trains(batch.data, batch.counts)
        if found is None:
            return None
        trains = np.empty(len(batch.counts), TRAIN_DTYPE)
        columns = trains.view("<i8").reshape(len(trains), -1)
        columns[:, 0], columns[:, 1] = found
        columns[:, 2], columns[:, 3], columns[:, 4] = batch.arrivals_ns, self._last_words(batch), batch.counts
        return trains

    def _fits(self, batch: Batch) -> bool:
        """Whether flow, size and flags of every datagram are those of the stream's."""
        if batch.shared is not None and batch.shared is self._fitting:  # nearly always
            return True
        heads = batch.heads
        words = heads.view(np.uint64).reshape(len(heads), -1)[:, :_FLOW_WORDS]
        fits = (
            _is_of_size(batch, self._size, self._n_needed)
            and bool((words == self._flow_words).all())
            and not (heads["flags"] & np.uint8(_ODD)).any()
        )
        if fits and batch.shared is not None:
            self._fitting, self._fitting_word = batch.shared, int(self._words_of(batch.shared)[0])
        return fits

    def _last_words(self, batch: Batch) -> NDArray[np.int64] | int:
        """Return the last words of the records of a batch that fits, one for each head, or one for all."""
        return self._words_of(batch.heads) if batch.shared is None else self._fitting_word

    def _words_of(self, heads: PacketArray) -> NDArray[np.int64]:
        words = heads["flags"].astype(np.int64) << _FLAGS_SHIFT
        words |= heads["ttl"].astype(np.int64) << _TTL_SHIFT
        words |= self._constant
        return words


def known_stream(protocol: Protocol, batch: Batch, records: PacketArray) -> KnownStream | None:
    """Return what the next batch may be compared with, after the long way made `records` of this one; None if nothing.

    Only a batch of one stream, every datagram of which is a sound packet of one size, tells enough.
    """
    if protocol.follow is None or not len(records) or len(records) != len(batch):
        return None
    size, number = int(batch.heads["size"][0]), int(records["stream"][0])
    is_plain = (records["flags"] & ~np.uint8(PacketFlag.USER_STAMP) == 0).all() and (records["stream"] == number).all()
    n_needed = protocol.layout.size
    if not is_plain or not _is_of_size(batch, size, n_needed):
        return None
    first = batch.front[0] if isinstance(batch, Alike) else batch.data[0]
    follow = protocol.follow(first) if len(first) >= n_needed else None
    return None if follow is None else KnownStream(number, flow_of(batch), size, n_needed, follow)


def flow_of(batch: Batch) -> bytes:
    """Return the flow of a batch's first datagram, FLOW_BYTES bytes."""
    return batch.heads[:1].view(np.uint8)[:FLOW_BYTES].tobytes()


def split(batch: Batch, n_first: int) -> tuple[Batch, Batch]:
    """Return a batch as two, the first of about so many datagrams, at least one; of runs, of whole ones."""
    if isinstance(batch, Runs):
        n_heads = max(1, int(np.searchsorted(np.cumsum(batch.counts), n_first, side="right")))
        n_rows = int(batch.counts[:n_heads].sum())
        return (
            Runs(batch.data[:n_rows], batch.heads[:n_heads], batch.counts[:n_heads], batch.tails[:n_heads]),
            Runs(batch.data[n_rows:], batch.heads[n_heads:], batch.counts[n_heads:], batch.tails[n_heads:]),
        )
    whole = batch if isinstance(batch, Datagrams) else Datagrams(batch.data, batch.kept, batch.meta)
    return _part(whole, slice(0, n_first)), _part(whole, slice(n_first, None))


def _part(datagrams: Datagrams, rows: slice) -> Datagrams:
    return Datagrams(datagrams.data[rows], datagrams.kept[rows], datagrams.meta[rows])


def _is_of_size(batch: Batch, size: int, n_needed: int) -> bool:
    """Whether every datagram is of this size, and at hand as far as it is needed."""
    n_needed = min(size, n_needed)
    if isinstance(batch, Runs):
        is_there = batch.data.shape[1] == size and bool((batch.tails == size).all())
    elif isinstance(batch, Alike):
        is_there = batch.n_kept >= n_needed
    else:
        is_there = bool((batch.kept >= n_needed).all())
    return is_there and bool((batch.heads["size"] == size).all())
