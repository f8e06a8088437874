"""UDP packets of iperf 2 (its include/payloads.h, struct UDP_datagram and client_hdr_v1).

Numbers are signed: a negative one ends the stream. In unicast the sender repeats the end with growing numbers until the
receiver answers, so the end is no count. A second word holds the upper half where the flag for it is set; old releases
and `-C` do not set it, and their numbers are 32 signed bits. Datagrams too small for the flags (`-l` below 20) are
rejected.
"""

from __future__ import annotations

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.decoded import Fields
from protocols.flags import UNNUMBERED
from protocols.schema import Protocol

PORT = 5001
FLAG_SEQUENCE_64 = 0x08000000

SCHEMA = c.Struct(
    "id" / c.Int32ub,
    "sec" / c.Int32ub,
    "usec" / c.Int32ub,
    "id_upper" / c.Int32ub,
    "flags" / c.Hex(c.Int32ub),
    "rest" / c.GreedyBytes,
)


def _signed(fields: Fields) -> NDArray[np.int64]:
    lower: NDArray[np.int64] = fields["id"]
    wide: NDArray[np.int64] = fields["id_upper"] << 32 | lower
    return np.where(fields["flags"] & FLAG_SEQUENCE_64 != 0, wide, lower.astype(np.int32))


def _number(fields: Fields) -> NDArray[np.int64]:
    """Return the numbers without their sign; the one number that has no opposite is none."""
    magnitude = np.abs(_signed(fields))
    return np.where(magnitude < 0, UNNUMBERED, magnitude)


IPERF2 = Protocol(
    name="iperf2",
    title="iperf 2 UDP test traffic",
    schema=SCHEMA,
    number=_number,
    sequence_bits=64,
    send_time={"sec": 10**9, "usec": 1_000},
    ports=(PORT,),
    accept=(("wrong time", lambda fields: fields["usec"] < 1_000_000),),
    is_end=lambda fields: _signed(fields) < 0,
)
"""The protocol of iperf 2."""
