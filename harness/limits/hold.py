"""Limits held against a summary: each with the measured figure beside it."""

from __future__ import annotations

import math
from pathlib import Path

from harness.limits.measures import MEASURES, Bounds, Measure, judge, own_drops, parse_count
from harness.limits.profiles import with_profile
from harness.model import Limit, Parameters, StreamSummary, Summary
from harness.model.scenario import Expect


def hold(summary: Summary, expect: Expect, folder: Path = Path()) -> list[Limit]:
    """Return every limit that was asked for, each with the figure of the stream that keeps it worst.

    A figure that is undefined (nothing was received, nothing is numbered) neither passes nor fails by itself, except
    that a stream which was never heard fails a limit on loss. A stream that fails comes before one that cannot be
    judged, and that before one that passes.

    Args:
      summary: of all streams.
      expect: the limits; a profile that it names is read.
      folder: where a profile's relative path starts from.

    Raises:
      UsageError: no such profile, or one that cannot be read.
    """
    expect = with_profile(expect, folder)
    limits = [_worst(held) for held in _by_stream(summary, expect) if held]
    return limits + _of_the_whole(summary, expect)


def hold_each(summary: Summary, expect: Expect, folder: Path = Path()) -> list[Limit]:
    """Return every limit that was asked for, once for each stream, and those on the whole; see `hold`.

    Raises:
      UsageError: no such profile, or one that cannot be read.
    """
    expect = with_profile(expect, folder)
    return [limit for held in _by_stream(summary, expect) for _, limit in held] + _of_the_whole(summary, expect)


def _by_stream(summary: Summary, expect: Expect) -> list[list[tuple[float, Limit]]]:
    """Return for each limit asked for one Limit a stream, with how bad that is; one undefined Limit without streams."""
    found = []
    for name, measure in MEASURES.items():
        asked = getattr(expect, name)
        if asked is not None:
            found.append(
                [_held(measure, str(asked), stream, summary.parameters) for stream in summary.streams]
                or [(0.0, Limit(name=name, limit=str(asked), measured="undefined", is_passed=None))]
            )
    if expect.min_received is not None:
        found.append(
            [_at_least(expect.min_received, stream) for stream in summary.streams] or [_at_least_of_none(expect)]
        )
    return found


def _held(measure: Measure, asked: str, stream: StreamSummary, parameters: Parameters) -> tuple[float, Limit]:
    bounds = measure.of(stream, parameters)
    is_passed = judge(bounds, measure.parse(asked))
    limit = Limit(
        name=measure.name, limit=asked, measured=measure.text(bounds), is_passed=is_passed, stream=stream.label
    )
    return (bounds[1] if bounds else -math.inf), limit


def _at_least(least: int, stream: StreamSummary) -> tuple[float, Limit]:
    limit = Limit(
        name="min_received",
        limit=str(least),
        measured=f"{stream.received:,}",
        is_passed=stream.received >= least,
        stream=stream.label,
    )
    return -float(stream.received), limit


def _at_least_of_none(expect: Expect) -> tuple[float, Limit]:
    return 0.0, _limit("min_received", str(expect.min_received), "0", expect.min_received == 0)


_ORDER = {False: 2, None: 1, True: 0}


def _worst(held: list[tuple[float, Limit]]) -> Limit:
    """Return the worst outcome, of equal ones that with the worst figure, of equal ones the first."""
    return max(held, key=lambda pair: (_ORDER[pair[1].is_passed], pair[0]))[1]


def _of_the_whole(summary: Summary, expect: Expect) -> list[Limit]:
    limits = []
    if expect.max_own_drops is not None:
        bounds: Bounds | None = own_drops(summary)
        text = "undefined" if bounds is None else f"{bounds[0]:,.0f}"
        is_passed = judge(bounds, parse_count(str(expect.max_own_drops)))
        limits.append(_limit("max_own_drops", str(expect.max_own_drops), text, is_passed))
    if expect.windows is not None:
        n_windows = sum(len(stream.windows) for stream in summary.streams)
        limits.append(_limit("windows", str(expect.windows), str(n_windows), n_windows == expect.windows))
    if expect.streams is not None:
        n_streams = len(summary.streams)
        limits.append(_limit("streams", str(expect.streams), str(n_streams), n_streams == expect.streams))
    if expect.verdict is not None:
        first = summary.verdicts[0].name if summary.verdicts else "none"
        limits.append(_limit("verdict", expect.verdict, first, first == expect.verdict))
    return limits


def _limit(name: str, limit: str, measured: str, is_passed: bool | None) -> Limit:
    return Limit(name=name, limit=limit, measured=measured, is_passed=is_passed)
