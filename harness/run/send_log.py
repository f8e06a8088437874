"""What became of one stream's probes: logged one by one, or counted where that is asked or the disk cannot keep up."""

from __future__ import annotations

import errno

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.errors import errno_text
from harness.model import Endpoint, PacketArray, SenderInfo, SentCount
from harness.net import SenderSocket
from harness.run.flat_out import Answered, FlatOutStream
from harness.run.plan import StreamPlan
from harness.run.precise import PreciseStream
from harness.run.recorder import Recorder
from harness.run.sent_count import SentCounter, in_parts
from harness.traffic import Probes, StampedLog, StreamSender

MAX_ERRNO_EVENTS = 20

SETTLE_ROWS = 128
"""Transmit stamps are read when so many packets wait: reading one by one costs ten times as much. The smallest queue
that systems give by default has room for twice as many."""

_TAKEN = np.zeros(1, np.uint16)
"""The errno of a probe that the kernel took."""


class SendLog:
    """Takes the kernel's answers of one stream to the recorder.

    From the first probe that is counted on, those alone that the kernel refused are logged.

    Attributes:
      stamped: the records that wait for their transmit stamps; None for a stream that asked for none.
    """

    def __init__(self, plan: StreamPlan, recorder: Recorder) -> None:
        self._plan, self._recorder = plan, recorder
        self.stamped = StampedLog() if plan.tx_stamps else None
        self._errno = self._n_errno_events = 0
        self._counter: SentCounter | None = None
        self._info: SenderInfo | None = None

    def begin(self, info: SenderInfo) -> None:
        """See whether the user asked for counts alone, before the first probe; `info` is the manifest's entry."""
        self._info = info
        if self._plan.offload and self._recorder.is_counting:
            self._start_counting(0)

    @property
    def count(self) -> SentCount | None:
        """What was counted; None while all is logged."""
        return self._counter.count() if self._counter is not None else None

    def turn(self, stream: FlatOutStream) -> None:
        """Log or count probes at full rate that the kernel took."""
        if self._errno and stream.n_unlogged:
            self.note_refusals(_TAKEN)
        counter = self._counting_from(stream.first_unlogged)
        if counter is None:
            self._recorder.sent(stream.take_log(), n_refused=0)
            return
        first_seq, n_sent = stream.first_unlogged, stream.skip_log()
        counter.add(n_sent, first_seq + n_sent)
        self._recorder.count_sent(n_sent, 0)

    def block(self, stream: PreciseStream) -> None:
        """Log or count probes of a precise stream that the kernel took or refused."""
        rows = stream.take_log()
        if stream.is_changed:
            self.note_refusals(rows["errno"])
        self.rows(rows)

    def batch(self, sender: StreamSender, socket: SenderSocket, batch: Answered) -> int:
        """Log or count probes that the kernel took or refused, and return how many; what it had no room for is not.

        With transmit stamps their rows wait for those.
        """
        probes, errnos = batch.probes, batch.errnos
        n, n_refused = len(errnos), int(np.count_nonzero(errnos))
        if n_refused:
            n = first_unsent(errnos)
            errnos = errnos[:n]
            n_refused = int(np.count_nonzero(errnos))
        if n_refused or self._errno:
            self.note_refusals(errnos)
        answered = Probes(probes.first_seq, probes.due_ns[:n], probes.data[:n])
        if self._counter is not None and not n_refused and self.stamped is None:  # no need for rows
            lateness_ns = self._lateness_ns(batch.tx_ns - answered.due_ns)
            self._counter.add(n, probes.first_seq + n, *(() if lateness_ns is None else in_parts(lateness_ns)))
            self._recorder.count_sent(n, 0)
            return n
        rows = sender.log(answered, batch.tx_ns, errnos)
        if self.stamped is None:
            self.rows(rows)
        else:
            self.stamped.add(rows, batch.first_number)
            if len(self.stamped) >= SETTLE_ROWS:
                self.settle(socket)
        return n

    def settle(self, socket: SenderSocket, *, is_last: bool = False) -> None:
        """Take the stamps that came, and log what waits for none any more; at last all."""
        if self.stamped is None:
            return
        clock = self._recorder.clock
        numbers, realtime_ns = socket.take_tx_stamps()
        if len(numbers):
            self.stamped.stamp(numbers, clock.to_run_time(realtime_ns))
        self.rows(self.stamped.release(None if is_last else clock.now_ns()))

    def rows(self, rows: PacketArray) -> None:
        """Log records, SENT_DTYPE, shape (n,), in the order of their numbers; or count them, all but those refused."""
        if not len(rows):
            return
        counter = self._counting_from(int(rows["seq"][0]))
        if counter is None:
            self._recorder.sent(rows)
            return
        is_sent = rows["errno"] == 0
        sent, refused = rows[is_sent], rows[~is_sent]
        counter.add(len(sent), int(rows["seq"][-1]) + 1, self._lateness_ns(sent["tx_ns"] - sent["due_ns"]))
        self._recorder.count_sent(len(sent), 0)
        if len(refused):
            self._recorder.sent(refused)

    def note_refusals(self, errnos: NDArray[np.uint16]) -> None:
        """Make an event of each change between sending and being refused; the log has each packet's errno."""
        is_as_before = not self._errno and not np.count_nonzero(errnos)  # nearly always: sent, and no refusal before
        if is_as_before or not len(errnos) or self._n_errno_events >= MAX_ERRNO_EVENTS:
            return
        last = int(errnos[-1])
        refused = [number for number in np.unique(errnos).tolist() if number not in (0, self._errno)]
        group = self._plan.group
        for number in refused:
            self._event(f"send to {group} refused: {errno_text(number)}{remedy(number, group)}")
        if last == 0 and (self._errno or refused):
            self._event(f"send to {group} works again")
        self._errno = last

    def _event(self, text: str) -> None:
        self._n_errno_events += 1
        if self._n_errno_events == MAX_ERRNO_EVENTS:
            text += "; further changes are in the sender's log only"
        self._recorder.event("errno", text)

    def _counting_from(self, seq: int) -> SentCounter | None:
        """Return the counter, begun with `seq` if the disk has just fallen behind; None while all is logged."""
        if self._counter is None and self._recorder.is_counting_sent:
            self._start_counting(seq)
        return self._counter

    def _start_counting(self, seq: int) -> None:
        """Count from here on, and have the manifest say so already: a run that is killed leaves no totals."""
        self._counter = SentCounter(seq)
        if self._info is not None:
            self._recorder.writer.add_sender(msgspec.structs.replace(self._info, counted=self._counter.beginning))

    def _lateness_ns(self, lateness_ns: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the lateness of probes that have a time of their own to be late against."""
        return None if self._plan.schedule.is_unpaced else lateness_ns


def remedy(number: int, group: Endpoint) -> str:
    """Return the setting that usually explains a refused send, "; ..." or ""."""
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH) and group.is_multicast:
        table = "ff00::/8" if group.version == 6 else "224.0.0.0/4"
        return f"; no route to {table} that way: name an interface, or add a route for it"
    if number == errno.EPERM:
        return "; a local firewall rule refuses it (nft list ruleset)"
    if number == errno.ECONNREFUSED:
        return "; nobody listens on that port there"
    if number == errno.EMSGSIZE:
        return "; larger than the path takes, choose a smaller --size"
    return ""


def first_unsent(errnos: NDArray[np.uint16]) -> int:
    """Return the place of the first packet that only has to wait (EAGAIN), or how many there are."""
    waiting = np.flatnonzero(errnos == errno.EAGAIN)
    return int(waiting[0]) if len(waiting) else len(errnos)
