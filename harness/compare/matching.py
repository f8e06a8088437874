"""Which streams of several recordings belong together.

A receiver of a recording makes a column, and a match holds at most one stream of each column. First the very same
streams are united: a probe's group, id and epoch, or a foreign stream's source, group and key heard at the same time.
Then those that correspond, by ever less in common, as long as it is unambiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from harness.model import StreamSummary, Summary

Column = tuple[int, str]
"""A recording's place, and a receiver's name in it."""


@dataclass
class Union:
    """Streams that belong together: those of each column, and what they have in common."""

    streams: dict[Column, StreamSummary]
    by: str = ""
    is_same: bool = True
    same: list[list[Column]] = field(default_factory=list)
    """Columns that heard one and the same stream, each group at least two."""


def match_streams(summaries: Sequence[Summary]) -> list[Union]:
    """Return every stream of every recording in exactly one union, in the order of the recordings and their streams."""
    every = [
        Union({(run, stream.receiver): stream})
        for run, summary in enumerate(summaries)
        for stream in sorted(summary.streams, key=lambda stream: stream.number)
    ]
    every = _united_same(every)
    for union in every:
        if len(union.streams) > 1:
            union.same = [list(union.streams)]
    for by, key in _KEYS:
        every = _united_counterparts(every, by, key)
    return every


def _first(union: Union) -> StreamSummary:
    return next(iter(union.streams.values()))


def _join(target: Union, other: Union) -> bool:
    """Take the other's streams in; False, and nothing done, when a column would hold two."""
    if target.streams.keys() & other.streams.keys():
        return False
    target.streams |= other.streams
    target.same += other.same
    return True


def _united_same(every: list[Union]) -> list[Union]:
    """Unite probes of one sender's start, and foreign streams of one source and key that were heard at one time."""
    kept: list[Union] = []
    by_identity: dict[Hashable, list[Union]] = {}
    for union in every:
        stream = _first(union)
        by, identity = _identity(stream)
        alike = by_identity.setdefault(identity, []) if identity is not None else []
        for earlier in alike:
            is_heard_together = all(_overlap(stream, other) for other in earlier.streams.values())
            if (stream.epoch is not None or is_heard_together) and _join(earlier, union):
                earlier.by = by
                break
        else:
            alike.append(union)
            kept.append(union)
    return kept


def _identity(stream: StreamSummary) -> tuple[str, Hashable]:
    if stream.epoch is not None and stream.stream_id is not None:
        return "group, stream id and epoch", (stream.protocol, stream.group, stream.stream_id, stream.epoch)
    if not stream.source:
        return "", None
    return "source, group and key, at the same time", (stream.protocol, stream.source, stream.group, _key(stream))


def _overlap(a: StreamSummary, b: StreamSummary) -> bool:
    """Whether two streams were heard at the same time for at least half of the shorter one."""
    if a.first_rx_ns is None or a.last_rx_ns is None or b.first_rx_ns is None or b.last_rx_ns is None:
        return False
    common = min(a.last_rx_ns, b.last_rx_ns) - max(a.first_rx_ns, b.first_rx_ns)
    return 2 * common >= min(a.last_rx_ns - a.first_rx_ns, b.last_rx_ns - b.first_rx_ns) and common >= 0


def _key(stream: StreamSummary) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(stream.key.items()))


def _lasting_key(stream: StreamSummary) -> tuple[tuple[str, str], ...]:
    """Return a stream's key without what a sender draws anew at each start."""
    return tuple(sorted((name, value) for name, value in stream.key.items() if name not in ("ssrc", "cid")))


_KEYS: tuple[tuple[str, Callable[[StreamSummary], Hashable]], ...] = (
    ("source, group, stream id and key", lambda s: (s.source, s.protocol, s.group, s.stream_id, _key(s))),
    ("group, stream id and key", lambda s: (s.protocol, s.group, s.stream_id, _key(s))),
    ("group and stream id", lambda s: (s.protocol, s.group, s.stream_id, _lasting_key(s))),
    ("format and stream id", lambda s: (s.protocol, s.stream_id, _lasting_key(s))),
    ("group", lambda s: s.group),
    ("being the only ones left", lambda _: None),
)
"""What counterparts have in common, the most first."""


def _united_counterparts(every: list[Union], by: str, key: Callable[[StreamSummary], Hashable]) -> list[Union]:
    """Unite across recordings by a key that is unambiguous: one union of each recording has it.

    Several streams of one recording with the most specific key (a sender that was started twice) go by their order.
    """
    groups: dict[Hashable, dict[int, list[Union]]] = {}
    for union in every:
        for run in {run for run, _ in union.streams}:
            groups.setdefault(key(_first(union)), {}).setdefault(run, []).append(union)
    gone: set[int] = set()
    for runs in groups.values():
        if len(runs) < 2:
            continue
        lists = [runs[run] for run in sorted(runs)]
        if any(len(unions) > 1 for unions in lists) and by != _KEYS[0][0]:
            continue
        for candidates in zip(*lists, strict=False):
            target = candidates[0]
            for other in candidates[1:]:
                if other is not target and id(other) not in gone and id(target) not in gone and _join(target, other):
                    gone.add(id(other))
                    target.by, target.is_same = by, False
    return [union for union in every if id(union) not in gone]
