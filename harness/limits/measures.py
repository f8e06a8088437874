"""What can be limited: one row a limit, each with how it is written, measured in one stream, and shown.

The names are those of a scenario's [expect], of a profile's keys and, with dashes, of the command line's options. A
measure gives bounds, for what a summary knows only roughly: a limit passes when even the upper bound keeps it, fails
when even the lower bound exceeds it, and is undecided between the two, as it is where nothing was measured at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import UnitError
from harness.limits.gaps import arrival_gap
from harness.model import Distribution, Parameters, StreamSummary, Summary
from harness.units import NS_PER_S, format_duration, parse_duration, parse_ratio

Bounds = tuple[float, float]
"""The least and the most that a figure can be; equal where it is exact."""

_HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that can be limited.

    Attributes:
      name: of the limit.
      parse: reads a limit as it is written.
      show: a figure as text.
      of: the figure of one stream, given the thresholds of the analysis; None where it is undefined.
      help: one line, for the command line.
      example: how a limit is written.
    """

    name: str
    parse: Callable[[str], float]
    show: Callable[[float], str]
    of: Callable[[StreamSummary, Parameters], Bounds | None]
    help: str
    example: str

    def text(self, bounds: Bounds | None) -> str:
        """Return a figure, "1.8 %", "1.2 s to 1.4 s" or "undefined"."""
        if bounds is None:
            return "undefined"
        low, high = (self._one(value) for value in bounds)
        return low if low == high else f"{low} to {high}"

    def _one(self, value: float) -> str:
        return "infinite" if math.isinf(value) else self.show(value)


def judge(bounds: Bounds | None, limit: float) -> bool | None:
    """Return whether a figure keeps its limit; None when it is undefined, or its bounds leave that open.

    >>> judge((1, 1), 1), judge((2, 2), 1), judge((0, 2), 1), judge(None, 1)
    (True, False, None, None)
    """
    if bounds is None:
        return None
    return True if bounds[1] <= limit else False if bounds[0] > limit else None


def percent(ratio: float) -> str:
    """Return a ratio as a percentage in which a small one does not become 0.

    >>> percent(0.018), percent(5.85e-06), percent(0)
    ('1.8 %', '0.000585 %', '0 %')
    """
    text = f"{ratio * 100:.4g}"
    return f"{text if 'e' not in text else format(ratio * 100, '.10f').rstrip('0').rstrip('.') or '0'} %"


def parse_count(text: str) -> int:
    """Return a whole number that is not negative.

    Raises:
      UnitError: anything else.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise UnitError(f"{text!r} is not a whole number such as 0 or 100")
    return int(text)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3g}"


def is_never_heard(stream: StreamSummary) -> bool:
    """Whether not one packet came of a stream that should have been there."""
    return stream.received == 0 and any(window.kind == "never_received" for window in stream.windows)


def _exact(value: float | None) -> Bounds | None:
    return None if value is None else (value, value)


def _loss(stream: StreamSummary, _: Parameters) -> Bounds | None:
    return _exact(1.0 if is_never_heard(stream) else stream.loss_ratio)


def _dropout(stream: StreamSummary, _: Parameters) -> Bounds | None:
    if not stream.received and not stream.windows:
        return None
    return _exact(max((window.duration_ns for window in stream.windows), default=0))


def _windows(stream: StreamSummary, _: Parameters) -> Bounds | None:
    return _exact(len(stream.windows)) if stream.received or stream.windows else None


def _loss_events(stream: StreamSummary, _: Parameters) -> Bounds | None:
    """Return the loss periods in an hour; a recording shorter than an hour counts as a whole one."""
    if stream.loss_periods is None:
        return None
    first, last = stream.first_rx_ns, stream.last_rx_ns
    span_ns = last - first if first is not None and last is not None else 0
    return _exact(stream.loss_periods / max(1.0, span_ns / _HOUR_NS))


def _reordered(stream: StreamSummary, _: Parameters) -> Bounds | None:
    return _exact(stream.reordering.ratio if stream.reordering else None)


def _duplicate_ratio(stream: StreamSummary, _: Parameters) -> Bounds | None:
    return _exact(stream.duplicates / stream.received if stream.received else None)


def _unavailability(stream: StreamSummary, _: Parameters) -> Bounds | None:
    """Return the share of whole seconds that were unavailable (Y.1540)."""
    pattern = stream.pattern
    if pattern is None or not pattern.blocks or pattern.unavailable_blocks is None:
        return None
    return _exact(pattern.unavailable_blocks / pattern.blocks)


def _percentile(values: Distribution, name: str) -> float | None:
    """Return a percentile; infinite where samples exist and yet too many are undefined for it (RFC 7679 5.1)."""
    return values.percentiles_ns.get(name, math.inf) if values.n else None


def _ipdv(stream: StreamSummary, _: Parameters) -> Bounds | None:
    return _exact(_percentile(stream.ipdv, "99.9"))


def _pdv(stream: StreamSummary, _: Parameters) -> Bounds | None:
    highest, lowest = _percentile(stream.delay, "99.9"), stream.delay.minimum_ns
    return None if highest is None or lowest is None else _exact(highest - lowest)


def _duration(text: str) -> float:
    return parse_duration(text)


_RATIO = (parse_ratio, percent)
_TIME = (_duration, format_duration)
_COUNT = (parse_count, _number)

MEASURES: dict[str, Measure] = {
    name: Measure(name, parse, show, of, help_text, example)
    for name, (parse, show), of, help_text, example in (
        ("max_loss", _RATIO, _loss, "loss ratio (RFC 7680)", "0.1%"),
        ("max_dropout", _TIME, _dropout, "longest drop-out window", "200ms"),
        ("max_windows", _COUNT, _windows, "number of drop-out windows", "0"),
        (
            "max_burst",
            _COUNT,
            lambda stream, _: _exact(stream.longest_loss_period),
            "longest loss period in packets (RFC 3357)",
            "3",
        ),
        ("max_loss_events", _COUNT, _loss_events, "loss periods in an hour (RFC 3357)", "1"),
        ("max_unavailability", _RATIO, _unavailability, "share of seconds that were unavailable (Y.1540)", "1%"),
        ("max_gap", _TIME, arrival_gap, "longest time between two arrivals", "2500ms"),
        ("max_reordered", _RATIO, _reordered, "reordered ratio (RFC 4737)", "1%"),
        ("max_duplicates", _COUNT, lambda stream, _: _exact(stream.duplicates), "number of duplicates", "0"),
        ("max_duplicate_ratio", _RATIO, _duplicate_ratio, "duplication fraction (RFC 5560)", "0.1%"),
        (
            "max_join_delay",
            _TIME,
            lambda stream, _: _exact(stream.join_delay_ns),
            "time from the join to the first packet (RFC 3918)",
            "500ms",
        ),
        ("max_ipdv", _TIME, _ipdv, "IPDV, 99.9th percentile (RFC 5481)", "3ms"),
        ("max_pdv", _TIME, _pdv, "PDV: delay, 99.9th percentile minus minimum (RFC 5481)", "20ms"),
        (
            "max_jitter",
            _TIME,
            lambda stream, _: _exact(stream.jitter_ns),
            "interarrival jitter at the end (RFC 3550)",
            "1ms",
        ),
        ("max_corrupt", _COUNT, lambda stream, _: _exact(stream.corrupt), "number of corrupt packets", "0"),
        ("max_too_late", _COUNT, lambda stream, _: _exact(stream.too_late), "number of packets later than Tmax", "0"),
        (
            "max_misdelivered",
            _COUNT,
            lambda stream, _: _exact(stream.misdelivered),
            "copies that came where nobody asked",
            "0",
        ),
    )
}
"""Limits on each stream, by name, in the order in which they are shown."""


def own_drops(summary: Summary) -> Bounds | None:
    """Return what the receivers' own socket buffers dropped; None where nobody counted."""
    return _exact(summary.socket_drops)
