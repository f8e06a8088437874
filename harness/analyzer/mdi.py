"""Media Delivery Index of one measurement interval (RFC 4445)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.alignment import require_aligned
from harness.errors import UsageError
from harness.units import NS_PER_S


def virtual_buffer(
    rx_ns: NDArray[np.int64], sizes: NDArray[np.integer], rate_bytes_per_s: float, start_ns: int
) -> NDArray[np.float64]:
    """Return the fill of a buffer that drains at the media rate (RFC 4445 3.1), in bytes.

    Args:
      rx_ns: receive times of the interval's packets in arrival order, shape (k,).
      sizes: media payload of each in bytes, shape (k,).
      rate_bytes_per_s: nominal media rate.
      start_ns: start of the interval.

    Returns:
      Shape (2 k + 1,): VB(0) = 0, then the fill just before and just after each packet.

    Raises:
      UsageError: the rate is not positive.
      AnalysisError: the arrays differ in length.
    """
    require_aligned(rx_ns=rx_ns, sizes=sizes)
    if not rate_bytes_per_s > 0:
        raise UsageError(f"media rate {rate_bytes_per_s} B/s is not positive; give the nominal rate of the stream")
    received = np.cumsum(sizes, dtype=np.float64)
    drained = (rx_ns - start_ns) * (rate_bytes_per_s / NS_PER_S)
    fill = np.zeros(2 * len(rx_ns) + 1)
    fill[1::2] = received - sizes - drained
    fill[2::2] = received - drained
    return fill


def delay_factor_ns(
    rx_ns: NDArray[np.int64], sizes: NDArray[np.integer], rate_bytes_per_s: float, start_ns: int
) -> float | None:
    """Return the delay factor: the range of the virtual buffer's fill over the media rate (RFC 4445 3.1).

    Args:
      rx_ns: receive times of the interval's packets in arrival order, shape (k,).
      sizes: media payload of each in bytes, shape (k,).
      rate_bytes_per_s: nominal media rate.
      start_ns: start of the interval, one second by custom.

    Returns:
      Buffer time in ns, at least one packet's for a perfectly even stream; None when no packet came.

    Raises:
      UsageError: the rate is not positive.
      AnalysisError: the arrays differ in length.

    >>> delay_factor_ns(np.array([1, 2, 3]) * 10**9, np.array([100, 100, 100]), rate_bytes_per_s=100, start_ns=0)
    1000000000.0
    """
    fill = virtual_buffer(rx_ns, sizes, rate_bytes_per_s, start_ns)
    return float(fill.max() - fill.min()) / rate_bytes_per_s * NS_PER_S if len(rx_ns) else None


def media_loss_rate(n_expected: int, n_received: int, duration_ns: int) -> float | None:
    """Return media packets lost per second (RFC 4445 3.2); None for an interval of no length.

    >>> media_loss_rate(1000, 998, 1_000_000_000)
    2.0
    """
    return (n_expected - n_received) * NS_PER_S / duration_ns if duration_ns > 0 else None
