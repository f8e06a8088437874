"""The fold of one stream: packets in, in any chunks and parts, the same summary out.

A part of a recording cannot know what came before it, so it keeps its first packets as they are (twice the horizon) and
counts only what follows them. Merging feeds those packets to the part before, which is then where the counts began, and
adds the counts. So a packet may be as late as the horizon and still everything is exact, however the recording was cut.
"""

from __future__ import annotations

import copy

from harness.analyzer.core import Core
from harness.analyzer.reception import StreamView
from harness.analyzer.sentlog import SentLog
from harness.analyzer.series import MAX_BINS
from harness.analyzer.summarise import summarise
from harness.errors import AnalysisError
from harness.model import PacketArray, Parameters, StreamInfo, StreamSummary, TrainArray, expand_trains

_MOST_HEADS = 8
"""Horizons of rows kept at most, where most of them are copies or damaged."""


class StreamFold:
    """Folds one stream.

    >>> import numpy as np
    >>> from harness.model import PACKET_DTYPE
    >>> rows = np.zeros(3, PACKET_DTYPE)
    >>> rows["seq"], rows["rx_ns"] = [0, 1, 3], [0, 10, 30]
    >>> fold = StreamFold(StreamInfo(number=0))
    >>> fold.update(rows)
    >>> summary = fold.summary()
    >>> summary.received, summary.lost
    (3, 1)
    """

    def __init__(self, info: StreamInfo, parameters: Parameters | None = None, *, is_first: bool = False) -> None:
        """Start a fold; with `is_first` it begins the recording, is leaner, and cannot be merged behind another."""
        self.parameters = parameters or Parameters()
        self._core = Core(info, self.parameters)
        self._head: list[PacketArray] = []
        self._is_head_open = not is_first
        self._is_first = is_first

    @property
    def info(self) -> StreamInfo:
        """What is known of the stream beside its packets."""
        return self._core.info

    @info.setter
    def info(self, info: StreamInfo) -> None:
        self._core.set_info(info)

    def update(self, packets: PacketArray) -> None:
        """Take the next packets of the stream in arrival order, PACKET_DTYPE, shape (n,); their array may be reused."""
        while self._is_head_open and len(packets):
            missing = 2 * self.parameters.horizon - self._core.arrivals.n - self._core.n_bare
            if missing <= 0 or sum(map(len, self._head)) >= _MOST_HEADS * self.parameters.horizon:
                self._core.begin_body()
                self._is_head_open = False
                break
            head = packets[: max(missing, self.parameters.horizon // 8, 1)].copy()
            self._head.append(head)
            self._core.feed(head)
            packets = packets[len(head) :]
        if len(packets):
            self._core.feed(packets)

    def update_trains(self, trains: TrainArray) -> None:
        """Take the next trains of the stream, TRAIN_DTYPE, shape (k,), as `update` takes their packets."""
        if self._is_head_open:  # it keeps packets as they are
            self.update(expand_trains(trains))
        else:
            self._core.feed_trains(trains)

    def limit_bins(self, max_bins: int) -> None:
        """Keep time series of at most so many bins from now on; a later limit must not be higher."""
        self._core.series.max_bins = max_bins

    def merge(self, later: StreamFold) -> StreamFold:
        """Return the fold of this part and the one that followed it without a gap; both parts stay as they are.

        Raises:
          AnalysisError: `later` was told that it begins the recording.
        """
        if later._is_first:
            raise AnalysisError(
                f"stream {later.info.number}: a part that was folded with is_first cannot be merged behind another"
            )
        both = copy.deepcopy(self)
        both.info = _united(self.info, later.info)
        for head in later._head:
            both.update(head)
        if not later._is_head_open:
            if both._is_head_open:
                both._core.begin_body()
                both._is_head_open = False
            both._core.append(later._core)
        return both

    def whole(self) -> Core:
        """Return the accumulators of all packets folded; to be read only."""
        if self._is_head_open or self._is_first:
            return self._core
        core = Core(self.info, self.parameters)
        for head in self._head:
            core.feed(head)
        core.append(self._core)
        return core

    def summary(
        self,
        *,
        observed: tuple[int, int] | None = None,
        joined_ns: int | None = None,
        sent: SentLog | None = None,
        drops: int | None = None,
        max_bins: int = MAX_BINS,
    ) -> StreamSummary:
        """Return the summary so far; arguments as for `harness.analyzer.summarise`."""
        return summarise(self.whole(), observed=observed, joined_ns=joined_ns, log=sent, drops=drops, max_bins=max_bins)

    def view(self) -> StreamView:
        """Return the live figures; for a later part of a recording, those after its first packets."""
        return self._core.view()


def _united(first: StreamInfo, later: StreamInfo) -> StreamInfo:
    """Return the later word on a stream, with what only the first one knew."""
    return later if later.sent is not None or first.sent is None else first
