"""A stream that keeps its pace to a few microseconds: block by block, with next to nothing between two of its probes.

What runs between two packets is what makes the next one late: it takes its time, and it drives the way to the system
call out of the processor's caches, which the call then pays for. So a probe is stamped before the clock is watched,
with the time when it is due; shortly before that time the call is rehearsed; and what is logged afterwards is that each
left when it was due, but for those of which something else was noted.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from harness.model import UNDEFINED_NS, PacketArray
from harness.traffic import StreamSender

LATE_NS = 1_000
"""A probe that leaves later than this after its due time is stamped anew; a look at the clock takes a tenth of it."""

REHEARSING_NS, REHEARSED_NS = 300_000, 25_000
"""The system call is rehearsed from so long before a due time up to so long before.

Once takes 4 to 6 us, and in some hundredths of all cases three times as much: it is to be over by then. Measured at
1,000 pps with rehearsals up to 8, 16, 25 and 40 us before, mean of ten turns' p99 of the interval's error: 15, 7, 6 and
9 us; without any, 17.
"""


class PreciseStream:
    """Sends probes one by one, each when it is due, and tells what became of them.

    Args:
      sender: whose probes they are.
      send: sends the sender's `row` as it stands, and returns the errno.
      rehearse: goes the way of `send` without sending, and returns whether it is refused.
      to_monotonic: returns a time of the run's time line as `monotonic` shows it.
      monotonic: returns the monotonic clock in ns.

    Attributes:
      is_full: the send buffer had no room for the next probe.
      is_changed: the kernel began or ceased to refuse with the last probe.
    """

    def __init__(
        self,
        sender: StreamSender,
        send: Callable[[], int],
        rehearse: Callable[[], bool],
        to_monotonic: Callable[[int], int],
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._sender, self._send, self._rehearse = sender, send, rehearse
        self._shift_ns, self._monotonic = to_monotonic(0), monotonic
        self._last_errno: int | None = None
        self._logged_to, self._late, self._refused = sender.n_taken, dict[int, int](), dict[int, int]()
        self.is_full = self.is_changed = False

    def send_block(self, until_ns: int) -> int:
        """Send the next probe and those due by `until_ns` of the run's time line; return how many the kernel saw.

        The block ends early, so that the caller can see to it, when the kernel begins or ceases to refuse, when the
        send buffer is full, and when the catch-up limit is reached. Of a block whose first probe meets one of the
        latter two, none is sent.
        """
        sender, send, rehearse, monotonic = self._sender, self._send, self._rehearse, self._monotonic
        stamp, shift_ns, interval_ns = sender.stamp_row, self._shift_ns, sender.schedule.interval_ns
        due_ns = sender.next_due_ns or 0
        first_seq = seq = sender.n_taken
        end_seq = first_seq + min(sender.n_ahead, max(0, until_ns - due_ns) // interval_ns + 1)
        self.is_full = self.is_changed = False
        while seq < end_seq and not self.is_changed:
            stamp(seq, due_ns)
            at_ns = due_ns + shift_ns
            while monotonic() < at_ns - REHEARSING_NS:
                pass
            # what is refused is not rehearsed: the kernel would count each
            rehearsed_ns = at_ns - REHEARSED_NS if self._last_errno == 0 else 0
            while monotonic() < rehearsed_ns and not rehearse():
                pass
            while (now_ns := monotonic()) < at_ns:
                pass
            if now_ns - at_ns > LATE_NS:
                if now_ns - at_ns >= interval_ns and not sender.may_catch_up(now_ns - shift_ns):
                    break
                self._late[seq] = now_ns - shift_ns
                stamp(seq, now_ns - shift_ns)
            number = send()
            if number == errno.EAGAIN:
                self.is_full = True
                break
            if number != self._last_errno:
                self.is_changed, self._last_errno = bool(number or self._last_errno), number
            if number:
                self._refused[seq] = number
            seq += 1
            due_ns += interval_ns
        sender.skip(seq - first_seq)
        return seq - first_seq

    def take_log(self) -> PacketArray:
        """Return the log records of what was sent or refused since the last call, shape (n,), SENT_DTYPE."""
        first_seq, end_seq = self._logged_to, self._sender.n_taken
        rows = self._sender.regular_log(first_seq, end_seq - first_seq)
        for seq, tx_ns in self._late.items():
            if seq < end_seq:  # not one that found no room
                rows["tx_ns"][seq - first_seq] = tx_ns
        for seq, number in self._refused.items():
            rows["errno"][seq - first_seq], rows["tx_ns"][seq - first_seq] = number, UNDEFINED_NS
        self._logged_to, self._late, self._refused = end_seq, {}, {}
        return rows
