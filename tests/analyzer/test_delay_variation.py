import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.delay_variation import delay_variation, ipdv, pdv
from harness.model import UNDEFINED_NS

DELAYS = st.lists(st.none() | st.integers(-50, 50), max_size=30)


def as_array(values: list[int | None]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([UNDEFINED_NS if value is None else value for value in values], dtype=np.int64)


@settings(max_examples=100, deadline=None)
@given(DELAYS)
def test_both_forms_follow_from_single_packets(delays: list[int | None]) -> None:
    defined = [value for value in delays if value is not None]
    between: list[int | None] = []
    for i, value in enumerate(delays):
        before = delays[i - 1] if i else None
        between.append(None if value is None or before is None else value - before)
    above = [None if value is None else value - min(defined) for value in delays]
    array = as_array(delays)
    assert ipdv(array).tolist() == as_array(between).tolist()
    assert pdv(array).tolist() == as_array(above).tolist()
    steps = [value for value in between if value is not None]
    found = delay_variation(array, percent=100)
    assert found.ipdv_range_ns == (max(steps) - min(steps) if steps else None)
    assert found.pdv_range_ns == (max(defined) - min(defined) if defined else None)
    assert found.pdv_percentile_ns == found.pdv_range_ns
    assert (found.n_ipdv, found.n_pdv) == (len(steps), len(defined))


def test_delays_far_apart_do_not_meet_the_marker_of_undefined() -> None:
    found = delay_variation(np.array([2**61, UNDEFINED_NS, -(2**61), 5]))
    assert (found.n_ipdv, found.pdv_range_ns) == (1, 2**62)


def test_the_high_percentile_leaves_out_the_one_slowest_in_a_thousand() -> None:
    delays = np.full(2000, 10)
    delays[7] = 99
    assert delay_variation(delays).pdv_percentile_ns == 0
    delays[9:11] = 50
    assert delay_variation(delays).pdv_percentile_ns == 40


def test_a_single_packet_has_pdv_but_no_ipdv() -> None:
    found = delay_variation(np.array([12]))
    assert (found.ipdv_range_ns, found.pdv_range_ns, found.pdv_percentile_ns) == (None, 0, 0)


def test_a_stream_lost_whole_has_no_variation() -> None:
    found = delay_variation(np.full(3, UNDEFINED_NS))
    assert (found.ipdv_range_ns, found.pdv_range_ns, found.pdv_percentile_ns) == (None, None, None)
