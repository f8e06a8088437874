"""A controller's lab of one guest: switch, sender, persistent disk, and a record of its own of every boot."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from harness.errors import LabError
from harness.lab.guest.beside import beside
from harness.lab.guest.cache import in_use
from harness.lab.guest.machine import Card, Hardware, Image, Machine, running
from harness.lab.guest.network import GuestNetwork
from harness.lab.guest.readback import read_back
from harness.lab.guest.roots import data_disk

ADDRESS = "10.77.0.2/24"
DISK_BYTES = 64 << 20
_PREFIX = "multicast-harness-guest-"
_SENDER_UP_S = 20.0


@dataclass(frozen=True, slots=True)
class BootSeen:
    """A boot of which the guest has told.

    Attributes:
      number: the guest's own count, from 1. boot_id: the kernel's.
      seen_ns: when the line came, host's realtime. uptime_ns: the guest's time since its kernel started, then.
      powered_ns: when the machine was switched on or reset for it, host's realtime.
    """

    number: int
    boot_id: str
    seen_ns: int
    uptime_ns: int
    powered_ns: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file that the guest's kernel called safe: so many bytes from its start, with this CRC-32."""

    path: str
    size: int
    crc: int


@dataclass(slots=True)
class Told:
    """Everything that the guest has said on its second serial port, and the waiting for it.

    Attributes:
      boots, synced: in the order in which they came.
      n_deaf: of each boot with deaf sockets, how many packets the kernel had kept from them when they were left alone.
      n_failed: how often its command ended with neither success nor the end of all; failed: set by the first.
      powered_ns: when the machine was switched on or reset last, host's realtime.
      wakeup: set, and replaced, with each line.
    """

    boots: list[BootSeen] = field(default_factory=list)
    synced: list[Synced] = field(default_factory=list)
    n_failed: int = 0
    failed: trio.Event = field(default_factory=trio.Event)
    powered_ns: int = 0
    n_deaf: list[int] = field(default_factory=list)
    wakeup: trio.Event = field(default_factory=trio.Event)

    def take(self, line: bytes) -> None:
        """Take one line; what is no JSON is the torn end of a boot that was cut."""
        try:
            value = json.loads(line)
            event = value["event"]
        except (ValueError, TypeError, KeyError):
            return
        if event == "up":
            uptime_ns = round(float(value["uptime_s"]) * 1e9)
            seen = BootSeen(value["number"], value["boot_id"], time.time_ns(), uptime_ns, self.powered_ns)
            self.boots.append(seen)
        elif event == "synced":
            self.synced.append(Synced(value["path"], value["size"], value["crc"]))
        elif event == "deaf":
            self.n_deaf.append(value["n_dropped"])
        elif event == "failed":
            self.n_failed += 1
            self.failed.set()
        self.wakeup.set()
        self.wakeup = trio.Event()


class GuestLab:
    """One guest with its network and its disk; use `guest_lab`.

    Attributes:
      folder: everything of this run; gone with the lab unless it was given.
      told: what the guest has said. network: switch and sender.
      n_flushes: how often machines that are off by now had asked for their data to be safe.
    """

    def __init__(self, image: Image, folder: Path, network: GuestNetwork, chance: random.Random) -> None:
        self.image, self.folder, self.network = image, folder, network
        self.told = Told()
        self.card = Card(network.switch, ADDRESS)
        self.disk = folder / "data.img"
        self.console = folder / "console.log"
        self.n_flushes = 0
        self._chance = chance

    @asynccontextmanager
    async def power_on(self, hardware: Hardware | None = None, *, is_plugged: bool = True) -> AsyncIterator[Machine]:
        """Yield the guest's machine, just switched on; it is off when the block has ended.

        Args:
          hardware: of this boot and those after it, as long as the machine is only reset.
          is_plugged: whether its cable is in the switch from the start.

        Raises:
          LabError: QEMU does not start.
        """
        self.told.powered_ns = time.time_ns()
        hardware = hardware or Hardware()
        async with running(
            self.image, self.card, hardware, self.disk, console=self.console, on_line=self.told.take
        ) as machine:
            if is_plugged:
                await machine.plug()
            async with beside() as nursery:
                nursery.start_soon(self._watch_resets, machine)
                try:
                    yield machine
                finally:
                    self.n_flushes += machine.n_flushes

    async def wait_boot(self, number: int, within_s: float) -> BootSeen | None:
        """Return the guest's boot of a number as soon as it tells of it; None when it does not in time: it hangs."""
        with trio.move_on_after(within_s):
            while True:
                for boot in self.told.boots:
                    if boot.number == number:
                        return boot
                await self.told.wakeup.wait()
        return None

    async def wait_synced(self, is_meant: Callable[[str], bool], since: int, within_s: float) -> Synced | None:
        """Return the first sync of a file with such a path; `since` is an index into `told.synced`."""
        with trio.move_on_after(within_s):
            while True:
                for one in self.told.synced[since:]:
                    if is_meant(one.path):
                        return one
                await self.told.wakeup.wait()
        return None

    async def power_cut(self, machine: Machine) -> int:
        """Take the guest's power away as it next writes; return how many sectors its disk's cache lost."""
        return await machine.power_cut(self._chance)

    def read_back(self, source: str) -> Path:
        """Copy a folder of the guest's disk here while the guest is off; see `readback.read_back`."""
        target = self.folder / "read-back"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return read_back(self.disk, source, target)

    async def _watch_resets(self, machine: Machine) -> None:
        since = 0
        while True:
            event = await machine.qmp.wait_event("RESET", since=since)
            if event is None:
                return
            since = machine.qmp.events.index(event) + 1
            stamp = event["timestamp"]
            self.told.powered_ns = stamp["seconds"] * 10**9 + stamp["microseconds"] * 1000


@asynccontextmanager
async def guest_lab(
    image: Image,
    *,
    files: Mapping[str, str],
    sender: tuple[str, ...] = (),
    seed: int = 0,
    disk_bytes: int = DISK_BYTES,
) -> AsyncIterator[GuestLab]:
    """Yield a lab with an empty persistent disk and, if wanted, a sender that runs across all boots.

    Args:
      image: what the guest boots.
      files: what lies on its disk at the first boot, path from the disk's root -> text. "guest/command" is a shell
        script and says what the guest is for; the guest reboots when it ends with 0, and is switched off by 75.
      sender: arguments of `harness send`; () for none.
      seed: of what a power cut takes.
      disk_bytes: size of the disk.

    Raises:
      LabError: no root, a tool is missing, or the sender does not start.
    """
    with in_use(*image.places), _run_folder() as folder:
        tree = folder / "seed"
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        data_disk(folder / "data.img", disk_bytes, tree)
        network = GuestNetwork()
        try:
            await network.open()
            with _sending(network, sender, folder):
                yield GuestLab(image, folder, network, random.Random(seed))
        finally:
            network.close()


@contextmanager
def _sending(network: GuestNetwork, arguments: tuple[str, ...], folder: Path) -> Iterator[None]:
    if not arguments:
        yield
        return
    log = folder / "sender.log"
    own = ("--interface", network.SENDER_INTERFACE, "--output", str(folder / "sent"), "--no-report")
    process = network.start_sender([sys.executable, "-m", "harness", "send", *arguments, *own], log)
    try:
        _await_sender(process, folder / "sent", log)
        yield
    finally:
        process.kill()
        process.wait()


def _await_sender(process: subprocess.Popen[bytes], run: Path, log: Path) -> None:
    deadline = time.monotonic() + _SENDER_UP_S
    while process.poll() is None and time.monotonic() < deadline:
        if run.exists():
            return
        time.sleep(0.02)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise LabError(f"the lab's sender does not start: {lines[-1] if lines else 'it said nothing'}")


@contextmanager
def _run_folder() -> Iterator[Path]:
    """Yield a folder that is locked while this program lives; folders of programs that are gone are removed."""
    remove_orphans()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_orphans() -> None:
    """Remove what labs of guests have left whose programs were killed: files only, for all else dies with a program."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.geteuid() or time.time() - folder.stat().st_mtime < 1:
                continue  # somebody else's, or one whose lock is about to be taken
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
