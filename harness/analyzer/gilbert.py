"""Two-state loss models: the simple Gilbert estimate, and Gilbert's fit of 1960 with three parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import AnalysisError

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class SimpleGilbert:
    """Transitions of the loss indicator taken for those of a Markov chain.

    Attributes:
      n0, n1: packets received and lost that have a successor.
      n01, n10: transitions from received to lost and back.
    """

    n0: int
    n1: int
    n01: int
    n10: int

    @property
    def p(self) -> float | None:
        """P(lost | received before); None when no packet was received before another."""
        return self.n01 / self.n0 if self.n0 else None

    @property
    def r(self) -> float | None:
        """P(received | lost before); None when no packet was lost before another."""
        return self.n10 / self.n1 if self.n1 else None

    @property
    def stationary_loss(self) -> float | None:
        """Loss ratio in the long run, p / (p + r); None where undefined."""
        p, r = self.p, self.r
        return p / (p + r) if p is not None and r is not None and p + r else None

    @property
    def mean_burst(self) -> float | None:
        """Mean number of losses in a row, 1 / r, in packets; None when no loss period ended."""
        return 1 / self.r if self.r else None


def simple_gilbert(is_lost: NDArray[np.bool_]) -> SimpleGilbert:
    """Return the two-state Markov estimate by counting transitions.

    Args:
      is_lost: shape (n,), sending order.

    >>> found = simple_gilbert(np.array([0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0], dtype=bool))
    >>> found.p, found.mean_burst
    (0.25, 1.5)
    """
    before, after = is_lost[:-1], is_lost[1:]
    n1 = int(np.count_nonzero(before))
    return SimpleGilbert(
        n0=len(before) - n1,
        n1=n1,
        n01=int(np.count_nonzero(~before & after)),
        n10=int(np.count_nonzero(before & ~after)),
    )


@dataclass(frozen=True, slots=True)
class Gilbert:
    """Gilbert's model of 1960: a good state without loss, and a bad one that still delivers.

    Attributes:
      p: P(good to bad); r: P(bad to good); h: probability that a packet is delivered in the bad state.
    """

    p: float
    r: float
    h: float


def loss_correlations(is_lost: NDArray[np.bool_]) -> tuple[float | None, float | None, float | None]:
    """Return what the fit of 1960 starts from: a = P(1), b = P(1|1), c = P(111) / (P(101) + P(111)), 1 = lost.

    Args:
      is_lost: shape (n,), sending order.

    Returns:
      Each None where its denominator is empty.

    >>> loss_correlations(np.array([1, 1, 1, 0, 1], dtype=bool))
    (0.8, 0.6666666666666666, 0.5)
    """
    n, before = len(is_lost), int(np.count_nonzero(is_lost[:-1]))
    outer = is_lost[:-2] & is_lost[2:]
    n_outer = int(np.count_nonzero(outer))
    return (
        int(np.count_nonzero(is_lost)) / n if n else None,
        int(np.count_nonzero(is_lost[:-1] & is_lost[1:])) / before if before else None,
        int(np.count_nonzero(outer & is_lost[1:-1])) / n_outer if n_outer else None,
    )


def fit_gilbert(a: float, b: float, c: float) -> Gilbert | None:
    """Return Gilbert's model for three measured loss correlations (Gilbert 1960; Hasslinger and Hohlfeld 2008).

    Args:
      a: P(1), the loss ratio.
      b: P(1|1), loss after loss.
      c: P(111) / (P(101) + P(111)), loss between two losses.

    Returns:
      None when no such model has these correlations: independent losses, or parameters that are no probabilities.

    Raises:
      AnalysisError: a correlation lies outside 0 to 1.

    >>> model = fit_gilbert(1 / 27, 0.375, 0.49559471365638763)
    >>> round(model.p, 9), round(model.r, 9), round(model.h, 9)
    (0.02, 0.25, 0.5)
    """
    for name, value in (("a", a), ("b", b), ("c", c)):
        if not 0 <= value <= 1:
            raise AnalysisError(f"loss correlation {name} = {value} is no probability")
    denominator = 2 * a * c - b * (a + c)
    stay = (a * c - b * b) / denominator if denominator else 0.0
    if not 0 < stay < 1:
        return None
    r, h = 1 - stay, 1 - b / stay
    # h = 0 is the simple model, so a rounding error below it must not refuse the fit.
    if not -_ROUNDING <= h < 1 or a >= 1 - h:
        return None
    h = max(0.0, h)
    p = a * r / (1 - h - a)
    return Gilbert(p, r, h) if p <= 1 else None
