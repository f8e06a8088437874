"""Where the bench runs: two namespaces joined by a veth pair when root, else loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError

_READY_TRIES = 200


@dataclass(frozen=True, slots=True)
class Side:
    """One end: how a command gets there, its interface and address."""

    prefix: tuple[str, ...]
    interface: str
    address: str
    proc_net: Path = Path("/proc/net")

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return a command that runs on this side."""
        return [*self.prefix, *arguments]


@dataclass(frozen=True, slots=True)
class Place:
    """Both ends, and what to call them."""

    name: str
    tx: Side
    rx: Side
    is_private: bool = field(default=True)
    """Whether no other traffic can be here, so that the kernel's counters are the bench's alone."""


LOOPBACK = Place("loopback", Side((), "lo", "127.0.0.1"), Side((), "lo", "127.0.0.1"), is_private=False)


def can_make_namespaces() -> bool:
    """Return whether this user can make network namespaces: root on Linux with iproute2."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("ip") is not None


@contextmanager
def place_for_bench(use_loopback: bool = False) -> Iterator[Place]:
    """Make the place and remove it by name at the end, also after Ctrl-C or an error.

    Raises:
      HarnessError: the namespaces cannot be made.
    """
    if use_loopback or not can_make_namespaces():
        yield LOOPBACK
        return
    stem = f"hb{os.getpid()}-{secrets.token_hex(3)}"
    tx, rx = f"{stem}-tx", f"{stem}-rx"
    made: list[str] = []
    anchors: list[subprocess.Popen[bytes]] = []
    try:
        for name in (tx, rx):
            made.append(name)  # before it is made: an interruption in between must not leave it behind
            _ip("netns", "add", name)
        _ip("-n", tx, "link", "add", "tx0", "type", "veth", "peer", "name", "rx0", "netns", rx)
        for namespace, interface, address in ((tx, "tx0", "10.77.0.1"), (rx, "rx0", "10.77.0.2")):
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", interface)
            _ip("-n", namespace, "link", "set", interface, "up")
            _ip("-n", namespace, "route", "add", "224.0.0.0/4", "dev", interface)
        for namespace, interface in ((tx, "tx0"), (rx, "rx0")):
            _wait_until_up(namespace, interface)
        # a process in each namespace, by which its counters are read at any time
        anchors += [subprocess.Popen(["ip", "netns", "exec", name, "sleep", "3600"]) for name in (tx, rx)]
        counters = [Path(f"/proc/{anchor.pid}/net") for anchor in anchors]
        _wait_until_inside(counters)
        yield Place(
            "veth between two namespaces",
            Side(("ip", "netns", "exec", tx), "tx0", "10.77.0.1", counters[0]),
            Side(("ip", "netns", "exec", rx), "rx0", "10.77.0.2", counters[1]),
        )
    finally:
        for anchor in anchors:
            anchor.kill()
            anchor.wait()
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError) as exc:
        reason = getattr(exc, "stderr", None) or exc
        raise HarnessError(f"cannot make the bench's namespaces: ip {' '.join(arguments)}: {reason}".strip()) from exc
    return done.stdout


def _wait_until_up(namespace: str, interface: str) -> None:
    """Wait for the link's state, which the kernel works out up to a second later."""
    for _ in range(_READY_TRIES):
        if "state UP" in _ip("-n", namespace, "link", "show", "dev", interface):
            return
        time.sleep(0.01)
    raise HarnessError(f"the bench's interface {interface} did not come up within 2 s")


def _wait_until_inside(proc_nets: list[Path]) -> None:
    """Wait until the anchors have entered their namespaces: then their interface is listed there."""
    for _ in range(_READY_TRIES):
        listed = [(path / "dev").read_text(encoding="ascii") for path in proc_nets]
        if all(f"{name}:" in text for name, text in zip(("tx0", "rx0"), listed, strict=True)):
            return
        time.sleep(0.01)
    raise HarnessError("the bench's namespaces could not be entered within 2 s")
