"""The sender's account of itself: what it scheduled, sent, was refused, and how late it was."""

from __future__ import annotations

import errno as _errno
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.sentlog import LogFold, SentLog, left
from harness.analyzer.sequence import is_time
from harness.analyzer.sketch import Sketch
from harness.model import Distribution, PacketArray, PacketFlag, SenderInfo, SenderSummary, SentCount


class SenderFold:
    """Folds a sender's log of one stream, in any chunks and parts, to its summary and its SentLog.

    What was counted instead of being logged is added as the stream's entry in the manifest has it.
    """

    def __init__(self, info: SenderInfo) -> None:
        self.info = info
        self._count = info.counted or SentCount(first_seq=0)
        self._log = LogFold(has_due=not info.interval_ns and info.counted is None)
        self._lateness = Sketch()
        self._scheduled = self._sent = 0
        self._is_paced = bool(info.interval_ns)
        self._errnos: dict[int, int] = {}

    def update(self, rows: PacketArray) -> None:
        """Take SENT_DTYPE rows of this stream, shape (n,)."""
        rows = rows[rows["flags"] & PacketFlag.END == 0]
        self._log.update(rows)
        is_sent = left(rows)
        self._scheduled += len(rows)
        self._sent += int(np.count_nonzero(is_sent))
        self._is_paced = self._is_paced or bool((rows["due_ns"] != self.info.first_due_ns).any())
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
            both._is_paced = both._is_paced or part._is_paced
            both._sent += part._sent
            both._lateness.merge(part._lateness)
            both._log.append(part._log.log())
            for code, count in part._errnos.items():
                both._errnos[code] = both._errnos.get(code, 0) + count
        return both

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is logged, and the run did not live to write what it had counted."""
        return self.info.counted is not None and self._count.sent is None and not self._scheduled

    def log(self) -> SentLog:
        """Return the log as a witness; for a stream with a fixed interval without the due times, which it implies.

        A counted packet that is not logged as refused left.
        """
        log = self._log.log()
        if not self._count.sent:
            return log
        scheduled = max(log.scheduled, self._count.end_seq or 0)
        n_unsent_last = _n_following(log.not_sent, scheduled - 1)
        return replace(log, n=log.n + self._count.sent, scheduled=scheduled, last_sent=scheduled - 1 - n_unsent_last)

    def summary(self) -> SenderSummary:
        """Return what the sender says of itself; `not_sent` are those that neither left nor were refused.

        A stream as fast as possible, all of which is due at once, is never late: its lateness is undefined. Of packets
        logged and counted, the lateness is that of the former.
        """
        counted = self._count.sent or 0
        lateness = self._lateness.distribution() if self._is_paced else Distribution(n=0)
        refused = sum(self._errnos.values())
        named = {_errno.errorcode.get(code, str(code)): count for code, count in sorted(self._errnos.items())}
        return SenderSummary(
            stream_id=self.info.stream_id,
            epoch=self.info.epoch,
            source=self.info.source,
            group=self.info.group,
            scheduled=self._scheduled + counted,
            sent=self._sent + counted,
            refused=refused,
            not_sent=self._scheduled - self._sent - refused,
            errnos=named,
            lateness=lateness if self._lateness.n else self._count.lateness,
        )


def _n_following(numbers: NDArray[np.int64], last: int) -> int:
    """Return how many of the numbers, ascending, are `last`, `last` - 1 and so on without a gap."""
    expected = last - np.arange(len(numbers))
    differs = np.flatnonzero(numbers[::-1] != expected)
    return int(differs[0]) if len(differs) else len(numbers)


def summarise_sender(info: SenderInfo, sent: PacketArray) -> SenderSummary:
    """Return the summary of a whole log of one stream, SENT_DTYPE, shape (n,)."""
    fold = SenderFold(info)
    fold.update(sent)
    return fold.summary()
