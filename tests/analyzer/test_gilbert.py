from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.analyzer.gilbert import fit_gilbert, loss_correlations, simple_gilbert
from harness.errors import AnalysisError

MASKS = st.lists(st.booleans(), max_size=50)


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_transitions_are_counted_pair_by_pair(lost: list[bool]) -> None:
    pairs = list(pairwise(lost))
    n01, n10 = pairs.count((False, True)), pairs.count((True, False))
    n0, n1 = n01 + pairs.count((False, False)), n10 + pairs.count((True, True))
    found = simple_gilbert(np.array(lost, dtype=bool))
    assert (found.n0, found.n1, found.n01, found.n10) == (n0, n1, n01, n10)
    assert found.p == (n01 / n0 if n0 else None)
    assert found.r == (n10 / n1 if n1 else None)
    assert found.mean_burst == (pytest.approx(n1 / n10) if n10 else None)
    if n0 and n1 and n01 + n10:
        assert found.stationary_loss == pytest.approx(n01 / n0 / (n01 / n0 + n10 / n1))
    else:
        assert found.stationary_loss is None


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_correlations_are_counted_triple_by_triple(lost: list[bool]) -> None:
    pairs = list(pairwise(lost))
    triples = list(zip(lost, lost[1:], lost[2:], strict=False))
    after_loss = [b for a, b in pairs if a]
    between = [b for a, b, c in triples if a and c]
    assert loss_correlations(np.array(lost, dtype=bool)) == (
        lost.count(True) / len(lost) if lost else None,
        after_loss.count(True) / len(after_loss) if after_loss else None,
        between.count(True) / len(between) if between else None,
    )


@settings(max_examples=150, deadline=None)
@given(st.floats(0.01, 0.9), st.floats(0.01, 0.8), st.floats(0.0, 0.9))
def test_the_fit_inverts_the_exact_forward_formulas(p: float, r: float, h: float) -> None:
    assume(abs(1 - p - r) > 0.05)  # without memory the three correlations are one, and no fit can tell
    stationary = np.array([r, p]) / (p + r)
    step = np.array([[1 - p, p], [r, 1 - r]])
    loses, delivers = np.diag([0, 1 - h]), np.diag([1, h])

    def probability(*pattern: int) -> float:
        state = stationary
        for i, is_lost in enumerate(pattern):
            state = (state @ step if i else state) @ (loses if is_lost else delivers)
        return float(state.sum())

    a, b = probability(1), probability(1, 1) / probability(1)
    c = probability(1, 1, 1) / (probability(1, 0, 1) + probability(1, 1, 1))
    found = fit_gilbert(a, b, c)
    assert found is not None
    assert [found.p, found.r] == pytest.approx([p, r], rel=1e-6)
    assert found.h == pytest.approx(h, abs=1e-6)


def test_nothing_lost_and_all_lost_leave_one_side_undefined() -> None:
    clean, dead = simple_gilbert(np.zeros(9, dtype=bool)), simple_gilbert(np.ones(9, dtype=bool))
    assert (clean.p, clean.r, clean.stationary_loss, clean.mean_burst) == (0.0, None, None, None)
    assert (dead.p, dead.r, dead.stationary_loss, dead.mean_burst) == (None, 0.0, None, None)


@pytest.mark.parametrize("lost", [[], [True], [False]])
def test_without_a_pair_nothing_is_defined(lost: list[bool]) -> None:
    found = simple_gilbert(np.array(lost, dtype=bool))
    assert (found.p, found.r, found.mean_burst) == (None, None, None)


@pytest.mark.parametrize(
    ("a", "b", "c"), [(0.1, 0.1, 0.1), (0.1, 0.1, 0.3), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.9, 0.1)]
)
def test_correlations_of_no_such_model_have_no_fit(a: float, b: float, c: float) -> None:
    assert fit_gilbert(a, b, c) is None


def test_a_correlation_that_is_no_probability_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"loss correlation b = 1\.5"):
        fit_gilbert(0.1, 1.5, 0.2)
