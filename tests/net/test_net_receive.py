"""Receiving on loopback: what comes, what is flagged, counted, cut, cancelled and closed."""

import errno
import ipaddress
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import trio
from net_helpers import close_all, next_port, payloads, read_all

from harness.errors import BindError, InterfaceError, MembershipError, UsageError
from harness.model import Endpoint, Membership, PacketFlag, address_bytes, address_text
from harness.net.batch import PathChoice
from harness.net.counters import socket_drops, udp_counters
from harness.net.opening import MOST_GROUP_SOCKETS, open_receiver
from harness.net.platform import PLATFORM
from harness.net.receiver import ReceiverSocket
from harness.net.sender import SenderSocket, open_sender

PATHS: tuple[PathChoice, ...] = ("batch", "portable")
both_paths = pytest.mark.parametrize("path", PATHS)
LO = socket.if_nametoindex("lo")


def group(last: int = 1, port: int | None = None) -> Endpoint:
    return Endpoint(ipaddress.ip_address(f"239.77.1.{last}"), port or next_port())


def pair(
    path: PathChoice = "auto", *, width: int = 2048, capacity: int = 512, buffer_bytes: int | None = None
) -> tuple[ReceiverSocket, SenderSocket]:
    endpoint = group()
    (receiver,) = open_receiver(
        [Membership(endpoint, "lo")], path=path, width=width, capacity=capacity, buffer_bytes=buffer_bytes
    )
    return receiver, open_sender(endpoint, interface="lo", path=path)


@both_paths
def test_a_datagram_carries_all_that_the_kernel_knows(path: PathChoice) -> None:
    before_ns = time.time_ns()
    receiver, sender = pair(path)
    with receiver, sender:
        sent = payloads(1, 200)
        assert not sender.send_nowait(sent).any()
        rows, kept, meta = read_all(receiver, 1)
        assert rows == [sent[0].tobytes()]
        assert kept.tolist() == [200]
        assert address_text(meta["destination"][0].tobytes()) == "239.77.1.1"
        assert address_text(meta["source"][0].tobytes()) == str(sender.local.address)
        assert meta["source_port"][0] == sender.local.port
        assert meta["destination_port"][0] == receiver.endpoint.port
        assert (meta["ifindex"][0], meta["size"][0], meta["ttl"][0], meta["flags"][0]) == (LO, 200, 1, 0)
        assert before_ns <= meta["rx_ns"][0] <= time.time_ns()
        assert (receiver.path, receiver.rx_source, receiver.offload) == (path, "kernel", False)


@both_paths
@pytest.mark.parametrize("n_sent", [1, 2, 7, 8, 9, 17])
def test_batches_of_every_size_come_whole_and_in_order(path: PathChoice, n_sent: int) -> None:
    receiver, sender = pair(path, capacity=8)
    with receiver, sender:
        sent = payloads(n_sent, 64)
        sender.send_nowait(sent)
        batches = []
        while (batch := receiver.receive_nowait()) is not None:
            batches.append(len(batch))
        assert batches == [8] * (n_sent // 8) + ([n_sent % 8] if n_sent % 8 else [])
        sender.send_nowait(sent)
        rows, _, _ = read_all(receiver, n_sent)
        assert rows == [row.tobytes() for row in sent]


@both_paths
def test_a_longer_datagram_is_cut_and_its_true_size_told(path: PathChoice) -> None:
    receiver, sender = pair(path, width=64)
    with receiver, sender:
        for size in (0, 63, 64, 65, 9000, 65_507):
            sender.send_nowait(payloads(1, size))
        rows, kept, meta = read_all(receiver, 6)
        assert meta["size"].tolist() == [0, 63, 64, 65, 9000, 65_507]
        assert kept.tolist() == [0, 63, 64, 64, 64, 64]
        assert meta["flags"].tolist() == [0, 0, 0] + [PacketFlag.TRUNCATED] * 3
        assert rows[5] == payloads(1, 65_507)[0, :64].tobytes()


@both_paths
def test_without_control_messages_a_datagram_is_stamped_here_and_otherwise_unknown(path: PathChoice) -> None:
    endpoint = Endpoint(ipaddress.ip_address("127.0.0.1"), next_port())
    (receiver,) = open_receiver([Membership(endpoint, "lo")], path=path)
    sender = open_sender(endpoint, interface="lo", path=path)
    with receiver, sender:
        for level, option in ((0, 8), (0, 12), (1, 35)):
            receiver._sock.setsockopt(level, option, 0)
        before_ns = time.time_ns()
        sender.send_nowait(payloads(2, 64))
        _, _, meta = read_all(receiver, 2)
        assert meta["flags"].tolist() == [PacketFlag.USER_STAMP] * 2
        assert (meta["rx_ns"] >= before_ns).all()
        assert not meta["ttl"].any()
        assert not meta["ifindex"].any()
        assert not meta["destination"].any()


@both_paths
def test_rows_with_and_without_a_drop_counter_mix_in_one_batch(path: PathChoice) -> None:
    receiver, sender = pair(path, buffer_bytes=8192)
    with receiver, sender:
        sender.send_nowait(payloads(500, 64))
        drops = receiver.drops()
        assert drops
        n_waiting = 500 - drops
        for _ in range(n_waiting // 2):  # the kernel gives room back in quarters of the buffer
            receiver._sock.recv(2048)
        sender.send_nowait(payloads(2, 64))
        batch = receiver.receive_nowait()
        assert batch is not None
        meta = batch.meta
        assert len(meta) == n_waiting - n_waiting // 2 + 2
        assert set(meta["ttl"]) == {1}
        assert set(meta["ifindex"]) == {LO}
        assert not meta["flags"].any()
        assert receiver._reader.last_drops == drops


@both_paths
def test_another_processs_group_is_not_heard_on_a_wildcard_socket(path: PathChoice) -> None:
    port = next_port()
    wanted = [Membership(group(1 + n, port), "lo") for n in range(MOST_GROUP_SOCKETS + 1)]
    sockets = open_receiver(wanted, path=path)
    foreign = group(200, port)
    joiner = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
        f"s.setsockopt(0,35,socket.inet_aton('{foreign.address}')+bytes(4)+({LO}).to_bytes(4,'little'))\n"
        "print('joined',flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", joiner], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"joined\n"
        first = next(one for one in sockets if wanted[0] in one.memberships)
        with open_sender(foreign, interface="lo") as stray, open_sender(wanted[0].group, interface="lo") as sender:
            stray.send_nowait(payloads(3, 64))
            sender.send_nowait(payloads(2, 64))
            assert read_all(first, 2)[2]["flags"].tolist() == [0, 0]
            assert [one.receive_nowait() for one in sockets] == [None] * len(sockets)

            first._sock.setsockopt(0, 49, 1)  # the kernel's default, under which strays come in
            stray.send_nowait(payloads(3, 64))
            sender.send_nowait(payloads(2, 64))
            _, _, meta = read_all(first, 5)
            assert meta["flags"].tolist() == [PacketFlag.MISDELIVERED] * 3 + [0, 0]
            assert address_text(meta["destination"][0].tobytes()) == str(foreign.address)
        other.communicate()
    close_all(sockets)


@both_paths
def test_unicast_on_a_wildcard_socket_is_misdelivered(path: PathChoice) -> None:
    port = next_port()
    sockets = open_receiver([Membership(group(1 + n, port), "lo") for n in range(MOST_GROUP_SOCKETS + 1)], path=path)
    with open_sender(Endpoint(ipaddress.ip_address("127.0.0.1"), port)) as sender:
        sender.send_nowait(payloads(1, 64))
        batches = [one.receive_nowait() for one in sockets]
        assert [batch.meta["flags"].tolist() for batch in batches if batch] == [[PacketFlag.MISDELIVERED]]
    close_all(sockets)


def test_a_thousand_groups_are_received() -> None:
    port = next_port()
    addresses = [ipaddress.ip_address(0xEF4D0000 + n) for n in range(1, 1001)]
    sockets = open_receiver([Membership(Endpoint(address, port), "lo") for address in addresses])
    assert len(sockets) == -(-1000 // PLATFORM.joins_per_socket(4))
    for address in addresses[::37]:
        with open_sender(Endpoint(address, port), interface="lo") as sender:
            sender.send_nowait(payloads(1, 64))
    heard = [batch.meta.copy() for one in sockets if (batch := one.receive_nowait())]
    metas = np.concatenate(heard)
    assert not metas["flags"].any()
    assert {bytes(row) for row in metas["destination"]} == {address_bytes(address) for address in addresses[::37]}
    close_all(sockets)


def test_the_twenty_first_join_names_the_limit_and_the_rest_still_hear() -> None:
    port = next_port()
    n_allowed = PLATFORM.joins_per_socket(4)
    sockets = open_receiver([Membership(group(1 + n, port), "lo") for n in range(MOST_GROUP_SOCKETS + 1)])
    full = sockets[0]
    assert len(full.memberships) == n_allowed
    with pytest.raises(MembershipError) as refusal:
        full.join(Membership(group(201, port), "lo"))
    assert refusal.value.errno == errno.ENOBUFS
    assert str(refusal.value) == (
        "cannot join (*, 239.77.1.201) on lo: ENOBUFS (No buffer space available); "
        f"raise net.ipv4.igmp_max_memberships (now {n_allowed})"
    )
    full.leave(full.memberships[3])
    full.join(Membership(group(201, port), "lo"))
    with open_sender(group(201, port), interface="lo") as sender:
        sender.send_nowait(payloads(1, 64))
        assert read_all(full, 1)[2]["flags"].tolist() == [0]
    close_all(sockets)


def test_a_second_join_is_refused_by_this_program_and_by_the_kernel() -> None:
    endpoint = group()
    (receiver,) = open_receiver([Membership(endpoint, "lo")])
    with receiver:
        for name in ("lo", str(LO)):
            with pytest.raises(MembershipError, match=r"EADDRINUSE .*; this socket has joined it already") as refusal:
                receiver.join(Membership(endpoint, name))
            assert refusal.value.errno == errno.EADDRINUSE
        assert receiver.memberships == (Membership(endpoint, "lo"),)


def test_leaving_what_was_not_joined_is_refused() -> None:
    receiver, sender = pair()
    with receiver, sender, pytest.raises(MembershipError, match=r"cannot leave .*: EADDRNOTAVAIL .*not joined it"):
        receiver.leave(Membership(group(9, receiver.endpoint.port), "lo"))


def test_a_socket_refuses_to_join_another_group_or_port() -> None:
    receiver, sender = pair()
    with receiver, sender:
        with pytest.raises(UsageError, match=r"is bound to 239.77.1.1:.*; open another receiver"):
            receiver.join(Membership(group(9, receiver.endpoint.port), "lo"))
        with pytest.raises(UsageError, match="at port 1: this socket is at"):
            receiver.join(Membership(Endpoint(receiver.endpoint.address, 1), "lo"))


def test_after_leaving_nothing_more_comes_and_what_came_before_is_not_a_stray() -> None:
    receiver, sender = pair()
    with receiver, sender:
        (membership,) = receiver.memberships
        sender.send_nowait(payloads(2, 64))
        receiver.leave(membership)
        sender.send_nowait(payloads(2, 64))
        assert read_all(receiver, 3, timeout_s=0.05)[2]["flags"].tolist() == [0, 0]
        receiver.join(membership)
        sender.send_nowait(payloads(1, 64))
        assert read_all(receiver, 1)[2]["flags"].tolist() == [0]


def test_own_buffer_overflow_is_counted_exactly() -> None:
    n_sent = 2000
    before = udp_counters()
    receiver, sender = pair(buffer_bytes=8192)
    with receiver, sender:
        assert (receiver.buffer_asked, receiver.buffer_granted, receiver.buffer_note) == (8192, 16_384, "")
        assert receiver.drops() == 0
        sender.send_nowait(payloads(n_sent, 64))
        drops = receiver.drops()
        assert drops is not None
        assert drops > 0
        assert socket_drops(receiver.inode) == drops
        rows, _, _ = read_all(receiver, n_sent - drops)
        assert len(rows) + drops == n_sent
        assert receiver.receive_nowait() is None
        after = udp_counters()
        assert before is not None
        assert after is not None
        assert (after - before).receive_buffer_errors == drops
    assert receiver.drops() == drops


@both_paths
def test_the_control_messages_counter_lags_but_arrives_with_the_next_datagram(path: PathChoice) -> None:
    receiver, sender = pair(path, buffer_bytes=8192)
    with receiver, sender:
        sender.send_nowait(payloads(500, 64))
        drops = receiver.drops()
        while receiver.receive_nowait() is not None:
            pass
        assert receiver._reader.last_drops in (None, 0)
        sender.send_nowait(payloads(2, 64))
        _, _, meta = read_all(receiver, 2)
        assert receiver._reader.last_drops == drops
        assert meta["flags"].tolist() == [0, 0]


def test_an_absurd_buffer_is_refused_and_a_short_one_explained() -> None:
    with pytest.raises(UsageError, match="between 1 B and 1 GiB"):
        open_receiver([Membership(group(), "lo")], buffer_bytes=2**31)
    assert PLATFORM.buffer_note(8_000_000, 425_984).startswith(
        "receive buffer of 8000000 B asked, 212992 B granted; raise net.core.rmem_max (now "
    )


def test_two_receivers_on_one_group_both_hear_everything() -> None:
    endpoint = group()
    (first,) = open_receiver([Membership(endpoint, "lo")])
    (second,) = open_receiver([Membership(endpoint, "lo")], path="portable")
    with first, second, open_sender(endpoint, interface="lo") as sender:
        sent = payloads(20, 64)
        sender.send_nowait(sent)
        assert read_all(first, 20)[0] == read_all(second, 20)[0] == [row.tobytes() for row in sent]


def test_broadcast_is_received_by_all_and_unicast_by_one() -> None:
    everyone = Endpoint(ipaddress.ip_address("127.255.255.255"), next_port())
    (first,) = open_receiver([Membership(everyone)])
    (second,) = open_receiver([Membership(everyone)])
    with first, second, open_sender(everyone) as sender:
        sender.send_nowait(payloads(2, 64))
        for receiver in (first, second):
            assert read_all(receiver, 2)[2]["flags"].tolist() == [0, 0]
    me = Endpoint(ipaddress.ip_address("127.0.0.1"), next_port())
    (only,) = open_receiver([Membership(me)])
    with only, open_sender(me) as sender:
        sender.send_nowait(payloads(2, 64))
        assert read_all(only, 2)[2]["flags"].tolist() == [0, 0]
        with pytest.raises(BindError, match=f"cannot bind to {me}: EADDRINUSE .*; another program has the port"):
            open_receiver([Membership(me)])


def test_a_wildcard_endpoint_wants_everything_that_comes() -> None:
    (receiver,) = open_receiver([Membership(Endpoint(ipaddress.ip_address("0.0.0.0"), next_port()))])
    with receiver, open_sender(Endpoint(ipaddress.ip_address("127.0.0.1"), receiver.endpoint.port)) as sender:
        sender.send_nowait(payloads(1, 64))
        assert read_all(receiver, 1)[2]["flags"].tolist() == [0]


def test_nothing_is_left_open_when_one_of_many_cannot_be_opened() -> None:
    good = Membership(group(), "lo")
    with pytest.raises(BindError, match=r"EADDRNOTAVAIL .*; no interface has this address"):
        open_receiver([good, Membership(Endpoint(ipaddress.ip_address("203.0.113.1"), 5000))])
    with pytest.raises(InterfaceError, match="no network interface 'nope0'"):
        open_receiver([good, Membership(group(), "nope0")])
    with pytest.raises(MembershipError, match="EADDRINUSE"):
        open_receiver([good, good])


def test_nonsense_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(UsageError, match="name at least one GROUP:PORT"):
        open_receiver([])
    with pytest.raises(UsageError, match="width 0 and capacity 5 must be 1 at least"):
        open_receiver([Membership(group(), "lo")], width=0, capacity=5)
    with pytest.raises(UsageError, match="--offload needs the batch path"):
        open_receiver([Membership(group(), "lo")], path="portable", offload=True)


def test_running_out_of_files_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(BindError, match=r"EMFILE .*; raise the limit of open files \(ulimit -n\)"):
        open_receiver([Membership(group(), "lo")])


def test_a_system_whose_sockets_are_no_files_has_no_inodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> os.stat_result:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "fstat", refuse)
        receiver, sender = pair()
    with receiver, sender:
        assert receiver.inode is None
        assert socket_drops(receiver.inode) is None


def test_a_failing_read_becomes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver, sender = pair()
    with receiver, sender:
        monkeypatch.setattr("harness.net._libc.recvmmsg", lambda *_: (-1, errno.ENETDOWN))
        with pytest.raises(InterfaceError, match=r"cannot read from 239.77.1.1:.*: ENETDOWN"):
            receiver.receive_nowait()
        for passing in (errno.EINTR, errno.ECONNREFUSED, errno.EAGAIN):
            monkeypatch.setattr("harness.net._libc.recvmmsg", lambda *_, number=passing: (-1, number))
            assert receiver.receive_nowait() is None


@both_paths
async def test_receive_waits_and_is_always_a_checkpoint(
    path: PathChoice, autojump_clock: trio.testing.MockClock
) -> None:
    receiver, sender = pair(path)
    with receiver, sender:
        sender.send_nowait(payloads(1, 64))
        with trio.testing.assert_checkpoints():
            assert len(await receiver.receive()) == 1

        async def send_later() -> None:
            await trio.sleep(1)
            sender.send_nowait(payloads(3, 64))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_later)
            assert len(await receiver.receive()) == 3


@both_paths
async def test_cancelling_loses_nothing(path: PathChoice) -> None:
    receiver, sender = pair(path)
    with receiver, sender:
        with trio.move_on_after(0.01) as waiting:
            await receiver.receive()
        assert waiting.cancelled_caught
        sender.send_nowait(payloads(5, 64))
        with trio.CancelScope() as cancelled:
            cancelled.cancel()
            await receiver.receive()
        assert cancelled.cancelled_caught
        assert len(await receiver.receive()) == 5


async def test_closing_wakes_the_reader() -> None:
    receiver, sender = pair()
    with sender:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await receiver.receive()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            receiver.close()
        receiver.close()
        with pytest.raises(trio.ClosedResourceError):
            await receiver.receive()


async def test_busy_sockets_share_the_loop_fairly() -> None:
    n_each, capacity = 240, 16
    pairs = [pair(capacity=capacity) for _ in range(20)]
    order: list[int] = []

    async def drain(number: int, receiver: ReceiverSocket) -> None:
        n_read = 0
        while n_read < n_each:
            n_read += len(await receiver.receive())
            order.append(number)

    for _, sender in pairs:
        sender.send_nowait(payloads(n_each, 64))
    async with trio.open_nursery() as nursery:
        for number, (receiver, _) in enumerate(pairs):
            nursery.start_soon(drain, number, receiver)
    n_rounds = n_each // capacity
    assert len(order) == n_rounds * len(pairs)
    for begin in range(0, len(order), len(pairs)):
        assert sorted(order[begin : begin + len(pairs)]) == list(range(len(pairs)))
    for receiver, sender in pairs:
        receiver.close()
        sender.close()
