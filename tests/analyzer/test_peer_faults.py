"""What the peers count wrong, each with the figures of the case in which they were caught."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from harness.analyzer import Fold, StreamFold
from harness.model import PACKET_DTYPE, PacketArray, PacketFlag, StreamInfo, StreamSummary

T0 = 1_700_000_000_000_000_000
MS = 1_000_000


def probes(numbers: Iterable[int], interval_ns: int = MS) -> PacketArray:
    order = np.array(list(numbers), np.int64)
    rows = np.zeros(len(order), PACKET_DTYPE)
    rows["seq"] = order
    rows["tx_ns"] = T0 + order * interval_ns
    rows["rx_ns"] = np.maximum.accumulate(rows["tx_ns"]) + 50_000 + np.arange(len(order))
    return rows


def stream(sent: int | None, interval_ns: int = MS) -> StreamInfo:
    return StreamInfo(number=0, receiver="rx", first_due_ns=T0, interval_ns=interval_ns, sent=sent)


def summarise(info: StreamInfo, rows: PacketArray, **known: Any) -> StreamSummary:
    fold = StreamFold(info)
    fold.update(rows)
    return fold.summary(**known)


def test_a_stream_that_dies_and_never_returns_is_lost_to_its_end() -> None:
    """iperf 2.1.8 says 0/1509 (0%)."""
    summary = summarise(stream(4004), probes(range(1509)), observed=(T0, T0 + 5000 * MS), drops=0)
    assert (summary.expected, summary.received, summary.lost) == (4004, 1509, 2495)
    (window,) = summary.windows
    assert (window.kind, window.first_seq, window.last_seq, window.packets) == ("stopped", 1509, 4003, 2495)
    assert (window.start_ns, window.end_ns) == (T0 + 1509 * MS, T0 + 4004 * MS)
    assert summary.attribution.network == 2495


def test_a_blackout_over_two_report_bins_has_two_edges_and_its_losses_stand_where_they_were_due() -> None:
    """iperf2 and nuttcp charge all loss to the bin of recovery."""
    summary = summarise(stream(4000), probes([*range(1350), *range(2650, 4000)]))
    (window,) = summary.windows
    assert (window.kind, window.start_ns, window.end_ns) == ("mid_run", T0 + 1350 * MS, T0 + 2650 * MS)
    series = summary.series
    starts = series.start_ns + np.arange(len(series.lost)) * series.bin_ns
    hit = starts[np.array(series.lost) > 0]
    assert hit[0] <= window.start_ns < hit[0] + series.bin_ns
    assert hit[-1] < window.end_ns <= hit[-1] + series.bin_ns
    assert sum(series.lost) == summary.lost == 1300
    inside = np.array(series.lost)[(starts > hit[0]) & (starts < hit[-1])]
    assert (inside == np.array(series.due)[(starts > hit[0]) & (starts < hit[-1])]).all()


def test_a_duplicate_does_not_cancel_a_loss() -> None:
    """iperf2 says 0/11 (0%)."""
    summary = summarise(stream(11), probes([0, 1, 2, 3, 5, 6, 7, 8, 8, 8, 9, 10]))
    assert (summary.lost, summary.duplicates, summary.received) == (1, 2, 10)
    assert summary.isolated == 1
    assert summary.reordered == 0


def test_overflow_of_the_own_socket_is_no_network_loss() -> None:
    """iperf2 says 89,921 lost."""
    kept = np.linspace(0, 99_999, 10_079).astype(int)
    summary = summarise(stream(100_000, 10_000), probes(kept, 10_000), drops=89_921)
    assert summary.lost == 89_921
    assert (summary.attribution.own_buffer, summary.attribution.network) == (89_921, 0)


def test_an_adjacent_swap_is_one_reordered_packet_and_no_gap() -> None:
    """mcjoin says gaps 2, reorder 1."""
    summary = summarise(stream(10), probes([0, 1, 2, 4, 3, 5, 6, 7, 8, 9]))
    assert (summary.reordered, summary.lost, summary.loss_periods, summary.windows) == (1, 0, 0, [])
    assert summary.reordering is not None
    assert summary.reordering.extent_max == 1


def test_a_blackout_of_128_is_128_lost_in_one_window() -> None:
    """mcjoin says gaps 1."""
    summary = summarise(stream(1000), probes([*range(400), *range(528, 1000)]))
    assert (summary.lost, summary.loss_periods, summary.longest_loss_period) == (128, 1, 128)
    assert [window.packets for window in summary.windows] == [128]


def test_packets_of_a_group_that_was_not_joined_are_misdelivered_and_counted_apart() -> None:
    """mgen 5.02 logs packets of 239.7.7.9 on a socket that joined 239.7.7.7 only."""
    rows = np.repeat(probes(range(100)), 2)
    rows["flags"][1::2] = PacketFlag.MISDELIVERED
    summary = summarise(stream(100), rows, drops=0)
    assert (summary.received, summary.lost, summary.duplicates, summary.misdelivered) == (100, 0, 0, 100)
    assert summary.attribution.misdelivered == 100


def test_an_empty_interval_has_no_ratio() -> None:
    """iperf2 says -nan%."""
    fold = Fold()
    fold.add_stream(stream(0))
    (summary,) = fold.summaries()
    assert (summary.expected, summary.received, summary.lost, summary.loss_ratio) == (0, 0, 0, None)
    assert summary.jitter_ns is None
    assert summary.delay.minimum_ns is None
    assert summary.delay.percentiles_ns == {}
    assert summary.reordering is None
    assert summary.windows == []
