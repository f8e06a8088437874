"""The sender's own log: the witness for packets that never left, and for when each was due."""

from __future__ import annotations

import errno as _errno
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sequence import LIMIT, is_time
from harness.analyzer.sketch import Sketch
from harness.errors import AnalysisError
from harness.model import PacketArray, PacketFlag, SenderInfo, SenderSummary

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SentLog:
    """What a sender logged of one stream; n packets.

    Attributes:
      seq: numbers, shape (n,), rising strictly.
      due_ns: when each was due (when it left, where that is all that is known), shape (n,).
      is_sent: whether it left, shape (n,).
    """

    seq: Int64Array
    due_ns: Int64Array
    is_sent: NDArray[np.bool_]

    @classmethod
    def from_rows(cls, rows: PacketArray) -> SentLog:
        """Return the log in SENT_DTYPE rows of one stream, in any order; a number sent after a refusal counts as sent.

        Raises:
          AnalysisError: the rows are of several streams.
        """
        if len(rows) and (rows["stream"] != rows["stream"][0]).any():
            raise AnalysisError("a sender's log for one stream holds rows of several; select by `stream` first")
        rows = rows[(rows["flags"] & PacketFlag.END == 0) & (rows["seq"] >= 0) & (rows["seq"] < LIMIT)]
        rows = rows[np.argsort(rows["seq"], kind="stable")]
        first = np.flatnonzero(np.diff(rows["seq"], prepend=-1))
        is_sent = _left(rows)
        due = np.where(is_time(rows["due_ns"]), rows["due_ns"], rows["tx_ns"])
        if len(rows):
            is_sent = np.logical_or.reduceat(is_sent, first)
        return cls(rows["seq"][first], due[first], is_sent)

    @property
    def scheduled(self) -> int:
        """Packets scheduled as far as the log goes: the last number + 1."""
        return int(self.seq[-1]) + 1 if len(self.seq) else 0

    @property
    def not_sent(self) -> Int64Array:
        """Numbers that did not leave, ascending."""
        return self.seq[~self.is_sent]

    def went_on(self, after: int) -> bool:
        """Return whether a packet with a number of at least `after` left."""
        return bool((self.is_sent & (self.seq >= after)).any())


def _left(rows: PacketArray) -> NDArray[np.bool_]:
    left: NDArray[np.bool_] = (rows["errno"] == 0) & is_time(rows["tx_ns"])
    return left


class SenderFold:
    """Folds a sender's log of one stream, in any chunks and parts, to its summary."""

    def __init__(self, info: SenderInfo) -> None:
        self.info = info
        self._lateness = Sketch()
        self._scheduled = self._sent = 0
        self._errnos: dict[int, int] = {}

    def update(self, rows: PacketArray) -> None:
        """Take SENT_DTYPE rows of this stream, shape (n,)."""
        rows = rows[rows["flags"] & PacketFlag.END == 0]
        is_sent = _left(rows)
        self._scheduled += len(rows)
        self._sent += int(np.count_nonzero(is_sent))
        has_due = is_sent & is_time(rows["due_ns"])
        self._lateness.add(rows["tx_ns"][has_due] - rows["due_ns"][has_due])
        codes, counts = np.unique(rows["errno"][rows["errno"] != 0], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self._errnos[code] = self._errnos.get(code, 0) + count

    def merge(self, later: SenderFold) -> SenderFold:
        """Return the fold of both parts."""
        both = SenderFold(self.info)
        for part in (self, later):
            both._scheduled += part._scheduled
            both._sent += part._sent
            both._lateness.merge(part._lateness)
            for code, count in part._errnos.items():
                both._errnos[code] = both._errnos.get(code, 0) + count
        return both

    def summary(self) -> SenderSummary:
        """Return what the sender says of itself; `not_sent` are those that neither left nor were refused."""
        refused = sum(self._errnos.values())
        named = {_errno.errorcode.get(code, str(code)): count for code, count in sorted(self._errnos.items())}
        return SenderSummary(
            stream_id=self.info.stream_id,
            epoch=self.info.epoch,
            source=self.info.source,
            group=self.info.group,
            scheduled=self._scheduled,
            sent=self._sent,
            refused=refused,
            not_sent=self._scheduled - self._sent - refused,
            errnos=named,
            lateness=self._lateness.distribution(),
        )


def summarise_sender(info: SenderInfo, sent: PacketArray) -> SenderSummary:
    """Return the summary of a whole log of one stream, SENT_DTYPE, shape (n,)."""
    fold = SenderFold(info)
    fold.update(sent)
    return fold.summary()
