import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.byte_offset import byte_offsets, weight_overtaking
from harness.analyzer.free_runs import free_runs, run_counter, run_lengths
from harness.analyzer.n_reordering import n_reordering, n_reordering_degree
from harness.analyzer.reordering import (
    extent_histogram,
    find_reordered,
    late_times,
    reordering_discontinuities,
    reordering_gap_times,
    reordering_gaps,
    sequence_discontinuities,
)
from harness.errors import AnalysisError, UsageError

ARRIVALS = st.lists(st.integers(-5, 25), max_size=40)
NONE = np.array([], dtype=np.int64)


def array(values: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(values, dtype=np.int64)


def first_copies(arrivals: list[int]) -> list[int]:
    return [i for i, seq in enumerate(arrivals) if seq not in arrivals[:i]]


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(0, 3) | st.none())
def test_singleton_extent_late_time_and_bytes_by_looking_at_every_pair(arrivals: list[int], before: int | None) -> None:
    first_expected = None if before is None or not arrivals else min(arrivals) - before
    kept = first_copies(arrivals)
    s = [arrivals[i] for i in kept]
    t = [100 * i + arrivals[i] for i in range(len(arrivals))]  # need not ascend
    sizes = [3 + i for i in range(len(arrivals))]
    found = find_reordered(array(arrivals), first_expected)

    next_exp, reordered, skipped = [], [], []
    expected = first_expected if first_expected is not None else (s[0] if s else 0)
    for i, seq in enumerate(s):
        next_exp.append(expected)
        if seq < expected:
            reordered.append(i)
        elif seq > expected:
            skipped.append([i, seq - expected])
        expected = max(expected, seq + 1)
    assert found.next_exp.tolist() == next_exp
    assert found.position.tolist() == reordered == np.flatnonzero(found.is_reordered).tolist()
    assert found.ratio == (len(reordered) / len(s) if s else None)
    assert sequence_discontinuities(found).tolist() == skipped

    causes = [min(j for j in range(i) if s[j] > s[i]) for i in reordered]
    assert found.extent.tolist() == [i - j for i, j in zip(reordered, causes, strict=True)]
    assert sum(extent_histogram(found).values()) == len(reordered)
    assert late_times(found, array(t)).tolist() == [
        t[kept[i]] - t[kept[j]] for i, j in zip(reordered, causes, strict=True)
    ]
    assert byte_offsets(found, array(sizes)).tolist() == [
        sum(sizes[kept[j]] for j in range(i) if s[j] > s[i]) for i in reordered
    ]
    distinct = sorted(set(causes))
    assert reordering_discontinuities(found).tolist() == distinct
    assert reordering_gaps(found).tolist() == [b - a for a, b in itertools.pairwise(distinct)]
    assert reordering_gap_times(found, array(t)).tolist() == [
        t[kept[b]] - t[kept[a]] for a, b in itertools.pairwise(distinct)
    ]


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(24)), st.data())
def test_weight_overtaking_sums_over_every_pair(seq: list[int], data: st.DataObject) -> None:
    weight = data.draw(st.lists(st.integers(0, 1500), min_size=24, max_size=24))
    wanted = [sum(weight[j] for j in range(i) if seq[j] > seq[i]) for i in range(24)]
    assert weight_overtaking(array(seq) * 7, array(weight)).tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_free_runs_count_as_the_counters_of_the_standard(flags: list[bool]) -> None:
    runs, counter, trace = [], 0, []
    for is_reordered in flags:
        if is_reordered:
            runs.append(counter)
            counter = 0
        else:
            counter += 1
        trace.append(counter)
    is_reordered_all = np.array(flags, dtype=bool)
    lengths, trailing = run_lengths(is_reordered_all)
    assert (lengths.tolist(), trailing) == (runs, counter)
    assert run_counter(is_reordered_all).tolist() == trace
    found = free_runs(lengths, trailing)
    x, a, q = len(runs), flags.count(False), sum(run * run for run in runs)
    assert (found.n_runs, found.n_in_order, found.n_packets, found.sum_of_squares) == (x, a, len(flags), q)
    assert found.average == (a / x if x else None)
    assert found.q_over_a == (q / a if a else None)
    assert found.variation == (pytest.approx(q * x / a / a) if a and x else None)


def is_n_reordered(s: list[int], i: int, n: int) -> bool:
    return n <= i and all(s[j] > s[i] for j in range(i - n, i))


@settings(max_examples=150, deadline=None)
@given(ARRIVALS, st.integers(1, 9))
def test_n_reordering_by_definition_for_every_n(arrivals: list[int], n_max: int) -> None:
    depth = n_reordering(array(arrivals), n_max)
    for n in range(1, n_max + 1):
        assert (depth >= n).tolist() == [is_n_reordered(arrivals, i, n) for i in range(len(arrivals))]
    degree = n_reordering_degree(depth)
    assert list(degree) == list(range(1, max(depth.tolist(), default=0) + 1))
    for n, share in degree.items():
        assert share == sum(is_n_reordered(arrivals, i, n) for i in range(len(arrivals))) / len(arrivals)


def test_n_reordering_does_not_depend_on_where_chunks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seq = np.random.default_rng(5).permutation(400).astype(np.int64)
    whole = n_reordering(seq, 10)
    monkeypatch.setattr("harness.analyzer.n_reordering._ROWS", 7)
    assert n_reordering(seq, 10).tolist() == whole.tolist()


def test_three_late_packets_are_three_and_no_loss() -> None:
    found = find_reordered(array([0, 1, 5, 2, 3, 4, 6]))
    assert found.seq[found.position].tolist() == [2, 3, 4]
    assert found.extent.tolist() == [1, 2, 3]


def test_a_duplicate_is_not_reordered() -> None:
    found = find_reordered(array([1, 2, 3, 2, 4, 1]))
    assert len(found.position) == 0
    assert found.arrival.tolist() == [0, 1, 2, 4]


def test_a_packet_after_a_wrap_is_in_order_once_extended() -> None:
    assert find_reordered(array([65534, 65535, 65537, 65536])).extent.tolist() == [1]


def test_nothing_received_has_no_ratio_and_no_figures() -> None:
    found = find_reordered(NONE, first_expected=0)
    assert found.ratio is None
    assert (len(found.extent), len(late_times(found, NONE)), len(byte_offsets(found, NONE))) == (0, 0, 0)
    assert (extent_histogram(found), reordering_gaps(found).tolist()) == ({}, [])
    assert n_reordering_degree(n_reordering(NONE)) == {}


def test_a_single_packet_is_in_order() -> None:
    found = find_reordered(array([7]), first_expected=3)
    assert (found.ratio, sequence_discontinuities(found).tolist()) == (0.0, [[0, 4]])


def test_a_number_below_the_first_expected_is_refused() -> None:
    with pytest.raises(AnalysisError, match="packet 3 arrived, but the first expected is 4"):
        find_reordered(array([5, 3]), first_expected=4)


def test_looking_back_no_packets_is_refused() -> None:
    with pytest.raises(UsageError, match="n_max = 0"):
        n_reordering(array([1]), 0)


def test_sizes_of_other_packets_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"seq \(3,\), weight \(2,\)"):
        weight_overtaking(array([1, 3, 2]), array([1, 1]))
