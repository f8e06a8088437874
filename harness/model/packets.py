"""The two record formats on disk and in memory: packets received, and packets sent.

Both are 32 bytes, little-endian, without padding, so that a file of them maps straight into numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from protocols import flags as wire
from protocols.flags import UNDEFINED_NS, UNNUMBERED

__all__ = [
    "PACKET_DTYPE",
    "SENT_DTYPE",
    "UNDEFINED_NS",
    "UNNUMBERED",
    "PacketArray",
    "PacketFlag",
    "SentFlag",
    "join_records",
]

PACKET_DTYPE = np.dtype(
    [
        ("seq", "<i8"),
        ("tx_ns", "<i8"),
        ("rx_ns", "<i8"),
        ("stream", "<u2"),
        ("size", "<u2"),
        ("ttl", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
    ]
)
"""One packet received.

`seq` is the number on the wire, not extended; `tx_ns` the sender's realtime stamp, or for a stream whose manifest entry
has a `clock_rate` the sending time in ticks of that clock as on the wire; `rx_ns` the receive time on the run's time
line (realtime at the start of the run, continued by the monotonic clock); `stream` the number of the manifest's entry;
`size` the UDP payload in bytes; `ttl` 0 when unknown.
"""

SENT_DTYPE = np.dtype(
    [
        ("seq", "<i8"),
        ("due_ns", "<i8"),
        ("tx_ns", "<i8"),
        ("stream", "<u2"),
        ("size", "<u2"),
        ("errno", "<u2"),
        ("flags", "<u2"),
    ]
)
"""One packet that a sender had to send: when it was due, when it left (UNDEFINED_NS: never), and why not (errno).

`flags` is 0 or SentFlag.KERNEL_STAMP.
"""

PacketArray = NDArray[np.void]
"""A one-dimensional array of PACKET_DTYPE or SENT_DTYPE records."""


class PacketFlag(IntFlag):
    """Bits of `flags` in PACKET_DTYPE."""

    END = wire.END
    """An end-of-stream probe: it carries the count, and is no part of the stream's numbering."""
    CORRUPT = wire.CORRUPT
    """The payload fails its own check: counted as corrupt, and lost unless a good copy comes."""
    MISDELIVERED = 4
    """Came to a destination or over an interface that this receiver did not ask for; never part of a stream."""
    DISCONTINUITY = wire.DISCONTINUITY
    """The source itself announces a break in the numbering here."""
    RETRANSMITTED = wire.RETRANSMITTED
    """The source marks this copy as a retransmission."""
    TRUNCATED = wire.TRUNCATED
    """Of its bytes only the first were kept (snap length, small buffer): its payload was not checked as a whole."""
    USER_STAMP = 64
    """`rx_ns` was taken by this program after reading, not by the kernel on arrival."""


class SentFlag(IntFlag):
    """Bits of `flags` in SENT_DTYPE, above those that it shares with PACKET_DTYPE."""

    KERNEL_STAMP = 256
    """`tx_ns` was taken by the kernel as it passed the packet to the interface, not by this program before sending."""


def join_records(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Return arrays of records, one at least and all of one dtype, as one, shape (n,), in their order.

    `np.concatenate` copies structures field by field, 25 times as slowly.

    >>> one = np.zeros(2, PACKET_DTYPE)
    >>> len(join_records([one, one[:1]])), join_records([one]).dtype == PACKET_DTYPE
    (3, True)
    """
    dtype = parts[0].dtype
    plain = np.dtype((np.void, dtype.itemsize))
    return np.concatenate([part.view(plain) for part in parts]).view(dtype)
