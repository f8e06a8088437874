"""The fold of a whole recording: packets of all streams in, a summary of each out; parts of it can be merged."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Mapping

from harness.analyzer.attribution import doubt, share_drops
from harness.analyzer.mixed import FEW_STREAMS, Mixed, by_stream, stream_of
from harness.analyzer.reception import StreamView
from harness.analyzer.sentlog import SentLog
from harness.analyzer.series import MAX_BINS
from harness.analyzer.stream_fold import StreamFold
from harness.model import PacketArray, Parameters, StreamInfo, StreamSummary, TrainArray

_ALL_BINS = 1 << 20
_FEWEST_BINS = 64


class Fold:
    """Folds all streams of a recording."""

    def __init__(self, parameters: Parameters | None = None, *, is_first: bool = False) -> None:
        """Start a fold; with `is_first` it begins the recording, is leaner, and cannot be merged behind another."""
        self.parameters = parameters or Parameters()
        self._is_first = is_first
        self._streams: dict[int, StreamFold] = {}
        self._mixed = Mixed()
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
        for number, rows in self._mixed.put(packets, len(self._streams)):
            self._stream(number).update(rows)

    def update_trains(self, trains: TrainArray) -> None:
        """Take the next trains in arrival order, of any streams, TRAIN_DTYPE, shape (k,), as `update` their packets.

        Raises:
          AnalysisError: a train of a stream that was not added.
        """
        self._flush()
        for number, part in by_stream(trains):
            self._stream(number).update_trains(part)

    def merge(self, later: Fold) -> Fold:
        """Return the fold of this part and of the one that followed it without a gap; both stay as they are."""
        self._flush()
        later._flush()
        both = Fold(self.parameters, is_first=self._is_first)
        numbers = sorted(self._streams.keys() | later._streams.keys())
        both._max_bins = _bins_each(len(numbers))
        for number in numbers:
            first, *rest = (part._streams[number] for part in (self, later) if number in part._streams)
            both._streams[number] = first.merge(rest[0]) if rest else copy.deepcopy(first)
        return both

    def view(self) -> list[StreamView]:
        """Return the live figures of all streams; with very many of them, the newest packets may still wait."""
        if len(self._streams) <= FEW_STREAMS:
            self._flush()
        return [stream.view() for stream in self._streams.values()]

    def summaries(
        self,
        *,
        observed: tuple[int, int] | None = None,
        joined_ns: Mapping[str, int] | None = None,
        left_ns: Mapping[str, int] | None = None,
        sent: Mapping[int, SentLog] | None = None,
        drops: Mapping[str, int | None] | None = None,
    ) -> list[StreamSummary]:
        """Return a summary of each stream, in order of their numbers.

        Args:
          observed: start and end of the observation, receiver's time line.
          joined_ns: by receiver's name, when it had joined, receiver's time line.
          left_ns: by receiver's name, when it stopped listening before the end of the observation.
          sent: by stream number, the sender's log of it.
          drops: by receiver's name, datagrams lost in its socket buffers; None or absent when nobody counted.
        """
        self._flush()
        streams = [self._streams[number] for number in sorted(self._streams)]
        ends = _restarts([stream for stream in streams if stream.info.number not in (sent or {})])
        found = [
            stream.summary(
                observed=_until(
                    _until(observed, (left_ns or {}).get(stream.info.receiver)), ends.get(stream.info.number)
                ),
                joined_ns=(joined_ns or {}).get(stream.info.receiver),
                sent=(sent or {}).get(stream.info.number),
                max_bins=self._max_bins,
            )
            for stream in streams
        ]
        return [doubt(summary, _maybe_ended(summary)) for summary in share_drops(found, drops or {})]

    def _flush(self) -> None:
        """Fold the packets that wait, stream by stream."""
        for number, rows in self._mixed.take():
            self._stream(number).update(rows)

    def _stream(self, number: int) -> StreamFold:
        stream = stream_of(self._streams, number)
        stream.limit_bins(self._max_bins)
        return stream


def _until(observed: tuple[int, int] | None, left_ns: int | None) -> tuple[int, int] | None:
    """Return an observation, cut off where a receiver stopped listening."""
    return observed if observed is None or left_ns is None else (observed[0], min(observed[1], left_ns))


def _restarts(streams: list[StreamFold]) -> dict[int, int]:
    """Return by stream number when its sender was started again, receiver's time line: then the old epoch had ended.

    A sender is the same when host, group and stream id are; one that is still heard beside the other is another one.
    """
    ends: dict[int, int] = {}
    senders: dict[tuple[object, ...], list[StreamFold]] = {}
    for stream in streams:
        if stream.info.epoch is not None:
            senders.setdefault(_sender_of(stream.info), []).append(stream)
    for epochs in senders.values():
        starts = sorted(
            one.info.first_due_ns + (one.info.clock_offset_ns or 0) for one in epochs if one.info.first_due_ns
        )
        for old in epochs if len(epochs) > 1 else []:
            last_ns = old.view().last_rx_ns
            later = bisect.bisect_right(starts, last_ns) if last_ns is not None else len(starts)
            if later < len(starts) and old.info.sent is None:
                ends[old.info.number] = starts[later]
    return ends


def _sender_of(info: StreamInfo) -> tuple[object, ...]:
    return info.receiver, info.source.rpartition(":")[0], info.group, info.interface, info.stream_id


def _maybe_ended(summary: StreamSummary) -> int:
    """Return how many of the lost would have come only if the sender had gone on, which nobody knows."""
    return sum(window.packets or 0 for window in summary.windows if window.kind == "stopped_or_ended")


def _bins_each(n_streams: int) -> int:
    """Return how many bins a time series may have, so that those of all streams together stay bounded."""
    return min(MAX_BINS, max(_FEWEST_BINS, _ALL_BINS // max(1, n_streams)))
