"""One guest: QEMU's command line, the process, and what a controller does to it.

The kernel is booted directly; the roots are mapped into the guest's memory (virtio-pmem with DAX), so that under
emulation no block is copied and no page cache filled; the persistent disk is served from here (see `volatile`).

A guest that reboots itself is reset within the same process, its kernel starts anew from the firmware on. Where the
next boot is to find other hardware or another command line, the machine is told beforehand to stop at the reset
(QMP `set-action`), and a new process takes over: a reboot during which somebody changed the machine.
"""

from __future__ import annotations

import ipaddress
import json
import random
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from harness.errors import LabError
from harness.lab.guest import tools
from harness.lab.guest.beside import beside
from harness.lab.guest.kernel import Kernel, kernel
from harness.lab.guest.network import SwitchPlace, inside, orphanless, run_ip
from harness.lab.guest.qmp import Qmp
from harness.lab.guest.roots import Kind, code_image, root_image
from harness.lab.guest.volatile import VolatileDisk

MEMORY_MB = {"minimal": 384, "systemd": 512}
FIRMWARE = "qboot.rom"
"""Comes with QEMU; hands over to the kernel at once, where SeaBIOS takes one to two seconds under emulation."""
TRANSLATED_MB = 256
"""Room for translated code: the start of the harness fills 110 MB, and what does not fit is translated again."""
EMULATED_CPU = "max,la57=off"
"""A fifth level of page tables is a walk more at each miss. AVX has to stay: programs ask for AVX2 alone, and trap."""
NEXT_WRITE_S = 2.0
"""A recording syncs once a second; a guest that writes nothing loses its power all the same."""
CONSOLE_BYTES = 4 << 20
"""Kept of the console of one guest; more is counted and dropped."""

_COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 cryptomgr.notests "
    "norandmaps noreplace-smp init_on_alloc=0"
)
"""What is left out is dear under emulation. A program at the same addresses in every process is translated once, and
patching the kernel's locks out for a single processor empties the emulated TLB forty thousand times."""
_SLOT = {"spare": 0x4, "main": 0x5, "root": 0x10, "code": 0x11, "data": 0x12}
"""PCI slots, which decide over the order in which the kernel finds the cards."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a guest is booted from; shared by all guests of a kind."""

    kind: Kind
    kernel: Kernel
    root: Path
    code: Path

    @property
    def places(self) -> tuple[Path, ...]:
        """The directories of the cache that it lies in."""
        return self.kernel.vmlinux.parent, self.root.parent, self.code.parent


def image(kind: Kind, folder: Path | None = None) -> Image:
    """Return an image from the cache, made now where it is not there.

    Raises:
      LabError: a tool is missing or fails; names it and its package.
      StorageError: the cache cannot be written.
    """
    return Image(kind, kernel(folder), root_image(kind, folder), code_image(folder))


@dataclass(frozen=True, slots=True)
class Hardware:
    """What may differ from one boot to the next.

    Attributes:
      has_spare_card: a second network card, in a slot before the first, with no cable to anywhere.
      hangs: the boot stops before it mounts a disk.
      deaf: boots, by their numbers, in which a receiver's first sockets hear no multicast.
      accelerator: "tcg" or "kvm".
    """

    has_spare_card: bool = False
    hangs: bool = False
    deaf: tuple[int, ...] = ()
    accelerator: str = "tcg"


@dataclass(frozen=True, slots=True)
class Card:
    """The guest's network card and where its cable ends.

    Attributes:
      tap: name of the TAP interface beside the switch; it exists while QEMU runs.
    """

    place: SwitchPlace
    address: str
    mac: str = "52:54:00:4d:43:01"
    spare_mac: str = "52:54:00:4d:43:02"
    tap: str = "guest0"


@dataclass(slots=True)
class _Ends:
    """Our ends of the socket pairs, and those that QEMU inherits."""

    ours: dict[str, trio.SocketStream] = field(default_factory=dict)
    theirs: dict[str, socket.socket] = field(default_factory=dict)

    def add(self, name: str) -> None:
        mine, other = socket.socketpair()
        self.ours[name] = trio.SocketStream(trio.socket.from_stdlib_socket(mine))
        self.theirs[name] = other


def command_line(image: Image, card: Card, hardware: Hardware, files: dict[str, int]) -> list[str]:
    """Return QEMU's command.

    Args:
      image: what is booted.
      card: the network.
      hardware: of this boot.
      files: descriptors that it inherits: "qmp", "console", "events", "data".
    """
    words = [tools.find("qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
    is_emulated = hardware.accelerator == "tcg"
    words += ["-machine", "pc,vmport=off,hpet=off", "-bios", FIRMWARE]
    words += ["-accel", f"tcg,tb-size={TRANSLATED_MB}" if is_emulated else hardware.accelerator]
    words += ["-cpu", EMULATED_CPU if is_emulated else "host"]
    words += ["-m", f"{MEMORY_MB[image.kind]},maxmem=4G", "-rtc", "base=utc"]
    append = [_COMMAND_LINE, f"harness.net={card.mac}={card.address}", f"harness.net={card.spare_mac}="]
    append += ["harness.hang"] if hardware.hangs else []
    append += [f"harness.deaf={','.join(map(str, hardware.deaf))}"] if hardware.deaf else []
    words += ["-kernel", str(image.kernel.vmlinux), "-initrd", str(image.kernel.initramfs), "-append", " ".join(append)]
    for name, path in (("root", image.root), ("code", image.code)):
        backend = f"memory-backend-file,id={name},mem-path={path},size={path.stat().st_size},share=on,readonly=on"
        words += ["-object", backend, "-device", f"virtio-pmem-pci,memdev={name},addr={_SLOT[name]:#x}"]
    server = {"type": "fd", "str": str(files["data"])}
    words += ["-blockdev", json.dumps({"driver": "nbd", "node-name": "data", "server": server})]
    words += ["-device", f"virtio-blk-pci,drive=data,addr={_SLOT['data']:#x}"]
    words += ["-netdev", f"tap,id=main,ifname={card.tap},script=no,downscript=no"]
    words += ["-device", f"virtio-net-pci,id=card,netdev=main,mac={card.mac},addr={_SLOT['main']:#x},romfile="]
    if hardware.has_spare_card:
        words += ["-device", f"virtio-net-pci,mac={card.spare_mac},addr={_SLOT['spare']:#x},romfile="]
    for name in ("qmp", "console", "events"):
        words += ["-chardev", f"socket,id={name},fd={files[name]}"]
    return [*words, "-mon", "chardev=qmp,mode=control", "-serial", "chardev:console", "-serial", "chardev:events"]


class Machine:
    """A QEMU process that runs one guest; use `running`.

    Attributes:
      qmp: its machine protocol. pid: of the process.
    """

    def __init__(self, process: subprocess.Popen[bytes], qmp: Qmp, disk: VolatileDisk, card: Card) -> None:
        self.qmp = qmp
        self.pid = process.pid
        self._process, self._disk, self._card = process, disk, card
        self._is_cut = False

    @property
    def is_cut(self) -> bool:
        """Whether it ended by a power cut."""
        return self._is_cut

    @property
    def n_flushes(self) -> int:
        """How often the guest has asked for its data to be safe."""
        return self._disk.n_flushes

    async def power_cut(self, chance: random.Random) -> int:
        """Take the power away as the guest next writes; return how many sectors of the disk's write cache were lost.

        Between two syncs the cache is empty as a rule, and a cut that can take nothing shows nothing.
        """
        with trio.move_on_after(NEXT_WRITE_S):
            await self._disk.written.wait()
        self._is_cut = True
        self._process.send_signal(signal.SIGKILL)
        await self.wait()
        return self._disk.power_cut(chance)

    async def has_joined(self, group: str) -> bool:
        """Whether the guest's card lets a group's MAC address pass (RFC 1112, 6.4): somebody there has joined."""
        bits = int(ipaddress.IPv4Address(group)) & 0x7FFFFF
        mac = ":".join(f"{byte:02x}" for byte in (0x01005E000000 | bits).to_bytes(6, "big"))
        (card,) = await self.qmp.execute("query-rx-filter", name="card")
        return mac in card["multicast-table"] or card["multicast"] == "all"

    async def stop_at_reboot(self, is_stopped: bool) -> None:
        """Choose whether a reboot of the guest's own ends the process or resets it."""
        await self.qmp.execute("set-action", reboot="shutdown" if is_stopped else "reset")

    async def plug(self, is_plugged: bool = True) -> None:
        """Put the other end of the cable into the switch, or pull it out."""
        master = ("master", self._card.place.bridge, "up") if is_plugged else ("nomaster",)
        await run_ip(self._card.place.namespace, "link", "set", self._card.tap, *master)

    async def wait(self) -> str:
        """Wait for its end and return the reason: "power-cut", "guest-reset", "guest-shutdown", "killed: ..."."""
        while self._process.poll() is None:  # noqa: ASYNC110 -- nothing tells of another process's end
            await trio.sleep(0.02)
        if self._is_cut:
            return "power-cut"
        reasons = [event["data"].get("reason", "") for event in self.qmp.events if event["event"] == "SHUTDOWN"]
        return str(reasons[-1]) if reasons else f"killed: exit code {self._process.returncode}"


@asynccontextmanager
async def running(
    image: Image,
    card: Card,
    hardware: Hardware,
    disk_path: Path,
    *,
    console: Path,
    on_line: Callable[[bytes], None],
) -> AsyncIterator[Machine]:
    """Yield a guest that has just been switched on; it has ended when the block has.

    Args:
      image: what it boots.
      card: its network.
      hardware: of this boot.
      disk_path: its persistent disk.
      console: file to which what it says on its console is appended.
      on_line: called with each line of its second serial port, as bytes.

    Raises:
      LabError: QEMU does not start; what it said.
    """
    disk, ends = VolatileDisk(disk_path), _Ends()
    for name in ("qmp", "console", "events", "data"):
        ends.add(name)
    files = {name: end.fileno() for name, end in ends.theirs.items()}
    words = inside(card.place.namespace, *orphanless(*command_line(image, card, hardware, files)))
    said = console.with_suffix(".qemu")
    with said.open("ab") as errors:
        # trio.lowlevel.open_process starts it in a thread of a pool, and the kernel would kill it when that thread ends
        process = subprocess.Popen(  # noqa: ASYNC220 -- see above; it takes a millisecond
            words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=tuple(files.values())
        )
    for end in ends.theirs.values():
        end.close()
    machine = Machine(process, Qmp(ends.ours["qmp"]), disk, card)
    try:
        async with beside() as nursery:
            nursery.start_soon(disk.serve, ends.ours["data"])
            nursery.start_soon(_keep, ends.ours["console"], console)
            nursery.start_soon(_split, ends.ours["events"], on_line)
            try:
                await nursery.start(machine.qmp.run)
            except LabError as exc:
                lines = said.read_text(errors="replace").strip().splitlines()
                raise LabError(f"{exc}: {lines[-1] if lines else 'it said nothing'}") from exc
            yield machine
    finally:
        process.kill()
        process.wait()
        disk.close()
        for stream in ends.ours.values():
            await trio.aclose_forcefully(stream)


async def _keep(stream: trio.SocketStream, path: Path) -> None:
    """Append what comes to a file, up to its limit; the guest is never made to wait."""
    with path.open("ab") as file:
        async for data in _bytes_of(stream):
            if file.tell() < CONSOLE_BYTES:
                file.write(data)
                file.flush()


async def _split(stream: trio.SocketStream, on_line: Callable[[bytes], None]) -> None:
    rest = b""
    async for data in _bytes_of(stream):
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[-65536:]
        for line in lines:
            on_line(line.rstrip(b"\r"))


async def _bytes_of(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    while True:
        try:
            data = await stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        if not data:
            return
        yield data
