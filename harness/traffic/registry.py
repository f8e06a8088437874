"""The streams of a run, numbered in the order in which they were first heard."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model import StreamInfo

MAX_STREAMS = 65_536
"""PACKET_DTYPE numbers streams with 16 bits."""


class StreamRegistry:
    """Hands out stream numbers, shared by all receivers of a run.

    Attributes:
      streams: every stream so far by its number.
      fresh: streams that are new or changed since `take_fresh` was last called.
    """

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self.limit = min(limit, MAX_STREAMS)
        self.streams: dict[int, StreamInfo] = {}
        self.fresh: dict[int, StreamInfo] = {}
        self.ended: set[int] = set()

    def add(self, **fields: Any) -> StreamInfo | None:
        """Return a new stream with the given fields of StreamInfo and the next number; None when all are taken."""
        if len(self.streams) >= self.limit:
            return None
        info = StreamInfo(number=len(self.streams), **fields)
        self.streams[info.number] = self.fresh[info.number] = info
        return info

    def update(self, number: int, **fields: Any) -> StreamInfo:
        """Replace fields of a stream, for example `sent` once its end has been heard."""
        info = msgspec.structs.replace(self.streams[number], **fields)
        if info != self.streams[number]:
            self.streams[number] = self.fresh[number] = info
        return info

    def end(self, number: int, sent: int) -> None:
        """Note that a stream has told its end, and how many probes it had."""
        self.ended.add(number)
        self.update(number, sent=sent)

    def take_fresh(self) -> list[StreamInfo]:
        """Return the streams that are new or changed since the last call."""
        fresh, self.fresh = list(self.fresh.values()), {}
        return fresh
