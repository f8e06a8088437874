"""The accumulators of one stream, fed in arrival order: everything that a summary is made from.

Feeding is all array work. A chunk whose numbers rise takes a short way: nothing in it can be a duplicate or reordered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.arrivals import Arrivals
from harness.analyzer.jitter import Jitter
from harness.analyzer.marks import MarkSample
from harness.analyzer.passive import Spacings
from harness.analyzer.runs import RunSet
from harness.analyzer.sequence import LIMIT, Extender, is_time
from harness.analyzer.series import BinnedSeries
from harness.analyzer.sketch import Sketch
from harness.errors import AnalysisError
from harness.model import UNDEFINED_NS, PacketArray, PacketFlag, Parameters, StreamInfo

Int64Array = NDArray[np.int64]

_FIXED = ("sequence_bits", "sequence_first", "sequence_modulus", "clock_rate", "clock_bits", "clock_offset_ns")
_NOT_OF_STREAM = PacketFlag.MISDELIVERED | PacketFlag.END
_SPECIAL = _NOT_OF_STREAM | PacketFlag.CORRUPT | PacketFlag.DISCONTINUITY


class Core:
    """What is known of one stream after the packets fed so far.

    Attributes:
      received: numbers whose first copy came within Tmax, with sender's stamps (receive times where there are none).
      late: numbers whose first copy came after Tmax.
      context, joint: of a later part, what its first packets set up: their numbers, and where the numbering stood.
      n_copies: numbered packets, all copies. n_bare: packets without a number.
      n_unusable: packets left out for an impossible number or no receive time.
      n_unsynchronised: merges at which a part could not be fitted to the one before it exactly.
    """

    def __init__(self, info: StreamInfo, parameters: Parameters) -> None:
        self.info = info
        self.parameters = parameters
        self.extender = Extender(info.sequence_bits, info.sequence_modulus, info.interval_ns)
        self.received = RunSet()
        self.late = RunSet()
        self.context: tuple[RunSet, ...] = ()
        self.joint: tuple[int, tuple[int, int]] | None = None
        self.arrivals = Arrivals(parameters.horizon)
        ticks_bits = info.clock_bits if info.clock_rate else None
        self.spacings = Spacings(ticks_bits)
        self.jitter = Jitter(info.clock_rate, info.clock_bits)
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.restart_counts()

    def restart_counts(self) -> None:
        """Count from zero, but keep what later packets are judged against: numbers seen, recent and last packets."""
        self.n_copies = self.n_bare = self.n_corrupt = self.n_misdelivered = self.n_unusable = 0
        self.n_unsynchronised = 0
        self.n_negative = 0
        self.delay = Sketch()
        self.series = BinnedSeries()
        self.reordered = MarkSample("reordered")
        self.duplicates = MarkSample("duplicate")
        self.too_late = MarkSample("too_late")
        self.corrupt = MarkSample("corrupt")
        self.arrivals.restart_counts()
        self.spacings.restart_counts()
        self.jitter.restart_counts()
        self.extender.n_undecidable = self.extender.n_resolved = self.extender.n_unresolved = 0

    def set_info(self, info: StreamInfo) -> None:
        """Take news of the stream.

        Raises:
          AnalysisError: packets were folded already whose numbers or delays would change.
        """
        if self.first_ns is not None and any(getattr(info, name) != getattr(self.info, name) for name in _FIXED):
            raise AnalysisError(
                f"stream {info.number}: numbering and clock must be known before its first packet; "
                f"{', '.join(name for name in _FIXED if getattr(info, name) != getattr(self.info, name))} changed"
            )
        self.info = info
        if info.interval_ns:
            self.extender.interval_ns = info.interval_ns

    @property
    def n_first(self) -> int:
        """Distinct numbers that came, in time or late."""
        return self.received.n + self.late.n

    @property
    def is_numbered(self) -> bool:
        """Whether any packet had a number."""
        return self.extender.highest is not None

    def feed(self, rows: PacketArray) -> None:
        """Take PACKET_DTYPE rows of this stream, shape (n,), in arrival order."""
        is_break = None
        flags = rows["flags"]
        found = int(np.bitwise_or.reduce(flags)) & _SPECIAL if len(rows) else 0
        if found & _NOT_OF_STREAM:
            self.n_misdelivered += int(np.count_nonzero(flags & PacketFlag.MISDELIVERED))
            rows = rows[flags & _NOT_OF_STREAM == 0]
            flags = rows["flags"]
        rows = self._usable(rows)
        if not len(rows):
            return
        is_corrupt = None
        if found & (PacketFlag.CORRUPT | PacketFlag.DISCONTINUITY):
            flags = rows["flags"]
            is_corrupt = flags & PacketFlag.CORRUPT != 0
            self.n_corrupt += int(np.count_nonzero(is_corrupt))
            is_break = (flags & PacketFlag.DISCONTINUITY != 0)[~is_corrupt]
        good = rows if is_corrupt is None else rows[~is_corrupt]
        before = self.extender.highest
        numbers = self._feed_good(good, is_break)
        if is_corrupt is not None and self.n_corrupt:
            self._mark_corrupt(rows, is_corrupt, numbers, before)

    def append(self, later: Core) -> None:
        """Add what `later` counted since its own `restart_counts`, which stood where this core stands now."""
        delta = 0
        if self.extender.highest is not None and later.joint is not None:
            delta = self.extender.last - later.joint[0]
            self.n_unsynchronised += later.joint[1] != self.extender.lag
        for name in ("n_copies", "n_bare", "n_corrupt", "n_misdelivered", "n_unusable", "n_unsynchronised"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self.n_negative += later.n_negative
        self.received.merge(later.received, delta)
        self.late.merge(later.late, delta)
        self.arrivals.append(later.arrivals, delta)
        self.spacings.append(later.spacings, delta)
        self.jitter.append(later.jitter)
        self.delay.merge(later.delay)
        self.series.merge(later.series, delta)
        for ours, theirs in zip(self.samples(), later.samples(), strict=True):
            ours.merge(theirs, delta)
        self.extender.append(later.extender, delta)
        self.first_ns = later.first_ns if self.first_ns is None else self.first_ns
        self.last_ns = later.last_ns if later.last_ns is not None else self.last_ns

    def begin_body(self) -> None:
        """Count from zero, and remember where in the numbering that was."""
        self.joint = (self.extender.last, self.extender.lag) if self.is_numbered else None
        self.context = (self.received, self.late)
        self.received, self.late = RunSet(), RunSet()
        self.restart_counts()

    def samples(self) -> tuple[MarkSample, ...]:
        """Return the samples of single packets, one for each kind."""
        return self.reordered, self.duplicates, self.too_late, self.corrupt

    def _usable(self, rows: PacketArray) -> PacketArray:
        """Return the rows whose number and receive time are possible; count the others."""
        if not len(rows):
            return rows
        info = self.info
        seq, rx_ns = rows["seq"], rows["rx_ns"]
        high = LIMIT
        low = 0
        if self.extender.modulus is not None and info.sequence_bits:
            low, high = info.sequence_first, info.sequence_first + self.extender.modulus
        smallest, largest = int(seq.min()), int(seq.max())
        if smallest >= low and largest < high and int(rx_ns.min()) > -LIMIT and int(rx_ns.max()) < LIMIT:
            return rows
        is_usable = is_time(rx_ns) & ((seq < 0) | ((seq >= low) & (seq < high)))
        self.n_unusable += int(np.count_nonzero(~is_usable))
        return rows[is_usable]

    def _feed_good(self, rows: PacketArray, is_break: NDArray[np.bool_] | None) -> Int64Array:
        """Take rows that are neither corrupt nor foreign; return their extended numbers (unnumbered: the last one)."""
        if not len(rows):
            return np.zeros(0, np.int64)
        seq = np.ascontiguousarray(rows["seq"])
        rx_ns = np.ascontiguousarray(rows["rx_ns"])
        tx = np.ascontiguousarray(rows["tx_ns"])
        self.first_ns = int(rx_ns[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(rx_ns[-1])
        if self.info.sequence_bits == 0:
            self._feed_bare(rx_ns, tx)
            return np.zeros(len(rows), np.int64)
        if int(seq.min()) >= 0:
            return self._feed_numbered(seq, rx_ns, tx, is_break)
        is_bare = seq < 0
        self._feed_bare(rx_ns[is_bare], tx[is_bare])
        is_numbered = ~is_bare
        numbers = np.zeros(len(rows), np.int64)
        numbers[is_numbered] = self._feed_numbered(
            seq[is_numbered], rx_ns[is_numbered], tx[is_numbered], None if is_break is None else is_break[is_numbered]
        )
        return np.maximum.accumulate(numbers)

    def _feed_bare(self, rx_ns: Int64Array, tx: Int64Array) -> None:
        """Take packets without a number: every one is a first copy."""
        if not len(rx_ns):
            return
        self.n_bare += len(rx_ns)
        if self.is_numbered:
            return  # the protocol's numbers were switched off for a while: counted, and said
        delay, _, is_sent = self._times(rx_ns, tx)
        self._accumulate(None, rx_ns, tx, delay, is_sent)

    def _feed_numbered(
        self, seq: Int64Array, rx_ns: Int64Array, tx: Int64Array, is_break: NDArray[np.bool_] | None
    ) -> Int64Array:
        if not len(seq):
            return seq
        self.n_copies += len(seq)
        delay, sent_ns, is_sent = self._times(rx_ns, tx)
        before = self.extender.highest
        numbers = self.extender.extend(seq, sent_ns, is_break, self._expected_first(int(sent_ns[0])))
        is_rising = (before is None or int(numbers[0]) > before) and bool((numbers[1:] > numbers[:-1]).all())
        order = None if is_rising else np.argsort(numbers, kind="stable")
        is_first = None if order is None else self._first_copies(numbers, order)
        is_kept = is_first
        tmax = self.parameters.tmax_ns
        if tmax is not None and delay is not None:
            is_late = delay > tmax
            if is_late.any():
                is_late = is_late if is_first is None else is_late & is_first
                is_kept = ~is_late if is_first is None else is_first & ~is_late
                late = np.flatnonzero(is_late)
                late = late[np.argsort(numbers[late], kind="stable")]
                self.late.add(numbers[late], sent_ns[late])
                self.too_late.add(rx_ns[is_late], numbers[is_late])
        if is_first is not None:
            is_copy = ~is_first
            self.duplicates.add(rx_ns[is_copy], numbers[is_copy])
        if is_kept is None:
            self.received.add(numbers, sent_ns)
            self._accumulate(numbers, rx_ns, tx, delay, is_sent, is_rising=True)
            return numbers
        ascending = np.flatnonzero(is_kept) if order is None else order[is_kept[order]]
        self.received.add(numbers[ascending], sent_ns[ascending])
        self._accumulate(
            numbers[is_kept],
            rx_ns[is_kept],
            tx[is_kept],
            None if delay is None else delay[is_kept],
            None if is_sent is None else is_sent[is_kept],
            is_rising=is_rising,
        )
        return numbers

    def _accumulate(
        self,
        numbers: Int64Array | None,
        rx_ns: Int64Array,
        tx: Int64Array,
        delay: Int64Array | None,
        is_sent: NDArray[np.bool_] | None,
        *,
        is_rising: bool = False,
    ) -> None:
        """Take first copies within Tmax, in arrival order, into everything that is computed from those."""
        if not len(rx_ns):
            return
        if delay is None:
            delay = np.full(len(rx_ns), UNDEFINED_NS)
        else:
            known = delay if is_sent is None else delay[is_sent]
            self.delay.add(known)
            self.n_negative += int(np.count_nonzero(known < 0))
        if delay is not None and is_sent is not None and not self.info.clock_rate:
            delay = np.where(is_sent, delay, UNDEFINED_NS)
        if numbers is not None:
            late = self.arrivals.add(numbers, rx_ns, delay, is_rising=is_rising)
            if len(late):
                self.reordered.add(rx_ns[late], numbers[late])
        self.series.add(rx_ns, numbers, delay, UNDEFINED_NS)
        is_stamped = is_sent is None or bool(is_sent.all())
        if is_stamped:
            self.jitter.add(rx_ns, tx)
        elif is_sent is not None:
            self.jitter.add(rx_ns[is_sent], tx[is_sent])
        if self.info.first_due_ns is None or numbers is None:
            self.spacings.add(rx_ns, numbers, tx if self.info.clock_rate else None)

    def _times(
        self, rx_ns: Int64Array, tx: Int64Array
    ) -> tuple[Int64Array | None, Int64Array, NDArray[np.bool_] | None]:
        """Return one-way delays, times for the sender's time line, and which packets have a stamp (None: all).

        The delays are None when the sender's stamps are ticks or absent; where a stamp is missing they mean nothing.
        """
        is_sent: NDArray[np.bool_] | None = None
        if int(tx.min()) <= -LIMIT or int(tx.max()) >= LIMIT:
            is_sent = is_time(tx)
        if self.info.clock_rate:
            return None, rx_ns, is_sent
        if is_sent is None:
            delay = rx_ns - tx
            if self.info.clock_offset_ns:
                delay -= self.info.clock_offset_ns
            return delay, tx, None
        offset = self.info.clock_offset_ns or 0
        sent_ns = np.where(is_sent, tx, rx_ns - offset)
        return rx_ns - sent_ns - offset if is_sent.any() else None, sent_ns, is_sent

    def _expected_first(self, t_ns: int) -> int | None:
        info = self.info
        if info.first_due_ns is None or not info.interval_ns:
            return None
        return info.sequence_first + round((t_ns - info.first_due_ns) / info.interval_ns)

    def _first_copies(self, numbers: Int64Array, order: Int64Array) -> NDArray[np.bool_]:
        """Return which packets are the first copy of their number."""
        is_first = np.ones(len(numbers), np.bool_)
        ascending = numbers[order]
        is_first[order[1:][ascending[1:] == ascending[:-1]]] = False
        for seen in (self.received, self.late, *self.context):
            if len(seen):
                old = np.flatnonzero(numbers < int(seen.ends[-1]))
                is_first[old[seen.contains(numbers[old])]] = False
        return is_first

    def _mark_corrupt(
        self, rows: PacketArray, is_corrupt: NDArray[np.bool_], numbers: Int64Array, before: int | None
    ) -> None:
        """Mark corrupt packets at the number that they claim, as near the highest before them as it gets."""
        at = np.flatnonzero(is_corrupt & (rows["seq"] >= 0))
        if not len(at):
            return
        claimed, rx_ns = rows["seq"][at], rows["rx_ns"][at]
        good_before = np.cumsum(~is_corrupt)[at]
        tops = np.maximum.accumulate(np.append(-1 if before is None else before, numbers))[good_before]
        nearest = claimed if self.extender.modulus is None else tops + self.extender.wrap(claimed - tops)
        is_first = (good_before == 0) & (before is None)
        self.corrupt.add(rx_ns, np.where(is_first, claimed, nearest))
