"""The sender's own log of a stream: the witness for packets that never left, and for when each was due.

A log is folded as it is read. Of a stream with a fixed interval only the exceptions are kept, so that the log of a long
run needs no more memory than that of a short one; of an aperiodic one each packet's due time is part of the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sequence import LIMIT, is_time
from harness.errors import AnalysisError
from harness.model import PacketArray, PacketFlag

Int64Array = NDArray[np.int64]

_NO_NUMBERS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class SentLog:
    """What a sender logged of one stream.

    Attributes:
      n: distinct numbers logged.
      scheduled: the last number + 1; more than `n` when parts of the log are missing.
      last_sent: the highest number that left; -1 for none.
      not_sent: numbers that did not leave, ascending.
      seq, due_ns: numbers, ascending, and when each was due (when it left, where that is all that is known); both empty
        for a log that was folded without them.
    """

    n: int = 0
    scheduled: int = 0
    last_sent: int = -1
    not_sent: Int64Array = field(default_factory=_NO_NUMBERS.copy)
    seq: Int64Array = field(default_factory=_NO_NUMBERS.copy)
    due_ns: Int64Array = field(default_factory=_NO_NUMBERS.copy)

    @classmethod
    def from_rows(cls, rows: PacketArray) -> SentLog:
        """Return the log in SENT_DTYPE rows of one stream, in any order; a number sent after a refusal counts as sent.

        Raises:
          AnalysisError: the rows are of several streams.
        """
        fold = LogFold(has_due=True)
        fold.update(rows)
        return fold.log()

    def went_on(self, after: int) -> bool:
        """Return whether a packet with a number of at least `after` left."""
        return self.last_sent >= after


class LogFold:
    """Folds the rows of one stream's log, in any chunks; a sender logs its packets in order.

    Args:
      has_due: keep each packet's due time.
    """

    def __init__(self, *, has_due: bool) -> None:
        self._has_due = has_due
        self._stream: int | None = None
        self._n, self._last, self._last_sent = 0, -1, -1
        self._not_sent: list[Int64Array] = []
        self._seq: list[Int64Array] = []
        self._due: list[Int64Array] = []

    def update(self, rows: PacketArray) -> None:
        """Take SENT_DTYPE rows, shape (n,).

        Raises:
          AnalysisError: rows of another stream than before.
        """
        if not len(rows):
            return
        self._stream = int(rows["stream"][0]) if self._stream is None else self._stream
        if (rows["stream"] != self._stream).any():
            raise AnalysisError("a sender's log for one stream holds rows of several; select by `stream` first")
        rows = rows[(rows["flags"] & PacketFlag.END == 0) & (rows["seq"] >= 0) & (rows["seq"] < LIMIT)]
        seq, is_sent = rows["seq"], left(rows)
        due_ns = np.where(is_time(rows["due_ns"]), rows["due_ns"], rows["tx_ns"])
        if (np.diff(seq) <= 0).any():
            order = np.argsort(seq, kind="stable")
            first = np.flatnonzero(np.diff(seq[order], prepend=-1))
            is_sent = np.logical_or.reduceat(is_sent[order], first)
            seq, due_ns = seq[order][first], due_ns[order][first]
        self._take(seq, is_sent, due_ns)

    def append(self, log: SentLog) -> None:
        """Take the log of the part that followed."""
        self._n += log.n
        self._last, self._last_sent = max(self._last, log.scheduled - 1), max(self._last_sent, log.last_sent)
        self._not_sent.append(log.not_sent)
        self._seq.append(log.seq)
        self._due.append(log.due_ns)

    def log(self) -> SentLog:
        """Return the log so far."""
        return SentLog(
            n=self._n,
            scheduled=self._last + 1,
            last_sent=self._last_sent,
            not_sent=np.concatenate([_NO_NUMBERS, *self._not_sent]),
            seq=np.concatenate([_NO_NUMBERS, *self._seq]),
            due_ns=np.concatenate([_NO_NUMBERS, *self._due]),
        )

    def _take(self, seq: Int64Array, is_sent: NDArray[np.bool_], due_ns: Int64Array) -> None:
        """Take numbers in ascending order; of those known from before only a late success matters."""
        n_known = int(np.searchsorted(seq, self._last, side="right"))
        if n_known:
            again = seq[:n_known][is_sent[:n_known]]
            self._not_sent = [np.setdiff1d(numbers, again, assume_unique=True) for numbers in self._not_sent]
            self._last_sent = max(self._last_sent, int(again[-1])) if len(again) else self._last_sent
            seq, is_sent, due_ns = seq[n_known:], is_sent[n_known:], due_ns[n_known:]
        if not len(seq):
            return
        self._n, self._last = self._n + len(seq), int(seq[-1])
        sent = seq[is_sent]
        self._last_sent = int(sent[-1]) if len(sent) else self._last_sent
        if len(sent) < len(seq):
            self._not_sent.append(seq[~is_sent])
        if self._has_due:
            self._seq.append(seq.copy())
            self._due.append(due_ns)


def left(rows: PacketArray) -> NDArray[np.bool_]:
    """Return which SENT_DTYPE rows tell of a packet that left, shape (n,)."""
    is_sent: NDArray[np.bool_] = (rows["errno"] == 0) & is_time(rows["tx_ns"])
    return is_sent
