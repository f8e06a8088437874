import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.traffic.impairment import Impairment, ImpairmentSpec


def run(spec: ImpairmentSpec, n: int, piece: int) -> tuple[Impairment, list[int]]:
    impairment, emitted = Impairment(spec), []
    for first in range(0, n, piece):
        seq = np.arange(first, min(n, first + piece), dtype=np.int64)
        data = np.zeros((len(seq), 64), dtype=np.uint8)
        data[:, :8] = seq.astype(">i8").view(np.uint8).reshape(-1, 8)
        emitted.append(impairment.apply(seq, seq * 1000, data))
    emitted.append(impairment.flush(64))
    rows = np.concatenate(emitted)
    return impairment, np.ascontiguousarray(rows[:, :8]).view(">i8").ravel().tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(1, 9), st.integers(0, 99), st.integers(1, 50)
)
def test_truth_is_what_left(loss: float, dup: float, reorder: float, displacement: int, seed: int, piece: int) -> None:
    spec = ImpairmentSpec(
        ((20_000, 40_000),), loss=loss, duplicate=dup, reorder=reorder, displacement=displacement, seed=seed
    )
    impairment, left = run(spec, 200, piece)
    truth = impairment.truth
    assert left == truth.emitted
    assert set(left) == set(range(200)) - set(truth.dropped)
    assert len(left) == len(set(left)) + len(truth.duplicated)
    assert set(range(20, 40)) <= set(truth.dropped)
    assert all(1 <= by <= displacement for by in truth.held.values())


@pytest.mark.parametrize("piece", [1, 7, 200])
def test_same_seed_does_the_same_in_pieces_of_any_size(piece: int) -> None:
    spec = ImpairmentSpec(loss=0.1, duplicate=0.1, reorder=0.1, corrupt=0.1, seed=4)
    whole, left_whole = run(spec, 200, 200)
    pieces, left = run(spec, 200, piece)
    assert (left, pieces.truth) == (left_whole, whole.truth)


def test_no_impairment_changes_nothing() -> None:
    impairment, left = run(ImpairmentSpec(), 100, 7)
    assert left == list(range(100))
    assert list(impairment.truth.records()) == []


def test_corrupted_probe_differs_in_one_byte_and_stands_in_the_truth() -> None:
    impairment = Impairment(ImpairmentSpec(corrupt=1.0))
    rows = impairment.apply(np.arange(5), np.arange(5), np.zeros((5, 64), dtype=np.uint8))
    assert np.count_nonzero(rows, axis=1).tolist() == [1] * 5
    assert impairment.truth.corrupted == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "changes", [{"loss": 1.5}, {"displacement": 0}, {"dropouts_ns": ((5, 5),)}, {"dropouts_ns": ((-5, 5),)}]
)
def test_impossible_impairment_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="impairment"):
        ImpairmentSpec(**changes)  # type: ignore[arg-type] # wrong on purpose
