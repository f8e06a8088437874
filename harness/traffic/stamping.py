"""One probe at a time, quickly: what `fill_probes` writes for a batch, written for a single one in two microseconds.

A paced stream sends one probe at a time, and whatever lies between its stamp and the system call counts as delay.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from protocols.probe import HEADER_SIZE, fill_probes

_SEQ_AND_SENT = struct.Struct(">Qq")
_SEQ_AT = 16
_CHECK = struct.Struct(">I")
_CHECK_AT = 60
_WORD = 0xFFFFFFFF


class SingleStamp:
    """Writes single probes of one stream, into one row that is used again and again.

    Args:
      row: shape (1, size), uint8, contiguous; it is filled at once.
      stream_id, epoch, schedule_start_ns, interval_ns, flags: as for `fill_probes`.
    """

    def __init__(
        self,
        row: NDArray[np.uint8],
        *,
        stream_id: int,
        epoch: int,
        schedule_start_ns: int,
        interval_ns: int,
        flags: int,
    ) -> None:
        zero = np.zeros(1, dtype=np.int64)
        fill_probes(
            row,
            stream_id=stream_id,
            epoch=epoch,
            seq=zero,
            tx_ns=zero,
            schedule_start_ns=schedule_start_ns,
            interval_ns=interval_ns,
            flags=flags,
        )
        self.row = row
        self._header = row[0, :HEADER_SIZE].data
        (self._check,) = _CHECK.unpack_from(self._header, _CHECK_AT)  # of number 0 sent at 0

    def stamp(self, seq: int, tx_ns: int) -> None:
        """Write number and time of sending, both at least 0 and below 2**63, and the check that goes with them."""
        _SEQ_AND_SENT.pack_into(self._header, _SEQ_AT, seq, tx_ns)
        added = (seq >> 32) + (seq & _WORD) + (tx_ns >> 32) + (tx_ns & _WORD)
        _CHECK.pack_into(self._header, _CHECK_AT, (self._check - added) & _WORD)
