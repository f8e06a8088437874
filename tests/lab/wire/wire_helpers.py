"""What the wire's tests share: frames built by hand, and hosts at both ends of a real wire."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

import msgspec
import trio
from netns import Namespace, require_lab

from harness.lab.wire import End, Limit, Wire, WireSpec, parse_wire
from protocols.probe import SCHEMA

LIMIT = Limit(kind="tap", pps=100_000, size=242, n_frames=1)
"""Given to wires so that not each test process measures; the measurement has tests of its own."""

PORT = 5000
GROUP_V4, GROUP_V6 = "239.255.201.7", "ff15::c907"


def spec_of(text: str) -> WireSpec:
    """Return the wire in a TOML text, as its process gets it: by way of JSON."""
    return msgspec.json.decode(msgspec.json.encode(parse_wire(text, "wire.toml")), type=WireSpec)


def checksum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = 0
    for place in range(0, len(data), 2):
        total += int.from_bytes(data[place : place + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_checksum_errors(frame: bytes, start: int = 14) -> int:
    """Return 0 when the UDP checksum of an IPv4 or IPv6 frame without extensions fits."""
    is_v4 = frame[start] >> 4 == 4
    addresses = frame[start + 12 : start + 20] if is_v4 else frame[start + 8 : start + 40]
    udp = frame[start + (20 if is_v4 else 40) :]
    return checksum(addresses + struct.pack("!HH", 17, len(udp)) + udp)


def udp_frame(
    payload: bytes, to: str = "239.1.2.3", port: int = PORT, *, fragment: int = 0, tag: bool = False
) -> bytes:
    """Return a frame with a UDP datagram, its checksum right; `fragment` is IPv4's flags and offset."""
    address = ipaddress.ip_address(to)
    source = ipaddress.ip_address("10.0.0.1" if address.version == 4 else "fd00::1")
    length = 8 + len(payload)
    head = struct.pack("!HHH", 4000, port, length)
    pseudo = source.packed + address.packed + struct.pack("!HH", 17, length)
    udp = head + (checksum(pseudo + head + b"\0\0" + payload) or 0xFFFF).to_bytes(2, "big") + payload
    if address.version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, fragment, 1, 17, 0) + source.packed + address.packed
    else:
        ip = struct.pack("!IHBB", 6 << 28, length, 17, 1) + source.packed + address.packed
    ether_type = b"\x08\0" if address.version == 4 else b"\x86\xdd"
    return bytes(12) + (b"\x81\0\0\7" if tag else b"") + ether_type + ip + udp


@lru_cache(50_000)
def probe(seq: int, *, stream: int = 7, size: int = 80, end: bool = False) -> bytes:
    """Return a probe's bytes; its check is left at 0, which the wire does not read."""
    fields = {"flags": {"end": end}, "stream_id": stream, "epoch": 9, "sequence": seq, "sent_ns": 0}
    fields |= {"schedule_start_ns": 0, "interval_ns": 0, "count": 0, "check": 0, "payload": bytes(size - 64)}
    built: bytes = SCHEMA.build(fields)
    return built


class Site:
    """Two hosts and a wire's two ends."""

    def __init__(self, stack: ExitStack, first: Namespace, second: Namespace, ends: tuple[End, End]) -> None:
        self._stack, self.first, self.second, self.ends = stack, first, second, ends

    def keep(self, sock: socket.socket) -> socket.socket:
        """Have a socket closed at the end of the test."""
        return self._stack.enter_context(sock)

    def sender(self) -> dict[int, socket.socket]:
        """Return sockets of the first host by IP version that send multicast out of eth0."""
        with self.first.inside():
            index = socket.if_nametoindex("eth0")
            v4 = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            v6 = self.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        v4.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", bytes(4), bytes(4), index))
        v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        return {4: v4, 6: v6}

    def receiver(self) -> dict[int, socket.socket]:
        """Return sockets of the second host by IP version that have joined the groups and hold whole streams."""
        with self.second.inside():
            index = socket.if_nametoindex("eth0")
            v4 = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            v6 = self.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        for sock in (v4, v6):
            sock.setsockopt(socket.SOL_SOCKET, 33, 128 << 20)  # SO_RCVBUFFORCE
            sock.setblocking(False)
        v4.bind((GROUP_V4, PORT))
        v6.bind((GROUP_V6, PORT))
        join = struct.pack("@4s4si", socket.inet_aton(GROUP_V4), bytes(4), index)
        v4.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        group = socket.inet_pton(socket.AF_INET6, GROUP_V6)
        v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@i", index))
        return {4: v4, 6: v6}

    def wire(self, spec: str, truth: Path, limit: Limit | None = LIMIT) -> Wire:
        return Wire(spec_of(spec), self.ends, truth, limit=limit)

    def address(self) -> None:
        """Give the hosts their addresses; TAP devices are there only while the wire is."""
        if self.ends[0].kind == "tap":
            for number, host in enumerate((self.first, self.second), 1):
                host.ip("link", "set", "eth0", "addrgenmode", "none")
                host.ip("addr", "add", f"10.66.0.{number}/24", "dev", "eth0")
                host.ip("addr", "add", f"fd66::{number}/64", "dev", "eth0", "nodad")


@contextmanager
def site(kind: str) -> Iterator[Site]:
    """Yield two hosts between which a wire of a kind can be laid."""
    require_lab()
    with ExitStack() as stack:

        def namespace() -> Namespace:
            made = Namespace()
            stack.callback(made.remove)
            return made

        first, second = namespace(), namespace()
        if kind == "tap":
            yield Site(stack, first, second, (End(first.name, "eth0"), End(second.name, "eth0")))
            return
        middle = namespace()
        for number, (host, end) in enumerate(((first, "left"), (second, "right")), 1):
            host.ip("link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", middle.name)
            for side, name in ((host, "eth0"), (middle, end)):
                side.ip("link", "set", name, "addrgenmode", "none")
                side.ip("link", "set", name, "up")
            host.ip("addr", "add", f"10.66.0.{number}/24", "dev", "eth0")
            host.ip("addr", "add", f"fd66::{number}/64", "dev", "eth0", "nodad")
            host.wait_until_up("eth0")
        yield Site(stack, first, second, (End(middle.name, "left", "packet"), End(middle.name, "right", "packet")))


def waiting(sock: socket.socket) -> list[bytes]:
    """Return what waits in a socket."""
    found = []
    while True:
        try:
            found.append(sock.recv(65_536))
        except BlockingIOError:
            return found


async def send_paced(sock: socket.socket, to: tuple[str, int], payloads: list[bytes], pps: float) -> None:
    """Send datagrams, a handful at a time, at a mean rate."""
    start = trio.current_time()
    for number, payload in enumerate(payloads):
        if number % 8 == 0:
            await trio.sleep_until(start + number / pps)
        sock.sendto(payload, to)
