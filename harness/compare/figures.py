"""The figures that a comparison sets side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.model import StreamSummary
from harness.model.comparison import Figure, Unit

_ROWS: tuple[tuple[str, Unit, Callable[[StreamSummary], float | None]], ...] = (
    ("expected", "count", lambda s: s.expected),
    ("received", "count", lambda s: s.received),
    ("lost", "count", lambda s: s.lost),
    ("loss ratio", "ratio", lambda s: s.loss_ratio),
    ("loss events", "count", lambda s: loss_events(s)),
    ("drop-out windows", "count", lambda s: len(s.windows)),
    ("longest window", "ns", lambda s: max((window.duration_ns for window in s.windows), default=None)),
    ("longest loss period", "count", lambda s: s.longest_loss_period),
    ("reordered", "count", lambda s: s.reordered),
    ("duplicates", "count", lambda s: s.duplicates),
    ("delay p50", "ns", lambda s: s.delay.percentiles_ns.get("50")),
    ("delay p99", "ns", lambda s: s.delay.percentiles_ns.get("99")),
    ("PDV p99 (delay - min)", "ns", lambda s: _above_minimum(s)),
    ("IPDV p99", "ns", lambda s: s.ipdv.percentiles_ns.get("99")),
    ("jitter (RFC 3550)", "ns", lambda s: s.jitter_ns),
)


def figures_of(streams: Sequence[StreamSummary]) -> list[Figure]:
    """Return the figures of streams, in their order; those that no stream has are left out."""
    found = [Figure(name=name, unit=unit, values=[of(stream) for stream in streams]) for name, unit, of in _ROWS]
    return [figure for figure in found if any(value is not None for value in figure.values)]


def loss_events(stream: StreamSummary) -> int | None:
    """Return how many times packets began to be lost: windows, bursts of scattered loss, and isolated losses.

    A burst of a thousand losses is one event, so that losses which hang together are not counted as evidence a thousand
    times. None where losses cannot be known.
    """
    if stream.lost is None:
        return None
    windows = sum(window.packets != 0 for window in stream.windows)
    events = windows + len(stream.thinning) + (stream.isolated or 0)
    most = stream.loss_periods if stream.loss_periods is not None else events
    return max(min(events, most), int(stream.lost > 0))


def _above_minimum(stream: StreamSummary) -> float | None:
    highest, lowest = stream.delay.percentiles_ns.get("99"), stream.delay.minimum_ns
    return None if highest is None or lowest is None else highest - lowest
