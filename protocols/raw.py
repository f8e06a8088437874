"""Any UDP traffic: no field is read, so silence shows, but a loss does not."""

from __future__ import annotations

import construct as c

from protocols.schema import Protocol

RAW = Protocol(
    name="raw", title="any UDP datagram, without sequence numbers", schema=c.Struct("payload" / c.GreedyBytes)
)
"""The protocol of datagrams about which nothing is known."""
