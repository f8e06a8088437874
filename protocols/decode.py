"""From a batch of datagrams to records, in the order: split, reject, skip, number, time, key, flags.

Rejecting comes first and looks at every packet, so that no later step meets one that is too short; what is read is
read for the whole batch at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Decoded, Fields
from protocols.errors import SchemaError
from protocols.flags import CORRUPT, DISCONTINUITY, END, RETRANSMITTED, TRUNCATED, UNDEFINED_NS, UNNUMBERED
from protocols.layout import Column, Rows

if TYPE_CHECKING:
    from protocols.schema import Protocol

BASE_REASONS = (
    "ok",
    "empty",
    "too short",
    "cut off by the capture",
    "wrong magic",
    "unknown version",
    "number out of range",
)
OK, EMPTY, TOO_SHORT, CUT_OFF, WRONG_MAGIC, UNKNOWN_VERSION, OUT_OF_RANGE = range(len(BASE_REASONS))
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cells:
    """What a `records` hook found: the packets inside datagrams.

    Attributes:
      row: the datagram of each packet, shape (m,), ascending.
      rows: the packets, uint8, shape (m, width), contiguous in each row.
      kept, size: bytes at hand and on the wire, shape (m,).
      reject: for each datagram 0, or an index into the protocol's `reject_reasons`, uint8, shape (n,).
    """

    row: NDArray[np.intp]
    rows: Rows
    kept: Column
    size: Column
    reject: NDArray[np.uint8]


def decode(protocol: Protocol, data: Rows, kept: Column, size: Column) -> Decoded:
    """Return the records in a batch of datagrams; see `Protocol.decode`."""
    if protocol.records is None:
        cells = Cells(np.arange(len(data)), data, kept, size, np.zeros(len(data), np.uint8))
    else:
        cells = protocol.records(data, kept, size)
    fixed = protocol.layout.size
    rows = cells.rows
    if rows.shape[1] < fixed:  # all are too short; a copy with room spares every reader the question
        rows = np.pad(rows, ((0, 0), (0, fixed - rows.shape[1])))
    bad, sound = _reject(protocol, Fields(protocol, rows, None, cells.kept, cells.size))
    reject = cells.reject.copy()
    worst = np.flatnonzero(bad)[::-1]
    reject[cells.row[worst]] = bad[worst]  # backwards: the first bad packet of a datagram names the reason
    is_taken = reject[cells.row] == OK
    if protocol.skip is not None:
        is_taken &= ~_ask(protocol, "skip", protocol.skip, Fields(protocol, rows, None, cells.kept, cells.size))
    index = None if is_taken.all() else np.flatnonzero(is_taken)
    fields = Fields(protocol, rows, index, cells.kept, cells.size)
    if index is not None:
        sound = sound[index]
    seq = _numbers(protocol, fields)
    seq[~sound] = UNNUMBERED
    tx = _times(protocol, fields)
    tx[~sound] = UNDEFINED_NS
    key = _keys(protocol, fields)
    key[~sound] = 0
    return Decoded(
        protocol,
        fields,
        row=cells.row if index is None else cells.row[index],
        seq=seq,
        tx=tx,
        key=key,
        flags=_flags(protocol, fields, sound),
        is_keyed=sound,
        reject=reject,
    )


def _ask(protocol: Protocol, role: str, hook: Callable[[Fields], Any], fields: Fields) -> Column:
    """Return what a hook says; a hook that fails is a fault of the schema, not of the packets."""
    try:
        answer = np.asarray(hook(fields))
    except Exception as exc:  # a hook is the user's code and may fail in any way
        raise SchemaError(protocol.name, role, f"fails: {type(exc).__name__}: {exc}") from exc
    if answer.shape != (len(fields),):
        raise SchemaError(protocol.name, role, f"gives shape {answer.shape} for {len(fields)} packets; one value each")
    return answer


def check_hooks(protocol: Protocol, fields: Fields) -> None:
    """Ask every hook once, whatever the packets are.

    Raises:
      SchemaError: a hook fails or does not answer for each packet.
    """
    hooks = {"number": protocol.number, "skip": protocol.skip, "verify_header": protocol.verify_header}
    hooks |= {"verify": protocol.verify, "looks_behind": protocol.looks_behind, "is_end": protocol.is_end}
    hooks |= {"is_discontinuity": protocol.is_discontinuity, "is_retransmitted": protocol.is_retransmitted}
    hooks |= dict(protocol.accept)
    hooks |= {name: hook for name, _, hook in protocol.others}
    for role, hook in hooks.items():
        if hook is not None:
            _ask(protocol, role, hook, fields)


def _reject(protocol: Protocol, fields: Fields) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return for each packet why it is rejected (0: it is not), and whether its header passes its own check."""
    reject = np.zeros(len(fields), np.uint8)
    fixed = protocol.layout.size

    def mark(is_bad: Column, reason: int) -> None:
        reject[is_bad & (reject == OK)] = reason

    own = itertools.count(len(BASE_REASONS))
    for name, need, hook in protocol.others:
        mark(_ask(protocol, f"others {name!r}", hook, fields).astype(bool) & (fields.kept >= need), next(own))
    mark((fields.size == 0) & (fixed > 0), EMPTY)
    mark(fields.size < fixed, TOO_SHORT)
    mark(fields.kept < fixed, CUT_OFF)
    mark(~protocol.layout.has_constants(fields.rows), WRONG_MAGIC)
    for path, values in protocol.versions.items():
        is_known = fields[path] == next(iter(values)) if len(values) == 1 else np.isin(fields[path], list(values))
        mark(~is_known, UNKNOWN_VERSION)
    for name, hook in protocol.accept:
        mark(~_ask(protocol, f"accept {name!r}", hook, fields).astype(bool), next(own))
    sound = np.ones(len(fields), bool)
    if protocol.verify_header is not None:
        sound = _ask(protocol, "verify_header", protocol.verify_header, fields).astype(bool)
    if protocol.sequence is not None and protocol.number is None:
        number, bits = fields[protocol.sequence], protocol.sequence_bits
        if bits == 64 or bits < protocol.field_named(protocol.sequence, "sequence").bit_length:
            mark(sound & ((number < 0) | (number > min(2**bits - 1, _LARGEST))), OUT_OF_RANGE)
    return reject, sound


def _numbers(protocol: Protocol, fields: Fields) -> NDArray[np.int64]:
    """Return the sequence numbers, UNNUMBERED where there is none."""
    if protocol.number is not None:
        return _ask(protocol, "number", protocol.number, fields).astype(np.int64)
    if protocol.sequence is None:
        return np.full(len(fields), UNNUMBERED, np.int64)
    seq = fields[protocol.sequence].astype(np.int64)
    if protocol.sequence_bits < 63:
        seq &= (1 << protocol.sequence_bits) - 1  # a signed counter that runs over becomes negative on the wire
    if protocol.sequence_modulus is not None or protocol.sequence_first:
        modulus = protocol.sequence_modulus or (1 << protocol.sequence_bits) - protocol.sequence_first
        seq[(seq < protocol.sequence_first) | (seq >= protocol.sequence_first + modulus)] = UNNUMBERED
    return seq


def _times(protocol: Protocol, fields: Fields) -> NDArray[np.int64]:
    """Return send times in ns or ticks; one that does not fit 63 bits of ns is undefined."""
    if protocol.clock is not None:
        return fields[protocol.clock].astype(np.int64)
    units = protocol.send_time_units
    if not units:
        return np.full(len(fields), UNDEFINED_NS, np.int64)
    total = np.zeros(len(fields), np.int64)
    is_known = np.ones(len(fields), bool)
    for path, unit in units.items():
        value = fields[path]
        limit = _LARGEST // unit // len(units)
        is_known &= value <= value.dtype.type(limit)
        if value.dtype != np.uint64:
            is_known &= value >= -limit
        total += value.astype(np.int64) * unit
    total[~is_known] = UNDEFINED_NS
    return total


def _keys(protocol: Protocol, fields: Fields) -> NDArray[np.uint8]:
    """Return the bytes that tell streams apart, shape (m, k)."""
    paths = [path for path in (*protocol.stream_key, protocol.stream_id, protocol.epoch) if path is not None]
    parts = [np.zeros((len(fields), 0), np.uint8)]
    for path in paths:
        column = fields[path]
        if column.ndim == 1 and column.dtype != np.uint8:
            width = (protocol.field_named(path, "stream_key").bit_length + 7) // 8
            column = column.astype(">i8" if column.dtype.kind != "f" else ">f8").view(np.uint8).reshape(-1, 8)
            column = column[:, 8 - width :] if fields[path].dtype.kind != "f" else column
        elif column.dtype != np.uint8:
            column = np.ascontiguousarray(column).view(np.uint8).reshape(len(fields), -1)
        parts.append(column)
    return np.concatenate(parts, axis=1)


def _flags(protocol: Protocol, fields: Fields, sound: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the flag bits of each record; a damaged header sets no bit but CORRUPT."""
    flags = np.zeros(len(fields), np.uint8)
    for role, hook, bit in (
        ("is_end", protocol.is_end, END),
        ("is_discontinuity", protocol.is_discontinuity, DISCONTINUITY),
        ("is_retransmitted", protocol.is_retransmitted, RETRANSMITTED),
    ):
        if hook is not None:
            flags |= _ask(protocol, role, hook, fields).astype(bool).astype(np.uint8) * np.uint8(bit)
    if protocol.verify is not None:
        flags |= ~_ask(protocol, "verify", protocol.verify, fields).astype(bool) * np.uint8(CORRUPT)
    if protocol.looks_behind is not None and (is_cut := fields.kept < fields.size).any():
        is_cut &= _ask(protocol, "looks_behind", protocol.looks_behind, fields).astype(bool)
        flags |= is_cut * np.uint8(TRUNCATED)
    flags[~sound] = CORRUPT
    return flags
