"""The three systems: one method set, and the structures and numbers that each kernel expects."""

import ctypes
import errno
import inspect
import ipaddress
import os
import socket
import struct
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from net_helpers import next_port

from harness.errors import HarnessError, MembershipError, SocketOptionError
from harness.model import Endpoint, Membership, PacketFlag, address_text
from harness.net._darwin import DarwinPlatform
from harness.net._linux import LinuxPlatform
from harness.net._options import membership_error, option_remedy
from harness.net._windows import WindowsPlatform
from harness.net._wsarecvmsg import WSAID_WSARECVMSG, WsaBuf, WsaMsg, split
from harness.net.batch_portable import PortableReader
from harness.net.platform import PLATFORM, Platform

SYSTEMS = [LinuxPlatform, DarwinPlatform, WindowsPlatform]
V4 = Membership(Endpoint(ipaddress.ip_address("239.1.2.3"), 5000), "eth0")
V6 = Membership(Endpoint(ipaddress.ip_address("ff15::7"), 5000), "eth0")
SSM = Membership(V4.group, "eth0", ipaddress.ip_address("10.0.0.1"))
SSM6 = Membership(V6.group, "eth0", ipaddress.ip_address("fd00::1"))


class FakeSocket:
    """Records the options that are set, and refuses those it is told to."""

    def __init__(self, refuse: dict[tuple[int, int], int] | None = None) -> None:
        self.refuse = refuse or {}
        self.set: list[tuple[int, int, int | bytes]] = []

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        number = self.refuse.get((level, option))
        if number is not None:
            raise OSError(number, os.strerror(number))
        self.set.append((level, option, value))


def fake(refuse: dict[tuple[int, int], int] | None = None) -> tuple[FakeSocket, socket.socket]:
    made = FakeSocket(refuse)
    return made, made  # type: ignore[return-value] # stands in for a socket of another system


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_the_one_method_set(system: type[Platform]) -> None:
    assert public(system) == public(Platform)
    for name in public(Platform):
        promised = getattr(Platform, name)
        if inspect.isfunction(promised):
            ours = inspect.signature(getattr(system, name))
            assert list(ours.parameters) == list(inspect.signature(promised).parameters)
            assert ours.return_annotation is not inspect.Signature.empty


def test_this_system_is_chosen() -> None:
    assert isinstance(PLATFORM, LinuxPlatform)
    assert (PLATFORM.name, PLATFORM.has_batch) == ("linux", True)


def test_linux_numbers_are_those_of_the_socket_module() -> None:
    from harness.net import _linux

    for name in ("IP_PKTINFO", "IP_TTL", "IP_RECVERR", "IPV6_PKTINFO", "IPV6_HOPLIMIT", "IPV6_MULTICAST_IF"):
        assert getattr(_linux, name) == getattr(socket, name, getattr(_linux, name))
    assert _linux.IPV6_RECVPKTINFO == socket.IPV6_RECVPKTINFO
    assert _linux.IP_MULTICAST_IF == socket.IP_MULTICAST_IF


def sockaddr_storage(sockaddr: bytes) -> bytes:
    return sockaddr.ljust(128, b"\0")


LINUX_4 = sockaddr_storage(struct.pack("=H", 2) + bytes([0, 0, 239, 1, 2, 3]) + bytes(8))
LINUX_4_SOURCE = sockaddr_storage(struct.pack("=H", 2) + bytes([0, 0, 10, 0, 0, 1]) + bytes(8))
DARWIN_4 = sockaddr_storage(bytes([16, 2, 0, 0, 239, 1, 2, 3]) + bytes(8))
DARWIN_4_SOURCE = sockaddr_storage(bytes([16, 2, 0, 0, 10, 0, 0, 1]) + bytes(8))
DARWIN_6 = sockaddr_storage(bytes([28, 30]) + bytes(6) + ipaddress.ip_address("ff15::7").packed + bytes(4))
WINDOWS_6 = sockaddr_storage(struct.pack("=H", 23) + bytes(6) + ipaddress.ip_address("ff15::7").packed + bytes(4))
INDEX = struct.pack("=I", 3)


@pytest.mark.parametrize(
    ("system", "membership", "level", "join", "leave", "request_bytes"),
    [
        (LinuxPlatform, V4, 0, 42, 45, INDEX + bytes(4) + LINUX_4),
        (LinuxPlatform, SSM, 0, 46, 47, INDEX + bytes(4) + LINUX_4 + LINUX_4_SOURCE),
        (DarwinPlatform, V4, 0, 80, 81, INDEX + DARWIN_4),
        (DarwinPlatform, SSM, 0, 82, 83, INDEX + DARWIN_4 + DARWIN_4_SOURCE),
        (DarwinPlatform, V6, 41, 80, 81, INDEX + DARWIN_6),
        (WindowsPlatform, V4, 0, 41, 42, INDEX + bytes(4) + LINUX_4),
        (WindowsPlatform, V6, 41, 41, 42, INDEX + bytes(4) + WINDOWS_6),
        (WindowsPlatform, SSM, 0, 45, 46, INDEX + bytes(4) + LINUX_4 + LINUX_4_SOURCE),
    ],
)
def test_joins_are_asked_for_in_each_kernels_structure(
    system: type[Platform], membership: Membership, level: int, join: int, leave: int, request_bytes: bytes
) -> None:
    recorder, sock = fake()
    system().join(sock, membership, 3)
    system().leave(sock, membership, 3)
    assert recorder.set == [(level, join, request_bytes), (level, leave, request_bytes)]
    assert len(request_bytes) in (132, 136, 260, 264)


MULTICAST_4, MULTICAST_6 = V4.group, V6.group
UNICAST_4 = Endpoint(ipaddress.ip_address("10.0.0.9"), 5000)
UNICAST_6 = Endpoint(ipaddress.ip_address("fd00::9"), 5000)
ORDER = struct.pack(">I", 3)


@pytest.mark.parametrize(
    ("system", "destination", "expected"),
    [
        (LinuxPlatform, MULTICAST_4, (0, 32, bytes(8) + INDEX)),
        (LinuxPlatform, MULTICAST_6, (41, 17, 3)),
        (LinuxPlatform, UNICAST_4, (0, 50, ORDER)),
        (LinuxPlatform, UNICAST_6, (41, 76, ORDER)),
        (DarwinPlatform, MULTICAST_4, (0, 66, 3)),
        (DarwinPlatform, MULTICAST_6, (41, 9, 3)),
        (DarwinPlatform, UNICAST_4, (0, 25, 3)),
        (DarwinPlatform, UNICAST_6, (41, 125, 3)),
        (WindowsPlatform, MULTICAST_4, (0, 9, ORDER)),
        (WindowsPlatform, MULTICAST_6, (41, 9, INDEX)),
        (WindowsPlatform, UNICAST_4, (0, 31, ORDER)),
        (WindowsPlatform, UNICAST_6, (41, 31, INDEX)),
    ],
)
def test_pinning_is_asked_for_in_each_kernels_way(
    system: type[Platform], destination: Endpoint, expected: tuple[int, int, int | bytes]
) -> None:
    recorder, sock = fake()
    system().pin(sock, destination, 3)
    assert recorder.set == [expected]


def test_what_is_asked_of_each_kernel_for_receiving() -> None:
    for system, version, expected in (
        (LinuxPlatform, 4, [(1, 2, 1), (0, 49, 0), (0, 8, 1), (0, 12, 1), (1, 40, 1), (1, 35, 1)]),
        (LinuxPlatform, 6, [(1, 2, 1), (41, 29, 0), (41, 49, 1), (41, 51, 1), (1, 40, 1), (1, 35, 1)]),
        (DarwinPlatform, 4, [(0xFFFF, 4, 1), (0xFFFF, 0x200, 1), (0, 26, 1), (0, 24, 1), (0xFFFF, 0x400, 1)]),
        (DarwinPlatform, 6, [(0xFFFF, 4, 1), (0xFFFF, 0x200, 1), (41, 61, 1), (41, 37, 1), (0xFFFF, 0x400, 1)]),
    ):
        recorder, sock = fake()
        system().share_port(sock)
        system().isolate(sock, version)
        assert system().request_ancillary(sock, version) == "kernel"
        assert recorder.set == expected


def test_arrivals_are_implied_only_where_asking_costs_much() -> None:
    for system, version, implied, expected in (
        (LinuxPlatform, 4, [True, False], [(0, 8, 0), (0, 8, 1)]),
        (LinuxPlatform, 6, [False, False], []),
        (DarwinPlatform, 4, [False, False], []),
        (WindowsPlatform, 6, [False, False], []),
    ):
        recorder, sock = fake()
        assert [system().imply_arrival(sock, version, is_implied=one) for one in (True, False)] == implied
        assert recorder.set == expected


@pytest.mark.parametrize(("system", "stamp"), [(LinuxPlatform, (1, 35)), (DarwinPlatform, (0xFFFF, 0x400))])
def test_without_kernel_stamps_the_user_stamps(system: type[Platform], stamp: tuple[int, int]) -> None:
    _, sock = fake({stamp: errno.ENOPROTOOPT})
    assert system().request_ancillary(sock, 4) == "user"


def test_darwin_reads_its_own_control_messages() -> None:
    found = DarwinPlatform().decode(
        [
            (0, 26, struct.pack("=I4s4s", 5, bytes(4), bytes([239, 1, 2, 3]))),
            (0, 24, b"\x21"),
            (0xFFFF, 2, struct.pack("=qi4x", 17, 250_000)),
            (0xFFFF, 99, b"?"),
        ]
    )
    assert found.destination == bytes(10) + b"\xff\xff\xef\x01\x02\x03"
    assert (found.ifindex, found.ttl, found.rx_ns) == (5, 33, 17_250_000_000)
    found = DarwinPlatform().decode([(41, 46, b"d" * 16 + struct.pack("=I", 6)), (41, 47, struct.pack("=i", 64))])
    assert (found.destination, found.ifindex, found.ttl, found.rx_ns) == (b"d" * 16, 6, 64, None)


@pytest.mark.parametrize("system", [DarwinPlatform, WindowsPlatform, LinuxPlatform])
def test_what_each_system_binds_to(system: type[Platform]) -> None:
    addresses = [ipaddress.ip_address(text) for text in ("10.0.0.1", "239.1.2.3", "255.255.255.255", "10.0.0.255")]
    bound = [system().bind_host(address) is not None for address in addresses]
    assert (
        bound
        == {
            "linux": [True, True, True, True],
            "darwin": [True, True, False, True],
            "windows": [True, False, False, False],
        }[system().name]
    )


def test_darwin_joins_no_ipv6_group_without_an_interface() -> None:
    _, sock = fake()
    nowhere = Membership(V6.group)
    with pytest.raises(MembershipError, match=r"ENODEV .*; no route leads to ff15::7: name an interface"):
        DarwinPlatform().join(sock, nowhere, 0)


def test_darwin_halves_a_buffer_that_is_too_large() -> None:
    class Small(FakeSocket):
        def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
            if isinstance(value, int) and value > 3_000_000:
                raise OSError(errno.ENOBUFS, "too large")
            super().setsockopt(level, option, value)

    sock = Small()
    DarwinPlatform().set_receive_buffer(sock, 8_000_000)  # type: ignore[arg-type] # stands in for a socket
    DarwinPlatform().set_send_buffer(sock, 1000)  # type: ignore[arg-type] # stands in for a socket
    assert sock.set == [(0xFFFF, 0x1002, 2_000_000), (0xFFFF, 0x1001, 1000)]
    assert DarwinPlatform().buffer_note(8_000_000, 2_000_000).endswith("raise kern.ipc.maxsockbuf (8 MiB by default)")
    assert DarwinPlatform().buffer_note(8_000_000, 8_000_000) == ""


def test_linux_exceeds_the_limit_only_when_it_may() -> None:
    recorder, sock = fake()
    LinuxPlatform().set_receive_buffer(sock, 9000)
    LinuxPlatform().set_send_buffer(sock, 9000)
    assert recorder.set == [(1, 33, 9000), (1, 32, 9000)]
    recorder, sock = fake({(1, 33): errno.EPERM, (1, 32): errno.EPERM})
    LinuxPlatform().set_receive_buffer(sock, 9000)
    LinuxPlatform().set_send_buffer(sock, 9000)
    assert recorder.set == [(1, 8, 9000), (1, 7, 9000)]


def test_systems_without_drop_counters_say_none() -> None:
    _, sock = fake()
    assert DarwinPlatform().drops(sock) is None
    assert WindowsPlatform().drops(sock) is None
    assert LinuxPlatform().joins_per_socket(6) == 100
    assert DarwinPlatform().joins_per_socket(4) == 512
    assert WindowsPlatform().joins_per_socket(4) == 20


@pytest.mark.parametrize(
    ("number", "membership", "expected"),
    [
        (errno.ENODEV, V4, "cannot join (*, 239.1.2.3) on eth0: ENODEV (No such device); interface eth0 is gone"),
        (errno.EINVAL, SSM, "cannot join (10.0.0.1, 239.1.2.3) on eth0: EINVAL (Invalid argument); 239.1.2.3 is no"),
        (errno.EADDRNOTAVAIL, V4, "cannot join (*, 239.1.2.3) on eth0: EADDRNOTAVAIL (Cannot assign requested "
         "address); the interface has no IPv4 address or takes no multicast; name an interface other than eth0"),
        (errno.EPERM, V6, "cannot join (*, ff15::7) on eth0: EPERM (Operation not permitted); a security policy"),
        (errno.ENOBUFS, V6, "cannot join (*, ff15::7) on eth0: ENOBUFS (No buffer space available); raise the limit"),
        (errno.ENOPROTOOPT, V6, "cannot join (*, ff15::7) on eth0: ENOPROTOOPT (Protocol not available); IPv6 multi"),
        (errno.EIO, V4, "cannot join (*, 239.1.2.3) on eth0: EIO (Input/output error)"),
    ],
)  # fmt: skip
def test_every_refusal_of_a_join_says_what_helps(number: int, membership: Membership, expected: str) -> None:
    refusal = membership_error("join", membership, OSError(number, ""), "raise the limit")
    assert str(refusal).startswith(expected)
    assert refusal.errno == number
    assert isinstance(refusal, HarnessError)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_refused_join_is_a_membership_error_on_every_system(system: type[Platform]) -> None:
    options = {"linux": 42, "darwin": 80, "windows": 41}
    _, sock = fake({(0, options[system().name]): errno.ENOBUFS})
    with pytest.raises(MembershipError, match=r"cannot join \(\*, 239.1.2.3\) on eth0: ENOBUFS .*; .*membership"):
        system().join(sock, V4, 3)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOPROTOOPT, errno.EINVAL, errno.ENODEV,
                                    errno.ENXIO, errno.EADDRNOTAVAIL, errno.ENOBUFS])  # fmt: skip
def test_a_refused_option_names_option_value_and_remedy(number: int) -> None:
    _, sock = fake({(0, 32): number})
    with pytest.raises(SocketOptionError) as refusal:
        LinuxPlatform().pin(sock, MULTICAST_4, 3)
    assert (refusal.value.option, refusal.value.value, refusal.value.errno) == ("IP_MULTICAST_IF", "index 3", number)
    assert refusal.value.remedy == option_remedy(number) != ""


@pytest.fixture
def loop_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rx,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tx,
    ):
        rx.bind(("127.0.0.1", next_port()))
        rx.setblocking(False)
        tx.connect(rx.getsockname())
        yield rx, tx


@pytest.mark.parametrize("system", [DarwinPlatform, WindowsPlatform])
def test_the_portable_path_reads_with_the_methods_of_other_systems(
    system: type[Platform], loop_pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    rx, tx = loop_pair
    monkeypatch.setattr("harness.net.batch_portable.PLATFORM", system())
    reader = PortableReader(rx, width=10, capacity=4)
    for size in (0, 9, 10, 11, 3000):
        tx.send(bytes(range(256)) * 12 if size == 3000 else bytes(range(size)))
    batch = reader.read()
    assert batch is not None
    assert batch.meta["size"].tolist() == [0, 9, 10, 11]
    assert batch.kept.tolist() == [0, 9, 10, 10]
    assert [bytes(row[:kept]) for row, kept in zip(batch.data, batch.kept, strict=True)] == [
        bytes(range(kept)) for kept in batch.kept
    ]
    rest = reader.read()
    assert rest is not None
    assert rest.meta["size"].tolist() == [3072]
    assert reader.read() is None
    assert np.array_equal(rest.meta["source_port"], [tx.getsockname()[1]])


def test_a_pending_error_of_the_socket_does_not_end_reading(
    loop_pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    rx, tx = loop_pair
    errors = [errno.ECONNRESET, errno.ECONNREFUSED]

    class Grumbling(LinuxPlatform):
        def read_one(self, *arguments: object) -> object:  # type: ignore[override] # only passes on
            if errors:
                raise OSError(errors.pop(), "an earlier datagram's")
            return super().read_one(*arguments)  # type: ignore[arg-type] # only passes on

    monkeypatch.setattr("harness.net.batch_portable.PLATFORM", Grumbling())
    tx.send(b"x")
    batch = PortableReader(rx, width=10, capacity=4).read()
    assert batch is not None
    assert len(batch) == 1


class FakeWsaRecvMsg:
    """Answers like Windows' own function, from a list of (source, payload, control messages) or error numbers."""

    def __init__(self, answers: list[tuple[bytes, bytes, bytes] | int]) -> None:
        self.answers = answers

    def __call__(self, _fd: int, message: object, n_bytes: object, *_overlapped: None) -> int:
        if isinstance(self.answers[0], int):
            return -1
        source, payload, control = self.answers.pop(0)  # type: ignore[misc] # no number, as was just seen
        told = ctypes.cast(message, ctypes.POINTER(WsaMsg)).contents  # type: ignore[arg-type] # a byref object
        n_payload = len(payload)
        ctypes.memmove(told.name, source, len(source))
        for buffer in told.buffers[: told.n_buffers]:
            part, payload = payload[: buffer.length], payload[buffer.length :]
            ctypes.memmove(buffer.start, part, len(part))
        ctypes.memmove(told.control.start, control, len(control))
        told.control.length = len(control)
        size = ctypes.cast(n_bytes, ctypes.POINTER(ctypes.c_uint32)).contents  # type: ignore[arg-type] # a byref object
        size.value = n_payload
        return 0


def cmsg(level: int, kind: int, data: bytes) -> bytes:
    packed = struct.pack("=QII", 16 + len(data), level, kind) + data
    return packed + bytes(-len(packed) % 8)


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the structures of 64-bit Windows")
def test_windows_reads_by_its_own_recvmsg(
    loop_pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    rx, _ = loop_pair
    group4 = cmsg(0, 19, bytes([239, 1, 2, 3]) + INDEX) + cmsg(0, 21, struct.pack("=i", 33))
    group6 = cmsg(41, 19, ipaddress.ip_address("ff15::7").packed + INDEX) + cmsg(41, 21, struct.pack("=i", 34))
    from4 = struct.pack("=H", 2) + bytes([0x13, 0x88, 10, 0, 0, 1])
    from6 = struct.pack("=H", socket.AF_INET6) + bytes([0x13, 0x89]) + bytes(4) + ipaddress.ip_address("fd00::1").packed
    function = FakeWsaRecvMsg([(from4, b"0123456789abc", group4), (from6, b"xyz", group6), 10035])
    system = WindowsPlatform()
    monkeypatch.setattr("harness.net._windows.find_function", lambda _: function)
    recorder, asked = fake({(0, 21): errno.EINVAL})
    assert system.request_ancillary(asked, 4) == "user"
    assert recorder.set == [(0, 19, 1)]
    assert system.request_ancillary(asked, 6) == "user"
    assert recorder.set[1:] == [(41, 19, 1), (41, 21, 1)]
    monkeypatch.setattr(system._receiver, "_error", lambda: function.answers[0])
    monkeypatch.setattr("harness.net.batch_portable.PLATFORM", system)
    batch = PortableReader(rx, width=10, capacity=4).read()
    assert batch is not None
    assert [address_text(row.tobytes()) for row in batch.meta["destination"]] == ["239.1.2.3", "ff15::7"]
    assert [address_text(row.tobytes()) for row in batch.meta["source"]] == ["10.0.0.1", "fd00::1"]
    assert batch.meta["source_port"].tolist() == [5000, 5001]
    assert (batch.meta["ifindex"].tolist(), batch.meta["ttl"].tolist()) == ([3, 3], [33, 34])
    assert (batch.meta["size"].tolist(), batch.kept.tolist()) == ([13, 3], [10, 3])
    assert [bytes(row[:kept]) for row, kept in zip(batch.data, batch.kept, strict=True)] == [b"0123456789", b"xyz"]
    assert batch.meta["flags"].tolist() == [PacketFlag.TRUNCATED | PacketFlag.USER_STAMP, PacketFlag.USER_STAMP]
    function.answers[0] = 10050
    with pytest.raises(OSError, match="WSARecvMsg"):
        PortableReader(rx, width=10, capacity=4).read()


def test_windows_control_messages_that_are_cut_off_end_the_list() -> None:
    whole = cmsg(0, 21, struct.pack("=i", 33)) + cmsg(0, 19, bytes(8))
    assert split(whole) == [(0, 21, struct.pack("=i", 33)), (0, 19, bytes(8))]
    assert split(whole[:30]) == [(0, 21, struct.pack("=i", 33))]
    assert split(struct.pack("=QII", 3, 0, 19)) == split(b"") == []


def test_the_structures_of_windows_have_their_sizes() -> None:
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert (ctypes.sizeof(WsaBuf), ctypes.sizeof(WsaMsg)) == (16, 56)
    assert uuid.UUID(bytes_le=WSAID_WSARECVMSG) == uuid.UUID("f689d7c8-6f1f-436b-8a53-e54fe351c322")
