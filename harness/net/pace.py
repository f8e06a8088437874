"""Due times met to a few microseconds, by a task that sleeps up to shortly before and watches the clock from there.

A system wakes a process up some time after its timer rang: 50 us on an idle machine, hundreds on a busy or virtual one.
How late this one does is learned as the stream goes, and the timer set that much earlier; what is left is spent on
watching the clock, and no more of it than a stated share. Streams with short intervals are watched throughout, and
so are all that are to be precise: the system wakes nobody up as evenly as that.

It is for a program that does nothing else: who watches the clock keeps others of the same event loop waiting.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

import trio

from harness.net.ticker import Ticker

WHOLE_NS = 200_000
"""Intervals up to this are watched throughout, which takes one processor: sleeping would take longer than they last."""

MOST_SHARE = 0.5
"""Of longer intervals at most this share is watched."""

FIRST_MARGIN_NS, LEAST_MARGIN_NS = 250_000, 50_000
"""The share watched before anything is learned, and at least. On a single processor never more than the latter: what
receives on the same machine has to run too."""

YIELD_NS, PRECISE_YIELD_NS = 50_000_000, 1_000_000_000
"""The event loop gets its turn this often at least, between two due times: cancellation, the recording, signals. Each
turn may make a packet late.
"""

MOST_ROUNDS, ROUND_EVERY = 10, 4
"""What waits for its turn, such as a stop, often goes on from task to task. So a turn has several rounds of the event
loop, this many at most; where one leaves no time for the next, that many packets go in between if blocks are sent.
"""

ROUND_NS, LATE_ROUNDS_NS = 300_000, 2_000_000
"""The first round of a turn takes that long, since nothing of it is in the processor's caches any more; a further one
right after it a tenth. So they follow each other as long as there is that much time, or none at all: where a packet is
late already, a second long round would make others so. But after some milliseconds packets go first.
"""

PRECISE_NS = 5_000_000
"""Where it is to be precise, the clock is watched for this long at most at a time: others of the event loop wait."""

_REMEMBERED, _RELEARN = 512, 32
_SPARE_NS = 10_000


class Pace:
    """Waits for the due times of one stream, in two steps: `approach`, prepare what is to be sent, `watch`.

    Args:
      ticker: wakes up.
      interval_ns: nominal time between due times, above 0.
      is_precise: watch the clock all the time, which takes one processor.
      n_cpus: processors that this process may run on; None asks the system.
      monotonic: returns the monotonic clock in ns.

    Attributes:
      margin_ns: how long before a due time the ticker is to wake up.
    """

    def __init__(
        self,
        ticker: Ticker,
        interval_ns: int,
        *,
        is_precise: bool = False,
        n_cpus: int | None = None,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._ticker, self._monotonic = ticker, monotonic
        n_cpus = usable_cpus() if n_cpus is None else n_cpus
        share = 1.0 if is_precise or interval_ns <= WHOLE_NS else MOST_SHARE
        self._most_ns = min(int(interval_ns * share), PRECISE_NS)
        if n_cpus < 2 and not is_precise:
            self._most_ns = min(self._most_ns, LEAST_MARGIN_NS)
        self._is_learning = self._most_ns > LEAST_MARGIN_NS and interval_ns > WHOLE_NS and not is_precise
        self.margin_ns = min(FIRST_MARGIN_NS, self._most_ns) if self._is_learning else self._most_ns
        self._late_ns: deque[int] = deque(maxlen=_REMEMBERED)
        self._n_wakes = 0
        self._yield_ns = PRECISE_YIELD_NS if is_precise else YIELD_NS
        self._interval_ns, self._is_throughout = interval_ns, interval_ns <= self.margin_ns
        self._yielded_ns = monotonic()
        self._n_rounds = self._n_idle = 0

    async def approach(self, due_ns: int) -> None:
        """Return shortly before the monotonic clock shows `due_ns`, or at once when that is near or has passed.

        A checkpoint now and then, and whenever there is time for it.

        Raises:
          trio.ClosedResourceError: the ticker is, or becomes, closed.
        """
        now_ns, wake_ns = self._monotonic(), due_ns - self.margin_ns
        if now_ns < wake_ns:
            self._yielded_ns = await self._ticker.wait_until(wake_ns)
            self._learn(self._yielded_ns - wake_ns)
        elif now_ns - self._yielded_ns >= self._yield_ns:
            await self._turn(due_ns)

    @property
    def span_ns(self) -> int:
        """For how long after the next due time others may be watched for without `approach`; 0 where it would sleep."""
        if not self._is_throughout:
            return 0
        left_ns = self._yielded_ns + self._yield_ns - self._monotonic()
        return max(left_ns, ROUND_EVERY * self._interval_ns)

    async def _turn(self, due_ns: int) -> None:
        """Let every task run that can, as often as there is time before `due_ns`.

        The turn is over when no other ran in two rounds, as one may come last in a round.
        """
        reserve_ns, late_from_ns = min(ROUND_NS, self._interval_ns // 2), self._monotonic() + LATE_ROUNDS_NS
        steps = _Steps()
        trio.lowlevel.add_instrument(steps)
        try:
            for _ in range(MOST_ROUNDS):
                n_before = steps.n
                await trio.lowlevel.checkpoint()
                self._n_idle = self._n_idle + 1 if steps.n == n_before + 1 else 0
                self._n_rounds += 1
                now_ns = self._monotonic()
                if self._n_idle == 2 or self._n_rounds == MOST_ROUNDS:
                    self._n_rounds = self._n_idle = 0
                    self._yielded_ns = now_ns
                    break
                if due_ns - now_ns < reserve_ns and (due_ns > now_ns or now_ns > late_from_ns):
                    break
        finally:
            trio.lowlevel.remove_instrument(steps)

    def watch(self, due_ns: int) -> None:
        """Return when the monotonic clock shows `due_ns`; call it after `approach`, with everything prepared."""
        monotonic = self._monotonic
        while monotonic() < due_ns:
            pass

    def _learn(self, late_ns: int) -> None:
        """Take how late the system woke this program up; a late packet spoils two intervals, so rare ones count too."""
        self._late_ns.append(late_ns)
        self._n_wakes += 1
        if self._is_learning and (self._n_wakes % _RELEARN == 0 or late_ns > self.margin_ns):
            usual_ns = sorted(self._late_ns)[-2 if len(self._late_ns) > 1 else -1] + _SPARE_NS
            self.margin_ns = max(LEAST_MARGIN_NS, min(usual_ns, self._most_ns))


class _Steps(trio.abc.Instrument):
    """Counts how often a task ran."""

    def __init__(self) -> None:
        self.n = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - Trio's interface
        self.n += 1


def usable_cpus() -> int:
    """Return how many processors this process may run on."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
