"""Which packets of one stream came, fed in arrival order: what every other figure of it builds on.

Feeding is all array work. A chunk whose numbers rise takes a short way: nothing in it can be a duplicate or reordered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.runs import RunSet
from harness.analyzer.sequence import LIMIT, Extender, is_time
from harness.analyzer.trains import RisingTrains, rising_trains
from harness.errors import AnalysisError
from harness.model import PacketArray, PacketFlag, Parameters, StreamInfo, TrainArray, expand_trains

Int64Array = NDArray[np.int64]

_FIXED = ("sequence_bits", "sequence_first", "sequence_modulus", "clock_rate", "clock_bits", "clock_offset_ns")
_NOT_OF_STREAM = PacketFlag.MISDELIVERED | PacketFlag.END
SPECIAL = int(_NOT_OF_STREAM | PacketFlag.CORRUPT | PacketFlag.DISCONTINUITY)
"""Flags of packets that cannot be counted by their number alone."""


@dataclass(frozen=True, slots=True)
class StreamView:
    """What can be said of a stream while it is running, at no cost.

    Attributes:
      number: of the stream.
      received: first copies so far.
      lost: numbers missing below the highest so far; None when unnumbered.
      last_gap: first and last number of the newest loss period of at least `min_packets`; None when there is none.
      last_rx_ns: newest arrival.
    """

    number: int
    received: int
    lost: int | None
    last_gap: tuple[int, int] | None
    last_rx_ns: int | None


class Reception:
    """What is known of the packets of one stream that came so far; what else is made of them, a subclass adds.

    Attributes:
      received: numbers whose first copy came within Tmax, with sender's stamps (receive times where there are none).
      late: numbers whose first copy came after Tmax.
      context: of a later part, the numbers of its first packets.
      n_copies: numbered packets, all copies. n_bare: packets without a number.
      n_unusable: packets left out for an impossible number or no receive time.
    """

    def __init__(self, info: StreamInfo, parameters: Parameters) -> None:
        self.info = info
        self.parameters = parameters
        self.extender = Extender(info.sequence_bits, info.sequence_modulus, info.interval_ns)
        self.received = RunSet()
        self.late = RunSet()
        self.context: tuple[RunSet, ...] = ()
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.restart_counts()

    def restart_counts(self) -> None:
        """Count from zero, but keep what later packets are judged against."""
        self.n_copies = self.n_bare = self.n_corrupt = self.n_misdelivered = self.n_unusable = 0

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
        found = int(np.bitwise_or.reduce(flags)) & SPECIAL if len(rows) else 0
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
            self._note_corrupt(rows, is_corrupt, numbers, before)

    def feed_trains(self, trains: TrainArray) -> None:
        """Take TRAIN_DTYPE records of this stream, shape (k,), in arrival order, as `feed` takes their packets."""
        if not len(trains):
            return
        tmax = self.parameters.tmax_ns
        rising = rising_trains(trains, self.info, self.extender, self._range(), tmax, SPECIAL)
        if rising is None:
            self.feed(expand_trains(trains))
            return
        self.n_copies += rising.n
        self.first_ns = int(rising.rx_ns[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(rising.rx_ns[-1])
        rising.add_to(self.received)
        self._accumulate_trains(rising)

    def view(self) -> StreamView:
        """Return the live figures; for a later part of a recording, those after its first packets."""
        runs = self.received
        if not self.is_numbered or not len(runs):
            return StreamView(self.info.number, self.n_bare, None, None, self.last_ns)
        first, last = runs.gaps()
        missing = last - first + 1
        long = np.flatnonzero(missing >= self.parameters.min_packets)
        gap = (int(first[long[-1]]), int(last[long[-1]])) if len(long) else None
        lost = int(missing.sum()) + runs.n_closed_lost
        return StreamView(self.info.number, runs.n, lost, gap, self.last_ns)

    def _usable(self, rows: PacketArray) -> PacketArray:
        """Return the rows whose number and receive time are possible; count the others."""
        if not len(rows):
            return rows
        seq, rx_ns = rows["seq"], rows["rx_ns"]
        low, high = self._range()
        smallest, largest = int(seq.min()), int(seq.max())
        if smallest >= low and largest < high and int(rx_ns.min()) > -LIMIT and int(rx_ns.max()) < LIMIT:
            return rows
        is_usable = is_time(rx_ns) & ((seq < 0) | ((seq >= low) & (seq < high)))
        self.n_unusable += int(np.count_nonzero(~is_usable))
        return rows[is_usable]

    def _range(self) -> tuple[int, int]:
        """Return the lowest possible number and the one after the highest."""
        first, modulus = self.info.sequence_first, self.extender.modulus
        return (first, first + modulus) if modulus is not None and self.info.sequence_bits else (0, LIMIT)

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
                self._note_late(rx_ns[is_late], numbers[is_late])
        if is_first is not None:
            is_copy = ~is_first
            self._note_copies(rx_ns[is_copy], numbers[is_copy])
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
        """Take first copies within Tmax, in arrival order; their numbers are taken already."""

    def _accumulate_trains(self, trains: RisingTrains) -> None:
        """Take trains of first copies; their numbers are taken already."""

    def _note_late(self, rx_ns: Int64Array, numbers: Int64Array) -> None:
        """Take first copies after Tmax."""

    def _note_copies(self, rx_ns: Int64Array, numbers: Int64Array) -> None:
        """Take further copies."""

    def _note_corrupt(
        self, rows: PacketArray, is_corrupt: NDArray[np.bool_], numbers: Int64Array, before: int | None
    ) -> None:
        """Take rows of which some are corrupt; the others have these extended numbers, after the highest `before`."""
