"""A stream at full rate is logged probe by probe as it was sent, whatever the kernel answers."""

import errno

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.model import PacketArray, parse_endpoint
from harness.net.ready import PlainRows
from harness.run.flat_out import FlatOutStream
from harness.run.sending import ALONE_CAPACITY, BATCH_BYTES, LEAST_CAPACITY, batch_capacity
from harness.traffic.schedules import Constant
from harness.traffic.sender import StreamSender
from protocols.probe import SCHEMA

START = 10**18
CAPACITY = 16


class Simulated:
    """A clock that goes on by 1 us at each look, and a socket that takes all but the calls it is told to refuse."""

    def __init__(self, count: int, refused: dict[int, int] | None = None) -> None:
        self.clock_ns = START
        self.refused = refused or {}
        self.n_calls = 0
        self.wire: list[tuple[int, int]] = []
        self.sender = StreamSender(
            number=3,
            stream_id=7,
            epoch=99,
            group=parse_endpoint("239.1.2.3:5000"),
            schedule=Constant(0),
            size=100,
            start_ns=START,
            count=count,
            capacity=CAPACITY,
        )
        self.stream = FlatOutStream(self.sender, PlainRows(self.sender.rows, self.send), self.now_ns)

    def now_ns(self) -> int:
        self.clock_ns += 1_000
        return self.clock_ns

    def send(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        number = self.refused.get(self.n_calls, 0)
        self.n_calls += 1
        if not number:
            probes = [SCHEMA.parse(row.tobytes()) for row in data]
            self.wire += [(probe.sequence, probe.sent_ns) for probe in probes]
        return np.full(len(data), number, np.uint16)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 300),
    turn_us=st.integers(2, 12),
    refused=st.dictionaries(st.integers(0, 20), st.sampled_from([errno.EAGAIN, errno.ENOBUFS]), max_size=4),
    is_logged=st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_log_is_what_went_out(count: int, turn_us: int, refused: dict[int, int], is_logged: list[bool]) -> None:
    simulated = Simulated(count, refused)
    rows: list[PacketArray] = []
    settled: list[int] = []
    skipped: list[int] = []
    turn = 0
    while simulated.sender.next_due_ns is not None:
        first = simulated.sender.n_taken
        unsettled = simulated.stream.send_until(simulated.clock_ns + turn_us * 1_000)
        n = simulated.stream.n_unlogged
        if is_logged[turn % len(is_logged)]:
            rows.append(simulated.stream.take_log().copy())
            assert len(rows[-1]) == n
        else:
            simulated.stream.skip_log()
            skipped += range(first, first + n)
        assert simulated.stream.n_unlogged == 0
        if unsettled is not None:
            assert unsettled.errnos.all()
            settled += unsettled.probes.seq.tolist()
            assert unsettled.tx_ns <= simulated.clock_ns
        turn += 1
    log = np.concatenate(rows) if rows else simulated.stream.take_log()
    assert sorted([*log["seq"].tolist(), *settled, *skipped]) == list(range(count))
    assert [(seq, tx_ns) for seq, tx_ns in simulated.wire if seq not in set(skipped)] == list(
        zip(log["seq"].tolist(), log["tx_ns"].tolist(), strict=True)
    )
    assert (log["due_ns"] == START).all()
    assert not log["errno"].any()
    assert set(log["stream"]) <= {3}
    assert set(log["size"]) <= {100}


def test_turn_ends_when_its_time_is_over() -> None:
    simulated = Simulated(10_000)
    assert simulated.stream.send_until(START + 5_500) is None
    assert simulated.stream.n_unlogged == 5 * CAPACITY
    assert simulated.sender.next_due_ns == START
    assert simulated.stream.send_until(START) is None
    assert simulated.stream.n_unlogged == 5 * CAPACITY


@pytest.mark.parametrize("duration_us", [3, 40])
def test_stream_ends_when_its_duration_is_over(duration_us: int) -> None:
    simulated = Simulated(10_000)
    simulated.sender.duration_ns = duration_us * 1_000
    simulated.stream.send_until(START + 10**9)
    assert simulated.sender.next_due_ns is None
    assert simulated.stream.n_unlogged == simulated.sender.n_taken == (duration_us - 1) * CAPACITY


@pytest.mark.parametrize(("size", "n"), [(64, ALONE_CAPACITY), (1_400, 748), (65_507, LEAST_CAPACITY)])
def test_batch_of_large_probes_is_smaller(size: int, n: int) -> None:
    assert batch_capacity(size) == n
    assert batch_capacity(size) * size <= max(BATCH_BYTES, LEAST_CAPACITY * size)
