"""Rows that stand ready arrive as they stood, whether the route is held or not, and whatever the kernel answers."""

import errno
import ipaddress
import socket
from collections.abc import Callable

import numpy as np
import pytest
from net_helpers import next_port, payloads, read_all
from netns import Namespace
from numpy.typing import NDArray

from harness.errors import BindError
from harness.model import Endpoint, Membership
from harness.net import _libc
from harness.net.opening import open_receiver
from harness.net.ready import ReadyRows
from harness.net.receiver import ReceiverSocket
from harness.net.sender import SenderSocket, open_sender
from harness.traffic import StreamSender
from harness.traffic.schedules import Constant

Sendmmsg = Callable[[int, int, int, int], tuple[int, int]]
BUFFER = 8_000_000


def group(text: str = "239.77.9.1") -> Endpoint:
    return Endpoint(ipaddress.ip_address(text), next_port())


def receiver_of(endpoint: Endpoint, interface: str = "lo") -> ReceiverSocket:
    return open_receiver([Membership(endpoint, interface)], buffer_bytes=BUFFER)[0]


def made_ready(sender: SenderSocket, sent: NDArray[np.uint8]) -> ReadyRows:
    """Return rows of which all but the first bytes are those of the first row."""
    n = sender.front_bytes(sent.shape[1])
    sent[:, n:] = sent[0, n:]
    return sender.ready(np.ascontiguousarray(sent[:, :n]), sent[0, n:].copy())


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("size", [1, 64, 255, 256, 1400, 9000])
@pytest.mark.parametrize("way", ["batch", "portable", "offload"])
def test_rows_arrive_as_they_stood(way: str, size: int, is_held: bool) -> None:
    endpoint, sent = group(), payloads(200, size)
    path = "portable" if way == "portable" else "batch"
    with (
        receiver_of(endpoint) as receiver,
        open_sender(endpoint, interface="lo", path=path, offload=way == "offload") as sender,  # type: ignore[arg-type] # mypy loses the literal
    ):
        ready, source = made_ready(sender, sent), sender.local
        for n in (200, 1, 63, 64, 65, 128, 199):
            if is_held:
                assert ready.hold_route() == (path == "batch")
            assert ready.send(n) is None
            rows, _, meta = read_all(receiver, n)
            assert rows == [row.tobytes()[:2048] for row in sent[:n]]
            assert set(meta["size"]) == {size}
            assert set(meta["source_port"]) == {source.port}
            assert sender.local == source


def test_portable_rows_are_whole() -> None:
    with (
        open_sender(group(), interface="lo", path="portable") as sender,
        pytest.raises(ValueError, match="whole ones"),
    ):
        sender.ready(payloads(3, 64), np.zeros(1, np.uint8))


def test_unicast_destination_is_connected_already() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker,
        open_sender(Endpoint(ipaddress.ip_address("127.0.0.1"), taker_port(taker))) as sender,
    ):
        ready = made_ready(sender, payloads(5, 100))
        assert not ready.hold_route()
        assert ready.send(5) is None
        assert [len(taker.recv(2000)) for _ in range(5)] == [100] * 5


def taker_port(taker: socket.socket) -> int:
    taker.bind(("127.0.0.1", 0))
    taker.settimeout(5)
    return int(taker.getsockname()[1])


def test_the_port_is_not_shared() -> None:
    with (
        open_sender(group(), interface="lo") as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("", sender.local.port))


@pytest.mark.parametrize("refusal", [errno.EAGAIN, errno.EPERM, errno.ENOBUFS])
@pytest.mark.parametrize("n_before", [0, 5, 99])
def test_each_row_has_its_answer(monkeypatch: pytest.MonkeyPatch, refusal: int, n_before: int) -> None:
    endpoint, sent, real = group(), payloads(100, 300), _libc.sendmmsg
    answers: list[Sendmmsg] = [
        lambda fd, headers, _n, flags: real(fd, headers, n_before, flags) if n_before else (-1, refusal),
        lambda *_: (-1, errno.EINTR),
        lambda *_: (-1, refusal),
    ]
    with receiver_of(endpoint) as receiver, open_sender(endpoint, interface="lo") as sender:
        ready = made_ready(sender, sent)
        ready.hold_route()
        monkeypatch.setattr(_libc, "sendmmsg", lambda *call: (answers.pop(0) if answers else real)(*call))
        results = ready.send(100)
        assert results is not None
        wanted = [0] * n_before + [refusal] * (100 - n_before if refusal == errno.EAGAIN else 1)
        assert results.tolist() == wanted + [0] * (100 - len(wanted))
        went = [row.tobytes() for row, number in zip(sent, results, strict=True) if not number]
        assert read_all(receiver, len(went))[0] == went


def test_all_sent_after_an_interruption_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, sent, real = group(), payloads(10, 64), _libc.sendmmsg
    answers: list[tuple[int, int]] = [(-1, errno.EINTR), (-1, errno.EINTR)]
    with receiver_of(endpoint) as receiver, open_sender(endpoint, interface="lo") as sender:
        ready = made_ready(sender, sent)
        monkeypatch.setattr(_libc, "sendmmsg", lambda *call: answers.pop() if answers else real(*call))
        assert ready.send(10) is None
        assert len(read_all(receiver, 10)[0]) == 10


def test_runs_that_are_refused_go_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, sent, real = group(), payloads(150, 64), _libc.sendmmsg
    with receiver_of(endpoint) as receiver, open_sender(endpoint, interface="lo", offload=True) as sender:
        ready = made_ready(sender, sent)

        def refuse_runs(fd: int, headers: int, n_headers: int, flags: int) -> tuple[int, int]:
            return (-1, errno.EMSGSIZE) if sender.offload else real(fd, headers, n_headers, flags)

        monkeypatch.setattr(_libc, "sendmmsg", refuse_runs)
        for n in (150, 149):
            assert ready.send(n) is None
            assert not sender.offload
            assert read_all(receiver, n)[0] == [row.tobytes() for row in sent[:n]]


@pytest.mark.lab
@pytest.mark.parametrize("version", [4, 6])
def test_route_is_looked_up_when_told(namespace: Namespace, version: int) -> None:
    first, second = ("192.0.2.7", "192.0.2.8") if version == 4 else ("2001:db8::7", "2001:db8::8")
    mask, flags = ("/24", ()) if version == 4 else ("/64", ("nodad",))
    endpoint = group("239.77.9.2" if version == 4 else "ff15::77:9:2")
    namespace.ip("link", "add", "d0", "type", "veth", "peer", "name", "d1")
    namespace.ip("link", "set", "d0", "addrgenmode", "none")
    for name in ("d0", "d1"):
        namespace.ip("link", "set", name, "up")
    namespace.wait_until_up("d0")
    namespace.ip("addr", "add", first + mask, "dev", "d0", *flags)
    with namespace.inside(), receiver_of(endpoint, "d0") as receiver, open_sender(endpoint, interface="d0") as sender:
        ready, port = made_ready(sender, payloads(20, 400)), sender.local.port

        def heard_from() -> set[tuple[str, int]]:
            assert ready.send(20) is None
            meta = read_all(receiver, 20)[2]
            assert len(meta) == 20
            address = [ipaddress.IPv6Address(row["source"].tobytes()) for row in meta]
            return {
                (str(one.ipv4_mapped or one), int(row["source_port"])) for one, row in zip(address, meta, strict=True)
            }

        assert ready.hold_route()
        assert heard_from() == {(first, port)}
        namespace.ip("addr", "add", second + mask, "dev", "d0", *flags)
        namespace.ip("addr", "del", first + mask, "dev", "d0")
        if version == 4:
            namespace.ip("addr", "replace", second + mask, "dev", "d0")
        assert ready.hold_route()
        assert heard_from() == {(second, port)}
        namespace.ip("link", "set", "d0", "down")
        assert ready.hold_route() in (False, True)
        refused = ready.send(20)
        assert refused is not None
        assert set(refused) <= {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN}
        namespace.ip("link", "set", "d0", "up")
        namespace.wait_until_up("d0")
        if version == 6:
            namespace.ip("addr", "replace", second + mask, "dev", "d0", *flags)
        assert ready.hold_route()
        assert heard_from() == {(second, port)}
        namespace.ip("link", "del", "d0")
        assert not ready.hold_route()
        refused = ready.send(20)
        assert refused is not None
        assert refused.all()
        assert errno.EAGAIN not in refused


def test_route_is_not_held_where_no_socket_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = group()
    with receiver_of(endpoint) as receiver, open_sender(endpoint, interface="lo") as sender:
        ready = made_ready(sender, payloads(5, 64))
        assert ready.hold_route()
        monkeypatch.setattr("harness.net.sender.new_udp_socket", refuse_socket)
        assert not ready.hold_route()
        assert ready.send(5) is None
        monkeypatch.undo()
        assert ready.hold_route()
        assert ready.send(5) is None
        assert len(read_all(receiver, 10)[0]) == 10


def refuse_socket(_version: int) -> socket.socket:
    raise BindError("too many open files")


@pytest.mark.parametrize("has_pattern", [False, True])
def test_front_and_rest_are_the_probe(has_pattern: bool) -> None:
    whole, cut = (
        StreamSender(
            number=1,
            stream_id=2,
            epoch=3,
            group=group(),
            schedule=Constant(0),
            size=700,
            start_ns=10**18,
            count=50,
            has_pattern=has_pattern,
            capacity=16,
            front_bytes=front_bytes,
        )
        for front_bytes in (None, 64)
    )
    while whole.next_due_ns is not None:
        now_ns = 10**18 + whole.n_taken
        wanted, found = whole.take(now_ns), cut.take(now_ns)
        assert found.data.shape == (len(wanted), 64)
        assert np.array_equal(cut.whole(found.data), wanted.data)
        assert np.array_equal(whole.whole(wanted.data), wanted.data)
        assert (wanted.first_seq, wanted.due_ns.tolist()) == (found.first_seq, found.due_ns.tolist())
        cut.stamp(found.data, found.seq, now_ns + 5)
        whole.stamp(wanted.data, wanted.seq, now_ns + 5)
        assert np.array_equal(cut.whole(found.data), wanted.data)
    assert cut.next_due_ns is None
    assert np.array_equal(cut.end_probe(10**18), whole.end_probe(10**18))


def test_socket_is_connected_anew_only_when_its_source_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection has a hash of its own, by which queues and paths are chosen: packets could overtake others."""
    connected: list[int] = []
    real = _libc.connect
    monkeypatch.setattr(_libc, "connect", lambda fd, name: connected.append(fd) or real(fd, name))  # type: ignore[func-returns-value] # append's None
    with open_sender(group(), interface="lo") as sender:
        ready = made_ready(sender, payloads(5, 64))
        assert [ready.hold_route() for _ in range(4)] == [True] * 4
        assert connected.count(sender._sock.fileno()) == 1
