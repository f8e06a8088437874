from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.duplication import copies, duplication, is_first_copy


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-3, 12), max_size=30))
def test_duplication_counts_copies_one_by_one(arrivals: list[int]) -> None:
    seq = np.array(arrivals, dtype=np.int64)
    counts = Counter(arrivals)
    numbers, found = copies(seq)
    assert dict(zip(numbers.tolist(), found.tolist(), strict=True)) == counts
    assert is_first_copy(seq).tolist() == [value not in arrivals[:i] for i, value in enumerate(arrivals)]
    result = duplication(seq)
    n = len(counts)
    assert result.fraction == (sum(count - 1 for count in counts.values()) / n if n else None)
    assert result.replicated_rate == (sum(count > 1 for count in counts.values()) / n if n else None)


def test_a_lost_packet_is_in_no_denominator() -> None:
    assert duplication(np.array([1, 1, 4])).fraction == 0.5


def test_nothing_received_is_undefined_and_not_zero() -> None:
    found = duplication(np.array([], dtype=np.int64))
    assert (found.n_received, found.fraction, found.replicated_rate) == (0, None, None)


def test_a_single_packet_is_not_duplicated() -> None:
    assert duplication(np.array([9])).fraction == 0.0
