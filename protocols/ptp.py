"""Precision time protocol over UDP (IEEE 1588-2019 section 13.3, annexes C and D), versions 2.0 and 2.1.

A port numbers its messages by type, so a stream is domain, message type and source port identity. Numbered are
the messages that a port sends of its own accord, and the Follow_Up, which repeats its Sync's number. A response repeats
the number of whoever asked, and several ask in turn: responses, management and signaling count as unnumbered.

No send time is read: originTimestamp is PTP time (TAI by default, 37 s from UTC since 2017), and in a two-step clock
only an estimate.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Fields
from protocols.flags import UNNUMBERED
from protocols.schema import Protocol

EVENT_PORT = 319
GENERAL_PORT = 320
VERSION = 2
SYNC, DELAY_REQ, PDELAY_REQ, FOLLOW_UP, ANNOUNCE = 0x0, 0x1, 0x2, 0x8, 0xB
_HEADER_SIZE = 34

SCHEMA = c.Struct(
    "first"
    / c.BitStruct(
        "major_sdo_id" / c.Nibble,
        "message_type"
        / c.Enum(
            c.Nibble,
            Sync=SYNC,
            Delay_Req=DELAY_REQ,
            Pdelay_Req=PDELAY_REQ,
            Pdelay_Resp=0x3,
            Follow_Up=FOLLOW_UP,
            Delay_Resp=0x9,
            Pdelay_Resp_Follow_Up=0xA,
            Announce=ANNOUNCE,
            Signaling=0xC,
            Management=0xD,
        ),
        "minor_version" / c.Nibble,
        "version" / c.Default(c.Nibble, VERSION),
    ),
    "message_length" / c.Int16ub,
    "domain" / c.Int8ub,
    "minor_sdo_id" / c.Int8ub,
    "flags" / c.Int16ub,
    "correction" / c.Int64sb,
    "type_specific" / c.Int32ub,
    "clock_identity" / c.Bytes(8),
    "port_number" / c.Int16ub,
    "sequence" / c.Int16ub,
    "control" / c.Int8ub,
    "log_interval" / c.Int8sb,
    "body" / c.GreedyBytes,
)


def _own_number(fields: Fields) -> NDArray[np.int64]:
    is_own = np.isin(fields["first.message_type"], (SYNC, DELAY_REQ, PDELAY_REQ, FOLLOW_UP, ANNOUNCE))
    return np.where(is_own, fields["sequence"], UNNUMBERED)


PTP = Protocol(
    name="ptp",
    title="Precision time protocol version 2 (IEEE 1588-2019 13.3)",
    schema=SCHEMA,
    sequence="sequence",
    number=_own_number,
    stream_key=("domain", "first.message_type", "clock_identity", "port_number"),
    ports=(EVENT_PORT, GENERAL_PORT),
    versions={"first.version": (VERSION,)},
    accept=(
        (
            "wrong length",
            lambda fields: (fields["message_length"] >= _HEADER_SIZE) & (fields["message_length"] <= fields.size),
        ),
    ),
)
"""The protocol of PTP."""
