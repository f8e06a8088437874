"""SRT data packets (draft-sharabayko-srt-01 section 3.1): video over lossy networks.

A 31-bit number that begins anywhere, a time stamp in microseconds since the connection began, and a mark on
retransmitted copies, which keep number and time stamp of the first. A stream is a destination socket. Control packets
(3.2) are rejected by that reason. A sender drops what is too late for it, so a gap need not be the network's.
"""

from __future__ import annotations

import construct as c

from protocols.schema import Protocol

SCHEMA = c.Struct(
    "head"
    / c.BitStruct(
        "is_control" / c.Flag,
        "sequence" / c.BitsInteger(31),
        "position" / c.Enum(c.BitsInteger(2), middle=0, last=1, first=2, only=3),
        "is_ordered" / c.Flag,
        "key" / c.Enum(c.BitsInteger(2), plain=0, even=1, odd=2),
        "is_retransmitted" / c.Flag,
        "message" / c.BitsInteger(26),
    ),
    "timestamp_us" / c.Int32ub,
    "destination_socket" / c.Hex(c.Int32ub),
    "payload" / c.GreedyBytes,
)

SRT = Protocol(
    name="srt",
    title="SRT data packets (draft-sharabayko-srt-01 3.1)",
    schema=SCHEMA,
    sequence="head.sequence",
    clock="timestamp_us",
    clock_rate=1_000_000,
    stream_key=("destination_socket",),
    others=(("an SRT control packet", 16, lambda fields: fields["head.is_control"]),),
    is_retransmitted=lambda fields: fields["head.is_retransmitted"],
)
"""The protocol of SRT."""
