"""Probes of one stream, stamped quickly: of a header written once, only number, time and check change.

A paced stream sends one probe at a time, and whatever lies between its stamp and the system call counts as delay: it is
written in two microseconds. A stream at full rate sends thousands of consecutive numbers at a time, with one stamp.
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


class _Rows:
    """Rows that hold probes of one stream, all with number 0 and sent at 0.

    Args:
      rows: shape (n, size), uint8, contiguous; they are filled at once.
      stream_id, epoch, schedule_start_ns, interval_ns, flags: as for `fill_probes`.
    """

    def __init__(
        self,
        rows: NDArray[np.uint8],
        *,
        stream_id: int,
        epoch: int,
        schedule_start_ns: int,
        interval_ns: int,
        flags: int,
    ) -> None:
        zero = np.zeros(len(rows), dtype=np.int64)
        fill_probes(
            rows,
            stream_id=stream_id,
            epoch=epoch,
            seq=zero,
            tx_ns=zero,
            schedule_start_ns=schedule_start_ns,
            interval_ns=interval_ns,
            flags=flags,
        )
        self.rows = rows
        (self._check,) = _CHECK.unpack_from(rows[0, :HEADER_SIZE].data, _CHECK_AT)

    def _check_of(self, seq: int, tx_ns: int) -> int:
        """Return the check of a probe with this number and time of sending."""
        added = (seq >> 32) + (seq & _WORD) + (tx_ns >> 32) + (tx_ns & _WORD)
        return int(self._check - added) & _WORD


class SingleStamp(_Rows):
    """Writes single probes of one stream, into one row, shape (1, size), that is used again and again."""

    def __init__(self, row: NDArray[np.uint8], **identity: int) -> None:
        super().__init__(row, **identity)
        self._header = row[0, :HEADER_SIZE].data

    def stamp(self, seq: int, tx_ns: int) -> None:
        """Write number and time of sending, both at least 0 and below 2**63, and the check that goes with them."""
        _SEQ_AND_SENT.pack_into(self._header, _SEQ_AT, seq, tx_ns)
        _CHECK.pack_into(self._header, _CHECK_AT, self._check_of(seq, tx_ns))


class RampStamp(_Rows):
    """Writes probes with consecutive numbers and one time of sending, into rows that are used again and again.

    Whoever writes whole probes of the same stream into the rows does no harm.
    """

    def __init__(self, rows: NDArray[np.uint8], **identity: int) -> None:
        super().__init__(rows, **identity)
        numbers = rows[:, _SEQ_AT : _SEQ_AT + 16].view(">u8")
        self._seq, self._sent = numbers[:, 0], numbers[:, 1]
        self._checks = rows[:, _CHECK_AT : _CHECK_AT + 4].view(">u4")[:, 0]
        self._ramp = np.arange(len(rows), dtype=np.uint64)
        self._fall = (-self._ramp.astype(np.int64)).astype(np.uint32)

    def stamp(self, first_seq: int, n: int, tx_ns: int) -> NDArray[np.uint8]:
        """Write probes `first_seq` and on, sent at `tx_ns`, and return their rows, shape (n, size).

        Numbers and time are at least 0 and below 2**63; n is at most the capacity.
        """
        np.add(self._ramp[:n], np.uint64(first_seq), out=self._seq[:n], casting="unsafe")
        self._sent[:n] = tx_ns
        first_check = np.uint32(self._check_of(first_seq, tx_ns))
        np.add(self._fall[:n], first_check, out=self._checks[:n], casting="unsafe")
        n_below = (1 << 32) - (first_seq & _WORD)
        if n > n_below:  # the lower half starts anew, and the upper one adds 1
            self._checks[n_below:n] = self._checks[n_below:n].astype(np.uint32) - np.uint32(1)
        return self.rows[:n]
