"""Of datagrams whose fronts are enough nothing else is copied, and all else that is said of them is the same."""

import ipaddress
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from net_helpers import next_port, payloads, read_all

from harness.model import Alike, Endpoint, Membership, PacketFlag
from harness.model.datagrams import FRONT_BYTES
from harness.net.batch import PathChoice
from harness.net.batch_reader import AT_ONCE
from harness.net.opening import open_receiver
from harness.net.sender import open_sender

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg is Linux's")
WIDTH = 100


def group() -> Endpoint:
    return Endpoint(ipaddress.ip_address("239.77.6.1"), next_port())


BURST = st.tuples(st.integers(0, 1), st.integers(1, 60), st.sampled_from([0, 63, 64, 65, 90, 100, 101, 300]))


@settings(max_examples=40, deadline=None)
@given(bursts=st.lists(st.tuples(st.booleans(), BURST), min_size=2, max_size=10))
def test_fronts_are_those_of_whole_datagrams_and_so_is_all_else(
    bursts: list[tuple[bool, tuple[int, int, int]]],
) -> None:
    endpoint = group()
    wanted = [Membership(endpoint, "lo")]
    (one,) = open_receiver(wanted, width=WIDTH, capacity=100, buffer_bytes=1_000_000)
    (whole,) = open_receiver(wanted, width=WIDTH, capacity=100, buffer_bytes=1_000_000)
    first, second = (open_sender(endpoint, interface="lo", ttl=ttl) for ttl in (3, 4))
    with one, whole, first, second:
        for is_enough, (sender, n, size) in bursts:
            one.keep_fronts(is_enough)
            for _ in range(2):  # of the second all may be like the first
                sent = payloads(n, size)
                assert not (first, second)[sender].send_nowait(sent).any()
                rows, kept, meta = read_all(one, n)
                whole_rows, whole_kept, whole_meta = read_all(whole, n)
                most = FRONT_BYTES if is_enough else WIDTH
                assert rows == [row.tobytes()[:most] for row in sent]
                assert whole_rows == [row.tobytes()[:WIDTH] for row in sent]
                assert kept.tolist() == [min(size, most)] * n
                assert whole_kept.tolist() == [min(size, WIDTH)] * n
                for column in set(meta.dtype.names or ()) - {"rx_ns"}:
                    assert meta[column].tolist() == whole_meta[column].tolist(), column
                assert set(meta["flags"] & PacketFlag.TRUNCATED) == {PacketFlag.TRUNCATED if size > WIDTH else 0}


def test_what_is_gathered_is_kept_as_it_was_read() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], capacity=4 * AT_ONCE, buffer_bytes=4_000_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        sent = payloads(40, 1_400)
        for is_enough in (False, False, False, True, True, False):
            receiver.keep_fronts(is_enough)
            sender.send_nowait(sent)
            assert receiver.gather_nowait() == receiver.n_gathered == 40
            receiver.keep_fronts(not is_enough)  # not heeded where something is gathered
            sender.send_nowait(sent)
            most = FRONT_BYTES if is_enough else 1_400
            assert read_all(receiver, 80)[0] == [row.tobytes()[:most] for row in sent] * 2


def test_fronts_of_large_datagrams_are_gathered_as_small_datagrams_are() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], capacity=4 * AT_ONCE, buffer_bytes=4_000_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        for is_enough in (False, True, True):
            receiver.keep_fronts(is_enough)
            for _ in range(3):
                sender.send_nowait(payloads(40, 1_400))
                batch = receiver.receive_nowait()
        assert isinstance(batch, Alike)
        n_gathered = 0
        while receiver.can_gather and n_gathered < AT_ONCE:
            sender.send_nowait(payloads(100, 1_400))
            n_gathered += receiver.gather_nowait()
        assert receiver.can_gather
        found = receiver.receive_nowait()
        assert found is not None
        assert len(found) == n_gathered


@pytest.mark.parametrize(("path", "offload"), [("portable", False), ("batch", True)])
def test_where_nothing_is_gained_all_is_kept(path: PathChoice, offload: bool) -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], path=path, offload=offload, buffer_bytes=1_000_000)
    with receiver, open_sender(endpoint, interface="lo") as sender:
        receiver.keep_fronts(True)
        sent = payloads(10, 200)
        sender.send_nowait(sent)
        assert read_all(receiver, 10)[0] == [row.tobytes() for row in sent]
