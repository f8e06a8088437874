"""Severe loss blocks and unavailability (ITU-T Y.1540), every threshold a parameter.

Blocks are counted in packets of the *sending* order; at a constant rate a block of rate * 1 s packets is one second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError


@dataclass(frozen=True, slots=True, eq=False)
class Availability:
    """Y.1540 over k whole blocks.

    Attributes:
      block: packets of a block.
      severe_threshold, unavailable_threshold: loss ratios s1 and c1; a block must exceed them.
      loss_ratio: of each block, shape (k,).
      severe_blocks: indexes of the blocks above s1, ascending.
      unavailable_blocks: indexes of the blocks above c1, ascending.
    """

    block: int
    severe_threshold: float
    unavailable_threshold: float
    loss_ratio: NDArray[np.float64]
    severe_blocks: NDArray[np.int64]
    unavailable_blocks: NDArray[np.int64]

    @property
    def severe_ratio(self) -> float | None:
        """Severe loss blocks per block; None without a whole block."""
        return len(self.severe_blocks) / len(self.loss_ratio) if len(self.loss_ratio) else None

    @property
    def unavailability_percent(self) -> float | None:
        """Percent of blocks that were unavailable (PIU); None without a whole block."""
        return 100 * len(self.unavailable_blocks) / len(self.loss_ratio) if len(self.loss_ratio) else None

    @property
    def availability_percent(self) -> float | None:
        """Percent of blocks that were available (PIA); None without a whole block."""
        unavailable = self.unavailability_percent
        return None if unavailable is None else 100 - unavailable


def availability(
    is_lost: NDArray[np.bool_], block: int, severe_threshold: float = 0.2, unavailable_threshold: float = 0.2
) -> Availability:
    """Return severe loss blocks and unavailability (Y.1540).

    Args:
      is_lost: shape (n,), sending order; an incomplete last block is left out.
      block: packets of a block.
      severe_threshold: s1; a block is a severe loss block when its loss ratio is strictly greater.
      unavailable_threshold: c1; a block is unavailable when its loss ratio is strictly greater.

    Raises:
      UsageError: the block is empty, or a threshold lies outside 0 to 1.

    >>> found = availability(np.array([0, 0, 1, 1, 0], dtype=bool), block=2)
    >>> found.severe_blocks, found.availability_percent
    (array([1]), 50.0)
    """
    if block < 1:
        raise UsageError(f"a block of {block} packets is none; use the packets of one second")
    for name, threshold in (("severe loss", severe_threshold), ("unavailability", unavailable_threshold)):
        if not 0 <= threshold <= 1:
            raise UsageError(f"{name} threshold {threshold} is no loss ratio from 0 to 1")
    n_blocks = len(is_lost) // block
    ratio = is_lost[: n_blocks * block].reshape(n_blocks, block).mean(axis=1)
    return Availability(
        block=block,
        severe_threshold=severe_threshold,
        unavailable_threshold=unavailable_threshold,
        loss_ratio=ratio,
        severe_blocks=np.flatnonzero(ratio > severe_threshold),
        unavailable_blocks=np.flatnonzero(ratio > unavailable_threshold),
    )
