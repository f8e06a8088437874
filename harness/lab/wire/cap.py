"""How many frames per second a wire carries: what was measured, what it allows itself, and the gate that holds it."""

from __future__ import annotations

import msgspec

from harness.errors import UsageError
from harness.units import NS_PER_S, format_scaled

DEFAULT_CAP_PPS = 40_000.0
DEFAULT_SHARE = 0.5
"""The default cap is at most this share of the measured limit: sender and receiver want the processor, too."""

MAX_SHARE = 0.8
"""A cap that was asked for may be this share of the limit at most."""

BURST_S = 0.25
"""For so long the wire may not get to run without dropping what came meanwhile; its queue holds twice as much."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a wire carries on this machine with all of the processor, at most; see `measure`."""

    kind: str
    pps: float
    size: int
    n_frames: int


def cap_of(asked_pps: float | None, limit: Limit | None) -> float:
    """Return the cap in frames per second.

    Raises:
      UsageError: more is asked for than this machine carries.

    >>> cap_of(None, Limit(kind="tap", pps=60e3, size=242, n_frames=20_000))
    30000.0
    """
    if asked_pps is None:
        return DEFAULT_CAP_PPS if limit is None else min(DEFAULT_CAP_PPS, DEFAULT_SHARE * limit.pps)
    if limit is not None and asked_pps > MAX_SHARE * limit.pps:
        raise UsageError(
            f"wire: a cap of {format_scaled(asked_pps, 'pps')} is more than {MAX_SHARE:.0%} of the "
            f"{format_scaled(limit.pps, 'pps')} that this machine carries; leave cap out for a safe one"
        )
    return asked_pps


def cap_text(cap_pps: float, limit: Limit | None) -> str:
    """Return a sentence about the cap for the run's record.

    >>> cap_text(40e3, Limit(kind="tap", pps=100e3, size=242, n_frames=20_000))
    'the wire carries up to 40 kpps, 40% of the 100 kpps measured on this machine (tap, frames of 242 bytes)'
    """
    cap = f"the wire carries up to {format_scaled(cap_pps, 'pps')}"
    if limit is None:
        return f"{cap}; what this machine could carry was not measured"
    measured = (
        f"{format_scaled(limit.pps, 'pps')} measured on this machine ({limit.kind}, frames of {limit.size} bytes)"
    )
    return f"{cap}, {cap_pps / limit.pps:.0%} of the {measured}"


class RateCap:
    """Lets frames through up to a rate, with bursts of `burst` frames: the generic cell rate algorithm (ITU-T I.371).

    >>> cap = RateCap(1000, burst=2)
    >>> [cap.takes(now_ns) for now_ns in (0, 0, 0, 1_000_000)]
    [True, True, False, True]
    """

    def __init__(self, pps: float, burst: int | None = None) -> None:
        self._interval_ns = max(1, round(NS_PER_S / pps))
        self._tolerance_ns = self._interval_ns * ((burst if burst is not None else burst_of(pps)) - 1)
        self._expected_ns = -(2**62)

    def takes(self, now_ns: int) -> bool:
        """Return whether a frame that comes now may pass."""
        expected_ns = self._expected_ns
        if expected_ns - now_ns > self._tolerance_ns:
            return False
        self._expected_ns = (expected_ns if expected_ns > now_ns else now_ns) + self._interval_ns
        return True


def burst_of(pps: float) -> int:
    """Return how many frames at once a cap lets through."""
    return max(64, round(BURST_S * pps))
