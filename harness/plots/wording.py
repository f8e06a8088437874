"""Sentences about a Summary, for titles, tables and terminals: one wording everywhere. Needs no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from harness.model import Parameters, SenderSummary, StreamSummary, Summary, Window
from harness.units import NS_PER_S, format_duration

UNDEFINED = "n/a"
"""How an undefined figure is shown; never as 0."""

CLASS_WORDS = {
    "never_received": "never received",
    "late_start": "late start",
    "stopped": "stopped",
    "stopped_or_ended": "stopped or ended",
    "periodic": "periodic",
    "mid_run": "mid-run",
    "outage": "outage",
    "stall": "stall",
    "silence": "silence",
    "silent_start": "silent start",
    "silent_end": "silent end",
}
"""Window classes as people read them."""

CLASS_MEANING = {
    "never_received": "not one packet of the stream arrived",
    "late_start": "the first packets are missing, then the stream runs",
    "stopped": "nothing arrived any more although the sender went on",
    "stopped_or_ended": "nothing arrived any more; without the sender's log, it may simply have ended",
    "periodic": "one of a train of gaps that come at a fixed period",
    "mid_run": "a gap inside the stream",
    "outage": "packet numbers are missing across a pause in arrivals",
    "stall": "a pause in arrivals with no number missing: late, not lost",
    "silence": "a pause in an unnumbered stream; whether the source was sending cannot be known",
    "silent_start": "nothing at first; whether the source was sending cannot be known",
    "silent_end": "nothing at the end; whether the source was sending cannot be known",
}
"""What each class says, in one clause."""

_SILENT = {"silence", "silent_start", "silent_end"}
_NOT_LOSS = {"stall", *_SILENT}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(text: object, limit: int | None = None) -> str:
    r"""Return text that is safe to show: unprintable characters replaced, cut in the middle at `limit`.

    >>> plain("a\x1b[31mb\nc"), plain("0123456789", 7)
    ('a�[31mb c', '012…789')
    """
    flat = "".join(char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in str(text))
    if limit is None or len(flat) <= limit:
        return flat
    head = limit // 2
    return f"{flat[:head]}…{flat[len(flat) - (limit - head - 1) :]}"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage that never rounds some loss to none, nor less than all to all.

    >>> percent(0.018), percent(None), percent(0.0), percent(1e-9), percent(0.99999), percent(1.0)
    ('1.8 %', 'n/a', '0 %', '< 0.0001 %', '> 99.99 %', '100 %')
    """
    if ratio is None:
        return UNDEFINED
    if 0 < ratio < 1e-6:
        return "< 0.0001 %"
    if 0.9999 < ratio < 1:
        return "> 99.99 %"
    return f"{ratio * 100:.4g} %" if ratio >= 0.9 else f"{ratio * 100:.3g} %"


def count(number: int | None) -> str:
    """Return a whole number with its thousands set apart.

    >>> count(30000), count(None)
    ('30,000', 'n/a')
    """
    return UNDEFINED if number is None else f"{number:,}"


def duration(ns: float | None) -> str:
    """Return a duration, or "n/a".

    >>> duration(1_300_000_000), duration(None)
    ('1.3 s', 'n/a')
    """
    return UNDEFINED if ns is None else format_duration(ns)


def plural(number: int, noun: str) -> str:
    """Return "1 window", "2 windows"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sentence(text: str) -> str:
    """Return text with a capital first letter.

    >>> sentence("no loss")
    'No loss'
    """
    return text[:1].upper() + text[1:]


def moment(ns: int, zone: tzinfo = UTC) -> datetime | None:
    """Return a time line's nanoseconds as a wall-clock second, or None when no calendar reaches there."""
    try:
        return (_EPOCH + timedelta(seconds=ns // NS_PER_S)).astimezone(zone)
    except OverflowError:
        return None


def clock(ns: int | None, zone: tzinfo = UTC, digits: int = 3, *, date: bool = False) -> str:
    """Return the time of day, with the date when asked, cut (not rounded) to `digits` decimals.

    >>> clock(1_700_000_000_123_456_789), clock(1_700_000_000_123_456_789, digits=0, date=True), clock(None)
    ('22:13:20.123', '2023-11-14 22:13:20', 'n/a')
    """
    if ns is None:
        return UNDEFINED
    when = moment(ns, zone)
    if when is None:
        return f"{ns / NS_PER_S:.3f} s"
    fraction = f".{ns % NS_PER_S:09d}"[: digits + 1] if digits else ""
    return f"{when:%Y-%m-%d %H:%M:%S}{fraction}" if date else f"{when:%H:%M:%S}{fraction}"


def zone_name(ns: int, zone: tzinfo = UTC) -> str:
    """Return "UTC" or "UTC+02:00", the offset that held then."""
    when = moment(ns, zone)
    offset = when.utcoffset() if when else None
    if not offset:
        return "UTC"
    minutes = round(offset.total_seconds() / 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def is_loss(window: Window) -> bool:
    """Whether packets are known to be missing in a window, as opposed to a stall or an unexplained silence."""
    is_unknown = window.kind == "never_received" and window.packets is None  # nobody knows whether anything was sent
    return window.kind not in _NOT_LOSS and not is_unknown


def longest(windows: Sequence[Window]) -> Window | None:
    """Return the longest window, the earlier of equals; None without one."""
    return min(windows, key=lambda window: (-window.duration_ns, window.start_ns), default=None)


def windows_text(windows: Sequence[Window]) -> str:
    """Return "2 drop-out windows, longest 1.3 s (mid-run)"; "" without one."""
    worst = longest(windows)
    if worst is None:
        return ""
    kinds = {window.kind for window in windows}
    is_plain_noun = kinds == {"stall"} or kinds <= _SILENT
    noun = "stall" if kinds == {"stall"} else "silence" if kinds <= _SILENT else "drop-out window"
    noun = noun if is_plain_noun or all(map(is_loss, windows)) else "window"
    every = f" every {duration(worst.period_ns)}" if worst.period_ns and len(kinds) == 1 else ""
    of = " of" if len(windows) == 1 else ", longest"
    word = "" if is_plain_noun and len(kinds) == 1 else f" ({CLASS_WORDS[worst.kind]})"
    return f"{plural(len(windows), noun)}{every}{of} {duration(worst.duration_ns)}{word}"


def stream_finding(stream: StreamSummary) -> str:
    """Return what was found in one stream, "2 drop-out windows, longest 1.3 s, 1.8 % lost"."""
    if not stream.received:
        return "nothing received" + (f" of {count(stream.expected)} expected" if stream.expected else "")
    parts = [windows_text(stream.windows)] if stream.windows else []
    if stream.lost:
        parts.append(f"{percent(stream.loss_ratio)} lost ({count(stream.lost)})")
    elif stream.lost == 0:
        parts.append("no loss")
    else:
        parts.append("loss cannot be known" if parts else "no drop-out, loss cannot be known")
    extras = ((stream.reordered, "reordered"), (stream.corrupt, "corrupt"))
    parts += [f"{count(number)} {word}" for number, word in extras if number]
    return ", ".join(parts + ([plural(stream.duplicates, "duplicate")] if stream.duplicates else []))


def senders_finding(senders: Sequence[SenderSummary]) -> str:
    """Return what became of the packets of a run that only sent, "25 of 50 packets sent, 25 refused (EPERM)"."""
    scheduled, sent = sum(one.scheduled for one in senders), sum(one.sent for one in senders)
    refused, rest = sum(one.refused for one in senders), sum(one.not_sent for one in senders)
    of = "" if sent == scheduled else f"{count(sent)} of "
    text = f"{of}{plural(scheduled, 'packet')} sent"
    text += f" in {len(senders):,} streams" if len(senders) > 1 else f" to {senders[0].group}"
    if refused:
        text += f", {count(refused)} refused ({', '.join(sorted({name for one in senders for name in one.errnos}))})"
    return text + (f", {count(rest)} not handed to the system" if rest else "")


def summary_finding(summary: Summary) -> str:
    """Return what was found in all streams, in one clause without a full stop."""
    streams = summary.streams
    if not streams:
        return senders_finding(summary.senders) if summary.senders else "no stream was found"
    if len(streams) == 1:
        return stream_finding(streams[0])
    silent = sum(not stream.received for stream in streams)
    if silent == len(streams):
        return f"nothing received of {silent:,} streams"
    hit = [stream for stream in streams if stream.windows and stream.received]
    parts = [f"nothing received of {silent:,} of {len(streams):,} streams"] if silent else []
    if hit:
        windows = [window for stream in hit for window in stream.windows]
        parts.append(f"{windows_text(windows)}, in {len(hit):,} of {len(streams):,} streams")
    losses = [stream.loss_ratio for stream in streams if stream.received and stream.lost]
    if losses:
        worst = max((ratio for ratio in losses if ratio is not None), default=None)
        parts.append(f"{plural(len(losses), 'stream')} with loss" if not hit else "")
        parts[-1] += (", the worst " if parts[-1] else "worst stream ") + f"lost {percent(worst)}"
    elif not silent:
        known = [stream for stream in streams if stream.lost is not None]
        parts.append(f"no loss in {plural(len(known), 'stream')}" if known else "loss cannot be known")
    return "; ".join(parts)


def thresholds(parameters: Parameters) -> str:
    """Return the thresholds behind the figures, in one line."""
    tmax = "none (never too late)" if parameters.tmax_ns is None else duration(parameters.tmax_ns)
    return (
        f"Thresholds: Tmax {tmax} · window ≥ {plural(parameters.min_packets, 'packet')} and"
        f" ≥ {duration(parameters.min_duration_ns)} · Gmin {parameters.gmin} · passive silence >"
        f" {parameters.silence_factor} intervals and > {duration(parameters.silence_floor_ns)}"
        f" · reordering horizon {count(parameters.horizon)} packets"
    )


def severity(stream: StreamSummary) -> tuple[float, int, int, int]:
    """Return a sort key that puts the worst stream first: share lost or silent, then the longest window, then marks."""
    worst = longest(stream.windows)
    share = 1.0 if not stream.received else stream.loss_ratio or 0.0
    if not share and worst is not None:  # unnumbered or stalled: only time tells
        series = stream.series
        span = max(len(series.received) * series.bin_ns, worst.duration_ns, 1)
        share = min(1.0, sum(window.duration_ns for window in stream.windows) / span)
    disorder = (stream.reordered or 0) + stream.duplicates + stream.corrupt
    return (-share, -(worst.duration_ns if worst else 0), -disorder, stream.number)


def worst_first(streams: Sequence[StreamSummary]) -> list[StreamSummary]:
    """Return the streams, worst first; equals by number."""
    return sorted(streams, key=severity)
