"""MPEG transport stream (ISO/IEC 13818-1 section 2.4.3) over UDP, or over RTP (RFC 2250).

A datagram holds several packets of 188 bytes, usually seven. Each is a record; a stream is a PID. Which of the two
carriers it is shows in the first byte of each datagram: 0x47 begins a packet, version 2 in its top bits an RTP header.

The 4-bit continuity counter (2.4.3.3) counts packets that carry payload. Hence left out, without being rejected: null
packets (PID 8191) and packets with an adaptation field only, except those that announce a discontinuity, since the
count goes on from them. A packet may be sent twice with the same count; that is a duplicate, not a fault. Fifteen
packets of a PID lost in a row look like one duplicate and sixteen like none: with seven packets a datagram, a burst of
lost datagrams is seen fully only in the numbers of RTP.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decode import BASE_REASONS, CUT_OFF, EMPTY, OK, TOO_SHORT, WRONG_MAGIC, Cells
from protocols.decoded import Fields
from protocols.layout import Column, Rows
from protocols.rtp import payload_start
from protocols.schema import Protocol

SYNC = 0x47
PACKET_SIZE = 188
NULL_PID = 0x1FFF
_RTP_VERSION = 2
_WRONG_LENGTH = len(BASE_REASONS)

SCHEMA = c.Struct(
    "sync" / c.Const(SYNC, c.Int8ub),
    "header"
    / c.BitStruct(
        "transport_error" / c.Flag,
        "payload_unit_start" / c.Flag,
        "priority" / c.Flag,
        "pid" / c.BitsInteger(13),
        "scrambling" / c.BitsInteger(2),
        "has_adaptation" / c.Flag,
        "has_payload" / c.Flag,
        "continuity" / c.Nibble,
    ),
    # what follows is payload instead where has_adaptation is not set, and so are the flags where the length is 0
    "adaptation_length" / c.Int8ub,
    "adaptation"
    / c.BitStruct(
        "discontinuity" / c.Flag,
        "random_access" / c.Flag,
        "es_priority" / c.Flag,
        "has_pcr" / c.Flag,
        "has_opcr" / c.Flag,
        "has_splice" / c.Flag,
        "has_private" / c.Flag,
        "has_extension" / c.Flag,
    ),
    "rest" / c.GreedyBytes,
)
_HEADER_SIZE = 6


def _cells(data: Rows, kept: Column, size: Column) -> Cells:
    """Cut datagrams into the first bytes of their packets; a datagram with a part missing is rejected whole."""
    if data.shape[1] < PACKET_SIZE:
        data = np.zeros((len(data), PACKET_SIZE), np.uint8)
    is_rtp = data[:, 0] >> 6 == _RTP_VERSION
    start = np.where(is_rtp, payload_start(data, kept), 0)
    length = size - start
    reject = np.zeros(len(data), np.uint8)
    for is_bad, reason in (
        (size == 0, EMPTY),
        (size < PACKET_SIZE, TOO_SHORT),
        (kept < size, CUT_OFF),
        ((data[:, 0] != SYNC) & ~is_rtp, WRONG_MAGIC),
        ((start < 0) | (length < PACKET_SIZE) | (length % PACKET_SIZE != 0), _WRONG_LENGTH),
    ):
        reject[is_bad & (reject == OK)] = reason
    n_cells = np.where(reject == OK, length // PACKET_SIZE, 0)
    row = np.repeat(np.arange(len(data)), n_cells)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(n_cells) - n_cells, n_cells)
    at = start[row] + nth * PACKET_SIZE
    rows = data[row[:, None], at[:, None] + np.arange(_HEADER_SIZE)]
    whole = np.full(len(row), PACKET_SIZE)
    return Cells(row, rows, whole, whole, reject)


def _announces_discontinuity(fields: Fields) -> NDArray[np.bool_]:
    """Return where the discontinuity_indicator is present and set (2.4.3.5)."""
    is_there: NDArray[np.bool_] = fields["header.has_adaptation"] & (fields["adaptation_length"] > 0)
    return is_there & fields["adaptation.discontinuity"]


def _is_uncounted(fields: Fields) -> NDArray[np.bool_]:
    is_null: NDArray[np.bool_] = fields["header.pid"] == NULL_PID
    return is_null | ~(fields["header.has_payload"] | _announces_discontinuity(fields))


MPEGTS = Protocol(
    name="mpegts",
    title="MPEG transport stream over UDP or RTP (ISO/IEC 13818-1 2.4.3, RFC 2250)",
    schema=SCHEMA,
    sequence="header.continuity",
    stream_key=("header.pid",),
    records=_cells,
    accept=(("wrong length", lambda fields: fields.size == PACKET_SIZE),),
    skip=_is_uncounted,
    is_discontinuity=_announces_discontinuity,
    verify=lambda fields: ~fields["header.transport_error"],
)
"""The protocol of a transport stream; a packet whose transport_error_indicator is set counts as corrupt."""
