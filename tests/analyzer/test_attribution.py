"""Where the missing packets went, and what the sender says of itself."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import Fold, SenderFold, SentLog, StreamView, summarise_sender
from harness.analyzer.attribution import attribute, shares
from harness.analyzer.sentlog import LogFold
from harness.errors import AnalysisError
from harness.model import PACKET_DTYPE, SENT_DTYPE, UNDEFINED_NS, Attribution, PacketFlag, SenderInfo, StreamInfo

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
count = st.integers(0, 500)


@given(count, count, count, st.none() | count, count)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_parts_add_up_and_none_is_negative(
    lost: int, late: int, not_sent: int, own_buffer: int | None, misdelivered: int
) -> None:
    found = attribute(lost, late=late, not_sent=not_sent, own_buffer=own_buffer, misdelivered=misdelivered)
    parts = [found.network, found.own_buffer, found.late, found.not_sent, found.unknown]
    assert sum(parts) == lost
    assert min(parts) >= 0
    assert found.misdelivered == misdelivered
    assert not (found.network and own_buffer is None)


def test_of_an_unnumbered_stream_nothing_can_be_attributed() -> None:
    found = attribute(None, late=0, not_sent=0, own_buffer=5, misdelivered=2)
    assert found == Attribution(misdelivered=2)


@given(st.integers(0, 100), st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_shares_are_whole_within_the_wants_and_proportional(total: int, wants: list[int]) -> None:
    found = shares(total, wants)
    assert sum(found) == min(total, sum(wants))
    for share, want in zip(found, wants, strict=True):
        assert 0 <= share <= want
        if sum(wants) > total:
            assert abs(share - total * want / sum(wants)) < 1


def fold_of(losses: dict[str, int]) -> Fold:
    """Return a fold with one stream of 100 packets for each receiver named (before a dot), so many of them lost."""
    fold = Fold()
    for number, (name, lost) in enumerate(losses.items()):
        fold.add_stream(
            StreamInfo(number=number, receiver=name.partition(".")[0], first_due_ns=T0, interval_ns=MS, sent=100)
        )
        rows = np.zeros(100 - lost, PACKET_DTYPE)
        rows["seq"] = np.arange(100 - lost)
        rows["tx_ns"] = T0 + rows["seq"] * MS
        rows["rx_ns"] = rows["tx_ns"] + 5
        rows["stream"] = number
        fold.update(rows)
    return fold


def test_the_drops_of_a_receiver_are_shared_by_its_streams_and_said() -> None:
    found = fold_of({"a.1": 30, "a.2": 10, "b": 7}).summaries(drops={"a": 20, "b": None})
    assert [(s.attribution.own_buffer, s.attribution.network, s.attribution.unknown) for s in found] == [
        (15, 15, 0),
        (5, 5, 0),
        (0, 0, 7),
    ]
    assert all(any("shared among 2 streams" in note for note in s.notes) for s in found[:2])


def test_more_drops_than_losses_leave_nothing_to_the_network() -> None:
    (found,) = fold_of({"a": 30}).summaries(drops={"a": 1000})
    assert (found.attribution.own_buffer, found.attribution.network) == (30, 0)


def test_drops_that_nobody_counted_leave_the_loss_unknown() -> None:
    (found,) = fold_of({"a": 30}).summaries()
    assert (found.attribution.unknown, found.attribution.network) == (30, 0)


def test_refused_packets_are_not_charged_to_the_network() -> None:
    rows = log_rows(100)
    rows["tx_ns"][80:90] = UNDEFINED_NS
    rows["errno"][80:90] = 113
    (found,) = fold_of({"a": 30}).summaries(drops={"a": 5}, sent={0: SentLog.from_rows(rows)})
    assert (found.attribution.not_sent, found.attribution.own_buffer, found.attribution.network) == (10, 5, 15)
    assert found.windows[0].kind == "stopped"


def test_the_live_view_tells_received_lost_and_the_newest_gap() -> None:
    fold = fold_of({"a": 30})
    more = np.zeros(2, PACKET_DTYPE)
    more["seq"], more["rx_ns"] = [80, 83], T0 + 10**9
    fold.update(more)
    assert fold.view() == [StreamView(0, 72, 12, (70, 79), T0 + 10**9)]


def log_rows(n: int) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    rows = np.zeros(n, SENT_DTYPE)
    rows["seq"] = np.arange(n)
    rows["due_ns"] = T0 + rows["seq"] * MS
    rows["tx_ns"] = rows["due_ns"] + 1000
    return rows


SENDER = SenderInfo(
    stream=0, stream_id=7, epoch=3, group="239.1.2.3:5000", schedule="", first_due_ns=T0, interval_ns=MS, size=64, ttl=1
)


def test_sender_as_fast_as_possible_is_never_late() -> None:
    info = msgspec.structs.replace(SENDER, interval_ns=0)
    rows = log_rows(100)
    rows["due_ns"] = T0
    assert summarise_sender(info, rows).lateness.n == 0
    parts = SenderFold(info)
    parts.update(rows)
    assert parts.merge(SenderFold(info)).summary().lateness.n == 0
    rows["due_ns"][50:] = T0 + 7
    assert summarise_sender(info, rows).lateness.n == 100


def test_a_sender_counts_sent_refused_and_never_sent() -> None:
    rows = log_rows(100)
    rows["tx_ns"][10:15] = UNDEFINED_NS
    rows["errno"][10:13] = 113
    rows["flags"][99] = PacketFlag.END
    found = summarise_sender(SENDER, rows)
    assert (found.scheduled, found.sent, found.refused, found.not_sent) == (99, 94, 3, 2)
    assert found.errnos == {"EHOSTUNREACH": 3}
    assert (found.lateness.n, found.lateness.minimum_ns, found.lateness.maximum_ns) == (94, 1000, 1000)
    parts = SenderFold(SENDER)
    parts.update(rows[:12])
    later = SenderFold(SENDER)
    later.update(rows[12:])
    assert parts.merge(later).summary() == found


def test_an_empty_log_has_no_lateness() -> None:
    found = summarise_sender(SENDER, log_rows(0))
    assert (found.scheduled, found.sent, found.lateness.n, found.lateness.mean_ns) == (0, 0, 0, None)


def test_a_log_takes_rows_in_any_order_and_a_second_try_counts() -> None:
    rows = np.concatenate((log_rows(5), log_rows(5)))[::-1].copy()
    rows["tx_ns"][7] = UNDEFINED_NS
    log = SentLog.from_rows(rows)
    assert log.seq.tolist() == [0, 1, 2, 3, 4]
    assert (log.scheduled, log.not_sent.tolist(), log.went_on(4), log.went_on(5)) == (5, [], True, False)
    assert SentLog.from_rows(log_rows(0)).scheduled == 0


def test_a_log_of_several_streams_is_refused() -> None:
    rows = log_rows(4)
    rows["stream"][2] = 1
    with pytest.raises(AnalysisError, match="several"):
        SentLog.from_rows(rows)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=60), st.lists(st.integers(1, 59), max_size=5))
def test_a_log_in_any_chunks_is_the_log_of_the_whole(entries: list[tuple[bool, int]], cuts: list[int]) -> None:
    rows = log_rows(len(entries))
    rows["seq"] = np.cumsum([step for _, step in entries], dtype=np.int64) if entries else []
    rows["tx_ns"][[not is_sent for is_sent, _ in entries]] = UNDEFINED_NS
    whole = SentLog.from_rows(rows)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for has_due in (True, False):
        fold = LogFold(has_due=has_due)
        for begin, end in pairwise(edges):
            fold.update(rows[begin:end])
        log = fold.log()
        assert (log.n, log.scheduled, log.last_sent) == (whole.n, whole.scheduled, whole.last_sent)
        assert log.not_sent.tolist() == [int(row["seq"]) for row in rows if row["tx_ns"] == UNDEFINED_NS]
        assert log.due_ns.tolist() == (rows["due_ns"].tolist() if has_due else [])


def test_a_number_sent_in_a_later_chunk_counts_as_sent() -> None:
    fold, rows = LogFold(has_due=False), log_rows(10)
    rows["tx_ns"][3:6] = UNDEFINED_NS
    fold.update(rows)
    fold.update(log_rows(5))
    assert (fold.log().not_sent.tolist(), fold.log().n) == ([5], 10)


def test_the_log_of_a_periodic_stream_keeps_no_due_times() -> None:
    fold = SenderFold(SENDER)
    fold.update(log_rows(1000))
    assert (fold.log().n, len(fold.log().due_ns)) == (1000, 0)
