"""A stream at full rate: batch after batch, and what became of them is logged a turn at a time.

What runs between two system calls is what makes the stream slower, twice over: it takes its time, and it comes from
memory, since the kernel has filled the processor's caches with its own. So nothing is done batch by batch that can be
done for many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import PacketArray
from harness.net.ready import ReadyRows
from harness.traffic import Probes, StreamSender


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch that was handed to the kernel: when it was stamped, and the errno of each probe.

    With transmit stamps `first_number` is the number of its first datagram.
    """

    probes: Probes
    tx_ns: int
    errnos: NDArray[np.uint16]
    first_number: int = 0


class FlatOutStream:
    """Sends the probes of an unpaced stream, and tells what became of them.

    Args:
      sender: whose probes they are.
      ready: its rows, with what follows them.
      now_ns: returns the time on the run's time line.
    """

    def __init__(
        self,
        sender: StreamSender,
        ready: ReadyRows,
        now_ns: Callable[[], int],
    ) -> None:
        self._sender, self._ready, self._now_ns = sender, ready, now_ns
        self._logged_to, self._n_each, self._tx_ns = sender.n_taken, list[int](), list[int]()
        self._log, self._ramp = sender.regular_log(0, 0), np.empty(0, np.int64)

    def send_until(self, until_ns: int) -> Answered | None:
        """Send batches until the clock shows `until_ns` or the stream ends.

        Returns:
          The batch that the kernel did not take as a whole, which ends it early; it is the caller's to settle and log,
          after `take_log`.
        """
        write, send, clock_ns = self._sender.write, self._ready.send, self._now_ns
        n_each, tx_ns = self._n_each, self._tx_ns
        while (now_ns := clock_ns()) < until_ns:
            n_probes = write(now_ns)
            if not n_probes:
                break
            errnos = send(n_probes)
            if errnos is not None:
                return Answered(self._sender.written(n_probes), now_ns, errnos)
            n_each.append(n_probes)
            tx_ns.append(now_ns)
        return None

    @property
    def n_unlogged(self) -> int:
        """Probes that the kernel took since the last `take_log`."""
        return sum(self._n_each)

    @property
    def first_unlogged(self) -> int:
        """The number of the first of these."""
        return self._logged_to

    def take_log(self) -> PacketArray:
        """Return the log records of what the kernel took since the last call, shape (n,), SENT_DTYPE.

        They are good until the next call.
        """
        first_seq, n = self.first_unlogged, self.n_unlogged
        if n > len(self._log):  # all are due at once: from log to log, number and time of sending alone differ
            self._log, self._ramp = self._sender.regular_log(0, n), np.arange(n)
        rows = self._log[:n]
        np.add(self._ramp[:n], first_seq, out=rows["seq"])
        sent, place = rows["tx_ns"], 0
        for n_batch, tx_ns in zip(self._n_each, self._tx_ns, strict=True):
            sent[place : place + n_batch] = tx_ns
            place += n_batch
        self.skip_log()
        return rows

    def skip_log(self) -> int:
        """Leave unlogged what the kernel took since the last call, and return how many probes these are."""
        n = self.n_unlogged
        self._logged_to, self._n_each, self._tx_ns = self._sender.n_taken, [], []
        return n
