"""Network namespaces for tests of several folders: made here, removed by name, and nothing else is touched."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

CLONE_NEWNET = 0x40000000


def missing_capability() -> str:
    """Return what this machine lacks for namespaces, or ""."""
    if sys.platform != "linux":
        return "Linux network namespaces"
    if os.geteuid() != 0:
        return "root"
    return "" if shutil.which("ip") else "the ip command (iproute2)"


def require(missing: str) -> None:
    """Skip the test with the name of what is missing, or fail where the lab is required; "" goes on."""
    if missing and "lab" in os.environ.get("HARNESS_REQUIRE", ""):
        pytest.fail(f"the lab is required here, and lacks {missing}")
    if missing:
        pytest.skip(f"needs {missing}")


def require_lab() -> None:
    """Skip or fail without namespaces."""
    require(missing_capability())


class Namespace:
    """One network namespace with its loopback up."""

    def __init__(self) -> None:
        self.name = f"hn{os.getpid()}-{uuid.uuid4().hex[:6]}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        """Run the ip command inside."""
        return run("ip", "-n", self.name, *arguments)

    def wait_until_up(self, interface: str, is_up: bool = True) -> None:
        """Wait until the link's state has been worked out, which the kernel does up to a second later."""
        for _ in range(400):
            (link,) = json.loads(self.ip("-j", "link", "show", "dev", interface))
            if (link["operstate"] == "UP") is is_up:
                return
            time.sleep(0.005)
        pytest.fail(f"{interface} did not come {'up' if is_up else 'down'}")

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs `arguments` inside."""
        return ["ip", "netns", "exec", self.name, *arguments]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have the sockets that this thread opens in the block belong to the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            assert libc.setns(there, CLONE_NEWNET) == 0
            yield
        finally:
            assert libc.setns(home, CLONE_NEWNET) == 0
            os.close(home)
            os.close(there)

    def remove(self) -> None:
        run("ip", "netns", "del", self.name)
        assert self.name not in run("ip", "netns", "list")


@contextmanager
def namespaces(n: int) -> Iterator[list[Namespace]]:
    """Yield so many namespaces, which are gone afterwards; skips or fails without them."""
    require_lab()
    with ExitStack() as stack:
        made: list[Namespace] = []
        for _ in range(n):
            made.append(Namespace())
            stack.callback(made[-1].remove)
        yield made


@contextmanager
def cabled() -> Iterator[tuple[Namespace, Namespace]]:
    """Yield two namespaces joined by a cable, see `cable`; they are gone afterwards."""
    with namespaces(2) as (tx, rx):
        cable(tx, rx)
        yield tx, rx


def cable(tx: Namespace, rx: Namespace, number: int = 0) -> None:
    """Join two namespaces by a veth pair, up at both ends.

    Number n makes tx{n} with 10.{77+n}.0.1 and fd{77+n}::1 in the first, rx{n} with .2 and ::2 in the second.
    """
    tx.ip("link", "add", f"tx{number}", "type", "veth", "peer", "name", f"rx{number}", "netns", rx.name)
    for end, (side, name) in enumerate(((tx, f"tx{number}"), (rx, f"rx{number}")), 1):
        side.ip("addr", "add", f"10.{77 + number}.0.{end}/24", "dev", name)
        side.ip("addr", "add", f"fd{77 + number}::{end}/64", "dev", name, "nodad")
        side.ip("link", "set", name, "addrgenmode", "none")
        side.ip("link", "set", name, "up")
    tx.wait_until_up(f"tx{number}")
    rx.wait_until_up(f"rx{number}")


def run(*command: str) -> str:
    """Run a command to its end and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
