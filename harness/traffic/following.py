"""Batches of one known stream, the quick way: what is usual for a whole batch is found out once for it, not by packet.

Nearly every batch is of one stream, all of it sound. Then flow, stream and record are those of the batch before but for
numbers and times; `protocols.following` proves it packet by packet. Whatever is otherwise, in any packet, sends the
whole batch the long way, which has the say on everything.
"""

from __future__ import annotations

import numpy as np

from harness.model import FLOW_BYTES, PACKET_DTYPE, Alike, Batch, PacketArray, PacketFlag, Runs
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
      follow: reads its packets.
    """

    def __init__(self, number: int, flow: bytes, size: int, follow: Follow) -> None:
        self.number, self.flow, self._size, self._follow = number, flow, size, follow
        self._flow_words = np.frombuffer(flow, np.uint64)

    def records(self, batch: Batch) -> PacketArray | None:
        """Return the records of a batch, PACKET_DTYPE, shape (n,), if all of it is of this stream, and sound."""
        heads, size = batch.heads, self._size
        if not _is_of_size(batch, size):
            return None
        words = heads.view(np.uint64).reshape(len(heads), -1)[:, :_FLOW_WORDS]
        flags = heads["flags"].astype(np.int64)
        if not (words == self._flow_words).all() or (flags & _ODD).any():
            return None
        found = self._follow(batch.data)
        if found is None:
            return None
        shared = flags << _FLAGS_SHIFT | heads["ttl"].astype(np.int64) << _TTL_SHIFT
        shared |= self.number | min(size, 0xFFFF) << _SIZE_SHIFT
        rx_ns = batch.arrivals_ns
        if isinstance(batch, Runs):
            rx_ns, shared = np.repeat(rx_ns, batch.counts), np.repeat(shared, batch.counts)
        records = np.empty(len(batch), PACKET_DTYPE)
        columns = records.view("<i8").reshape(len(batch), -1)
        columns[:, 0], columns[:, 1] = found
        columns[:, 2], columns[:, 3] = rx_ns, shared
        return records


def known_stream(protocol: Protocol, batch: Batch, records: PacketArray) -> KnownStream | None:
    """Return what the next batch may be compared with, after the long way made `records` of this one; None if nothing.

    Only a batch of one stream, every datagram of which is a sound packet of one size, tells enough.
    """
    if protocol.follow is None or not len(records) or len(records) != len(batch):
        return None
    size, number = int(batch.heads["size"][0]), int(records["stream"][0])
    is_plain = (records["flags"] & ~np.uint8(PacketFlag.USER_STAMP) == 0).all() and (records["stream"] == number).all()
    if not is_plain or not _is_of_size(batch, size):
        return None
    follow = protocol.follow(batch.data[0])
    return None if follow is None else KnownStream(number, flow_of(batch), size, follow)


def flow_of(batch: Batch) -> bytes:
    """Return the flow of a batch's first datagram, FLOW_BYTES bytes."""
    return batch.heads[:1].view(np.uint8)[:FLOW_BYTES].tobytes()


def _is_of_size(batch: Batch, size: int) -> bool:
    """Whether every datagram is of this size and at hand as a whole."""
    if isinstance(batch, Runs):
        is_whole = batch.data.shape[1] == size and bool((batch.tails == size).all())
    else:
        is_whole = batch.data.shape[1] >= size and (isinstance(batch, Alike) or bool((batch.kept == size).all()))
    return is_whole and bool((batch.heads["size"] == size).all())
