"""Fragments of IPv4 and IPv6 datagrams put together again (RFC 791, RFC 8200 4.5), in bounded memory.

Overlapping fragments are refused with their whole datagram (RFC 5722); an exact copy of one, as a capture on several
interfaces of a host holds it, is only counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from harness.capture.fate import Skip
from harness.units import NS_PER_S

TIMEOUT_NS = 60 * NS_PER_S
"""RFC 8200 4.5: an incomplete datagram is given up after 60 s."""

MAX_PENDING = 1024
MAX_BYTES = 32 << 20
_MAX_DATAGRAM = 65_535

Key = tuple[int, int, bytes, bytes, int, int]
"""Interface, IP version, source, destination, identification, and the protocol (IPv6: -1)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One fragment.

    Attributes:
      start: where in the datagram's payload it belongs, in bytes.
      length: its length on the wire.
      data: its bytes, fewer than `length` when the capture cut it off.
      is_last: whether no more fragments follow (MF clear).
      protocol, ttl: of this fragment; those of the first one count.
    """

    start: int
    length: int
    data: bytes
    is_last: bool
    protocol: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A reassembled IP payload.

    Attributes:
      data: its bytes as far as they were captured without a hole.
      length: its length on the wire.
      protocol: protocol or next header of the first fragment.
      ttl: of the first fragment.
    """

    data: bytes
    length: int
    protocol: int
    ttl: int


@dataclass(slots=True)
class _Pending:
    first_ns: int
    starts: list[int] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)  # by start
    end: int | None = None
    have: int = 0  # bytes on the wire
    held: int = 0  # bytes in memory
    is_refused: bool = False


class Fragments:
    """Datagrams of which some fragments have come; `counters` gets a count for every fragment that is not returned."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._pending: dict[Key, _Pending] = {}
        self._held = 0

    def add(self, key: Key, t_ns: int, piece: Piece) -> Whole | None:
        """Take one fragment, captured at `t_ns`; return the datagram if it completes one."""
        self._expire(t_ns)
        end = piece.start + piece.length
        if piece.length <= 0 or (not piece.is_last and piece.length % 8) or end > _MAX_DATAGRAM:
            self._counters[Skip.BAD_HEADER] += 1
            return None
        pending = self._pending.get(key)
        if pending is None:
            self._make_room()
            pending = self._pending[key] = _Pending(t_ns)
        if pending.is_refused:
            self._counters[Skip.OVERLAPPING_FRAGMENT] += 1
            return None
        at = bisect_left(pending.starts, piece.start)
        if at < len(pending.starts) and pending.pieces[at] == piece:
            self._counters[Skip.DUPLICATE_FRAGMENT] += 1
            return None
        if _contradicts(pending, at, piece):
            self._refuse(pending)
            return None
        pending.starts.insert(at, piece.start)
        pending.pieces.insert(at, piece)
        pending.have += piece.length
        pending.held += len(piece.data)
        self._held += len(piece.data)
        if piece.is_last:
            pending.end = end
        if pending.have != pending.end:
            return None
        del self._pending[key]
        self._held -= pending.held
        if len(pending.starts) > 1:
            self._counters[Skip.JOINED_FRAGMENT] += len(pending.starts) - 1
        return _join(pending)

    def give_up(self) -> None:
        """Count every fragment still held as not reassembled, at the end of the file."""
        while self._pending:
            self._drop_oldest()

    def _refuse(self, pending: _Pending) -> None:
        """Forget a datagram's bytes, but remember to refuse what else comes of it."""
        self._counters[Skip.OVERLAPPING_FRAGMENT] += len(pending.starts) + 1
        self._held -= pending.held
        pending.starts.clear()
        pending.pieces.clear()
        pending.held, pending.is_refused = 0, True

    def _expire(self, now_ns: int) -> None:
        while self._pending and now_ns - next(iter(self._pending.values())).first_ns > TIMEOUT_NS:
            self._drop_oldest()

    def _make_room(self) -> None:
        while self._pending and (len(self._pending) >= MAX_PENDING or self._held > MAX_BYTES):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        pending = self._pending.pop(next(iter(self._pending)))
        self._held -= pending.held
        if pending.starts:
            self._counters[Skip.FRAGMENT] += len(pending.starts)


def _contradicts(pending: _Pending, at: int, piece: Piece) -> bool:
    """Return whether a fragment overlaps one that is there, or says otherwise where the datagram ends."""
    end = piece.start + piece.length
    if at > 0 and pending.starts[at - 1] + pending.pieces[at - 1].length > piece.start:
        return True
    if at < len(pending.starts) and (end > pending.starts[at] or piece.is_last):
        return True
    return pending.end is not None and (piece.is_last or end > pending.end)


def _join(pending: _Pending) -> Whole:
    """Return the datagram of all its pieces, up to the first byte that was not captured."""
    data = bytearray()
    for piece in pending.pieces:
        data += piece.data
        if len(piece.data) < piece.length:
            break
    first, last = pending.pieces[0], pending.pieces[-1]
    return Whole(bytes(data), last.start + last.length, first.protocol, first.ttl)
