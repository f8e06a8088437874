"""The streaming, mergeable fold: packets in, in any chunks and parts, the same summaries out.

A part of a recording cannot know what came before it, so it keeps its first packets as they are (twice the horizon) and
counts only what follows them. Merging feeds those packets to the part before, which is then where the counts began, and
adds the counts. So a packet may be as late as the horizon and still everything is exact, however the recording was cut.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from harness.analyzer.attribution import shares
from harness.analyzer.core import Core
from harness.analyzer.sender import SentLog
from harness.analyzer.series import MAX_BINS
from harness.analyzer.summarise import summarise
from harness.errors import AnalysisError
from harness.model import PacketArray, Parameters, StreamInfo, StreamSummary

_LEAST_STEP = 64
_MOST_HEADS = 8
"""Horizons of rows kept at most, where most of them are copies or damaged."""
_BATCH_ROWS = 512
"""Rows of a stream that make it worth while to fold them; fewer wait."""
_MOST_WAITING = 1 << 22
_FEW_STREAMS = 64
_ALL_BINS = 1 << 20
_FEWEST_BINS = 64


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


class StreamFold:
    """Folds one stream.

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
            head = packets[: max(missing, _LEAST_STEP)].copy()
            self._head.append(head)
            self._core.feed(head)
            packets = packets[len(head) :]
        if len(packets):
            self._core.feed(packets)

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
        core = self._core
        runs = core.received
        if not core.is_numbered or not len(runs):
            return StreamView(self.info.number, core.n_bare, None, None, core.last_ns)
        first, last = runs.gaps()
        missing = last - first + 1
        long = np.flatnonzero(missing >= self.parameters.min_packets)
        gap = (int(first[long[-1]]), int(last[long[-1]])) if len(long) else None
        lost = int(missing.sum()) + runs.n_closed_lost
        return StreamView(self.info.number, runs.n, lost, gap, core.last_ns)


class Fold:
    """Folds all streams of a recording."""

    def __init__(self, parameters: Parameters | None = None, *, is_first: bool = False) -> None:
        """Start a fold; with `is_first` it begins the recording, is leaner, and cannot be merged behind another."""
        self.parameters = parameters or Parameters()
        self._is_first = is_first
        self._streams: dict[int, StreamFold] = {}
        self._waiting: list[PacketArray] = []
        self._n_waiting = 0
        self._max_bins = MAX_BINS

    @property
    def streams(self) -> dict[int, StreamFold]:
        """The streams by number; packets that wait are folded first."""
        self._flush()
        return self._streams

    def add_stream(self, info: StreamInfo) -> None:
        """Make a stream known, or tell more of a known one (its count, at its end).

        Raises:
          AnalysisError: what the packets already folded depend on would change (numbering, clock).
        """
        known = self._streams.get(info.number)
        if known is None:
            self._streams[info.number] = StreamFold(info, self.parameters, is_first=self._is_first)
            self._max_bins = _bins_each(len(self._streams))
        else:
            self._flush()
            known.info = info

    def update(self, packets: PacketArray) -> None:
        """Take the next packets in arrival order, of any streams, PACKET_DTYPE, shape (n,); the array may be reused.

        Raises:
          AnalysisError: a packet of a stream that was not added.
        """
        if not len(packets):
            return
        number = int(packets["stream"][0])
        if (packets["stream"] == number).all() and (len(packets) >= _BATCH_ROWS or len(self._streams) == 1):
            self._flush()
            self._fold_one(number, packets)
            return
        self._waiting.append(packets.copy())
        self._n_waiting += len(packets)
        if self._n_waiting >= min(_BATCH_ROWS * len(self._streams), _MOST_WAITING):
            self._flush()

    def merge(self, later: Fold) -> Fold:
        """Return the fold of this part and of the one that followed it without a gap; both stay as they are."""
        self._flush()
        later._flush()
        both = Fold(self.parameters, is_first=self._is_first)
        numbers = sorted(self._streams.keys() | later._streams.keys())
        both._max_bins = _bins_each(len(numbers))
        for number in numbers:
            first, second = self._streams.get(number), later._streams.get(number)
            if first is not None and second is not None:
                both._streams[number] = first.merge(second)
            else:
                both._streams[number] = copy.deepcopy(first or second)  # type: ignore[assignment]
        return both

    def view(self) -> list[StreamView]:
        """Return the live figures of all streams; with very many of them, the newest packets may still wait."""
        if len(self._streams) <= _FEW_STREAMS:
            self._flush()
        return [stream.view() for stream in self._streams.values()]

    def summaries(
        self,
        *,
        observed: tuple[int, int] | None = None,
        joined_ns: Mapping[str, int] | None = None,
        sent: Mapping[int, SentLog] | None = None,
        drops: Mapping[str, int | None] | None = None,
    ) -> list[StreamSummary]:
        """Return a summary of each stream, in order of their numbers.

        Args:
          observed: start and end of the observation, receiver's time line.
          joined_ns: by receiver's name, when it had joined, receiver's time line.
          sent: by stream number, the sender's log of it.
          drops: by receiver's name, datagrams lost in its socket buffers; None or absent when nobody counted.
        """
        self._flush()
        streams = [self._streams[number] for number in sorted(self._streams)]
        found = [
            stream.summary(
                observed=observed,
                joined_ns=(joined_ns or {}).get(stream.info.receiver),
                sent=(sent or {}).get(stream.info.number),
                max_bins=self._max_bins,
            )
            for stream in streams
        ]
        return share_drops(found, drops or {})

    def _flush(self) -> None:
        """Fold the packets that wait, stream by stream."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting, self._n_waiting = [], 0
        order = np.argsort(rows["stream"], kind="stable")
        rows = rows[order]
        starts = np.append(0, np.flatnonzero(np.diff(rows["stream"])) + 1).tolist()
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            self._fold_one(int(rows["stream"][start]), rows[start:end])

    def _fold_one(self, number: int, rows: PacketArray) -> None:
        stream = self._streams.get(number)
        if stream is None:
            raise AnalysisError(f"packets of stream {number}, which the manifest does not list; is it from this run?")
        stream.limit_bins(self._max_bins)
        stream.update(rows)


def _bins_each(n_streams: int) -> int:
    """Return how many bins a time series may have, so that those of all streams together stay bounded."""
    return min(MAX_BINS, max(_FEWEST_BINS, _ALL_BINS // max(1, n_streams)))


def _united(first: StreamInfo, later: StreamInfo) -> StreamInfo:
    """Return the later word on a stream, with what only the first one knew."""
    return later if later.sent is not None or first.sent is None else first


def share_drops(summaries: list[StreamSummary], drops: Mapping[str, int | None]) -> list[StreamSummary]:
    """Return the summaries with each receiver's socket drops attributed to its streams.

    The drops of a receiver's sockets are counted together; with several streams each takes its part of them in
    proportion to what it lost for no other known reason, and says so.
    """
    result = list(summaries)
    for receiver in {summary.receiver for summary in summaries}:
        total = drops.get(receiver)
        if total is None:
            continue
        places = [k for k, summary in enumerate(summaries) if summary.receiver == receiver]
        parts = shares(total, [summaries[k].attribution.unknown for k in places])
        for k, part in zip(places, parts, strict=True):
            known = summaries[k].attribution
            notes = summaries[k].notes
            if total and len(places) > 1 and known.unknown:
                notes = [*notes, f"{total} socket drops shared among {len(places)} streams in proportion to their loss"]
            attribution = msgspec.structs.replace(known, own_buffer=part, network=known.unknown - part, unknown=0)
            result[k] = msgspec.structs.replace(summaries[k], attribution=attribution, notes=notes)
    return result
