"""A sender that was started again had ended before: the old epoch loses nothing after that."""

import msgspec
import numpy as np

from harness.analyzer import Fold
from harness.model import PACKET_DTYPE, PacketArray, Parameters, StreamInfo, StreamSummary

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
OLD = StreamInfo(
    number=0, source="10.0.0.1:4000", group="239.1.2.3:5000", stream_id=1, epoch=1, first_due_ns=T0, interval_ns=MS
)
NEW = msgspec.structs.replace(OLD, number=1, source="10.0.0.1:4001", epoch=2, first_due_ns=T0 + 3_000 * MS)


def packets(info: StreamInfo, n: int) -> PacketArray:
    rows = np.zeros(n, PACKET_DTYPE)
    rows["stream"], rows["seq"] = info.number, np.arange(n)
    assert info.first_due_ns is not None
    rows["tx_ns"] = info.first_due_ns + np.arange(n) * MS
    rows["rx_ns"] = rows["tx_ns"] + 1_000
    return rows


def analyze(*streams: tuple[StreamInfo, int], until_ms: int = 9_000) -> list[StreamSummary]:
    fold = Fold(Parameters(), is_first=True)
    for info, _ in streams:
        fold.add_stream(info)
    for info, n in streams:
        fold.update(packets(info, n))
    return fold.summaries(observed=(T0, T0 + until_ms * MS), joined_ns={"": T0}, drops={"": 0})


def test_old_epoch_is_over_when_the_new_one_begins() -> None:
    old, new = analyze((OLD, 1_000), (NEW, 6_000))
    assert (old.received, old.expected, new.lost) == (1_000, 3_000, 0)


def test_tail_that_nobody_may_have_sent_is_on_nobodys_account() -> None:
    (alone,) = analyze((OLD, 1_000))
    assert alone.windows[-1].kind == "stopped_or_ended"
    assert alone.lost == 8_000
    assert (alone.attribution.network, alone.attribution.unknown) == (0, 8_000)


def test_two_senders_side_by_side_are_not_one_restarted() -> None:
    old, _ = analyze((OLD, 4_000), (NEW, 6_000))
    assert old.expected == 9_000


def test_another_host_ends_nothing() -> None:
    other = msgspec.structs.replace(NEW, source="10.0.0.2:4001")
    old, _ = analyze((OLD, 1_000), (other, 6_000))
    assert old.expected == 9_000
