"""What controller and agent say to each other: JSON objects, one a line, over the agent's stdin and stdout.

    -> {"id": 1, "do": "hello", "with": {"protocol": 1, "program": "0.1.0"}}
    <- {"id": 1, "ok": {"protocol": 1, "program": "0.1.0", "boot_id": "...", ...}}
    -> {"id": 2, "do": "nonsense"}
    <- {"id": 2, "error": "unknown request 'nonsense'; known: bye, claim, ..."}

The form of `hello` and of its answer never changes, so that two versions can always tell each other who they are;
everything else changes with PROTOCOL_VERSION. An answer without an id concerns a line that was no request.
"""

from __future__ import annotations

from typing import Any

import msgspec
import trio

PROTOCOL_VERSION = 1
MAX_LINE_BYTES = 1 << 20
"""No line is longer, so that neither side's memory depends on the other's good will."""

_READ_BYTES = 65_536


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"values": "with"}):
    """What the controller asks: `do` the request's name, `values` its arguments by name ("with" on the wire)."""

    id: int
    do: str
    values: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the agent answers: `ok` its values, or `error` one line."""

    id: int | None
    ok: dict[str, Any] | None = None
    error: str | None = None


class LongLine:
    """Stands for a line beyond MAX_LINE_BYTES, whose bytes were not kept."""


def encode(message: Request | Answer) -> bytes:
    """Return a message as a line, newline included.

    >>> encode(Request(id=1, do="bye")).decode().rstrip()
    '{"id":1,"do":"bye","with":{}}'
    """
    return msgspec.json.encode(message) + b"\n"


class LineReader:
    """Reads lines off a byte stream of a peer that may send anything.

    Args:
      stream: where the bytes come from.
      max_bytes: the longest line that is kept.
    """

    def __init__(self, stream: trio.abc.ReceiveStream, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._stream, self._max_bytes = stream, max_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._is_skipping = False

    async def next(self) -> bytes | LongLine | None:
        """Return the next line without its newline, a LongLine in place of one that is too long, or None at the end.

        What stands behind the last newline was cut off by the peer's end and is dropped.
        """
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._searched = 0
                if self._is_skipping or len(line) > self._max_bytes:
                    self._is_skipping = False
                    return LongLine()
                return line
            self._searched = len(self._buffer)
            if self._searched > self._max_bytes:
                self._buffer.clear()
                self._searched, self._is_skipping = 0, True
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not data:
                return None
            self._buffer += data
