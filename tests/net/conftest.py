"""Fixtures of the socket tests: namespaces, and the watch over open files."""

import os
from collections.abc import Iterator

import pytest
from netns import Namespace, require_lab


def open_sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(("socket:", "anon_inode:[timerfd]")):
            found.add(f"{fd} {target}")
    return found


@pytest.fixture(autouse=True)
def no_socket_is_left_open() -> Iterator[None]:
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with nothing but a loopback, which carries IPv4 and IPv6 multicast."""
    require_lab()
    made = Namespace()
    made.ip("-6", "route", "add", "local", "ff00::/8", "dev", "lo", "table", "local")
    yield made
    made.remove()


@pytest.fixture
def veth_pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces joined by a cable: tx0 10.77.0.1 fd77::1 in the first, rx0 10.77.0.2 fd77::2 in the second."""
    require_lab()
    tx, rx = Namespace(), Namespace()
    tx.ip("link", "add", "tx0", "type", "veth", "peer", "name", "rx0", "netns", rx.name)
    for number, (side, name) in enumerate(((tx, "tx0"), (rx, "rx0")), 1):
        side.ip("addr", "add", f"10.77.0.{number}/24", "dev", name)
        side.ip("addr", "add", f"fd77::{number}/64", "dev", name, "nodad")
        side.ip("link", "set", name, "addrgenmode", "none")
        side.ip("link", "set", name, "up")
    tx.wait_until_up("tx0")
    rx.wait_until_up("rx0")
    yield tx, rx
    tx.remove()
    rx.remove()
