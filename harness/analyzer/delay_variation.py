"""Packet delay variation in both forms of RFC 5481: IPDV (4.1) and PDV (4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.empirical import percentiles
from harness.model import UNDEFINED_NS


def ipdv(delay_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the inter-packet delay variation, D(i) - D(i - 1) (RFC 5481 4.1).

    Args:
      delay_ns: one-way delays in *sending* order, shape (n,), UNDEFINED_NS where the packet was lost.

    Returns:
      Shape (n,); UNDEFINED_NS for the first packet, for a lost one and for the one after it.

    >>> ipdv(np.array([20, 10, 20, 25, 20]))[1:]
    array([-10,  10,   5,  -5])
    """
    variation = np.full(len(delay_ns), UNDEFINED_NS, dtype=np.int64)
    is_defined = delay_ns != UNDEFINED_NS
    both = np.flatnonzero(is_defined[1:] & is_defined[:-1]) + 1
    variation[both] = delay_ns[both] - delay_ns[both - 1]
    return variation


def pdv(delay_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the packet delay variation, D(i) - min D (RFC 5481 4.2).

    Args:
      delay_ns: one-way delays, shape (n,), any order, UNDEFINED_NS where the packet was lost.

    Returns:
      Shape (n,), at least 0; UNDEFINED_NS where the delay is.

    >>> pdv(np.array([20, 10, 20, 25, 20]))
    array([10,  0, 10, 15, 10])
    """
    variation = np.full(len(delay_ns), UNDEFINED_NS, dtype=np.int64)
    is_defined = delay_ns != UNDEFINED_NS
    if is_defined.any():
        variation[is_defined] = delay_ns[is_defined] - delay_ns[is_defined].min()
    return variation


@dataclass(frozen=True, slots=True)
class DelayVariation:
    """Both forms of delay variation, summed up over the packets received (RFC 5481 section 4).

    Attributes:
      n_ipdv, n_pdv: defined values behind the figures.
      ipdv_range_ns: largest minus smallest IPDV; None when no two neighbours arrived.
      pdv_range_ns: largest PDV (the smallest is 0); None when nothing arrived.
      percent: percentage of the PDV percentile.
      pdv_percentile_ns: that percentile of PDV (RFC 2330 11.3); None when nothing arrived.
    """

    n_ipdv: int
    n_pdv: int
    ipdv_range_ns: int | None
    pdv_range_ns: int | None
    percent: float
    pdv_percentile_ns: int | None


def delay_variation(delay_ns: NDArray[np.int64], percent: float = 99.9) -> DelayVariation:
    """Return ranges of IPDV and PDV and a high percentile of PDV (RFC 5481 4.1, 4.2).

    Args:
      delay_ns: one-way delays in *sending* order, shape (n,), UNDEFINED_NS where the packet was lost.
      percent: percentage of the PDV percentile.

    Raises:
      UsageError: the percentage lies outside 0 to 100.

    >>> delay_variation(np.array([20, 10, 20, 25, 20])).ipdv_range_ns
    20
    """
    between = ipdv(delay_ns)
    between = between[between != UNDEFINED_NS]
    above = pdv(delay_ns)
    above = above[above != UNDEFINED_NS]
    return DelayVariation(
        n_ipdv=len(between),
        n_pdv=len(above),
        ipdv_range_ns=int(between.max() - between.min()) if len(between) else None,
        pdv_range_ns=int(above.max()) if len(above) else None,
        percent=percent,
        pdv_percentile_ns=percentiles(above, [percent])[0],
    )
