"""Reads of datagrams that differ in payload and time alone are told by one comparison, and are the same for it."""

import ipaddress
import sys
from collections.abc import Iterator

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from net_helpers import kernel_stamps, next_port, payloads, read_all

from harness.model import Alike, Datagrams, Endpoint, Membership, PacketFlag
from harness.model.datagrams import FRONT_BYTES
from harness.net.batch_reader import AT_ONCE, GATHERED_BYTES
from harness.net.opening import open_receiver
from harness.net.receiver import ReceiverSocket
from harness.net.sender import SenderSocket, open_sender

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")


@pytest.fixture(scope="module", autouse=True)
def kernel_stamps_are_on() -> Iterator[None]:
    with kernel_stamps():
        yield


def group() -> Endpoint:
    return Endpoint(ipaddress.ip_address("239.77.4.1"), next_port())


def read_burst(receiver: ReceiverSocket, sender: SenderSocket, n: int, size: int = 80) -> Alike | Datagrams:
    """Send a burst, and return it as it is read at once."""
    sent = payloads(n, size)
    assert not sender.send_nowait(sent).any()
    batch = receiver.receive_nowait()
    assert isinstance(batch, Alike | Datagrams)
    assert [bytes(row[:kept]) for row, kept in zip(batch.data, batch.kept, strict=True)] == [
        row.tobytes() for row in sent
    ]
    return batch


N_OF_BURST = st.one_of(st.integers(1, 3), st.integers(1, 60))
BURST = st.tuples(st.integers(0, 1), N_OF_BURST, st.sampled_from([0, 63, 64, 65, 200]))


@settings(max_examples=40, deadline=None)
@given(bursts=st.lists(st.lists(BURST, min_size=1, max_size=3), min_size=2, max_size=12))
def test_any_bursts_of_two_senders_are_read_as_one_by_one(bursts: list[list[tuple[int, int, int]]]) -> None:
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    (one,) = open_receiver(wanted, width=64, capacity=100, buffer_bytes=1_000_000)
    (other,) = open_receiver(wanted, path="portable", width=64, capacity=100, buffer_bytes=1_000_000)
    first, second = (open_sender(endpoint, interface="lo", ttl=ttl) for ttl in (3, 4))
    with one, other, first, second:
        for parts in bursts:
            for sender, n, size in parts:
                assert not (first, second)[sender].send_nowait(payloads(n, size)).any()
            n_sent = sum(n for _, n, _ in parts)
            rows, kept, meta = read_all(one, n_sent)
            other_rows, other_kept, other_meta = read_all(other, n_sent)
            assert rows == other_rows
            assert kept.tolist() == other_kept.tolist()
            assert meta.tobytes() == other_meta.tobytes()
            assert len(rows) == n_sent


def test_a_known_stream_is_compared_and_what_differs_is_looked_at() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], buffer_bytes=1_000_000)
    first, second = (open_sender(endpoint, interface="lo", ttl=ttl) for ttl in (3, 4))
    with receiver, first, second:
        read_burst(receiver, first, 40)  # the layout of the control messages is learned
        assert isinstance(read_burst(receiver, first, 40), Datagrams)  # and now the row
        assert isinstance(read_burst(receiver, first, 10), Alike)
        found = read_burst(receiver, first, 300)  # more than were ever compared
        assert isinstance(found, Alike)
        assert set(found.meta["ttl"]) == {3}
        assert (found.meta["rx_ns"][1:] >= found.meta["rx_ns"][:-1]).all()
        assert isinstance(read_burst(receiver, first, 40, size=81), Datagrams)
        assert isinstance(read_burst(receiver, first, 40, size=81), Alike)
        found = read_burst(receiver, second, 10)
        assert isinstance(found, Datagrams)
        assert set(found.meta["ttl"]) == {4}
        assert isinstance(read_burst(receiver, first, 40, size=81), Alike)  # ten rows of another teach nothing


def test_of_a_slow_stream_the_second_of_two_that_say_the_same_is_learned() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    first, second = (open_sender(endpoint, interface="lo", ttl=ttl) for ttl in (3, 4))
    with receiver, first, second:
        for _ in range(3):  # the first has the layout of the control messages learned
            assert isinstance(read_burst(receiver, first, 1), Datagrams)
        for _ in range(5):
            found = read_burst(receiver, first, 1)
            assert isinstance(found, Alike)
            assert (int(found.meta["ttl"][0]), int(found.meta["size"][0])) == (3, 80)
        for _ in range(5):  # by turns, nothing new is learned, and what was is still known
            assert isinstance(read_burst(receiver, second, 1), Datagrams)
            assert isinstance(read_burst(receiver, first, 1), Alike)


def test_the_first_drop_is_heard_of_and_further_reads_are_compared_again() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], buffer_bytes=100_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        for _ in range(3):
            read_burst(receiver, sender, 40)
        sender.send_nowait(payloads(2_000, 80))
        n_read = len(read_all(receiver, 2_000, timeout_s=0.05)[0])
        assert 0 < n_read < 2_000
        for _ in range(3):
            found = read_burst(receiver, sender, 40)
        assert isinstance(found, Alike)
        assert receiver._reader.last_drops == 2_000 - n_read == receiver.drops()


def test_reads_in_which_the_drop_counter_rises_are_compared_and_tell_its_last_value() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], buffer_bytes=100_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        is_alike: list[bool] = []
        counted: list[tuple[int, int]] = []
        for _ in range(8):
            sender.send_nowait(payloads(2_000, 80))
            while (batch := receiver.receive_nowait()) is not None:
                is_alike.append(isinstance(batch, Alike))
                if len(batch) == 1:
                    continue
                sender.send_nowait(payloads(1, 80))  # the first after drops, which carries how many there were
                last = receiver.receive_nowait()
                is_alike.append(isinstance(last, Alike))
                counted.append((receiver._reader.last_drops or 0, receiver.drops() or 0))
        assert all(is_alike[-8:])
        assert counted == sorted(counted)
        assert all(0 < last == drops for last, drops in counted)
        assert counted[-1][0] > counted[2][0] > 0


@pytest.mark.parametrize(("size", "can_gather"), [(64, True), (1_400, False)])
def test_of_large_datagrams_fewer_are_gathered(size: int, can_gather: bool) -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], capacity=4 * AT_ONCE, buffer_bytes=4_000_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        for _ in range(3):
            read_burst(receiver, sender, 40, size)
        n_gathered = 0
        while receiver.can_gather and n_gathered < AT_ONCE:
            sender.send_nowait(payloads(100, size))
            n_gathered += receiver.gather_nowait()
        assert receiver.can_gather == can_gather
        assert can_gather or GATHERED_BYTES <= n_gathered * (size - FRONT_BYTES) < 1.5 * GATHERED_BYTES
        found = receiver.receive_nowait()
        assert isinstance(found, Alike)
        assert len(found) == n_gathered


def test_a_socket_that_is_no_longer_watched_is_watched_again_when_it_is_waited_for() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])

    async def main() -> list[bytes]:
        found = []
        with open_sender(endpoint, interface="lo") as sender, trio.fail_after(5):
            for number in range(3):
                async with trio.open_nursery() as nursery:

                    @nursery.start_soon
                    async def receive() -> None:
                        batch = await receiver.receive()
                        found.append(bytes(batch.data[0, : batch.kept[0]]))

                    await trio.testing.wait_all_tasks_blocked()
                    sender.send_nowait(payloads(number + 1, 8)[number:])
                receiver.unwatch()
                receiver.unwatch()
        receiver.close()
        receiver.unwatch()
        return found

    assert trio.run(main) == [row.tobytes() for row in payloads(3, 8)]


def test_what_came_before_a_group_was_left_was_asked_for() -> None:
    endpoint = group()
    wanted = Membership(endpoint, "lo")
    (receiver,) = open_receiver([wanted], buffer_bytes=1_000_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        for _ in range(3):
            read_burst(receiver, sender, 40)
        sender.send_nowait(payloads(40, 80))
        receiver.leave(wanted)
        found = receiver.receive_nowait()
        assert isinstance(found, Datagrams)
        assert len(found) == 40
        assert not (found.meta["flags"] & PacketFlag.MISDELIVERED).any()


@settings(max_examples=40, deadline=None)
@given(bursts=st.lists(st.tuples(BURST, st.booleans()), min_size=2, max_size=12))
def test_what_is_gathered_over_several_reads_comes_in_order_and_whole(
    bursts: list[tuple[tuple[int, int, int], bool]],
) -> None:
    endpoint = group()
    (receiver,) = open_receiver(
        [Membership(endpoint, "lo")], width=100, capacity=2 * AT_ONCE + 70, buffer_bytes=1_000_000
    )
    first, second = (open_sender(endpoint, interface="lo", ttl=ttl) for ttl in (3, 4))
    sent: list[tuple[bytes, int]] = []
    with receiver, first, second:
        rows, ttls, stamps = [], [], []
        for number, ((sender, n, size), is_read) in enumerate(bursts):
            data = payloads(n + number, size)[number:]
            assert not (first, second)[sender].send_nowait(data).any()
            sent += [(row.tobytes()[:100], 3 + sender) for row in data]
            if not is_read:
                receiver.gather_nowait()
                continue
            while (batch := receiver.receive_nowait()) is not None:
                rows += [bytes(row[:kept]) for row, kept in zip(batch.data, batch.kept, strict=True)]
                ttls += batch.meta["ttl"].tolist()
                stamps += batch.meta["rx_ns"].tolist()
            assert receiver.n_gathered == 0
        while (batch := receiver.receive_nowait()) is not None:
            rows += [bytes(row[:kept]) for row, kept in zip(batch.data, batch.kept, strict=True)]
            ttls += batch.meta["ttl"].tolist()
            stamps += batch.meta["rx_ns"].tolist()
    assert list(zip(rows, ttls, strict=True)) == sent
    assert stamps == sorted(stamps)
