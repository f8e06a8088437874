import ipaddress
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import DATAGRAM_DTYPE, Datagrams, PacketFlag, address_bytes, parse_endpoint
from harness.traffic import Demultiplexer, Impairment, ImpairmentSpec, StreamRegistry, StreamSender
from harness.traffic.receiver import CORRUPT_UNKNOWN, TOO_MANY
from harness.traffic.schedules import Constant
from protocols.registry import get_protocol

MS = 1_000_000
START = 10**18
GROUP = parse_endpoint("239.1.2.3:5000")


def make_sender(stream_id: int = 1, epoch: int = 5, count: int = 50) -> StreamSender:
    return StreamSender(
        number=0, stream_id=stream_id, epoch=epoch, group=GROUP, schedule=Constant(MS), size=100, start_ns=START,
        count=count, has_pattern=True,
    )  # fmt: skip


def all_probes(sender: StreamSender) -> np.ndarray:
    return np.concatenate([sender.take(START + k * MS).data.copy() for k in range(200)])


def datagrams(
    rows: np.ndarray, source: str = "10.0.0.1", port: int = 4000, group: str = "239.1.2.3", flags: int = 0
) -> Datagrams:
    meta = np.zeros(len(rows), dtype=DATAGRAM_DTYPE)
    meta["source"] = np.frombuffer(address_bytes(ipaddress.ip_address(source)), np.uint8)
    meta["destination"] = np.frombuffer(address_bytes(ipaddress.ip_address(group)), np.uint8)
    meta["source_port"], meta["destination_port"], meta["ifindex"] = port, 5000, 2
    meta["rx_ns"] = START + np.arange(len(rows)) * MS
    meta["size"], meta["ttl"], meta["flags"] = rows.shape[1], 1, flags
    return Datagrams(rows, np.full(len(rows), rows.shape[1], dtype=np.int64), meta)


def joined(*batches: Datagrams) -> Datagrams:
    return Datagrams(
        np.concatenate([batch.data for batch in batches]),
        np.concatenate([batch.kept for batch in batches]),
        np.concatenate([batch.meta for batch in batches]),
    )


def make_demultiplexer(limit: int = 65_536) -> Demultiplexer:
    return Demultiplexer(get_protocol("probe"), StreamRegistry(limit), "rx", {2: "eth0"})


def test_stream_is_described_by_its_first_probe() -> None:
    demultiplexer = make_demultiplexer()
    records = demultiplexer.receive(datagrams(all_probes(make_sender(7, 99))))
    assert records["seq"].tolist() == list(range(50))
    assert records["tx_ns"].tolist() == [START + k * MS for k in range(50)]
    (info,) = demultiplexer.registry.take_fresh()
    assert (info.source, info.group, info.interface, info.receiver) == ("10.0.0.1:4000", str(GROUP), "eth0", "rx")
    assert (info.stream_id, info.epoch, info.first_due_ns, info.interval_ns) == (7, 99, START, MS)
    assert demultiplexer.registry.take_fresh() == []


def test_restarted_sender_is_a_new_stream() -> None:
    demultiplexer = make_demultiplexer()
    batch = joined(
        datagrams(all_probes(make_sender(epoch=1, count=3))), datagrams(all_probes(make_sender(epoch=2, count=3)))
    )
    assert demultiplexer.receive(batch)["stream"].tolist() == [0, 0, 0, 1, 1, 1]


def test_interface_made_again_under_its_name_continues_its_streams() -> None:
    demultiplexer = make_demultiplexer()
    demultiplexer.refresh_interfaces({1: "lo", 2: "eth0"})
    batch = datagrams(all_probes(make_sender()))
    assert set(demultiplexer.receive(batch)["stream"].tolist()) == {0}
    for index in (7, 9):  # twice
        demultiplexer.refresh_interfaces({1: "lo", index: "eth0"})
        batch.meta["ifindex"] = index
        assert set(demultiplexer.receive(batch)["stream"].tolist()) == {0}
    # renamed, or another interface beside it: not the same
    demultiplexer.refresh_interfaces({1: "lo", 9: "eth1", 10: "eth0", 11: "eth2"})
    for index, stream, name in ((10, 1, "eth0"), (11, 2, "eth2")):
        batch.meta["ifindex"] = index
        assert set(demultiplexer.receive(batch)["stream"].tolist()) == {stream}
        assert demultiplexer.registry.streams[stream].interface == name


def test_interleaved_streams_keep_their_numbers_in_order_of_arrival() -> None:
    demultiplexer = make_demultiplexer()
    a, b, c = (datagrams(all_probes(make_sender(k, count=4)), port=9000 - k) for k in (1, 2, 3))
    mixed = joined(a, b, c)
    order = np.arange(12).reshape(3, 4).T.ravel()
    records = demultiplexer.receive(Datagrams(mixed.data[order], mixed.kept[order], mixed.meta[order]))
    assert records["stream"].tolist() == [0, 1, 2] * 4
    assert [info.stream_id for info in demultiplexer.registry.streams.values()] == [1, 2, 3]


def test_end_probe_tells_the_count_and_is_flagged() -> None:
    demultiplexer, sender = make_demultiplexer(), make_sender(count=3)
    demultiplexer.receive(datagrams(all_probes(sender)))
    records = demultiplexer.receive(datagrams(sender.end_probe(START + 10 * MS)))
    assert records["flags"].tolist() == [PacketFlag.END]
    assert demultiplexer.registry.streams[0].sent == 3
    assert demultiplexer.registry.ended == {0}


def test_damaged_header_counts_for_the_flow_and_creates_no_stream() -> None:
    demultiplexer = make_demultiplexer()
    rows = all_probes(make_sender())
    rows[10, 20] ^= 0xFF  # inside the sequence number
    records = demultiplexer.receive(datagrams(rows))
    assert len(records) == 50
    assert records["flags"][10] == PacketFlag.CORRUPT
    assert set(records["stream"].tolist()) == {0}
    stray = make_demultiplexer()
    assert len(stray.receive(datagrams(rows[10:11]))) == 0
    assert stray.rejected == {CORRUPT_UNKNOWN: 1}


def test_misdelivered_is_counted_and_not_recorded() -> None:
    demultiplexer = make_demultiplexer()
    rows = all_probes(make_sender())
    batch = joined(datagrams(rows[:20]), datagrams(rows[20:30], group="239.9.9.9", flags=PacketFlag.MISDELIVERED))
    assert len(demultiplexer.receive(batch)) == 20
    assert demultiplexer.misdelivered == 10
    assert dict(demultiplexer.misdelivered_flows) == {"10.0.0.1 > 239.9.9.9:5000": 10}


def test_streams_beyond_the_limit_are_rejected_and_counted() -> None:
    demultiplexer = make_demultiplexer(limit=2)
    for stream_id in (1, 2, 3):
        demultiplexer.receive(datagrams(all_probes(make_sender(stream_id, count=5))))
    assert len(demultiplexer.registry.streams) == 2
    assert demultiplexer.rejected == {TOO_MANY: 5}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 3))
def test_hostile_bytes_never_raise_and_are_never_a_stream(payload: bytes, kind: int) -> None:
    demultiplexer = make_demultiplexer()
    head = (b"", b"MCpr", b"MCpr\x01\x40", b"MCpr\x02\x40")[kind]
    data = head + payload
    row = np.zeros((1, 400), dtype=np.uint8)
    row[0, : len(data)] = np.frombuffer(data, np.uint8)
    batch = datagrams(row)
    batch.kept[:], batch.meta["size"] = len(data), len(data)
    assert len(demultiplexer.receive(batch)) == 0
    assert sum(demultiplexer.rejected.values()) == 1
    assert demultiplexer.registry.streams == {}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 59), max_size=6))
def test_any_batching_gives_the_same_records(seed: int, cuts: list[int]) -> None:
    rows = Impairment(ImpairmentSpec(loss=0.1, duplicate=0.1, reorder=0.2, seed=seed)).apply(
        np.arange(50), np.arange(50) * MS, all_probes(make_sender())
    )
    whole = make_demultiplexer().receive(datagrams(rows))
    in_parts = make_demultiplexer()
    batch = datagrams(rows)
    edges = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    parts = [in_parts.receive(Datagrams(batch.data[a:b], batch.kept[a:b], batch.meta[a:b])) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate([whole[:0], *parts]), whole)
