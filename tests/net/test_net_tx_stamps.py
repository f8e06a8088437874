"""Transmit stamps of the kernel: of the right datagrams, between this program's and the receiver's, or not at all."""

import errno
import ipaddress
import socket
import sys
import time

import numpy as np
import pytest
from net_helpers import close_all, next_port, payloads
from netns import Namespace
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.model import Endpoint, Membership, parse_endpoint
from harness.net.opening import open_receiver
from harness.net.receiver import ReceiverSocket
from harness.net.sender import SenderSocket, open_sender

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from harness.net import tx_stamps
from harness.net.batch_linux import BatchWriter
from harness.net.tx_stamps import TxStamps

Int64Array = NDArray[np.int64]
pytestmark = pytest.mark.usefixtures("numbering")


@pytest.fixture(params=["numbers", "counts"])
def numbering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Kernels that take a datagram's number with it, and those that count by themselves."""
    if request.param == "counts":
        monkeypatch.setattr(tx_stamps, "_takes_numbers", lambda _: False)
    elif not tx_stamps._takes_numbers(socket.AF_INET):
        pytest.skip("needs a kernel that takes numbers (6.13)")
    return str(request.param)


def loop_address(text: str) -> Endpoint:
    return parse_endpoint(f"{text}:{next_port()}")


def drain(receiver: ReceiverSocket) -> Int64Array:
    stamps = [np.zeros(0, np.int64)]
    while (batch := receiver.receive_nowait()) is not None:
        stamps.append(batch.meta["rx_ns"].copy())
    return np.concatenate(stamps)


def exchange(sender: SenderSocket, receiver: ReceiverSocket, sizes: list[int]) -> list[Int64Array]:
    """Send batches; return user stamps, numbers and kernel stamps of what was sent, and arrivals."""
    user: list[Int64Array] = []
    numbers, kernel, rx = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for size in sizes:
        user.append(np.full(size, time.time_ns()))
        assert not sender.send_nowait(payloads(size, 100)).any()
        stamped = sender.take_tx_stamps()
        numbers.append(stamped[0])
        kernel.append(stamped[1])
        rx.append(drain(receiver))
    deadline = time.monotonic() + 1
    while sum(map(len, rx)) < sum(sizes) and time.monotonic() < deadline:
        rx.append(drain(receiver))
    return [np.concatenate(parts) for parts in (user, numbers, kernel, rx)]


def check_between(user: Int64Array, numbers: Int64Array, kernel: Int64Array, rx: Int64Array) -> None:
    n = len(user)
    assert numbers.tolist() == list(range(n))
    assert len(rx) == n
    is_between = (user <= kernel) & (kernel <= rx)
    assert np.count_nonzero(is_between) >= n - n // 100  # the first arrivals may be stamped late, none early
    assert np.median(rx - kernel) < np.median(rx - user)
    assert (rx - kernel).min() < (rx - user).min()


@pytest.mark.parametrize("text", ["239.77.8.1", "127.0.0.1", "[::1]"])
def test_a_kernel_stamp_lies_between_sending_and_arrival(text: str) -> None:
    group = loop_address(text)
    interface = "lo" if group.is_multicast else None
    (receiver,) = open_receiver([Membership(group, interface)], buffer_bytes=4 << 20)
    with receiver, open_sender(group, interface=interface, tx_stamps=True) as sender:
        check_between(*exchange(sender, receiver, [1, 1, 200, 3, 1, 64] * 4))


@pytest.mark.lab
@pytest.mark.parametrize("text", ["239.77.8.2", "ff15::78"])
def test_between_on_a_cable_too(veth_pair: tuple[Namespace, Namespace], text: str) -> None:
    tx, rx = veth_pair
    group = Endpoint(ipaddress.ip_address(text), next_port())
    with rx.inside():
        (receiver,) = open_receiver([Membership(group, "rx0")], buffer_bytes=4 << 20)
    with tx.inside():
        sender = open_sender(group, interface="tx0", tx_stamps=True)
    with receiver, sender:
        check_between(*exchange(sender, receiver, [1] * 200 + [50] * 4))


def test_refused_datagrams_shift_no_number() -> None:
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)])
    with receiver, open_sender(group, tx_stamps=True) as sender:
        assert not sender.send_nowait(payloads(5, 100)).any()
        too_large = np.zeros((2, 65_520), np.uint8)
        assert set(sender.send_nowait(too_large)) == {errno.EMSGSIZE}
        assert not sender.send_nowait(payloads(3, 100)).any()
        numbers, stamps_ns = sender.take_tx_stamps()
        assert numbers.tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
        assert (np.diff(stamps_ns) >= 0).all()
        assert sender.next_number == 10


def test_errors_on_the_queue_are_no_stamps() -> None:
    group = loop_address("127.0.0.1")
    with open_sender(group, tx_stamps=True) as sender:  # nobody listens there: "port unreachable" comes back
        sender._sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        errnos = [int(number) for _ in range(6) for number in sender.send_nowait(payloads(1, 64))]
        assert errno.ECONNREFUSED in errnos
        numbers, _ = sender.take_tx_stamps()
        assert numbers.tolist() == [place for place, number in enumerate(errnos) if number == 0]


def test_a_full_queue_loses_stamps_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tx_stamps, "QUEUE_BYTES", 20_000)
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)], buffer_bytes=4 << 20)
    with receiver, open_sender(group, tx_stamps=True) as sender:
        for _ in range(4):
            assert not sender.send_nowait(payloads(100, 64)).any()
        numbers, _ = sender.take_tx_stamps()
        assert 0 < len(numbers) < 100
        assert numbers.tolist() == list(range(len(numbers)))
        assert not sender.send_nowait(payloads(2, 64)).any()
        assert sender.take_tx_stamps()[0].tolist() == [400, 401]  # those that have no stamp have none for ever


def test_stamps_that_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tx_stamps, "MOST_KEPT", 50)
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)], buffer_bytes=4 << 20)
    with receiver, open_sender(group, tx_stamps=True) as sender:
        for _ in range(10):
            sender.send_nowait(payloads(20, 64))
            assert sender._stamps is not None
            sender._stamps.collect()
        assert sender.take_tx_stamps()[0].tolist() == list(range(40))


async def test_waiting_for_room_keeps_the_stamps() -> None:
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)])
    with receiver, open_sender(group, tx_stamps=True) as sender:
        sender.send_nowait(payloads(3, 64))
        await sender.wait_writable()
        assert sender.take_tx_stamps()[0].tolist() == [0, 1, 2]
    assert len(sender.take_tx_stamps()[0]) == 0


def test_numbers_go_on_beyond_32_bits(numbering: str) -> None:
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)])
    with receiver, open_sender(group, tx_stamps=True) as sender:
        assert isinstance(sender._writer, BatchWriter)
        sender._writer.next_number = 2**32 - 2
        assert not sender.send_nowait(payloads(4, 64)).any()
        assert sender.take_tx_stamps()[0].tolist() == [2**32 - 2 + n for n in range(4)]


def test_a_kernel_that_counts_begins_anew_after_a_short_send() -> None:
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)])
    with receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((str(group.address), group.port))
        stamps = TxStamps(sock, numbers_given=False)
        stamps.before(0)
        sock.send(b"a")
        sock.send(b"b")
        stamps.after(0, 5, 2)  # three were refused, and may have been counted
        stamps.before(5)
        sock.send(b"c")
        stamps.after(5, 1, 1)
        assert stamps.take()[0].tolist() == [0, 1, 5]


def test_stamps_of_another_count_are_passed_over() -> None:
    group = loop_address("127.0.0.1")
    (receiver,) = open_receiver([Membership(group)])
    with receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((str(group.address), group.port))
        stamps = TxStamps(sock, numbers_given=False)
        for _ in range(3):
            sock.send(b"x")  # behind its back: numbers 0 to 2 were never handed out
        assert len(stamps.take()[0]) == 0


@pytest.mark.parametrize("changes", [{"path": "portable"}, {"offload": True}])
def test_without_the_batch_path_or_with_offload_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--tx-stamps"):
        open_sender(loop_address("239.77.8.9"), interface="lo", tx_stamps=True, **changes)  # type: ignore[arg-type] # by name


def test_without_being_asked_nothing_is_stamped() -> None:
    group = loop_address("127.0.0.1")
    receivers = open_receiver([Membership(group)])
    with open_sender(group) as sender:
        sender.send_nowait(payloads(3, 64))
        assert len(sender.take_tx_stamps()[0]) == 0
    close_all(receivers)
