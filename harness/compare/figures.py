"""The figures that a comparison sets side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.compare.events import loss_events
from harness.model import StreamSummary
from harness.model.comparison import Figure, Unit

_ROWS: tuple[tuple[str, Unit, Callable[[StreamSummary], float | None]], ...] = (
    ("expected", "count", lambda s: s.expected),
    ("received", "count", lambda s: s.received),
    ("lost", "count", lambda s: s.lost),
    ("loss ratio", "ratio", lambda s: s.loss_ratio),
    ("drop-out windows", "count", lambda s: len(s.windows)),
    ("longest window", "ns", lambda s: max((window.duration_ns for window in s.windows), default=None)),
    ("unavailable seconds (Y.1540)", "count", lambda s: s.pattern.unavailable_blocks if s.pattern else None),
    ("longest gap in arrivals", "ns", lambda s: s.longest_gap_ns),
    ("join delay", "ns", lambda s: s.join_delay_ns),
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
    events = Figure(name="loss events", unit="count", values=[*loss_events(streams)])
    found.insert(1 + [figure.name for figure in found].index("loss ratio"), events)
    return [figure for figure in found if any(value is not None for value in figure.values)]


def _above_minimum(stream: StreamSummary) -> float | None:
    highest, lowest = stream.delay.percentiles_ns.get("99"), stream.delay.minimum_ns
    return None if highest is None or lowest is None else highest - lowest
