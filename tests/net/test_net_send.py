"""Sending: what is on the wire, what each refusal says, packet by packet."""

import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable

import numpy as np
import pytest
import trio
from net_helpers import next_port, payloads, read_all

from harness.errors import InterfaceError, SocketOptionError, UsageError
from harness.model import Endpoint, Membership, address_text
from harness.net import _libc, batch_linux
from harness.net.batch import PathChoice
from harness.net.opening import open_receiver
from harness.net.platform import PLATFORM
from harness.net.sender import SenderSocket, open_sender

both_paths = pytest.mark.parametrize("path", ["batch", "portable"])
LO = socket.if_nametoindex("lo")
LOCALHOST = ipaddress.ip_address("127.0.0.1")


def group() -> Endpoint:
    return Endpoint(ipaddress.ip_address("239.77.2.1"), next_port())


@both_paths
@pytest.mark.parametrize("destination", ["239.77.2.1", "127.0.0.1"])
def test_ttl_and_dscp_are_on_the_wire(path: PathChoice, destination: str) -> None:
    endpoint = Endpoint(ipaddress.ip_address(destination), next_port())
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    with receiver, open_sender(endpoint, interface="lo", ttl=37, dscp=46, path=path) as sender:
        receiver._sock.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS
        sender.send_nowait(payloads(1, 64))
        _, messages, _, _ = receiver._sock.recvmsg(2048, 256)
        told = {(level, kind): data for level, kind, data in messages}
        assert told[0, socket.IP_TOS] == bytes([46 << 2])
        assert struct.unpack("=i", told[0, socket.IP_TTL]) == (37,)


@both_paths
def test_every_datagram_of_many_goes_out_once(path: PathChoice) -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")], buffer_bytes=8_000_000)
    with receiver, open_sender(endpoint, interface="lo", path=path) as sender:
        sent = payloads(3000, 64)  # more than one sendmmsg takes
        assert sender.send_nowait(sent).tolist() == [0] * 3000
        assert read_all(receiver, 3000)[0] == [row.tobytes() for row in sent]


@both_paths
def test_rows_need_not_be_contiguous(path: PathChoice) -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    with receiver, open_sender(endpoint, interface="lo", path=path) as sender:
        wide = payloads(6, 128)
        for view in (wide[:, :50], wide[::2, 3:9], wide[:, ::2], wide[:0]):
            assert sender.send_nowait(view).tolist() == [0] * len(view)
            assert read_all(receiver, len(view))[0] == [row.tobytes() for row in view]


@both_paths
def test_too_large_a_datagram_is_refused_alone(path: PathChoice) -> None:
    with open_sender(group(), interface="lo", path=path) as sender:
        assert sender.send_nowait(payloads(2, 65_508)).tolist() == [errno.EMSGSIZE] * 2
        assert sender.send_nowait(payloads(1, 64)).tolist() == [0]


@both_paths
def test_a_closed_unicast_port_is_reported_on_the_next_datagram_only(path: PathChoice) -> None:
    with open_sender(Endpoint(LOCALHOST, next_port()), path=path) as sender:
        assert sender.send_nowait(payloads(1, 64)).tolist() == [0]
        assert sender.send_nowait(payloads(2, 64)).tolist() == [errno.ECONNREFUSED, 0]


class Refusals:
    """Stands in for the kernel's send: refuses chosen calls, takes at most `most` messages in one."""

    def __init__(self, refusals: dict[int, int], most: int = 1000) -> None:
        self.refusals, self.most = dict(refusals), most
        self.sent: list[int] = []
        self.first = 0
        self.base = 0

    def sendmmsg(self, _fd: int, headers: int, n_headers: int, _flags: int) -> tuple[int, int]:
        self.base = self.base or headers
        number = (headers - self.base) // _libc.MMSGHDR.itemsize
        if number in self.refusals:
            return -1, self.refusals.pop(number)
        n_sent = 0
        while n_sent < min(n_headers, self.most) and number + n_sent not in self.refusals:
            self.sent.append(number + n_sent)
            n_sent += 1
        return n_sent, 0

    def sendto(self, _row: object, _destination: object) -> None:
        number, self.first = self.first, self.first + 1
        if number in self.refusals:
            raise OSError(self.refusals.pop(number), "refused")
        self.sent.append(number)


def send_against(path: PathChoice, refusals: Refusals, monkeypatch: pytest.MonkeyPatch, n: int) -> list[int]:
    with open_sender(group(), interface="lo", path=path) as sender:
        monkeypatch.setattr(_libc, "sendmmsg", refusals.sendmmsg)
        if path == "portable":
            monkeypatch.setattr(sender._writer, "_sock", refusals)
        return [int(number) for number in sender.send_nowait(payloads(n, 64))]


@both_paths
@pytest.mark.parametrize(
    "number", [errno.ENOBUFS, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.ECONNREFUSED, errno.ENETDOWN]
)
def test_a_refused_datagram_is_named_and_the_rest_go_out(
    path: PathChoice, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Refusals({0: number, 3: number, 4: number, 9: number})
    assert send_against(path, kernel, monkeypatch, 10) == [number, 0, 0, number, number, 0, 0, 0, 0, number]
    assert kernel.sent == [1, 2, 5, 6, 7, 8]


@both_paths
def test_a_full_send_buffer_ends_the_batch(path: PathChoice, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Refusals({4: errno.EAGAIN}, most=3)
    assert send_against(path, kernel, monkeypatch, 7) == [0] * 4 + [errno.EAGAIN] * 3
    assert kernel.sent == [0, 1, 2, 3]


def test_a_partial_send_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Refusals({5: errno.EINTR}, most=2)
    assert send_against("batch", kernel, monkeypatch, 9) == [0] * 9
    assert kernel.sent == list(range(9))


def test_endless_interruption_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sender(group(), interface="lo") as sender:
        monkeypatch.setattr(_libc, "sendmmsg", lambda *_: (-1, errno.EINTR))
        assert sender.send_nowait(payloads(2, 64)).tolist() == [errno.EINTR] * 2


def test_the_local_endpoint_is_the_one_that_receivers_see() -> None:
    for endpoint in (group(), Endpoint(LOCALHOST, next_port())):
        (receiver,) = open_receiver([Membership(endpoint, "lo")])
        with receiver, open_sender(endpoint, interface="lo") as sender:
            sender.send_nowait(payloads(1, 64))
            _, _, meta = read_all(receiver, 1)
            assert address_text(meta["source"][0].tobytes()) == str(sender.local.address)
            assert meta["source_port"][0] == sender.local.port


def test_the_send_buffer_is_asked_and_read_back() -> None:
    with open_sender(group(), interface="lo", buffer_bytes=100_000) as sender:
        assert (sender.buffer_asked, sender.buffer_granted) == (100_000, 200_000)
    with open_sender(group(), interface="lo") as sender:
        assert sender.buffer_asked is None
        assert sender.buffer_granted > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 256}, "TTL 256 is not a number from 0 to 255"),
        ({"ttl": -1}, "TTL -1 is not a number from 0 to 255"),
        ({"dscp": 64}, "DSCP 64 is not a number from 0 to 63; 46 is expedited forwarding"),
        ({"buffer_bytes": 0}, "a socket buffer of 0 B cannot be asked for; between 1 B and 1 GiB can"),
        ({"path": "portable", "offload": True}, "--offload needs the batch path, which is Linux's"),
    ],
)
def test_nonsense_is_refused(options: dict[str, object], message: str) -> None:
    opener: Callable[..., SenderSocket] = open_sender
    with pytest.raises(UsageError) as refusal:
        opener(group(), **options)
    assert str(refusal.value).startswith(message)


def test_an_unknown_interface_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InterfaceError, match="no network interface 'loo'; did you mean 'lo'"):
        open_sender(group(), interface="loo")


def test_a_vanished_interface_is_refused_by_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.net.sender.interface_index", lambda _: 9999)
    with pytest.raises(SocketOptionError) as refusal:
        open_sender(group(), interface="gone0")
    assert refusal.value.option == "IP_MULTICAST_IF"
    assert str(refusal.value).startswith("cannot set IP_MULTICAST_IF to index 9999: EADDRNOTAVAIL")
    assert "the interface is gone" in str(refusal.value)


def test_loopback_can_be_switched_off() -> None:
    for loop in (True, False):
        with open_sender(group(), interface="lo", loop=loop) as sender:
            assert sender._sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == loop


async def test_waiting_for_room_returns_and_ends_when_closed() -> None:
    sender = open_sender(group(), interface="lo")
    with trio.testing.assert_checkpoints():
        await sender.wait_writable()
    sender.close()
    sender.close()
    with pytest.raises(trio.ClosedResourceError):
        await sender.wait_writable()
    with pytest.raises(trio.ClosedResourceError):
        sender.send_nowait(np.zeros((1, 4), np.uint8))


def test_the_error_queue_is_emptied_so_that_waiting_works() -> None:
    with open_sender(group(), interface="lo") as sender:
        sender.send_nowait(payloads(3, 65_508))
        assert sender._sock.recvmsg(1, 512, 0x2000)[2] & 0x2000
        PLATFORM.clear_errors(sender._sock)
        with pytest.raises(BlockingIOError):
            sender._sock.recvmsg(1, 512, 0x2000)


@pytest.mark.parametrize("path", ["batch", "portable"])
@pytest.mark.parametrize("is_group", [True, False])
def test_one_row_is_sent_as_it_stands_then(path: PathChoice, is_group: bool) -> None:
    endpoint = group() if is_group else Endpoint(LOCALHOST, next_port())
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    row = payloads(1, 100)
    with receiver, open_sender(endpoint, interface="lo", path=path) as sender:
        send = sender.one(row)
        expected = []
        for number in range(3):
            row[0, 0] = number
            expected.append(row.tobytes())
            assert send() == 0
        assert read_all(receiver, 3)[0] == expected
        sender.close()
        assert send() == errno.EBADF


@pytest.mark.parametrize("path", ["batch", "portable"])
@pytest.mark.parametrize("is_group", [True, False])
def test_rehearsal_sends_nothing(path: PathChoice, is_group: bool) -> None:
    endpoint = group() if is_group else Endpoint(LOCALHOST, next_port())
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    row = payloads(1, 100)
    with receiver, open_sender(endpoint, interface="lo", path=path) as sender:
        n_open = len(os.listdir("/proc/self/fd"))
        send, rehearse = sender.one(row), sender.rehearsal(100)
        assert len(os.listdir("/proc/self/fd")) - n_open == (path == "batch")  # a second socket only where it is used
        assert not any(rehearse() for _ in range(100))
        assert send() == 0
        assert not any(rehearse() for _ in range(100))
        assert read_all(receiver, 2, 0.1)[0] == [row.tobytes()]


def test_rehearsal_takes_any_size_and_ends_with_the_socket() -> None:
    n_open = len(os.listdir("/proc/self/fd"))
    with open_sender(group(), interface="lo") as sender:
        rehearsals = [sender.rehearsal(size) for size in (1, 1400, 9000, 65_507)]
        assert not any(rehearse() for rehearse in rehearsals * 3)
    assert all(rehearse() for rehearse in rehearsals)
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_nothing_is_rehearsed_where_the_kernel_does_not_cork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_linux, "UDP_CORK", 9_999)
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    with receiver, open_sender(endpoint, interface="lo") as sender:
        rehearse = sender.rehearsal(100)
        assert not rehearse()
        assert read_all(receiver, 1, 0.1)[0] == []


def test_one_row_is_tried_again_when_interrupted_and_refused_as_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = group()
    answers = [errno.EINTR, errno.EINTR, 0, errno.EAGAIN, errno.EPERM]
    monkeypatch.setattr(_libc, "sendto", lambda *_: answers.pop(0))
    with open_sender(endpoint, interface="lo", path="batch") as sender:
        send = sender.one(payloads(1, 100))
        assert [send(), send(), send()] == [0, errno.EAGAIN, errno.EPERM]
        answers[:] = [errno.EINTR] * 5000
        assert send() == errno.EINTR


@pytest.mark.skipif(sys.platform != "linux", reason="offload is Linux's")
@pytest.mark.parametrize("offload", [False, True])
def test_batches_of_changing_shapes_arrive_whole(offload: bool) -> None:
    """What was laid out for the batch before is used again only for one at the same place and of the same shape."""
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    buffer = payloads(150, 128)
    with receiver, open_sender(endpoint, interface="lo", offload=offload) as sender:
        for rows in (buffer, buffer, buffer[:149], buffer[:70], buffer[5:75], buffer[:70, :100], buffer[:1], buffer):
            buffer[:, 50] += 1
            assert not sender.send_nowait(rows).any()
            assert read_all(receiver, len(rows))[0] == [row.tobytes() for row in rows]
