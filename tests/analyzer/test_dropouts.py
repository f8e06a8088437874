"""Drop-out windows of streams with a schedule: classes, edges, tails, and what the sender's log adds."""

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import Fold, SentLog, StreamFold
from harness.analyzer.dropouts import period_of
from harness.analyzer.timeline import KnotTimeline, PeriodicTimeline
from harness.model import (
    PACKET_DTYPE,
    SENT_DTYPE,
    UNDEFINED_NS,
    PacketArray,
    Parameters,
    StreamInfo,
    StreamSummary,
    Window,
)

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
DELAY = 100_000


def packets(numbers: Any, due_ns: Any = None) -> PacketArray:
    numbers = np.array(list(numbers), np.int64)
    rows = np.zeros(len(numbers), PACKET_DTYPE)
    rows["seq"] = numbers
    rows["tx_ns"] = T0 + numbers * MS if due_ns is None else np.array(due_ns)[numbers]
    rows["rx_ns"] = rows["tx_ns"] + DELAY
    return rows


def sent_log(due_ns: Any, refused: Any = (), errno: int = 101) -> PacketArray:
    rows = np.zeros(len(due_ns), SENT_DTYPE)
    rows["seq"] = np.arange(len(due_ns))
    rows["due_ns"] = due_ns
    rows["tx_ns"] = rows["due_ns"] + 10
    refused = list(refused)
    rows["tx_ns"][refused] = UNDEFINED_NS
    rows["errno"][refused] = errno
    return rows


def summary(
    numbers: Any,
    count: int | None = None,
    interval_ns: int = MS,
    due_ns: Any = None,
    offset: int | None = None,
    **known: Any,
) -> StreamSummary:
    info = StreamInfo(number=0, first_due_ns=T0, interval_ns=interval_ns, sent=count, clock_offset_ns=offset)
    fold = StreamFold(info, known.pop("parameters", Parameters()))
    rows = packets(numbers, due_ns)
    rows["rx_ns"] += offset or 0
    fold.update(rows)
    return fold.summary(**known)


def edges(windows: list[Window]) -> list[tuple[str, int, int]]:
    """Return class and edges in ms after the start of the schedule."""
    return [(window.kind, (window.start_ns - T0) // MS, (window.end_ns - T0) // MS) for window in windows]


def test_nothing_received_of_a_known_count_is_never_received() -> None:
    found = summary([], count=50)
    assert edges(found.windows) == [("never_received", 0, 50)]
    assert (found.expected, found.lost, found.loss_ratio) == (50, 50, 1.0)
    assert found.delay.n == 0


def test_nothing_received_of_a_known_schedule_is_never_received_until_the_observation_ends() -> None:
    found = summary([], observed=(T0, T0 + 80 * MS))
    assert edges(found.windows) == [("never_received", 0, 80)]
    assert found.expected == 80


def test_nothing_received_and_nothing_known_is_undefined() -> None:
    found = summary([])
    assert (found.expected, found.lost, found.loss_ratio, found.windows) == (None, None, None, [])
    assert found.isolated is None


def test_nothing_due_while_the_receiver_listened_is_no_loss() -> None:
    found = summary([], count=50, joined_ns=T0 + 90 * MS)
    assert (found.expected, found.lost, found.loss_ratio, found.windows) == (0, 0, None, [])


def test_a_late_start_counts_from_the_join() -> None:
    found = summary(range(700, 1000), count=1000, joined_ns=T0 + 600 * MS + DELAY)
    assert edges(found.windows) == [("late_start", 600, 700)]
    assert (found.expected, found.lost) == (400, 100)


def test_a_late_start_counts_from_the_first_packet_where_the_join_is_not_known() -> None:
    assert edges(summary(range(700, 1000), count=1000).windows) == [("late_start", 0, 700)]


def test_a_receiver_that_starts_late_and_hears_at_once_has_lost_nothing() -> None:
    found = summary(range(600_000, 600_300), joined_ns=T0 + 600_000 * MS)
    assert (found.expected, found.lost, found.windows) == (300, 0, [])


def test_the_join_stands_on_the_receivers_clock() -> None:
    offset = 3_600_000 * MS
    found = summary(range(700, 1000), count=1000, offset=offset, joined_ns=T0 + 600 * MS + DELAY + offset)
    assert edges(found.windows) == [("late_start", 600, 700)]
    assert any("clock offset removed" in note for note in found.notes)


def test_a_killed_sender_leaves_a_tail_that_may_be_an_end() -> None:
    found = summary(range(1000), observed=(T0, T0 + 5000 * MS))
    assert [window.kind for window in found.windows] == ["stopped_or_ended"]
    assert found.windows[0].start_ns == T0 + 1000 * MS
    assert abs(found.windows[0].end_ns - (T0 + 5000 * MS)) <= MS
    assert any("may have ended" in note for note in found.notes)


def test_a_recording_that_ends_while_packets_come_has_no_tail() -> None:
    found = summary(range(1000), observed=(T0, T0 + 1004 * MS))
    assert (found.lost, found.windows) == (0, [])


def test_a_tail_that_nobody_observed_is_not_invented() -> None:
    found = summary(range(1000))
    assert (found.expected, found.lost, found.schedule.sent) == (1000, 0, None)
    assert any("not known" in note for note in found.notes)


def test_a_log_that_went_on_makes_a_tail_stopped() -> None:
    log = SentLog.from_rows(sent_log(T0 + np.arange(500) * MS))
    found = summary(range(300), observed=(T0, T0 + 900 * MS), sent=log)
    assert edges(found.windows) == [("stopped", 300, 500)]
    assert found.schedule.source == "log"


def test_a_log_that_refused_the_tail_leaves_it_open_and_attributes_it() -> None:
    log = SentLog.from_rows(sent_log(T0 + np.arange(500) * MS, refused=range(300, 500)))
    found = summary(range(300), sent=log, drops=10)
    assert edges(found.windows) == [("stopped_or_ended", 300, 500)]
    assert (found.attribution.not_sent, found.attribution.own_buffer, found.attribution.network) == (200, 0, 0)


def test_a_sender_that_outlives_the_recording_has_lost_nothing_after_it() -> None:
    log = SentLog.from_rows(sent_log(T0 + np.arange(5000) * MS))
    found = summary(range(300), observed=(T0, T0 + 302 * MS), sent=log)
    assert (found.expected, found.lost, found.schedule.sent) == (300, 0, 5000)


def test_a_tail_lost_just_before_the_recording_ends_shows_when_the_count_is_known() -> None:
    found = summary(range(97), count=100, observed=(T0, T0 + 100 * MS + DELAY))
    assert edges(found.windows) == [("stopped", 97, 100)]


def test_numbers_beyond_a_torn_log_are_still_received() -> None:
    log = SentLog.from_rows(sent_log(T0 + np.arange(200) * MS))
    found = summary(range(300), sent=log)
    assert (found.expected, found.received, found.lost) == (300, 300, 0)
    assert any("beyond" in note for note in found.notes)


def test_the_logged_times_are_the_edges_of_an_aperiodic_stream() -> None:
    due = T0 + np.cumsum(np.arange(1, 101)) * MS
    found = summary([*range(40), *range(60, 100)], interval_ns=0, due_ns=due, sent=SentLog.from_rows(sent_log(due)))
    (window,) = found.windows
    assert (window.start_ns, window.end_ns, window.is_interpolated) == (due[40], due[60], False)
    assert found.schedule.source == "log"


def test_without_a_log_the_edges_of_an_aperiodic_stream_stand_between_neighbours() -> None:
    due = T0 + np.cumsum(np.arange(1, 101)) * MS
    found = summary([*range(40), *range(60, 100)], interval_ns=0, due_ns=due)
    (window,) = found.windows
    assert due[39] < window.start_ns < window.end_ns == due[60]
    assert window.is_interpolated
    assert found.schedule.source == "interpolated"
    assert sum(found.series.lost) == 20


def test_min_duration_holds_back_short_windows() -> None:
    parameters = Parameters(min_packets=1, min_duration_ns=5 * MS)
    found = summary([*range(10), *range(14, 50), *range(55, 99)], parameters=parameters)
    assert edges(found.windows) == [("mid_run", 50, 55)]


def test_a_window_its_frayed_edge_a_thinning_and_an_isolated_loss_are_told_apart() -> None:
    gone = {*range(100, 110), 112, 200, 203, 206, 300}
    found = summary([k for k in range(400) if k not in gone], count=400)
    assert edges(found.windows) == [("mid_run", 100, 110)]
    assert [(item.first_seq, item.last_seq, item.lost) for item in found.thinning] == [(200, 206, 3)]
    assert (found.thinning[0].start_ns, found.thinning[0].end_ns) == (T0 + 200 * MS, T0 + 207 * MS)
    assert (found.edge, found.isolated, found.lost) == (1, 1, 15)


def test_a_train_of_windows_is_periodic_with_its_period() -> None:
    gone = {k for start in range(100, 1000, 307) for k in range(start, start + 5)}
    found = summary([k for k in range(1200) if k not in gone], count=1200)
    assert {(window.kind, window.period_ns) for window in found.windows} == {("periodic", 307 * MS)}
    assert len(found.windows) == 3


def test_a_late_packet_is_lost_and_too_late_and_its_clock_offset_is_removed_first() -> None:
    rows = packets(range(100))
    rows["rx_ns"] += 2_500 * MS
    rows["rx_ns"][50] += 60 * MS
    info = StreamInfo(number=0, first_due_ns=T0, interval_ns=MS, sent=100, clock_offset_ns=2_500 * MS)
    fold = StreamFold(info, Parameters(tmax_ns=50 * MS))
    fold.update(rows)
    found = fold.summary(drops=0)
    assert (found.received, found.lost, found.too_late, found.attribution.late) == (99, 1, 1, 1)
    assert found.delay.maximum_ns == DELAY
    assert [mark.seq for mark in found.marks if mark.kind == "too_late"] == [50]


def test_what_came_too_late_behind_the_last_stamp_is_still_due() -> None:
    rows = packets(range(6))
    rows["rx_ns"][1:] += 90 * MS
    fold = StreamFold(StreamInfo(number=0, first_due_ns=T0, interval_ns=0), Parameters(tmax_ns=50 * MS))
    fold.update(rows)
    found = fold.summary()
    assert (found.expected, found.received, found.lost) == (6, 1, 5)
    assert (sum(found.series.due), sum(found.series.lost)) == (6, 5)


def test_a_restarted_sender_is_a_new_stream_and_no_negative_loss() -> None:
    fold = Fold()
    for number, epoch in enumerate((11, 12)):
        fold.add_stream(StreamInfo(number=number, epoch=epoch, first_due_ns=T0, interval_ns=MS, sent=500))
    rows = np.concatenate((packets(range(300)), packets(range(10, 500))))
    rows["stream"] = np.repeat([0, 1], [300, 490])
    fold.update(rows)
    old, new = fold.summaries()
    assert (old.epoch, old.lost, edges(old.windows)) == (11, 200, [("stopped", 300, 500)])
    assert (new.epoch, new.lost, new.duplicates, edges(new.windows)) == (12, 10, 0, [("late_start", 0, 10)])


def test_a_negative_delay_is_a_matter_of_clocks_and_no_loss() -> None:
    rows = packets(range(10))
    rows["rx_ns"] -= 5 * MS
    fold = StreamFold(StreamInfo(number=0, first_due_ns=T0, interval_ns=MS, sent=10), Parameters(tmax_ns=MS))
    fold.update(rows)
    found = fold.summary()
    assert (found.lost, found.delay.minimum_ns) == (0, DELAY - 5 * MS)
    assert any("clocks" in note for note in found.notes)


def train_by_hand(starts: list[int], interval: int) -> tuple[int, list[bool]] | None:
    d = [b - a for a, b in itertools.pairwise(starts)]
    if len(starts) < 3:
        return None
    p = sorted(d)[(len(d) - 1) // 2]
    best = [min((abs(x - m * p), m) for m in (1, 2, 3)) for x in d]
    fits = [error <= max(p / 10, 2 * interval) for error, _ in best]
    singles = [fit and m == 1 for fit, (_, m) in zip(fits, best, strict=True)]
    if sum(fits) < 0.6 * len(d) or sum(singles) < 0.5 * sum(fits):
        return None
    period = sum(x for x, fit in zip(d, fits, strict=True) if fit) / sum(
        m for (_, m), fit in zip(best, fits, strict=True) if fit
    )
    return round(period), [any(fits[max(k - 1, 0) : k + 1]) for k in range(len(starts))]


@given(
    steps=st.lists(st.sampled_from([1000, 1010, 1100, 1101, 1950, 2000, 3050, 3400, 700]), max_size=12),
    interval=st.sampled_from([0, 10, 60]),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_train_is_one_by_the_published_rule(steps: list[int], interval: int) -> None:
    starts = [0, *itertools.accumulate(steps)]
    assert period_of(starts, interval) == train_by_hand(starts, interval)


@given(
    steps=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**10)), min_size=1, max_size=20),
    whole=st.booleans(),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_time_line_through_stamps_counts_what_was_due(steps: list[tuple[int, int]], whole: bool) -> None:
    index = np.cumsum([1 if whole else step for step, _ in steps])
    t_ns = T0 + np.cumsum([rise for _, rise in steps])
    line = KnotTimeline(index, t_ns, is_interpolated=not whole)
    numbers = np.arange(index[0], index[-1] + 1)
    due = line.due_ns(numbers)
    assert (np.diff(due) >= 0).all()
    assert due[index - index[0]].tolist() == t_ns.tolist()
    edges = np.unique(np.concatenate((due, due + 1)))
    edges = edges[(edges > due[0]) & (edges <= due[-1])]
    exact = [int(index[0]) + int((due < edge).sum()) for edge in edges.tolist()]
    assert np.abs(line.count_before(edges) - exact).max(initial=0) <= (0 if whole else 1)


def test_a_periodic_time_line_holds_far_numbers() -> None:
    line = PeriodicTimeline(T0, 10**9)
    assert line.due_ns(np.array([2**61]))[0] <= 2**62
    assert line.count_before(np.array([T0 - 1, T0, T0 + 1])).tolist() == [0, 0, 1]
