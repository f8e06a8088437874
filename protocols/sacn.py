"""Streaming ACN, DMX512 levels over multicast (ANSI E1.31-2018 sections 4 to 7).

Each source numbers each universe apart (6.7.2), so a stream is a source's CID and a universe. A source that stops says
so with Stream_Terminated in three packets (6.2.6): these are marked as end of stream. Synchronization and discovery
packets (6.3, 8) carry no levels and are rejected by that reason.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Fields
from protocols.schema import Protocol

PORT = 5568
ACN_ID = b"ASC-E1.17\x00\x00\x00"
VECTOR_ROOT_DATA = 4
VECTOR_ROOT_EXTENDED = 8
VECTOR_FRAMING_DATA = 2
VECTOR_DMP_SET_PROPERTY = 2
MAX_PROPERTIES = 513
"""A start code and 512 slots."""
_BEFORE_PROPERTIES = 125

SCHEMA = c.Struct(
    "preamble_size" / c.Const(0x10, c.Int16ub),
    "postamble_size" / c.Const(0, c.Int16ub),
    "acn_id" / c.Const(ACN_ID),
    "root_length" / c.Int16ub,
    "root_vector" / c.Const(VECTOR_ROOT_DATA, c.Int32ub),
    "cid" / c.Bytes(16),
    "framing_length" / c.Int16ub,
    "framing_vector" / c.Const(VECTOR_FRAMING_DATA, c.Int32ub),
    "source_name" / c.Bytes(64),
    "priority" / c.Int8ub,
    "sync_universe" / c.Int16ub,
    "sequence" / c.Int8ub,
    "options" / c.BitStruct("preview" / c.Flag, "terminated" / c.Flag, "force_synchronization" / c.Flag, c.Padding(5)),
    "universe" / c.Int16ub,
    "dmp_length" / c.Int16ub,
    "dmp_vector" / c.Const(VECTOR_DMP_SET_PROPERTY, c.Int8ub),
    "address_type" / c.Int8ub,
    "first_address" / c.Int16ub,
    "address_increment" / c.Int16ub,
    "property_count" / c.Int16ub,
    "start_code" / c.Int8ub,
    "levels" / c.GreedyBytes,
)


def _is_extended(fields: Fields) -> NDArray[np.bool_]:
    """Return which packets are synchronization or universe discovery (root vector of appendix A)."""
    is_acn: NDArray[np.bool_] = np.all(fields["acn_id"] == np.frombuffer(ACN_ID, np.uint8), axis=1)
    return is_acn & np.equal(fields["root_vector"], VECTOR_ROOT_EXTENDED)


SACN = Protocol(
    name="sacn",
    title="Streaming ACN data packets (ANSI E1.31-2018)",
    schema=SCHEMA,
    sequence="sequence",
    stream_key=("universe", "cid"),
    ports=(PORT,),
    others=(("sACN synchronization or discovery", 22, _is_extended),),
    accept=(
        (
            "wrong length",
            lambda fields: (
                (fields["property_count"] >= 1)
                & (fields["property_count"] <= MAX_PROPERTIES)
                & (_BEFORE_PROPERTIES + fields["property_count"] <= fields.size)
            ),
        ),
    ),
    is_end=lambda fields: fields["options.terminated"],
)
"""The protocol of sACN."""
