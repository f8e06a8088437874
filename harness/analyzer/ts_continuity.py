"""Continuity of one PID of an MPEG transport stream (ETSI TR 101 290 1.4, ISO/IEC 13818-1 2.4.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.alignment import require_aligned


@dataclass(frozen=True, slots=True, eq=False)
class Continuity:
    """Continuity errors of one PID.

    Attributes:
      errors: indexes of the packets that did not continue, ascending, shape (k,).
      missing: fewest packets missing before each, shape (k,), 1 to 15; more by any multiple of 16 look the same.
      n_duplicates: repeats that the standard allows.
    """

    errors: NDArray[np.int64]
    missing: NDArray[np.int64]
    n_duplicates: int

    @property
    def n_lost_min(self) -> int:
        """Fewest packets that can have been lost."""
        return int(self.missing.sum())


def ts_continuity(
    counter: NDArray[np.integer], has_payload: NDArray[np.bool_], is_discontinuity: NDArray[np.bool_]
) -> Continuity:
    """Return the continuity errors of one PID.

    A packet with payload must advance the counter by one; one repeat right behind it is a duplicate and allowed, a
    second is an error. A packet without payload must not advance it. A discontinuity that the stream announces is
    none.

    Args:
      counter: continuity_counter, 0 to 15, of the PID's packets in order, shape (n,).
      has_payload: whether the packet carries payload, shape (n,).
      is_discontinuity: its discontinuity_indicator, shape (n,).

    Raises:
      AnalysisError: the arrays differ in length.

    >>> counter = np.array([15, 0, 0, 1, 3])
    >>> ts_continuity(counter, np.ones(5, dtype=bool), np.zeros(5, dtype=bool)).errors
    array([4])
    """
    require_aligned(counter=counter, has_payload=has_payload, is_discontinuity=is_discontinuity)
    n = len(counter)
    number = counter.astype(np.int64)
    advance = (number - np.concatenate([number[:1], number[:-1]])) % 16
    missing = (advance - has_payload) % 16
    # A repeat stands right behind a packet with payload and the same number. Its place in the row of them tells the
    # one that is allowed from the rest.
    is_repeat = np.zeros(n, dtype=bool)
    is_repeat[1:] = (advance[1:] == 0) & has_payload[1:] & has_payload[:-1] & ~is_discontinuity[1:]
    index = np.arange(n)
    row_start = np.maximum.accumulate(np.where(is_repeat, 0, index)) if n else index
    is_duplicate = is_repeat & (index - row_start == 1)
    is_error = (missing != 0) & ~is_duplicate & ~is_discontinuity
    is_error[:1] = False
    errors = np.flatnonzero(is_error)
    return Continuity(errors, missing[errors], int(np.count_nonzero(is_duplicate)))
