"""Messages of MGEN 5 (its User's and Reference Guide, section 9, "MGEN Message Payload").

A stream is a flow number of a sender. The version on the wire is 2 in release 5. The optional CRC at the end
of a message is not checked.
"""

from __future__ import annotations

import construct as c
import numpy as np

from protocols.schema import Protocol

VERSION = 2
MIN_SIZE = 28
"""The smallest message, with an IPv4 destination and nothing optional."""

SCHEMA = c.Struct(
    "message_size" / c.Int16ub,
    "version" / c.Default(c.Int8ub, VERSION),
    "flags" / c.FlagsEnum(c.Int8ub, continues=0x01, end_of_message=0x02, checksum=0x04, last_buffer=0x08),
    "flow" / c.Int32ub,
    "sequence" / c.Int32ub,
    "sec" / c.Int32ub,
    "usec" / c.Int32ub,
    "destination_port" / c.Int16ub,
    "address_type" / c.Int8ub,
    "address_length" / c.Int8ub,
    "rest" / c.GreedyBytes,
)

MGEN = Protocol(
    name="mgen",
    title="MGEN 5 test traffic",
    schema=SCHEMA,
    sequence="sequence",
    send_time={"sec": 10**9, "usec": 1_000},
    stream_key=("flow",),
    versions={"version": (VERSION,)},
    accept=(
        (
            "wrong length",
            lambda fields: (fields["message_size"] >= MIN_SIZE) & (fields["message_size"] <= fields.size),
        ),
        (
            "wrong address",
            lambda fields: np.isin(fields["address_type"] << 8 | fields["address_length"], (0x0104, 0x0210)),
        ),
    ),
)
"""The protocol of MGEN."""
