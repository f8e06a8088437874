"""Limits held against a summary: each with the measured figure beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.model import Limit, StreamSummary, Summary
from harness.model.scenario import Expect
from harness.units import format_duration, parse_duration, parse_ratio


def hold(summary: Summary, expect: Expect) -> list[Limit]:
    """Return every limit that was asked for, with the worst figure over all streams.

    A figure that is undefined (nothing was received, nothing is numbered) neither passes nor fails by itself, except
    that a stream which was never heard fails a limit on loss.
    """
    streams, limits = summary.streams, list[Limit]()
    if expect.max_loss is not None:
        ratios = [1.0 if _is_silent(stream) else stream.loss_ratio for stream in streams]
        limits.append(_at_most("max_loss", expect.max_loss, parse_ratio(expect.max_loss), ratios, _percent))
    if expect.max_dropout is not None:
        longest = [max((window.duration_ns for window in stream.windows), default=0) for stream in streams]
        limit_ns = parse_duration(expect.max_dropout)
        limits.append(_at_most("max_dropout", expect.max_dropout, limit_ns, longest, format_duration))
    if expect.max_reordered is not None:
        reordered = [stream.reordering.ratio if stream.reordering else None for stream in streams]
        limits.append(
            _at_most("max_reordered", expect.max_reordered, parse_ratio(expect.max_reordered), reordered, _percent)
        )
    if expect.max_duplicates is not None:
        duplicates = [stream.duplicates for stream in streams]
        limits.append(_at_most("max_duplicates", str(expect.max_duplicates), expect.max_duplicates, duplicates, str))
    if expect.min_received is not None:
        least = min((stream.received for stream in streams), default=0)
        limits.append(_limit("min_received", str(expect.min_received), str(least), least >= expect.min_received))
    if expect.windows is not None:
        n_windows = sum(len(stream.windows) for stream in streams)
        limits.append(_limit("windows", str(expect.windows), str(n_windows), n_windows == expect.windows))
    if expect.streams is not None:
        limits.append(_limit("streams", str(expect.streams), str(len(streams)), len(streams) == expect.streams))
    if expect.verdict is not None:
        first = summary.verdicts[0].name if summary.verdicts else "none"
        limits.append(_limit("verdict", expect.verdict, first, first == expect.verdict))
    return limits


def _is_silent(stream: StreamSummary) -> bool:
    return stream.received == 0 and any(window.kind == "never_received" for window in stream.windows)


def _percent(ratio: float) -> str:
    return f"{ratio:.4%}"


def _limit(name: str, limit: str, measured: str, is_passed: bool | None) -> Limit:
    return Limit(name=name, limit=limit, measured=measured, is_passed=is_passed)


def _at_most(
    name: str, limit: str, value: float, measured: Sequence[float | None], show: Callable[[float], str]
) -> Limit:
    known = [figure for figure in measured if figure is not None]
    if not known:
        return _limit(name, limit, "undefined", None)
    return _limit(name, limit, show(max(known)), max(known) <= value)
