"""The numbers that `protocols` and the packet records of `harness.model` share; this is their one definition."""

from __future__ import annotations

UNDEFINED_NS = -(2**63)
"""A time that is not known (the smallest 64-bit integer); never 0, which is a time."""

UNNUMBERED = -1
"""The sequence number of a packet whose protocol has none, or whose own is switched off."""

END = 1
"""Flag bit: an end-of-stream packet."""
CORRUPT = 2
"""Flag bit: the packet fails its own check."""
DISCONTINUITY = 8
"""Flag bit: the source itself announces a break in the numbering here."""
RETRANSMITTED = 16
"""Flag bit: the source marks this copy as a retransmission."""
TRUNCATED = 32
"""Flag bit: of the payload only the beginning was at hand."""
