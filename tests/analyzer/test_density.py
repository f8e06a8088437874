import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.density import buffer_occupancy, reorder_density
from harness.errors import UsageError

ARRIVALS = st.lists(st.integers(1, 40), max_size=40)
NEARLY_SORTED = st.lists(st.integers(0, 6), max_size=40).map(
    lambda late: [seq for _, seq in sorted((i + shift, i + 1) for i, shift in enumerate(late))]
)


def printed_displacements(arrivals: list[int], threshold: int) -> list[tuple[int, int]]:
    """RFC 5236 7.1 step by step: sequence number and displacement of each packet counted."""
    ahead = list(arrivals)
    due, window, buffer = 1, list[int](), list[int]()
    counted = []

    def fill() -> None:
        while ahead and len(window) < threshold + 1:
            new = ahead.pop(0)
            if new >= due and new not in window and new not in buffer and new not in seen:
                window.append(new)
                seen.add(new)

    seen: set[int] = set()
    fill()
    while window:
        if due in window or due in buffer:
            number = window.pop(0)
            if abs(due - number) <= threshold:
                counted.append((number, due - number))
                if due in buffer:
                    buffer.remove(due)
                if number > due:
                    buffer.append(number)
                due += 1
            fill()
        else:
            due += 1
    return counted


def printed_occupancies(arrivals: list[int], threshold: int | None, first: int) -> list[tuple[int, int, int]]:
    """RFC 5236 7.2 step by step: index, E on arrival and B after, of each packet counted."""
    due, buffer, counted = first, set[int](), []
    for i, number in enumerate(arrivals):
        if number in buffer or number < due:
            continue
        was_due = due
        if number == due:
            due += 1
            while due in buffer:
                buffer.remove(due)
                due += 1
        elif threshold is None or len(buffer) < threshold:
            buffer.add(number)
        else:
            due += 1
            while not (due in buffer or due == number):
                due += 1
            while due in buffer or due == number:
                buffer.discard(due)
                due += 1
        counted.append((i, was_due, len(buffer)))
    return counted


@settings(max_examples=200, deadline=None)
@given(ARRIVALS | NEARLY_SORTED, st.integers(1, 7))
def test_reorder_density_follows_the_printed_algorithm(arrivals: list[int], threshold: int) -> None:
    found = reorder_density(np.array(arrivals, dtype=np.int64), threshold)
    wanted = printed_displacements(arrivals, threshold)
    numbers = [arrivals[i] for i in found.arrival.tolist()]
    assert list(zip(numbers, found.displacement.tolist(), strict=True)) == wanted
    assert found.n_discarded == len(set(arrivals)) - len(wanted)
    assert np.all(np.abs(found.displacement) <= threshold)


@settings(max_examples=150, deadline=None)
@given(ARRIVALS | NEARLY_SORTED, st.integers(1, 7) | st.none(), st.integers(0, 3))
def test_buffer_occupancy_follows_the_printed_algorithm(arrivals: list[int], threshold: int | None, first: int) -> None:
    found = buffer_occupancy(np.array(arrivals, dtype=np.int64), threshold, first_seq=first)
    wanted = printed_occupancies(arrivals, threshold, first)
    assert [*zip(found.arrival.tolist(), found.expected.tolist(), found.occupancy.tolist(), strict=True)] == wanted
    assert found.mean == (pytest.approx(sum(b for _, _, b in wanted) / len(wanted)) if wanted else None)


def test_displacements_without_threshold_cancel_out() -> None:
    found = reorder_density(np.random.default_rng(3).permutation(100).astype(np.int64) * 3)
    assert found.displacement.sum() == 0
    assert sum(found.density.values()) == pytest.approx(1)


def test_a_step_over_a_huge_gap_takes_no_longer_than_any_other() -> None:
    arrivals = np.array([1, 2, 10**15, 3, 10**15 + 1, 4])
    assert reorder_density(arrivals, threshold=2).n_discarded == 2
    assert buffer_occupancy(arrivals, threshold=1).occupancy.tolist() == [0, 0, 1, 1, 0]


def test_a_packet_beyond_the_threshold_counts_as_lost() -> None:
    found = reorder_density(np.array([1, 2, 4, 5, 6, 7, 8, 3, 9]), threshold=3)
    assert found.frequency == {0: 8}
    assert found.n_discarded == 1


def test_nothing_received_has_no_density() -> None:
    none = np.array([], dtype=np.int64)
    assert (reorder_density(none, 3).density, buffer_occupancy(none, 3).density) == ({}, {})
    assert buffer_occupancy(none).mean is None


def test_a_single_packet_is_in_place() -> None:
    assert reorder_density(np.array([9])).density == {0: 1.0}
    assert buffer_occupancy(np.array([9])).density == {0: 1.0}
    assert buffer_occupancy(np.array([9]), first_seq=1).density == {1: 1.0}


def test_a_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="displacement threshold 0"):
        reorder_density(np.array([1]), 0)
    with pytest.raises(UsageError, match="buffer threshold 0"):
        buffer_occupancy(np.array([1]), 0)
