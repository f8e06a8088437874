"""Art-Net 4 ArtDmx, DMX512 levels over UDP (Art-Net 4 protocol specification, "ArtDmx packet definition").

The sequence number runs from 1 to 255 and on to 1; 0 says that the sender does not number. A stream is a 15-bit port
address, its low byte (SubUni) first on the wire. Polls and the other packets of the protocol are rejected as such.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Fields
from protocols.schema import Protocol

PORT = 0x1936
ART_NET_ID = b"Art-Net\x00"
OP_DMX = 0x5000
PROTOCOL_VERSION = 14
_HEADER_SIZE = 18

SCHEMA = c.Struct(
    "id" / c.Const(ART_NET_ID),
    "op_code" / c.Const(OP_DMX, c.Int16ul),
    "version" / c.Default(c.Int16ub, PROTOCOL_VERSION),
    "sequence" / c.Int8ub,
    "physical" / c.Int8ub,
    "universe" / c.Int16ul,
    "length" / c.Int16ub,
    "levels" / c.GreedyBytes,
)


def _is_other(fields: Fields) -> NDArray[np.bool_]:
    is_art_net: NDArray[np.bool_] = np.all(fields["id"] == np.frombuffer(ART_NET_ID, np.uint8), axis=1)
    return is_art_net & np.not_equal(fields["op_code"], OP_DMX)


ARTNET = Protocol(
    name="artnet",
    title="Art-Net 4 ArtDmx",
    schema=SCHEMA,
    sequence="sequence",
    sequence_first=1,
    sequence_modulus=255,
    stream_key=("universe",),
    ports=(PORT,),
    versions={"version": (PROTOCOL_VERSION,)},
    others=(("Art-Net, but not ArtDmx", 10, _is_other),),
    accept=(
        (
            "wrong length",
            lambda fields: (fields["length"] <= 512) & (_HEADER_SIZE + fields["length"] <= fields.size),
        ),
    ),
)
"""The protocol of ArtDmx."""
