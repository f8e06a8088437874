"""The batch path and the portable path give the same records; so do runs of segments and single datagrams."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from net_helpers import kernel_stamps, next_port, payloads, read_all
from netns import Namespace
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.model import Endpoint, Membership, PacketFlag
from harness.net import _libc, batch
from harness.net.opening import open_receiver
from harness.net.platform import PLATFORM
from harness.net.sender import open_sender
from harness.traffic import Demultiplexer, StreamRegistry, StreamSender
from harness.traffic.schedules import Constant
from protocols.registry import get_protocol


def group(text: str = "239.77.3.1") -> Endpoint:
    return Endpoint(ipaddress.ip_address(text), next_port())


@pytest.fixture(scope="module", autouse=True)
def kernel_stamps_are_on() -> Iterator[None]:
    with kernel_stamps():
        yield


def assert_same_records(endpoint: Endpoint, sizes: list[int], width: int, capacity: int) -> None:
    wanted = [Membership(endpoint, "lo")]
    (one,) = open_receiver(wanted, path="batch", width=width, capacity=capacity)
    (other,) = open_receiver(wanted, path="portable", width=width, capacity=capacity)
    with one, other:
        for number, size in enumerate(sizes):
            path = ("batch", "portable")[number % 2]
            with open_sender(endpoint, interface="lo", ttl=1 + number % 255, path=path) as sender:  # type: ignore[arg-type] # mypy loses the literal
                assert sender.send_nowait(payloads(1, size)).tolist() == [0]
        rows, kept, meta = read_all(one, len(sizes))
        other_rows, other_kept, other_meta = read_all(other, len(sizes))
        assert len(rows) == len(sizes)
        assert rows == other_rows
        assert kept.tolist() == other_kept.tolist()
        assert meta.tobytes() == other_meta.tobytes()
        assert meta["size"].tolist() == sizes


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    width=st.integers(1, 2100),
    capacity=st.integers(1, 14),
)
def test_both_paths_give_identical_records(sizes: list[int], width: int, capacity: int) -> None:
    assert_same_records(group(), sizes, width, capacity)


@pytest.mark.lab
@pytest.mark.parametrize("address", ["ff01::77", "ff02::77", "ff15::77"])
def test_both_paths_give_identical_records_for_ipv6(namespace: Namespace, address: str) -> None:
    with namespace.inside():
        assert_same_records(group(address), [0, 1, 63, 64, 65, 1400, 9000], 64, 3)


def test_identical_after_own_drops() -> None:
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    (one,) = open_receiver(wanted, path="batch", buffer_bytes=8192)
    (other,) = open_receiver(wanted, path="portable", buffer_bytes=8192)
    with one, other, open_sender(endpoint, interface="lo") as sender:
        for _ in range(3):
            sender.send_nowait(payloads(100, 64))
            rows, _, meta = read_all(one, 101, timeout_s=0.02)
            other_rows, _, other_meta = read_all(other, 101, timeout_s=0.02)
            assert 0 < len(rows) < 100
            assert rows == other_rows
            assert meta.tobytes() == other_meta.tobytes()
        assert one.drops() == other.drops()
        assert one._reader.last_drops == other._reader.last_drops


@pytest.mark.parametrize("n_sent", [1, 2, 63, 64, 65, 200])
@pytest.mark.parametrize("size", [1, 64, 1400])
def test_offload_moves_the_same_datagrams(n_sent: int, size: int) -> None:
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    (whole,) = open_receiver(wanted, offload=True, buffer_bytes=8_000_000)
    (plain,) = open_receiver(wanted, buffer_bytes=8_000_000)
    (cut,) = open_receiver(wanted, offload=True, width=16, buffer_bytes=8_000_000)
    sent = payloads(n_sent, size)
    with whole, plain, cut, open_sender(endpoint, interface="lo", offload=True, ttl=9) as sender:
        assert sender.send_nowait(sent).tolist() == [0] * n_sent
        assert (sender.offload, whole.offload, plain.offload) == (True, True, False)
        batches = whole.receive_nowait()
        assert batches is not None
        assert len(batches) == n_sent  # the runs came as a few buffers: one read holds more than its 64 buffers could
        rows = [bytes(row[:size]) for row in batches.data]
        assert rows == [row.tobytes() for row in sent] == read_all(plain, n_sent)[0]
        assert set(batches.meta["size"]) == {size}
        assert set(batches.meta["ttl"]) == {9}
        assert set(batches.kept) == {size}
        cut_rows, kept, meta = read_all(cut, n_sent)
        assert cut_rows == [row.tobytes()[:16] for row in sent]
        assert set(kept) == {min(size, 16)}
        assert set(meta["size"]) == {size}
        assert set(meta["flags"]) == ({PacketFlag.TRUNCATED} if size > 16 else {0})


def test_a_run_with_a_shorter_tail_is_split_there() -> None:
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    (receiver,) = open_receiver(wanted, offload=True)
    with receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, 32, bytes(8) + receiver_index())
        sender.setsockopt(17, 103, 100)
        for length in (1000, 1001, 1099, 99, 100, 101, 250):
            data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
            sender.sendto(data, (str(endpoint.address), endpoint.port))
            found = receiver.receive_nowait()
            assert found is not None
            expected = [data[n : n + 100] for n in range(0, length, 100)]
            assert found.meta["size"].tolist() == [len(part) for part in expected]
            assert [bytes(row[:kept]) for row, kept in zip(found.data, found.kept, strict=True)] == expected


def receiver_index() -> bytes:
    return socket.if_nametoindex("lo").to_bytes(4, "little")


def test_runs_of_several_sizes_and_single_datagrams_mix_in_one_read() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], offload=True)
    parts = [payloads(5, 100), payloads(1, 33), payloads(70, 20), payloads(1, 0), payloads(2, 1000)]
    with receiver, open_sender(endpoint, interface="lo", offload=True) as sender:
        for part in parts:
            sender.send_nowait(part)
        found = receiver.receive_nowait()
        assert found is not None
        assert [bytes(row[:kept]) for row, kept in zip(found.data, found.kept, strict=True)] == [
            row.tobytes() for part in parts for row in part
        ]


def test_offload_falls_back_where_the_kernel_refuses_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    real = _libc.sendmmsg
    refusals = [errno.EIO] * 2

    def refuse_runs(fd: int, headers: int, n_headers: int, flags: int) -> tuple[int, int]:
        return (-1, refusals.pop()) if refusals else real(fd, headers, n_headers, flags)

    monkeypatch.setattr(_libc, "sendmmsg", refuse_runs)
    sent = payloads(100, 64)
    with receiver, open_sender(endpoint, interface="lo", offload=True) as sender:
        assert sender.send_nowait(sent).tolist() == [0] * 100
        assert not sender.offload
        assert read_all(receiver, 100)[0] == [row.tobytes() for row in sent]


def test_a_refused_run_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _libc.sendmmsg
    answers = [None, (-1, errno.EPERM), (-1, errno.EAGAIN)]

    def answer(fd: int, headers: int, _n_headers: int, flags: int) -> tuple[int, int]:
        return answers.pop(0) or real(fd, headers, 1, flags)

    monkeypatch.setattr(_libc, "sendmmsg", answer)
    with open_sender(group(), interface="lo", offload=True) as sender:
        results = sender.send_nowait(payloads(64 * 3 + 5, 64)).tolist()
    assert results == [0] * 64 + [errno.EPERM] * 64 + [errno.EAGAIN] * 69


def test_a_system_without_batches_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(PLATFORM), "has_batch", False)
    monkeypatch.setattr(type(PLATFORM), "name", "darwin")
    assert batch.choose_path("auto", offload=False) == "portable"
    with pytest.raises(UsageError, match="the batch path needs recvmmsg, which darwin does not have"):
        batch.choose_path("batch", offload=False)
    with pytest.raises(UsageError, match="--offload needs the batch path, which is Linux's; this is darwin, path auto"):
        batch.choose_path("auto", offload=True)


@pytest.mark.parametrize("size", [64, 65, 1400])
def test_runs_single_datagrams_and_the_portable_path_make_the_same_records(size: int) -> None:
    """Two flows take turns, a run is cut short, one packet is damaged, one foreign, some come twice."""
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    ways = [
        open_receiver(wanted, path="batch", offload=True, buffer_bytes=8_000_000)[0],
        open_receiver(wanted, path="batch", buffer_bytes=8_000_000)[0],
        open_receiver(wanted, path="portable", buffer_bytes=8_000_000)[0],
    ]
    flows = [probe_stream(stream_id, endpoint, size) for stream_id in (1, 2)]
    with contextlib.ExitStack() as opened:
        for way in ways:
            opened.enter_context(way)
        senders = [opened.enter_context(open_sender(endpoint, interface="lo", offload=True)) for _ in flows]
        found: list[list[NDArray[Any]]] = [[] for _ in ways]
        demultiplexers = [Demultiplexer(get_protocol("probe"), StreamRegistry()) for _ in ways]
        for turn in range(6):
            data = flows[turn % 2].take(2**62).data.copy()[: 200 - turn * 23]
            if turn == 3:
                data[70, 21] ^= 1
                data[130] = 0x5A
                data[20:30] = data[10:20]
            assert senders[turn % 2].send_nowait(data).tolist() == [0] * len(data)
            for way, demultiplexer, records in zip(ways, demultiplexers, found, strict=True):
                while (batch := way.receive_nowait()) is not None:
                    records.append(demultiplexer.receive(batch))
    offloaded, plain, portable = (np.concatenate(records) for records in found)
    assert len(plain) == 6 * 200 - 15 * 23 - 1  # the foreign one
    for other in (offloaded, portable):
        np.testing.assert_array_equal(other[DECODED], plain[DECODED])
    assert demultiplexers[0].rejected == demultiplexers[1].rejected == demultiplexers[2].rejected
    assert (np.diff(offloaded["rx_ns"]) >= 0).all()


DECODED = ["seq", "tx_ns", "stream", "size", "ttl", "flags"]
"""All but the time: that of a run is one for all of it."""


def probe_stream(stream_id: int, endpoint: Endpoint, size: int) -> StreamSender:
    return StreamSender(
        number=0, stream_id=stream_id, epoch=9, group=endpoint, schedule=Constant(0), size=size, start_ns=0,
        capacity=200,
    )  # fmt: skip
