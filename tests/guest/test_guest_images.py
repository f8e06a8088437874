"""The cache of images, the kernel's unpacking and the initramfs; nothing is downloaded here."""

import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import require

from harness.errors import LabError, StorageError
from harness.lab.guest import kernel, python_tree, roots, tools
from harness.lab.guest.accelerator import accelerator
from harness.lab.guest.cache import MOST_KEPT, cached, in_use


def leave_empty(draft: Path) -> None:
    """A build that makes nothing."""


def test_a_recipe_is_built_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(draft: Path) -> None:
        built.append(draft)
        (draft / "file").write_text("x")

    first = cached("thing", {"version": 1}, build, tmp_path)
    assert cached("thing", {"version": 1}, build, tmp_path) == first
    assert cached("thing", {"version": 2}, build, tmp_path) != first
    assert len(built) == 2
    assert (first / "file").read_text() == "x"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(draft: Path) -> None:
        (draft / "half").write_text("x")
        raise LabError("no")

    with pytest.raises(LabError):
        cached("thing", {}, build, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".building-thing-abc"
    left.mkdir()
    cached("thing", {}, leave_empty, tmp_path)
    assert not left.exists()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    made = []
    for version in range(MOST_KEPT + 2):
        made.append(cached("thing", {"version": version}, leave_empty, tmp_path))
        os.utime(made[-1], (version, version))
    assert [path.exists() for path in made] == [False, False, *[True] * MOST_KEPT]


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    held = cached("thing", {"version": "held"}, leave_empty, tmp_path)
    with in_use(held):
        os.utime(held, (0, 0))
        for version in range(MOST_KEPT + 1):
            cached("thing", {"version": version}, leave_empty, tmp_path)
        assert held.exists()
    cached("thing", {"version": "last"}, leave_empty, tmp_path)
    assert not held.exists()
    with pytest.raises(StorageError, match="gone"), in_use(held):
        pass


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="XDG_CACHE_HOME"):
        cached("thing", {}, leave_empty, tmp_path / "file")


def bz_image(payload: bytes, size: int) -> bytes:
    """A bzImage as far as its header tells where the packed kernel lies."""
    head = bytearray(3 * 512)
    head[0x1F1] = 2
    struct.pack_into("<II", head, 0x248, 100, len(payload) + 4)
    return bytes(head) + bytes(100) + payload + struct.pack("<I", size) + b"what follows"


def test_a_kernel_is_unpacked() -> None:
    require("" if not tools.missing_package(("lz4",)) else "lz4")
    elf = b"\x7fELF" + os.urandom(1000) + bytes(100_000)
    packed = subprocess.run(["lz4", "-l", "-c"], input=elf, capture_output=True, check=True).stdout
    assert kernel.uncompressed(bz_image(packed, len(elf))) == elf
    with pytest.raises(LabError, match="does not unpack"):
        kernel.uncompressed(bz_image(packed, len(elf) + 1))


def test_a_kernel_packed_in_another_way_is_refused() -> None:
    with pytest.raises(LabError, match="LZ4"):
        kernel.uncompressed(bz_image(b"\x1f\x8b" + bytes(100), 100))


def entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and data of every file of a newc archive, by the format's text."""
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * k : at + 14 + 8 * k], 16) for k in range(13)]
        name = archive[at + 110 : at + 110 + numbers[11] - 1].decode()
        start = (at + 110 + numbers[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return
        yield name, numbers[1], archive[start : start + numbers[6]]
        at = (start + numbers[6] + 3) // 4 * 4


def test_the_initramfs_holds_init_busybox_and_the_modules_in_order(tmp_path: Path) -> None:
    require(tools.missing_package(("busybox",)))
    modules = []
    for name in ("zeta", "alpha"):
        modules.append(tmp_path / f"{name}.ko")
        modules[-1].write_bytes(name.encode())
    archive = b"".join(kernel.initramfs(modules))
    found = {name: (mode, data) for name, mode, data in entries(archive)}
    assert found["init"][1].startswith(b"#!/bin/sh")
    assert found["init"][0] == stat.S_IFREG | 0o755
    assert stat.S_ISCHR(found["dev/console"][0])
    assert found["bin/sh"][1] == b"busybox"
    assert sorted(name for name in found if name.startswith("modules/")) == [
        "modules/00-zeta.ko",
        "modules/01-alpha.ko",
    ]
    assert found["modules/01-alpha.ko"][1] == b"alpha"


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(LabError, match=r"needs qemu-system-x86_64, .* package qemu-system-x86$"):
        tools.find("qemu-system-x86_64")
    assert tools.missing_package(("mke2fs",)) == "e2fsprogs"


def test_a_tool_that_fails_says_why() -> None:
    with pytest.raises(LabError, match="No such file"):
        tools.run("ls", "/nowhere-at-all")


def test_a_guest_gets_what_the_harness_needs_and_no_tools_of_development() -> None:
    names = {distribution.metadata["Name"].lower() for distribution in python_tree.distributions()}
    assert {"trio", "numpy", "construct", "msgspec", "psutil", "attrs", "jinja2"} <= names
    assert not names & {"pytest", "multicast-harness", "mypy", "pygments", "matplotlib", "pillow", "scipy", "pyarrow"}


def test_of_debian_s_services_only_the_wanted_stay(tmp_path: Path) -> None:
    system = tmp_path / "usr" / "lib" / "systemd"
    links = (
        "system/sysinit.target.wants/systemd-journald.service",
        "system/sysinit.target.wants/systemd-udevd.service",
    )
    for name in (*links, "system-generators/systemd-getty-generator"):
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).symlink_to("/usr/lib/systemd/system/nowhere")
    consoles = tmp_path / "etc" / "systemd" / "system" / "getty.target.wants"
    consoles.mkdir(parents=True)
    (consoles / "getty@tty1.service").symlink_to("/usr/lib/systemd/system/getty@.service")
    roots.leave_wanted(tmp_path)
    left = [path.name for path in tmp_path.rglob("*") if path.is_symlink()]
    assert left == ["systemd-journald.service"]
    assert not (system / "system-generators").exists()


def test_the_hash_of_the_code_is_that_of_its_contents(tmp_path: Path) -> None:
    assert python_tree.code_hash() == python_tree.code_hash()
    python_tree.copy_code(tmp_path)
    assert (tmp_path / "harness" / "lab" / "guest" / "inside" / "init.sh").exists()
    assert python_tree.code_hash(tmp_path) == python_tree.code_hash()
    (tmp_path / "protocols" / "probe.py").write_text("")
    assert python_tree.code_hash(tmp_path) != python_tree.code_hash()


def test_without_its_device_there_is_no_kvm(tmp_path: Path) -> None:
    nothing = kernel.Kernel(tmp_path / "vmlinux", tmp_path / "initramfs", "6.1")
    assert accelerator(nothing, str(tmp_path / "kvm")) == "tcg"
