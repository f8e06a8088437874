"""The live count of packets that are recorded one by one: what a status line says of them, and nothing else.

Everything else is computed from the recording. Here a packet costs next to nothing, as long as packets come as they
nearly always do: a batch of one stream, numbered one after the other. Two looks prove that, one at the word that holds
stream and flags, one at the numbers; then only the first and the last packet matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.mixed import FEW_STREAMS, Mixed, by_stream, stream_of
from harness.analyzer.reception import SPECIAL, Reception, StreamView
from harness.analyzer.sequence import LIMIT
from harness.model import PacketArray, Parameters, StreamInfo, TrainArray

Int64Array = NDArray[np.int64]

_WORD = np.dtype("<i8")
_SEQ, _RX, _REST = 0, 2, 3
"""Words of a record: number, receive time, and what holds stream, size, ttl and flags."""
_STREAM_MASK, _FLAGS_SHIFT, _FLAGS_MASK = 0xFFFF, 40, 0xFF


class StreamTally(Reception):
    """Counts the packets of one stream: a Reception with a quick way."""

    def take_run(self, words: Int64Array, flags: int) -> bool:
        """Take packets if their numbers follow one another and all lie above the highest.

        Args:
          words: PACKET_DTYPE records as shape (n, 4), n > 0, in arrival order.
          flags: which all of them have.

        Returns:
          Whether they were taken; else nothing has changed, and they are for `feed`.
        """
        first, first_tx, first_rx_ns, _ = words[0].tolist()
        last, last_tx, last_rx_ns, _ = words[-1].tolist()
        low, high = self._range()
        n_steps = len(words) - 1
        if flags & SPECIAL or self.parameters.tmax_ns is not None or not self.info.sequence_bits:
            return False
        if first < low or last >= high or last - first != n_steps:
            return False
        seq = words[:, _SEQ]  # that rise strictly, and by so much together, rise by one
        if np.count_nonzero(seq[1:] > seq[:-1]) != n_steps:
            return False
        if int(words[:, _RX].view(np.uint64).max()) >= LIMIT:  # or negative, which the long way looks at
            return False
        first_ns, last_ns = self._sent_ns(first_tx, first_rx_ns), self._sent_ns(last_tx, last_rx_ns)
        number = self.extender.advance(first, last, last_ns)
        if number is None:
            return False
        self.n_copies += len(words)
        self.received.add_run(number, number + n_steps, first_ns, last_ns)
        self.first_ns = first_rx_ns if self.first_ns is None else self.first_ns
        self.last_ns = last_rx_ns
        return True

    def _sent_ns(self, tx: int, rx_ns: int) -> int:
        """Return the time of one packet for the sender's time line, as `_times` does for many."""
        if self.info.clock_rate:
            return rx_ns
        return tx if -LIMIT < tx < LIMIT else rx_ns - (self.info.clock_offset_ns or 0)


class Tally:
    """Counts the packets of all streams of a recording.

    >>> from harness.model import PACKET_DTYPE
    >>> rows = np.zeros(3, PACKET_DTYPE)
    >>> rows["seq"], rows["rx_ns"] = [0, 1, 3], [0, 10, 30]
    >>> tally = Tally()
    >>> tally.add_stream(StreamInfo(number=0))
    >>> tally.update(rows)
    >>> [(stream.received, stream.lost) for stream in tally.view()]
    [(3, 1)]
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._streams: dict[int, StreamTally] = {}
        self._mixed = Mixed()

    def add_stream(self, info: StreamInfo) -> None:
        """Make a stream known, or tell more of a known one (its count, at its end).

        Raises:
          AnalysisError: what the packets already counted depend on would change (numbering, clock).
        """
        known = self._streams.get(info.number)
        if known is None:
            self._streams[info.number] = StreamTally(info, self.parameters)
        else:
            self._flush()
            known.set_info(info)

    def update(self, packets: PacketArray) -> None:
        """Take the next packets in arrival order, of any streams, PACKET_DTYPE, shape (n,); the array may be reused.

        Raises:
          AnalysisError: a packet of a stream that was not added.
        """
        if len(packets) and not self._mixed.n_waiting and self._take_run(packets):
            return
        for number, rows in self._mixed.put(packets, len(self._streams)):
            self._take(number, rows)

    def update_trains(self, trains: TrainArray) -> None:
        """Take the next trains in arrival order, of any streams, TRAIN_DTYPE, shape (k,), as `update` their packets.

        Raises:
          AnalysisError: a train of a stream that was not added.
        """
        self._flush()
        for number, part in by_stream(trains):
            stream_of(self._streams, number).feed_trains(part)

    def view(self) -> list[StreamView]:
        """Return the live figures of all streams; with very many of them, the newest packets may still wait."""
        if len(self._streams) <= FEW_STREAMS:
            self._flush()
        return [stream.view() for stream in self._streams.values()]

    def _flush(self) -> None:
        for number, rows in self._mixed.take():
            self._take(number, rows)

    def _take(self, number: int, rows: PacketArray) -> None:
        if not self._take_run(rows):
            stream_of(self._streams, number).feed(rows)

    def _take_run(self, packets: PacketArray) -> bool:
        """Take packets, n > 0, of one stream that follow one another; return whether they were taken."""
        words = np.ascontiguousarray(packets).view(_WORD).reshape(-1, 4)
        rest = words[:, _REST]
        every = int(rest[0])
        if np.count_nonzero(rest == every) != len(rest):
            return False
        stream = stream_of(self._streams, every & _STREAM_MASK)
        return stream.take_run(words, every >> _FLAGS_SHIFT & _FLAGS_MASK)
