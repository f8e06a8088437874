"""Summaries on one axis of time: from when to when, and moved so that all start together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model import StreamSummary, Summary
from harness.model.comparison import Comparison
from harness.plots.wording import plain


def extent_of(summary: Summary) -> tuple[int, int] | None:
    """Return the first and the last moment of a summary's streams in ns; None without one."""
    moments = []
    for stream in summary.streams:
        if stream.series.received:
            end = stream.series.start_ns + stream.series.bin_ns * len(stream.series.received)
            moments += [stream.series.start_ns, end]
        moments += [moment for window in stream.windows for moment in (window.start_ns, window.end_ns)]
    return (min(moments), max(moments)) if moments else None


def drawn_streams(comparison: Comparison, summaries: Sequence[Summary]) -> list[list[StreamSummary]]:
    """Return the streams of each match as a figure shows them: named by their recording, and on the common axis.

    Args:
      comparison: of these summaries.
      summaries: in the order of its runs.
    """
    drawn = []
    for match in comparison.matches:
        streams = []
        for member in match.members:
            (stream,) = [item for item in summaries[member.run].streams if item.number == member.number]
            start_ns = comparison.runs[member.run].start_ns
            delta = -start_ns if comparison.axis == "relative" and start_ns is not None else 0
            named = msgspec.structs.replace(stream, label=f"{plain(member.name, 30)}: {label_of(stream)}")
            streams.append(moved(named, delta))
        drawn.append(streams)
    return drawn


def label_of(stream: StreamSummary) -> str:
    """Return a stream's label without its receiver, which is what differs."""
    return stream.label.removesuffix(f" at {stream.receiver}") if stream.receiver else stream.label


def moved(stream: StreamSummary, delta_ns: int) -> StreamSummary:
    """Return a stream with its windows, bursts and time series moved in time."""
    if not delta_ns:
        return stream
    replace = msgspec.structs.replace
    return replace(
        stream,
        first_rx_ns=None if stream.first_rx_ns is None else stream.first_rx_ns + delta_ns,
        last_rx_ns=None if stream.last_rx_ns is None else stream.last_rx_ns + delta_ns,
        windows=[
            replace(window, start_ns=window.start_ns + delta_ns, end_ns=window.end_ns + delta_ns)
            for window in stream.windows
        ],
        thinning=[
            replace(item, start_ns=item.start_ns + delta_ns, end_ns=item.end_ns + delta_ns)
            if item.start_ns is not None and item.end_ns is not None
            else item
            for item in stream.thinning
        ],
        series=replace(stream.series, start_ns=stream.series.start_ns + delta_ns),
    )
