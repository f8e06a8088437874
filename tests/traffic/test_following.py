"""Runs give the records that their datagrams give one by one, whichever way they are read."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.model import DATAGRAM_DTYPE, Datagrams, PacketFlag, Runs, expand_trains
from harness.traffic import Demultiplexer, StreamRegistry
from protocols.following import follow_probe
from protocols.probe import FLAG_END, FLAG_PATTERN, PROBE, fill_probes
from protocols.registry import get_protocol

START = 10**18


def probes(first: int, n: int, *, size: int = 64, stream_id: int = 1, flags: int = 0) -> NDArray[np.uint8]:
    rows = np.zeros((n, size), np.uint8)
    seq = np.arange(first, first + n)
    fill_probes(
        rows, stream_id=stream_id, epoch=5, seq=seq, tx_ns=START + seq // 3, schedule_start_ns=START, interval_ns=0,
        flags=flags, count=first if flags & FLAG_END else 0,
    )  # fmt: skip
    return rows


def runs(rows: NDArray[np.uint8], counts: list[int], *, port: int = 4000, flags: int = 0) -> Runs:
    heads = np.zeros(len(counts), DATAGRAM_DTYPE)
    heads["source_port"], heads["destination_port"], heads["ifindex"] = port, 5000, 2
    heads["rx_ns"], heads["ttl"], heads["flags"] = START + 1000 + np.arange(len(counts)), 4, flags
    heads["size"] = rows.shape[1]
    return Runs(rows, heads, np.array(counts), np.full(len(counts), rows.shape[1]))


def as_datagrams(batch: Runs) -> Datagrams:
    """Return the same with bytes of others behind each payload, as in a receiver's buffers."""
    data = np.full((len(batch), 256), 0xA5, np.uint8)
    data[:, : batch.data.shape[1]] = batch.data[:, :256]
    return Datagrams(data, batch.kept, batch.meta)


def both(*batches: Callable[[], Runs]) -> tuple[Demultiplexer, Demultiplexer]:
    """Hold that runs give what their datagrams give, batch by batch; return both demultiplexers."""
    plain, by_runs, by_trains, by_datagrams = (
        Demultiplexer(get_protocol("probe"), StreamRegistry(), "rx") for _ in range(4)
    )
    for make in batches:
        expected = plain._receive(as_datagrams(make()))
        np.testing.assert_array_equal(by_runs.receive(make()), expected)
        trains = by_trains.trains(make())
        np.testing.assert_array_equal(by_trains.receive(make()) if trains is None else expand_trains(trains), expected)
        np.testing.assert_array_equal(by_datagrams.receive(as_datagrams(make())), expected)
    news = plain.registry.take_fresh()
    for quick in (by_runs, by_trains, by_datagrams):
        assert (quick.rejected, quick.misdelivered) == (plain.rejected, plain.misdelivered)
        assert quick.registry.take_fresh() == news
    return by_runs, plain


def changed(row: int, column: int) -> Runs:
    rows = probes(64, 64)
    rows[row, column] ^= 0x41
    return runs(rows, [32, 32])


def with_foreign(row: int) -> Runs:
    rows = probes(64, 64)
    rows[row] = 0x5A
    return runs(rows, [64])


def with_short_tail(size: int) -> Runs:
    batch = runs(probes(64, 64), [40, 24])
    batch.tails[0] = size
    return batch


def of_two_flows() -> Runs:
    one, other = runs(probes(64, 8), [4, 4]), runs(probes(64, 8, stream_id=2), [8], port=4001)
    return Runs(
        np.concatenate([one.data[:4], other.data, one.data[4:]]),
        np.concatenate([one.heads[:1], other.heads, one.heads[1:]]),
        np.array([4, 8, 4]),
        np.full(3, 64),
    )


def cut_off(width: int) -> Runs:
    batch = runs(probes(64, 10, size=200), [10])
    return Runs(np.ascontiguousarray(batch.data[:, :width]), batch.heads, batch.counts, batch.tails)


SECOND: dict[str, Callable[[], Runs]] = {
    "the next numbers": lambda: runs(probes(64, 128), [64, 64]),
    "duplicates of the numbers before": lambda: runs(probes(0, 64), [64]),
    "numbers that fall": lambda: runs(probes(64, 64)[::-1].copy(), [64]),
    "a gap": lambda: runs(probes(1000, 64), [64]),
    "a number beyond 63 bits": lambda: runs(np.concatenate([probes(2**63 - 3, 2), probes(-(2**63), 1)]), [3]),
    "a damaged number": lambda: changed(20, 22),
    "a damaged check": lambda: changed(63, 63),
    "a damaged reserved word": lambda: changed(0, 57),
    "a damaged time": lambda: changed(31, 24),
    "another epoch in one packet": lambda: changed(5, 12),
    "a foreign packet inside a run": lambda: with_foreign(17),
    "a foreign packet at the front": lambda: with_foreign(0),
    "a tail too short for a probe": lambda: with_short_tail(10),
    "an empty tail": lambda: with_short_tail(0),
    "a run of another stream id": lambda: runs(np.concatenate([probes(64, 4), probes(0, 4, stream_id=2)]), [8]),
    "two flows": of_two_flows,
    "another port": lambda: runs(probes(64, 4), [4], port=4001),
    "misdelivered": lambda: runs(probes(64, 4), [4], flags=int(PacketFlag.MISDELIVERED)),
    "stamped by this program": lambda: runs(probes(64, 4), [4], flags=int(PacketFlag.USER_STAMP)),
    "the end of the stream": lambda: runs(np.concatenate([probes(64, 3), probes(67, 1, flags=FLAG_END)]), [3, 1]),
    "a larger size": lambda: runs(probes(64, 12, size=200), [12]),
    "cut off behind the header": lambda: cut_off(64),
    "cut off within the header": lambda: cut_off(40),
    "patterned": lambda: runs(probes(64, 12, size=100, flags=FLAG_PATTERN), [12]),
}


@pytest.mark.parametrize("second", SECOND)
def test_a_batch_after_a_plain_one_gives_the_same_records(second: str) -> None:
    both(lambda: runs(probes(0, 64), [64]), SECOND[second], lambda: runs(probes(500, 64), [60, 4]), SECOND[second])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(list(SECOND)), min_size=1, max_size=6))
def test_batches_of_every_kind_in_any_order(kinds: list[str]) -> None:
    both(*(SECOND[kind] for kind in kinds))


@pytest.mark.parametrize("size", [64, 65, 100, 1400])
def test_the_usual_batch_is_not_decoded_packet_by_packet(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    demultiplexer = Demultiplexer(get_protocol("probe"), StreamRegistry())
    demultiplexer.receive(runs(probes(0, 64, size=size), [64]))

    def refuse(*_: object) -> None:
        raise AssertionError("the long way")

    monkeypatch.setattr(demultiplexer, "_receive", refuse)
    batch = runs(probes(64, 100, size=size), [64, 36])
    assert len(demultiplexer.receive(Datagrams(batch.data, batch.kept, batch.meta))) == 100
    records = demultiplexer.receive(batch)
    assert records["seq"].tolist() == list(range(64, 164))
    assert records["size"].tolist() == [size] * 100
    assert records["rx_ns"].tolist() == [START + 1000] * 64 + [START + 1001] * 36


@pytest.mark.parametrize(("says_what_it_looks_at", "is_told"), [(True, True), (False, False)])
def test_fronts_will_do_where_a_protocol_says_what_it_looks_at_behind_them(
    says_what_it_looks_at: bool, is_told: bool
) -> None:
    protocol = PROBE if says_what_it_looks_at else dataclasses.replace(PROBE, looks_behind=None)
    demultiplexer = Demultiplexer(protocol, StreamRegistry())
    found = []
    for batch in (runs(probes(0, 9), [9]), runs(probes(9, 9), [9]), runs(probes(18, 9, flags=FLAG_PATTERN), [9])):
        demultiplexer.receive(as_datagrams(batch))
        found.append(demultiplexer.is_following)
    assert found == [False, is_told, False]


def test_a_damaged_packet_goes_to_the_stream_that_was_heard_last_on_its_flow() -> None:
    """The quick way has to remember who that was, as the long way does."""
    quick, _ = both(
        lambda: runs(probes(0, 4), [4]),
        lambda: runs(probes(0, 4, stream_id=2), [4]),
        lambda: runs(probes(4, 4, stream_id=2), [4]),
        lambda: changed(0, 12),
    )
    assert len(quick.registry.streams) == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_follower_finds_what_decode_finds_or_nothing(data: st.DataObject) -> None:
    number = st.one_of(st.integers(0, 2**63 - 1), st.integers(2**32 - 3, 2**32 + 3))
    pairs = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=6))
    rows = np.zeros((len(pairs), 64), np.uint8)
    seq, tx_ns = np.array(pairs, np.int64).T
    fill_probes(rows, stream_id=3, epoch=4, seq=seq, tx_ns=tx_ns, schedule_start_ns=5, interval_ns=6)
    follow = follow_probe(rows[0].copy())
    assert follow is not None
    if data.draw(st.booleans()):
        rows[data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 63))] ^= data.draw(st.integers(1, 255))
    found = follow(rows)
    size = np.full(len(rows), 64)
    decoded = PROBE.decode(rows, size, size)
    is_plain = len(decoded) == len(rows) and not decoded.flags.any() and (decoded.key == decoded.key[0]).all()
    if found is not None:
        assert is_plain
        np.testing.assert_array_equal(found[0], decoded.seq)
        np.testing.assert_array_equal(found[1], decoded.tx)
