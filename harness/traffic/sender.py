"""A sending stream as a state machine: the caller passes the clock in and carries the probes out.

    due -> take(now) -> probes -> (the caller sends them) -> log(...) -> records of SENT_DTYPE
    ... until next_due_ns is None; then end_probes(now) several times.

A probe that could not be sent when it was due is sent late and logged as late: the schedule is never shifted, so a
stalled sender is seen as a late sender and not as loss. After a stall the stream catches up at no more than twice its
rate (`catch_up_limit`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.model import SENT_DTYPE, UNDEFINED_NS, Endpoint, PacketArray
from harness.traffic.schedules import Schedule
from harness.traffic.stamping import RampStamp, SingleStamp
from protocols.probe import FLAG_END, FLAG_PATTERN, HEADER_SIZE, MAX_PAYLOAD, fill_probes

PIECE = 4096
"""Due times computed ahead, in packets."""

CATCH_UP_PERIOD_NS = 1_000_000
"""The catch-up limit is a number of packets in this time."""

END_COPIES = 8
END_SPACING_NS = 25_000_000
"""The end of a stream is told END_COPIES times, END_SPACING_NS apart, so that a short drop-out does not hide it."""


def check_size(size: int) -> None:
    """Refuse a payload size that no probe can have.

    Raises:
      UsageError: below the header's 64 bytes, or above what a UDP datagram over IPv4 holds (65507, RFC 768, RFC 791).
    """
    if not HEADER_SIZE <= size <= MAX_PAYLOAD:
        raise UsageError(f"size {size}: a probe has {HEADER_SIZE} to {MAX_PAYLOAD} bytes of UDP payload")


@dataclass(slots=True)
class Probes:
    """Probes that are due, with consecutive numbers: due times, shape (n,), and bytes, shape (n, size), both read-only.

    The bytes are valid until the next take.
    """

    first_seq: int
    due_ns: NDArray[np.int64]
    data: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.due_ns)

    @property
    def seq(self) -> NDArray[np.int64]:
        """Sequence numbers, shape (n,)."""
        return np.arange(self.first_seq, self.first_seq + len(self), dtype=np.int64)

    def after(self, place: int) -> Probes:
        """Return those from `place` on."""
        return Probes(self.first_seq + place, self.due_ns[place:], self.data[place:])


class StreamSender:
    """One stream of probes.

    Args:
      number: the stream's number in the sender's log.
      stream_id, epoch: its identity on the wire; the epoch is random per start.
      group: where it goes; only for the caller's use.
      schedule: when its probes are due, from `start_ns` on.
      size: UDP payload in bytes, 64 to 65507.
      start_ns: when the schedule starts, on the run's time line.
      count, duration_ns: where it ends, whichever comes first; None for neither.
      has_pattern: fill the payload with the pattern that the receiver checks.
      capacity: most probes handed out at a time.
      front_bytes: bytes of a probe that a batch holds, at least the header's; `rest` has what follows in each of them,
        and `whole` puts both together. None: all.
      run: of more than so many a multiple is handed out, and the rest with those that are due next.
      piece: due times computed ahead, in whole batches, which takes long enough to make a probe late; at least four.

    Attributes:
      n_taken: probes handed out so far.
      is_unpaced: all are due at once (rate max): the clock tells when the stream ends, and nothing else.
      rest: what follows the first `front_bytes` of every probe but the end probes, shape (size - front_bytes,), uint8.
    """

    def __init__(
        self,
        *,
        number: int,
        stream_id: int,
        epoch: int,
        group: Endpoint,
        schedule: Schedule,
        size: int,
        start_ns: int,
        count: int | None = None,
        duration_ns: int | None = None,
        has_pattern: bool = False,
        capacity: int = 256,
        front_bytes: int | None = None,
        run: int = 1,
        piece: int = PIECE,
    ) -> None:
        check_size(size)
        self.number, self.stream_id, self.epoch, self.group = number, stream_id, epoch, group
        self.schedule, self.size, self.start_ns = schedule, size, start_ns
        self.count, self.duration_ns = count, duration_ns
        self.n_taken = 0
        self._capacity, self._run = capacity, run
        self._flags = FLAG_PATTERN if has_pattern else 0
        self._ahead = np.empty(0, dtype=np.int64)
        self._n_ahead_from = 0
        self._is_exhausted = False
        self._catch_up_from_ns, self._n_caught_up = -(2**62), 0
        self.is_unpaced = schedule.is_unpaced
        self._piece = capacity * max(piece // capacity, 4)  # else each piece would end with a small batch
        self._at_once = np.zeros(self._piece if self.is_unpaced else 0, dtype=np.int64)
        self._at_start_ns = self._at_once + start_ns
        identity = {"stream_id": stream_id, "epoch": epoch, "flags": self._flags}
        identity |= {"schedule_start_ns": start_ns, "interval_ns": schedule.interval_ns}
        self._single = SingleStamp(np.zeros((1, size), dtype=np.uint8), **identity)
        n_front = size if front_bytes is None else front_bytes
        self.rest = self._single.rows[0, n_front:].copy()
        self._batch = RampStamp(np.zeros((capacity, n_front), dtype=np.uint8), **identity)
        self._look_ahead()

    @property
    def next_due_ns(self) -> int | None:
        """When the next probe is due, on the run's time line; None when the stream has ended."""
        place = self.n_taken - self._n_ahead_from
        return None if place >= len(self._ahead) else self.start_ns + int(self._ahead[place])

    @property
    def catch_up_limit(self) -> int:
        """Most probes handed out within CATCH_UP_PERIOD_NS while behind the schedule: twice the rate, 32 at least."""
        place = self.n_taken - self._n_ahead_from
        ahead = self._ahead[place : place + 64]
        span_ns = int(ahead[-1] - ahead[0]) if len(ahead) > 1 else 0
        if span_ns <= 0:
            return self._capacity
        return max(32, math.ceil(2 * (len(ahead) - 1) * CATCH_UP_PERIOD_NS / span_ns))

    def end(self, now_ns: int) -> None:
        """Let the stream end now: what is due by `now_ns` and not yet taken is still to be sent, nothing later."""
        self.duration_ns = min(self.duration_ns or now_ns, now_ns - self.start_ns)
        keep = np.searchsorted(self._ahead, self.duration_ns, side="left")
        self._ahead, self._is_exhausted = self._ahead[:keep], True

    def take(self, now_ns: int) -> Probes:
        """Return the probes due by now, stamped now; empty while none is due or the catch-up limit is reached."""
        if self.is_unpaced:
            return self.written(self.write(now_ns))
        place = self.n_taken - self._n_ahead_from
        n = int(np.searchsorted(self._ahead[place:], now_ns - self.start_ns, side="right"))
        n = min(n, self._capacity, self._allowance(n, now_ns))
        if n > self._run:
            n -= n % self._run
        return self._stamped(self.start_ns + self._ahead[place : place + n], now_ns)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """The rows that `write` writes and that `take` hands out of several, shape (capacity, front_bytes)."""
        return self._batch.rows

    def write(self, now_ns: int) -> int:
        """Write the next probes of an unpaced stream into `rows` and take them, as many as fit; return how many.

        There is nothing to look up: at a rate of millions that would take a good part of it.
        """
        place, offset_ns = self.n_taken - self._n_ahead_from, now_ns - self.start_ns
        if self.duration_ns is not None and offset_ns >= self.duration_ns:
            self._ahead, self._is_exhausted = self._ahead[:place], True
        n = min(len(self._ahead) - place, self._capacity) if offset_ns >= 0 else 0
        if n:
            first_seq = self.n_taken
            self.skip(n)
            self._batch.stamp(first_seq, n, now_ns)
        return n

    def written(self, n: int) -> Probes:
        """Return the n probes that `write` wrote."""
        return Probes(self.n_taken - n, self._at_start_ns[:n], self._batch.rows[:n])

    def whole(self, fronts: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return whole probes, shape (n, size), of their first `front_bytes`."""
        return np.hstack([fronts, np.tile(self.rest, (len(fronts), 1))]) if len(self.rest) else fronts

    def _stamped(self, due_ns: NDArray[np.int64], now_ns: int) -> Probes:
        """Return the next probes, written and taken."""
        first_seq, n = self.n_taken, len(due_ns)
        self.skip(n)
        if n == 1 and not len(self.rest):
            self._single.stamp(first_seq, now_ns)
            return Probes(first_seq, due_ns, self._single.rows)
        return Probes(first_seq, due_ns, self._batch.stamp(first_seq, n, now_ns))

    @property
    def row(self) -> NDArray[np.uint8]:
        """The row that `take` hands out when a single probe is due, shape (1, size); always the same."""
        return self._single.rows

    def stamp_row(self, seq: int, now_ns: int) -> None:
        """Write the probe `seq`, sent now, into `row`."""
        self._single.stamp(seq, now_ns)

    def stamp(self, data: NDArray[np.uint8], seq: NDArray[np.int64], now_ns: int) -> None:
        """Write the probes `seq`, sent now, into the rows of `data`; also to stamp again what had to wait."""
        fill_probes(
            data,
            stream_id=self.stream_id,
            epoch=self.epoch,
            seq=seq,
            tx_ns=np.full(len(seq), now_ns, dtype=np.int64),
            schedule_start_ns=self.start_ns,
            interval_ns=self.schedule.interval_ns,
            flags=self._flags,
        )

    def end_probe(self, now_ns: int) -> NDArray[np.uint8]:
        """Return one end-of-stream probe, shape (1, size); it carries how many probes the stream had."""
        data = np.zeros((1, self.size), dtype=np.uint8)
        fill_probes(
            data,
            stream_id=self.stream_id,
            epoch=self.epoch,
            seq=np.array([self.n_taken], dtype=np.int64),
            tx_ns=np.array([now_ns], dtype=np.int64),
            schedule_start_ns=self.start_ns,
            interval_ns=self.schedule.interval_ns,
            flags=self._flags | FLAG_END,
            count=self.n_taken,
        )
        return data

    def log(self, probes: Probes, tx_ns: int, errnos: NDArray[np.uint16]) -> PacketArray:
        """Return the log records of probes handed to the kernel at `tx_ns`; errno 0 means sent."""
        rows = self._records(probes.seq, probes.due_ns)
        rows["tx_ns"], rows["errno"] = np.where(errnos == 0, tx_ns, UNDEFINED_NS), errnos
        return rows

    @property
    def n_ahead(self) -> int:
        """How many of the next probes have known due times; 0 only when the stream has ended.

        For a caller that stamps and sends them one by one, and then says by `skip` how far it came.
        """
        return len(self._ahead) + self._n_ahead_from - self.n_taken

    def skip(self, n: int) -> None:
        """Take the next n probes, at most `n_ahead`, without handing them out."""
        self.n_taken += n
        if self.n_taken - self._n_ahead_from >= len(self._ahead):
            self._look_ahead()

    def regular_log(self, first_seq: int, n: int) -> PacketArray:
        """Return the log records of probes `first_seq` and on that left when they were due, shape (n,), SENT_DTYPE.

        Only of a schedule with a fixed interval.
        """
        seq = np.arange(first_seq, first_seq + n, dtype=np.int64)
        rows = self._records(seq, self.start_ns + seq * self.schedule.interval_ns)
        rows["tx_ns"] = rows["due_ns"]
        return rows

    def may_catch_up(self, now_ns: int) -> bool:
        """Return whether the catch-up limit lets one more late probe leave now, and count it."""
        return self._allowance(1, now_ns) > 0

    def _records(self, seq: NDArray[np.int64], due_ns: NDArray[np.int64]) -> PacketArray:
        rows = np.zeros(len(seq), dtype=SENT_DTYPE)
        rows["seq"], rows["due_ns"] = seq, due_ns
        rows["stream"], rows["size"] = self.number, self.size
        return rows

    def _allowance(self, n_due: int, now_ns: int) -> int:
        """Return how many probes may leave now: all of a normal tick, or what the catch-up limit leaves."""
        if self.schedule.interval_ns == 0 and n_due >= self._capacity:
            return n_due  # a frame larger than a batch: nothing to catch up with
        if now_ns - self._catch_up_from_ns >= CATCH_UP_PERIOD_NS:
            self._catch_up_from_ns, self._n_caught_up = now_ns, 0
        allowance = max(0, self.catch_up_limit - self._n_caught_up)
        self._n_caught_up += min(n_due, allowance, self._capacity)
        return allowance

    def _look_ahead(self) -> None:
        """Compute the next piece of due times, cut where the stream ends."""
        self._n_ahead_from, self._ahead = self.n_taken, self._ahead[:0]
        if self._is_exhausted:
            return
        n = self._piece if self.count is None else max(0, min(self._piece, self.count - self.n_taken))
        ahead = self._at_once[:n] if self.is_unpaced else self.schedule.offsets_ns(self.n_taken, n)
        if self.duration_ns is not None:
            ahead = ahead[: np.searchsorted(ahead, self.duration_ns, side="left")]
        self._is_exhausted = len(ahead) < self._piece
        self._ahead = ahead
