"""Runs of one known stream, the quick way: what is usual for a whole batch is found out once for it, not by packet.

A receiver with offload gets runs: thousands of equal datagrams of one stream, all sound. Then flow, stream and record
are those of the batch before but for number, times and what a run shares; `protocols.following` proves it packet by
packet. Whatever is otherwise, in any packet, sends the whole batch the long way, which has the say on everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.model import FLOW_BYTES, PACKET_DTYPE, PacketArray, PacketFlag, Runs
from protocols.schema import Follow, Protocol

_FLOW_WORDS = FLOW_BYTES // 8
_TTL_SHIFT, _FLAGS_SHIFT, _SIZE_SHIFT = 32, 40, 16
"""Where PACKET_DTYPE holds them in its last word, in bits, above the stream's number."""


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

    def records(self, runs: Runs) -> PacketArray | None:
        """Return the records of a batch, PACKET_DTYPE, shape (n,), if all of it is of this stream, and sound."""
        heads, size = runs.heads, self._size
        if runs.data.shape[1] != size or not ((heads["size"] == size) & (runs.tails == size)).all():
            return None
        words = heads.view(np.uint64).reshape(len(heads), -1)[:, :_FLOW_WORDS]
        flags = heads["flags"].astype(np.int64)
        if not (words == self._flow_words).all() or (flags & PacketFlag.MISDELIVERED).any():
            return None
        found = self._follow(runs.data)
        if found is None:
            return None
        shared = flags << _FLAGS_SHIFT | heads["ttl"].astype(np.int64) << _TTL_SHIFT
        shared |= self.number | min(size, 0xFFFF) << _SIZE_SHIFT
        records = np.empty(len(runs), PACKET_DTYPE)
        columns = records.view("<i8").reshape(len(runs), -1)
        columns[:, 0], columns[:, 1] = found
        columns[:, 2] = np.repeat(heads["rx_ns"], runs.counts)
        columns[:, 3] = np.repeat(shared, runs.counts)
        return records


def known_stream(protocol: Protocol, runs: Runs, records: PacketArray) -> KnownStream | None:
    """Return what the next batch may be compared with, after the long way made `records` of this one; None if nothing.

    Only a batch of one stream, every datagram of which is a sound packet of one size, tells enough.
    """
    size, flow = _first_flow(runs)
    if protocol.follow is None or len(records) != len(runs) or runs.data.shape[1] != size:
        return None
    number = int(records["stream"][0])
    is_plain = (records["flags"] & ~np.uint8(PacketFlag.USER_STAMP) == 0).all() and (records["stream"] == number).all()
    if not is_plain or not (records["size"] == min(size, 0xFFFF)).all():
        return None
    follow = protocol.follow(runs.data[0])
    return None if follow is None else KnownStream(number, flow, size, follow)


def _first_flow(runs: Runs) -> tuple[int, bytes]:
    head: NDArray[np.void] = runs.heads[:1]
    return int(head["size"][0]), head.view(np.uint8)[:FLOW_BYTES].tobytes()
