"""The packets around the worst drop-out window as pcapng, as many as a bundle has room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.capture import write_pcapng
from harness.exporting.frames import COMMENT, SEVERAL_IN_ONE, datagrams, interface_names
from harness.exporting.span import Span
from harness.model import PacketArray, StreamInfo, Summary, Window
from harness.plots.wording import longest
from harness.report.headline import worst_window
from harness.store import RunReader
from harness.units import format_duration

MOST_PACKETS = 120_000
_WHOLE = (2_000_000_000, 500_000_000, 100_000_000)
_EDGE = (1_000_000_000, 200_000_000, 50_000_000)


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of time around a window, and in words which."""

    span: Span
    words: str


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice: its file's bytes, number of frames, and in words what it is of."""

    data: bytes
    n_frames: int
    words: str


def window_of(summary: Summary) -> Window | None:
    """Return the longest window of the streams that were heard at all, else of any; None without one."""
    return worst_window(summary) or longest([window for stream in summary.streams for window in stream.windows])


def cuts(window: Window) -> list[Cut]:
    """Return the stretches to try, the longest first: the whole window, then only around its start."""
    found = [
        Cut(
            Span(window.start_ns - margin, window.end_ns + margin),
            f"the worst window and {format_duration(margin)} on either side",
        )
        for margin in _WHOLE
    ]
    return found + [
        Cut(
            Span(window.start_ns - margin, window.start_ns + margin),
            f"{format_duration(margin)} on either side of the worst window's start",
        )
        for margin in _EDGE
    ]


def count_packets(reader: RunReader, wanted: Sequence[Cut]) -> list[int]:
    """Return how many packets lie in each stretch; one pass over the recording."""
    found = np.zeros(len(wanted), np.int64)
    for rows in reader.packets():
        times = rows["rx_ns"]
        for place, cut in enumerate(wanted):
            found[place] += np.count_nonzero((times >= cut.span.start_ns) & (times < cut.span.end_ns))
    return [int(number) for number in found]


def write_slice(reader: RunReader, streams: Sequence[StreamInfo], cut: Cut, target: Path) -> Slice:
    """Write the packets of a stretch as frames, and return them.

    Args:
      reader: of the run.
      streams: what to write as the ends of its streams: the run's own, or redacted ones.
      cut: which stretch.
      target: a file to write by the way.

    Raises:
      RecordError: the run cannot be read.
      StorageError: the file cannot be written.
    """
    packets = _inside(reader, cut.span)
    n = write_pcapng(target, datagrams(packets, streams), interface_names(streams), COMMENT)
    return Slice(target.read_bytes(), n, cut.words)


def has_frames(streams: Sequence[StreamInfo]) -> bool:
    """Whether the packets of any stream can be made datagrams again."""
    return any(info.protocol not in SEVERAL_IN_ONE for info in streams)


def _inside(reader: RunReader, span: Span) -> Iterator[PacketArray]:
    for rows in reader.packets():
        chosen = rows[(rows["rx_ns"] >= span.start_ns) & (rows["rx_ns"] < span.end_ns)]
        if len(chosen):
            yield chosen
