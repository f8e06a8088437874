"""RTP data packets (RFC 3550 section 5.1): audio and video over IP, AES67, ST 2110, IPTV.

The media clock's rate is that of the payload type, or agreed elsewhere (SDP), so it has no default here. A
stream is one SSRC; the payload type may change within a stream without a new numbering, so it is not part of the key.
RTCP that shares the port is told apart by its packet type (RFC 5761 section 4) and rejected by that reason.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Fields
from protocols.layout import Column, Rows
from protocols.schema import Protocol

VERSION = 2
HEADER_SIZE = 12
_VARIABLE = 0x3F
"""Bits of the first octet for what makes a header longer or a payload shorter: padding, extension, CSRCs."""
PORT = 5004
"""Default port of RTP (RFC 3551 section 8)."""

CLOCK_RATES = {
    **dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8_000),
    6: 16_000,
    16: 11_025,
    17: 22_050,
    **dict.fromkeys((10, 11), 44_100),
    **dict.fromkeys((14, 25, 26, 28, 31, 32, 33, 34), 90_000),
}
"""Ticks per second of the static payload types (RFC 3551 section 6); those from 96 on are agreed elsewhere."""

SCHEMA = c.Struct(
    "first"
    / c.BitStruct(
        "version" / c.Default(c.BitsInteger(2), VERSION),
        "padding" / c.Flag,
        "extension" / c.Flag,
        "csrc_count" / c.Nibble,
        "marker" / c.Flag,
        "payload_type" / c.BitsInteger(7),
    ),
    "sequence" / c.Int16ub,
    "timestamp" / c.Int32ub,
    "ssrc" / c.Hex(c.Int32ub),
    "rest" / c.GreedyBytes,
)


def payload_start(rows: Rows, kept: Column) -> NDArray[np.int64]:
    """Return where each packet's payload begins: after the CSRC list and the header extension (RFC 3550 5.3.1).

    Args:
      rows: packets, shape (n, width), width >= HEADER_SIZE.
      kept: bytes at hand, shape (n,).

    Returns:
      Offsets, shape (n,), perhaps beyond the packet; -1 where the length of the extension lies beyond `kept`.
    """
    start = HEADER_SIZE + 4 * (rows[:, 0] & 15).astype(np.int64)
    has_extension = rows[:, 0] & 16 != 0
    is_known = ~has_extension | (start + 4 <= kept)
    each = np.arange(len(rows))
    words = [rows[each, np.minimum(start + byte, rows.shape[1] - 1)].astype(np.int64) for byte in (2, 3)]
    start += np.where(has_extension, 4 + 4 * (words[0] << 8 | words[1]), 0)
    return np.where(is_known, start, -1)


def _is_rtcp(fields: Fields) -> NDArray[np.bool_]:
    """Return which packets are RTCP rather than RTP: packet types 192 to 223 (RFC 5761 section 4)."""
    rows = fields.rows
    is_type: NDArray[np.bool_] = (rows[:, 0] >> 6 == VERSION) & (rows[:, 1] >= 192) & (rows[:, 1] <= 223)
    return is_type


def _has_room(fields: Fields) -> NDArray[np.bool_]:
    """Hold header, extension and padding against the length, as far as the bytes are at hand (RFC 3550 A.1)."""
    if not (fields.rows[:, 0] & _VARIABLE).any():
        return fields.size >= HEADER_SIZE
    start = payload_start(fields.rows, fields.kept)
    is_whole = fields.kept == fields.size
    is_inside = np.where(start < 0, ~is_whole, start <= fields.size)
    last = fields.rows[np.arange(len(fields)), np.clip(fields.kept - 1, 0, fields.rows.shape[1] - 1)]
    is_padding_wrong: NDArray[np.bool_] = (last == 0) | (start + last > fields.size)
    is_right: NDArray[np.bool_] = is_inside & ~(fields["first.padding"] & is_whole & is_padding_wrong)
    return is_right


RTP = Protocol(
    name="rtp",
    title="RTP data packets (RFC 3550 5.1)",
    schema=SCHEMA,
    sequence="sequence",
    clock="timestamp",
    clock_rates=("first.payload_type", CLOCK_RATES),
    stream_key=("ssrc",),
    ports=(PORT,),
    versions={"first.version": (VERSION,)},
    others=(("an RTCP packet", 2, _is_rtcp),),
    accept=(("wrong length", _has_room),),
)
"""The protocol of RTP; give `clock_rate` for times on the media clock."""
