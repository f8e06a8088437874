"""The test packet of this project: 64 bytes of header in network byte order, then filler up to the size asked for.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------------------------------------------------------+
    |                        magic "MCpr"                           |  0
    +---------------+---------------+-------------------------------+
    |  version = 1  | header length |             flags             |  4
    +---------------+---------------+-------------------------------+
    |                          stream id                            |  8
    +---------------------------------------------------------------+
    |                 epoch, random for each start                  | 12
    +---------------------------------------------------------------+
    |                     sequence number, 64 bits                  | 16
    +---------------------------------------------------------------+
    |                  sent, realtime ns, signed 64                 | 24
    +---------------------------------------------------------------+
    |         packet 0 was due, realtime ns, signed 64              | 32
    +---------------------------------------------------------------+
    |       interval ns, 64 bits; 0 = no regular interval           | 40
    +---------------------------------------------------------------+
    |   packets scheduled, 64 bits, in end packets; else 0          | 48
    +---------------------------------------------------------------+
    |                         reserved = 0                          | 56
    +---------------------------------------------------------------+
    |                            check                              | 60
    +---------------------------------------------------------------+

The check is such that the sixteen 32-bit words of the header add up to 0xFFFFFFFF modulo 2**32. A probe whose header
does not is counted as corrupt for its flow, and none of its numbers are believed. UDP's own checksum rarely lets one
through, but offloading, broken memory and middle boxes do. With the pattern flag every byte after the header is a
fixed function of its offset, so that a damaged payload shows while the header's numbers still hold.

An end packet is no part of the numbering: its sequence number is the count of packets scheduled. A change of layout
raises the version.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.compile import compile_schema
from protocols.decoded import Fields
from protocols.following import follow_probe
from protocols.layout import Rows
from protocols.schema import Protocol

MAGIC = b"MCpr"
VERSION = 1
HEADER_SIZE = 64
MAX_PAYLOAD = 65507
"""The largest UDP payload over IPv4: 65535 bytes less 20 of IP header and 8 of UDP header (RFC 768, RFC 791)."""
FLAG_END = 1
FLAG_PATTERN = 2

_CHECK_SUM = 0xFFFFFFFF
_VERIFY_BYTES = 1 << 20

SCHEMA = c.Struct(
    "magic" / c.Const(MAGIC),
    "version" / c.Default(c.Int8ub, VERSION),
    "header_length" / c.Default(c.Int8ub, HEADER_SIZE),
    "flags" / c.FlagsEnum(c.Int16ub, end=FLAG_END, pattern=FLAG_PATTERN),
    "stream_id" / c.Int32ub,
    "epoch" / c.Int32ub,
    "sequence" / c.Int64ub,
    "sent_ns" / c.Int64sb,
    "schedule_start_ns" / c.Int64sb,
    "interval_ns" / c.Int64ub,
    "count" / c.Int64ub,
    "reserved" / c.Default(c.Int32ub, 0),
    "check" / c.Int32ub,
    "payload" / c.GreedyBytes,
)
_DTYPE = compile_schema(SCHEMA, "probe").dtype


def payload_pattern(size: int) -> NDArray[np.uint8]:
    """Return the first `size` bytes of the pattern that follows the header, shape (size,).

    Multiplying by an odd number near 2**32 / golden ratio and keeping the top byte makes neighbours differ and repeats
    only after 2**32 bytes, so that a shifted payload is noticed too.

    >>> payload_pattern(4).tolist()
    [0, 158, 60, 218]
    """
    return (np.arange(size, dtype=np.uint32) * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)


_PATTERN = payload_pattern(MAX_PAYLOAD - HEADER_SIZE)


def fill_probes(
    out: Rows,
    *,
    stream_id: int,
    epoch: int,
    seq: NDArray[np.int64],
    tx_ns: NDArray[np.int64],
    schedule_start_ns: int,
    interval_ns: int,
    flags: int = 0,
    count: int = 0,
) -> None:
    """Write n probes of one size into `out`.

    A sender that uses its buffer again writes the payload once and from then on passes `out[:, :HEADER_SIZE]`.

    Args:
      out: shape (n, size), HEADER_SIZE <= size <= MAX_PAYLOAD, contiguous in each row. Bytes after the header are
        written only with FLAG_PATTERN.
      stream_id: the stream's number, unsigned 32 bits.
      epoch: drawn at random at each start, unsigned 32 bits.
      seq: sequence numbers, shape (n,); for end packets the count.
      tx_ns: when each is sent, realtime, shape (n,).
      schedule_start_ns: when packet 0 was due, realtime.
      interval_ns: time between packets, 0 when there is no regular one.
      flags: FLAG_END, FLAG_PATTERN.
      count: packets scheduled, for end packets.

    Raises:
      ValueError: the size lies outside the limits.
      OverflowError: a number does not fit its field.

    >>> out, seq, tx_ns = np.zeros((1, 64), np.uint8), np.array([3]), np.array([4])
    >>> fill_probes(out, stream_id=1, epoch=2, seq=seq, tx_ns=tx_ns, schedule_start_ns=0, interval_ns=5)
    >>> out[0, :24].tobytes().hex(" ", 4)
    '4d437072 01400000 00000001 00000002 00000000 00000003'
    """
    size = out.shape[1]
    if not HEADER_SIZE <= size <= MAX_PAYLOAD:
        raise ValueError(f"a probe of {size} bytes is not possible; {HEADER_SIZE} to {MAX_PAYLOAD} are")
    one = np.zeros(1, _DTYPE)
    one["magic"] = np.frombuffer(MAGIC, np.uint8)
    one["version"], one["header_length"], one["flags"] = VERSION, HEADER_SIZE, flags
    one["stream_id"], one["epoch"], one["count"] = stream_id, epoch, count
    one["schedule_start_ns"], one["interval_ns"] = schedule_start_ns, interval_ns
    header = out[:, :HEADER_SIZE]
    header[:] = one.view(np.uint8)
    rows = header.view(_DTYPE)[:, 0]
    rows["sequence"], rows["sent_ns"] = seq, tx_ns
    total = np.full(len(out), one.view(">u4").sum(dtype=np.uint64), np.uint64)
    for number in (seq, tx_ns):
        word = number.astype(np.int64, copy=False).view(np.uint64)
        total += (word >> np.uint64(32)) + (word & np.uint64(0xFFFFFFFF))
    rows["check"] = np.uint64(_CHECK_SUM) - (total & np.uint64(0xFFFFFFFF))
    if flags & FLAG_PATTERN:
        out[:, HEADER_SIZE:] = _PATTERN[: size - HEADER_SIZE]


def _header_holds(fields: Fields) -> NDArray[np.bool_]:
    words = fields.rows[:, :HEADER_SIZE].view(">u4")
    total = np.zeros(len(fields), np.uint32)
    for column in range(HEADER_SIZE // 4):
        total += words[:, column]
    return np.equal(total, _CHECK_SUM)


def _payload_holds(fields: Fields) -> NDArray[np.bool_]:
    """Compare as much of each payload as is at hand, one length at a time and in slices that keep the memory small."""
    is_right, rows = np.ones(len(fields), bool), fields.rows
    length = np.minimum(fields.kept, MAX_PAYLOAD) - HEADER_SIZE
    length[~fields["flags.pattern"]] = 0
    for size in sorted(set(length[length > 0].tolist())):
        of_size = np.flatnonzero(length == size)
        step = max(1, _VERIFY_BYTES // size)
        for start in range(0, len(of_size), step):
            some = of_size[start : start + step]
            is_right[some] = _is_pattern(rows[some, HEADER_SIZE : HEADER_SIZE + size])
    return is_right


def _is_pattern(payload: Rows) -> NDArray[np.bool_]:
    """Return which rows are the pattern, shape (n,); eight bytes at once, then the odd ones at the end."""
    size = payload.shape[1]
    even = size - size % 8
    words = np.ascontiguousarray(payload[:, :even]).view(np.uint64)
    is_same: NDArray[np.bool_] = (words == _PATTERN[:even].view(np.uint64)).all(axis=1)
    is_same &= np.all(payload[:, even:] == _PATTERN[even:size], axis=1)
    return is_same


PROBE = Protocol(
    name="probe",
    title="multicast-harness test packet",
    schema=SCHEMA,
    sequence="sequence",
    send_time="sent_ns",
    stream_id="stream_id",
    epoch="epoch",
    schedule_start="schedule_start_ns",
    interval="interval_ns",
    count="count",
    versions={"version": (VERSION,)},
    accept=(("wrong length", lambda fields: fields["header_length"] == HEADER_SIZE),),
    verify_header=_header_holds,
    verify=_payload_holds,
    looks_behind=lambda fields: fields["flags.pattern"],
    is_end=lambda fields: fields["flags.end"],
    follow=follow_probe,
)
"""The protocol of the probe."""
