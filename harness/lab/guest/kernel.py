"""The guest's kernel and its first file system: Debian's cloud kernel, uncompressed, and busybox with a few modules.

The kernel is booted directly by its PVH entry point, which an uncompressed ELF file has and a bzImage has not; there is
no boot loader and no decompression under emulation. The initramfs is not compressed either, for the same reason.
"""

from __future__ import annotations

import stat
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import LabError
from harness.lab.guest import tools
from harness.lab.guest.cache import cached

META_PACKAGE = "linux-image-cloud-amd64"
"""Depends on the newest kernel of Debian's that is made for virtual machines."""

MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "libnvdimm",
    "nd_virtio",
    "nd_btt",
    "nd_pmem",
    "virtio_pmem",
    "overlay",
)
"""In the order in which they are loaded; ext4 and packet sockets are built in."""

_INIT = Path(__file__).parent / "inside" / "init.sh"
_FOLDERS = ("dev", "proc", "sys", "modules", "bin", "lower", "data", "sysroot")
_LZ4 = b"\x02\x21\x4c\x18"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that a guest can be booted with.

    Attributes:
      vmlinux: the uncompressed kernel. initramfs: newc archive. release: as uname -r tells it.
    """

    vmlinux: Path
    initramfs: Path
    release: str


def kernel(folder: Path | None = None) -> Kernel:
    """Return the kernel from the cache, made now from Debian's package if it is not there.

    Raises:
      LabError: a tool is missing, or the package manager does not know or cannot bring the package.
    """
    package, version = _newest_package()
    recipe = {"package": package, "version": version, "modules": MODULES, "init": _INIT.read_text(encoding="utf-8")}
    place = cached("kernel", recipe, lambda draft: _build(draft, package, version), folder)
    return Kernel(place / "vmlinux", place / "initramfs", package.removeprefix("linux-image-"))


def _newest_package() -> tuple[str, str]:
    """Return name and version of the kernel package that the meta package depends on."""
    words = tools.run("apt-cache", "show", "--no-all-versions", META_PACKAGE).decode()
    fields = dict(line.split(": ", 1) for line in words.splitlines() if ": " in line)
    for name in fields.get("Depends", "").replace(",", " ").split():
        if name.startswith("linux-image-"):
            return name, fields["Version"]
    raise LabError(f"the package manager knows no {META_PACKAGE}; run: apt-get update")


def _build(draft: Path, package: str, version: str) -> None:
    with tempfile.TemporaryDirectory() as text:
        tree = Path(text)
        archive = download(package, version, tree)
        tools.run("dpkg-deb", "-x", str(archive), str(tree / "package"))
        (image,) = (tree / "package" / "boot").glob("vmlinuz-*")
        (draft / "vmlinux").write_bytes(uncompressed(image.read_bytes()))
        modules = {path.stem: path for path in (tree / "package").rglob("*.ko")}
        missing = [name for name in MODULES if name not in modules]
        if missing:
            raise LabError(f"{package} has no module {', '.join(missing)}")
        with (draft / "initramfs").open("wb") as output:
            output.writelines(initramfs([modules[name] for name in MODULES]))


def static_busybox() -> Path:
    """Return the busybox that runs without any library.

    Raises:
      LabError: there is none.
    """
    path = Path(tools.find("busybox"))
    if b"/ld-linux" in path.read_bytes()[:4096]:  # names the loader of its libraries
        raise LabError(f"{path} needs libraries; install the package busybox-static")
    return path


def download(package: str, version: str, folder: Path) -> Path:
    """Bring a package of Debian's into a folder, and return the file.

    Raises:
      LabError: it cannot be had.
    """
    config = ["-o", "APT::Sandbox::User=root"]  # the unprivileged downloader may not enter a private folder
    try:
        tools.run("apt-get", *config, "-qq", "download", f"{package}={version}", folder=folder)
    except LabError as exc:
        raise LabError(f"{exc}; run: apt-get update") from exc
    (found,) = folder.glob("*.deb")
    return found


def uncompressed(image: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage (Linux, Documentation/arch/x86/boot.rst).

    Raises:
      LabError: it is compressed in another way than Debian's LZ4.
    """
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed, size = image[start : start + length - 4], struct.unpack_from("<I", image, start + length - 4)[0]
    if not packed.startswith(_LZ4):
        raise LabError("the kernel's image is not compressed with LZ4, as Debian's is")
    elf = tools.run("lz4", "-dc", text=packed)
    if len(elf) != size or not elf.startswith(b"\x7fELF"):
        raise LabError("the kernel's image does not unpack to an ELF file")
    return elf


def initramfs(modules: list[Path]) -> Iterator[bytes]:
    """Yield an initramfs in newc format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

    Args:
      modules: in the order in which they are to be loaded.

    Raises:
      LabError: there is no static busybox.
    """
    busybox = static_busybox()
    for name in _FOLDERS:
        yield _entry(name, stat.S_IFDIR | 0o755, b"")
    yield _entry("dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))
    yield _entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    yield _entry("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    yield _entry("init", stat.S_IFREG | 0o755, _INIT.read_bytes())
    for number, path in enumerate(modules):
        yield _entry(f"modules/{number:02}-{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    yield _entry("TRAILER!!!", 0, b"")


def _entry(name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one file of a newc archive: header, name and data, each padded to four bytes."""
    encoded = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
