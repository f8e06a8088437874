"""A switch with two hosts, made of real namespaces, and what the tests ask of it."""

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from netns import Namespace, require_lab, run

from harness.lab.router import Router
from harness.model.lab import MulticastRoute
from protocols.probe import FLAG_END, fill_probes

GROUP4, GROUP6 = f"239.255.{os.getpid() % 200 + 20}.7", f"ff15::{os.getpid():x}:7"
OTHER4 = f"239.255.{os.getpid() % 200 + 20}.8"
PORT = int(os.environ.get("IMPAIRMENT_LAB_PORT", 20000 + os.getpid() % 20000))
"""A program that a test starts uses its test's."""
LIMIT_S = 8.0
"""How long evidence may take to appear; all of it does within a second."""


class SwitchLab:
    """Hosts tx (10.77.0.1, fd77::1) and rx (10.77.0.2, fd77::2) at ports ptx and prx of the switch sw.

    It is a `harness.lab.place.Lab`.
    """

    def __init__(self, *, querier: bool = True) -> None:
        self.spaces = {name: Namespace() for name in ("sw", "tx", "rx")}
        self.log: list[dict[str, object]] = []
        self.groups: dict[str, Path] = {}
        self.pids: dict[str, list[int]] = {}
        self.routers: dict[str, Router] = {}
        self.recreated: list[str] = []
        switch = self.spaces["sw"]
        switch.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
        switch.ip("link", "set", "br0", "type", "bridge", "mcast_query_response_interval", "20")
        settings = "mcast_query_interval 100 mcast_startup_query_interval 25 mcast_membership_interval 400"
        settings += " mcast_last_member_interval 10"
        settings += " mcast_querier_interval 200 mcast_igmp_version 3 mcast_mld_version 2 mcast_query_use_ifaddr 1"
        switch.ip("link", "set", "br0", "type", "bridge", *settings.split())
        switch.ip("address", "add", "10.77.0.250/24", "dev", "br0")
        switch.ip("link", "set", "br0", "addrgenmode", "none")
        switch.ip("address", "add", "fe80::ff/64", "dev", "br0", "nodad")
        switch.ip("link", "set", "br0", "up")
        for number, host in enumerate(("tx", "rx"), 1):
            self._plug_in(host, number)
        for host in ("tx", "rx"):
            self.spaces[host].wait_until_up("eth0")
            switch.wait_until_up(f"p{host}")
        switch.ip("link", "set", "br0", "type", "bridge", "mcast_querier", str(int(querier)))
        for host in ("tx", "rx"):
            run("bridge", "-n", switch.name, "link", "set", "dev", f"p{host}", "mcast_flood", "off")

    def _plug_in(self, host: str, number: int) -> None:
        switch, space = self.spaces["sw"], self.spaces[host]
        switch.ip("link", "add", f"p{host}", "type", "veth", "peer", "name", "eth0", "netns", space.name)
        switch.ip("link", "set", f"p{host}", "addrgenmode", "none", "master", "br0", "up")
        space.ip("address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        space.ip("address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
        space.ip("link", "set", "eth0", "addrgenmode", "none")
        space.ip("address", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
        space.ip("link", "set", "eth0", "up")

    def namespace(self, host_or_switch: str) -> str:
        return self.spaces[host_or_switch].name

    def interface(self, place: str) -> tuple[str, str]:
        host, _, interface = place.partition(":")
        return self.namespace(host), interface

    def far_end(self, place: str) -> tuple[str, str]:
        host, _, interface = place.partition(":")
        return {"eth0": (self.namespace("sw"), f"p{host}")}[interface]

    def bridge(self, switch: str) -> tuple[str, str]:
        return self.namespace(switch), "br0"

    def addresses(self, place: str) -> list[str]:
        return {"tx": ["10.77.0.1/24", "fd77::1/64"], "rx": ["10.77.0.2/24", "fd77::2/64"]}[place.partition(":")[0]]

    def cgroup(self, host: str) -> Path | None:
        return self.groups.get(host)

    def agents(self, host: str) -> list[int]:
        return self.pids.get(host, [])

    def router(self, host: str) -> Router:
        return self.routers[host]

    async def recreate(self, place: str) -> None:
        self.recreated.append(place)

    def mdb(self, group: str | None = None, port: str = "prx") -> list[dict[str, object]]:
        """Return the switch's entries of a port, of one group or of all."""
        tables = json.loads(bridge_tool(self.namespace("sw"), "mdb", "show", "dev", "br0"))
        entries = [entry for table in tables for entry in table["mdb"] if entry["port"] == port]
        return [entry for entry in entries if group in (None, entry["grp"])]

    @contextmanager
    def left_clean(self) -> Iterator[None]:
        """A test begins with an empty truth log, and ends as `check_clean` says."""
        self.log.clear()
        yield
        self.check_clean()

    def check_clean(self) -> None:
        """Fail if an impairment left rules or queues behind, and remove them for the next test's sake."""
        left = ""
        for space in self.spaces.values():
            rules = in_space(space, "nft", "list", "ruleset")
            queues = run("tc", "-n", space.name, "qdisc", "show", "invisible")
            left += rules + "".join(line for line in queues.splitlines() if "noqueue" not in line)
            if rules:
                in_space(space, "nft", "flush", "ruleset")
        assert left == ""

    def remove(self) -> None:
        for space in self.spaces.values():
            space.remove()


@contextmanager
def switch_lab() -> Iterator[SwitchLab]:
    """Yield a lab for a module's tests, which is gone afterwards; skips or fails without namespaces."""
    require_lab()
    lab = SwitchLab()
    yield lab
    lab.remove()


def bridge_tool(namespace: str, *arguments: str) -> str:
    return run("bridge", "-j", "-n", namespace, *arguments) or "[]"


def in_space(space: Namespace, *command: str) -> str:
    return run(*space.command(*command))


def wait_until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait for evidence."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)


def probe(number: int, size: int = 64, flags: int = 0) -> bytes:
    out = np.zeros((1, size), np.uint8)
    fill_probes(
        out,
        stream_id=1,
        epoch=2,
        seq=np.array([number]),
        tx_ns=np.array([time.time_ns()]),
        schedule_start_ns=0,
        interval_ns=1,
        flags=flags,
    )
    return out.tobytes()


def end_probe(count: int) -> bytes:
    return probe(count, flags=FLAG_END)


def number_of(data: bytes) -> int:
    return int.from_bytes(data[16:24], "big")


class Listener:
    """A member of a group in a host, and what it has heard."""

    def __init__(self, space: Namespace, group: str, interface: str = "eth0") -> None:
        self.group = group
        with space.inside():
            index = socket.if_nametoindex(interface)
            family = socket.AF_INET6 if ":" in group else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self.sock.bind((group, PORT, 0, index) if ":" in group else (group, PORT))
            self.join(index)
        self.sock.settimeout(0.0)

    def join(self, index: int) -> None:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in self.group else socket.AF_INET, self.group)
        if ":" in self.group:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("@I", index))
        else:
            self.sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + struct.pack("=4si", bytes(4), index)
            )

    def heard(self) -> list[int]:
        """Return the numbers of all probes that have arrived since the last call; veth delivers within the send."""
        numbers = []
        while True:
            try:
                numbers.append(number_of(self.sock.recv(65536)))
            except BlockingIOError:
                return numbers

    def close(self) -> None:
        self.sock.close()


class Speaker:
    """A sender of probes in a host."""

    def __init__(self, space: Namespace, group: str, interface: str = "eth0", report_errors: bool = False) -> None:
        self.destination = (group, PORT)
        with space.inside():
            index = socket.if_nametoindex(interface)
            family = socket.AF_INET6 if ":" in group else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_DGRAM)
            if ":" in group:
                self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                pinned = struct.pack("=4s4si", bytes(4), bytes(4), index)
                self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, pinned)
            if report_errors:
                self.sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR

    def say(self, numbers: range, size: int = 64) -> None:
        for number in numbers:
            self.sock.sendto(probe(number, size), self.destination)

    def errno(self, number: int = 0) -> int:
        """Send one probe and return the error number, 0 for none."""
        try:
            self.sock.sendto(probe(number), self.destination)
        except OSError as exc:
            return exc.errno or -1
        return 0

    def close(self) -> None:
        self.sock.close()


class Tap:
    """A packet socket at an interface: what a capture on that host would show of our probes."""

    def __init__(self, space: Namespace, interface: str = "eth0") -> None:
        with space.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))  # ETH_P_ALL
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self.sock.bind((interface, 0x0003))
        self.sock.settimeout(0.0)

    def packets(self) -> list[bytes]:
        """Return the IP packets seen since the last call."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(65536))
            except BlockingIOError:
                return found

    def seen(self) -> list[int]:
        """Return the numbers of the probes seen since the last call."""
        probes = [packet.partition(b"MCpr") for packet in self.packets() if b"MCpr" in packet]
        return [number_of(magic + rest) for _, magic, rest in probes]

    def close(self) -> None:
        self.sock.close()


@contextmanager
def conversation(lab: SwitchLab, group: str = GROUP4) -> Iterator[tuple[Speaker, Listener, Tap, Tap]]:
    """A member in rx that the switch knows of, a sender in tx, and a tap in each."""
    with ExitStack() as stack:
        listener = Listener(lab.spaces["rx"], group)
        stack.callback(listener.close)
        speaker = Speaker(lab.spaces["tx"], group)
        stack.callback(speaker.close)
        taps = [Tap(lab.spaces[host]) for host in ("tx", "rx")]
        for tap in taps:
            stack.callback(tap.close)
        wait_until(lambda: lab.mdb(group), f"membership of {group} at the switch")
        # the switch trusts its table only when the answers to its first query had their time
        wait_until(lambda: speaker.errno(0) == 0 and listener.heard(), f"the first probe to {group}")
        for tap in taps:
            tap.seen()
        yield speaker, listener, taps[0], taps[1]


def only_route(incoming: str, outgoing: list[str], source: str, group: str) -> MulticastRoute:
    return MulticastRoute(group=group, source=source, incoming=incoming, outgoing=outgoing)
