"""The two record formats on disk and in memory: packets received, and packets sent.

Both are 32 bytes, little-endian, without padding, so that a file of them maps straight into numpy.
"""

from __future__ import annotations

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

UNDEFINED_NS = -(2**63)
"""A time that is not known (the smallest 64-bit integer); never 0, which is a time."""

UNNUMBERED = -1
"""The `seq` of a packet whose protocol has no sequence number, or whose own is switched off."""

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
"""One packet that a sender had to send: when it was due, when it left (UNDEFINED_NS: never), and why not (errno)."""

PacketArray = NDArray[np.void]
"""A one-dimensional array of PACKET_DTYPE or SENT_DTYPE records."""


class PacketFlag(IntFlag):
    """Bits of `flags` in PACKET_DTYPE."""

    END = 1
    """An end-of-stream probe: it carries the count, and is no part of the stream's numbering."""
    CORRUPT = 2
    """The payload fails its own check: counted as corrupt, and lost unless a good copy comes."""
    MISDELIVERED = 4
    """Came to a destination or over an interface that this receiver did not ask for; never part of a stream."""
    DISCONTINUITY = 8
    """The source itself announces a break in the numbering here."""
    RETRANSMITTED = 16
    """The source marks this copy as a retransmission."""
    TRUNCATED = 32
    """Shorter here than it was on the wire (snap length, small buffer)."""
    USER_STAMP = 64
    """`rx_ns` was taken by this program after reading, not by the kernel on arrival."""
