"""The guests' root file systems: `minimal`, busybox and this Python; `systemd`, a small Debian with its own.

Both are read-only ext4 images without a journal, shared by all guests of a kind; what a guest changes lands on its
persistent disk. The harness's own code is a third image, so that a change of code does not build a system anew.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from harness.errors import LabError
from harness.lab.guest import python_tree, tools
from harness.lab.guest.cache import cached
from harness.lab.guest.kernel import static_busybox

Kind = Literal["minimal", "systemd"]

MOUNT = "/opt/harness"
"""Where the image of the code is mounted in a guest."""
INSIDE = f"{MOUNT}/harness/lab/guest/inside"

MACHINE_ID = "6d756c7469636173742d686172676573"
DEBIAN_PACKAGES = ("systemd-sysv", "python3", "iproute2")
PREPARE_UNIT = "harness-guest-prepare.service"
UNITS = {
    PREPARE_UNIT: f"""[Unit]
Description=Addresses and faults of the lab's guest
DefaultDependencies=no
After=sysinit.target
Before=network.target network-online.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {INSIDE}/prepare.sh

[Install]
WantedBy=multi-user.target
""",
    "harness-guest.service": f"""[Unit]
Description=What the lab's guest is for
After={PREPARE_UNIT} network-online.target
Requires={PREPARE_UNIT}

[Service]
Type=simple
ExecStart=/bin/sh {INSIDE}/service.sh
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
""",
}
"""What systemd starts in a guest; a campaign's own unit is written by the campaign."""

WANTED = frozenset({"systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"})
"""Of all that Debian has systemd start at boot. The rest (consoles, timers, seeds, mounts, devices' coldplug, and what
generators would add) has no use in a guest, and under emulation takes half of the boot."""

ALIGNMENT = 2 << 20
"""Images are mapped into the guest's memory, in sections of this size."""

MOST_BYTES = 400 * 10**6

_UNUSED = (
    *(
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/locale",
        "usr/share/zoneinfo",
        "usr/share/i18n",
    ),
    *("usr/lib/*/gconv", "usr/lib/*/perl", "usr/share/perl", "usr/lib/udev/hwdb.*", "usr/lib/udev/hwdb.d", "boot"),
)
"""Of Debian, relative to its root: documentation, other languages, and what nothing in a guest runs."""

_FOLDERS = ("bin", "data", "dev", "etc", "opt/harness", "proc", "root", "run", "sbin", "sys", "tmp", "var", "usr/bin")
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")


def root_image(kind: Kind, folder: Path | None = None) -> Path:
    """Return the root file system of a kind from the cache, made now if it is not there.

    Raises:
      LabError: a tool is missing or fails.
    """
    build, recipe = _RECIPES[kind]()
    place = cached(f"root-{kind}", recipe, lambda draft: _packed(draft / "root.img", build), folder)
    return place / "root.img"


def code_image(folder: Path | None = None) -> Path:
    """Return the image of the harness's own code from the cache, made now if it is not there."""
    recipe: dict[str, object] = {"code": python_tree.code_hash(), "python": platform.python_version(), "layout": 1}
    place = cached("code", recipe, lambda draft: _packed(draft / "code.img", python_tree.copy_code), folder)
    return place / "code.img"


def data_disk(path: Path, size_bytes: int, seed: Path) -> None:
    """Make a guest's persistent disk: an ext4 with a journal, sparse, that holds a copy of the folder `seed`."""
    with path.open("xb") as disk:
        disk.truncate(size_bytes)
    _mke2fs(path, "data", "-d", str(seed))


def _packed(image: Path, fill: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as text:
        tree = Path(text)
        tree.chmod(0o755)
        fill(tree)
        used = sum(path.lstat().st_size + 4096 for path in tree.rglob("*") if not path.is_symlink())
        with image.open("xb") as disk:
            disk.truncate(-(-(used * 21 // 20 + 4 * 10**6) // ALIGNMENT) * ALIGNMENT)
        n_files = sum(1 for _ in tree.rglob("*"))
        _mke2fs(image, image.stem, "-O", "^has_journal", "-N", str(n_files + 500), "-m", "0", "-d", str(tree))
    if image.stat().st_size > MOST_BYTES:
        raise LabError(f"the image grew to {image.stat().st_size / 1e6:.0f} MB; {MOST_BYTES / 1e6:.0f} are allowed")


def _mke2fs(path: Path, label: str, *options: str) -> None:
    settings = ("-q", "-F", "-t", "ext4", "-b", "4096", "-L", label, "-E", "root_owner=0:0,lazy_itable_init=0")
    tools.run("mke2fs", *settings, *options, str(path))


def _minimal() -> tuple[Callable[[Path], None], dict[str, object]]:
    versions = [f"{one.metadata['Name']} {one.version}" for one in python_tree.distributions()]
    recipe: dict[str, object] = {
        "python": sys.version,
        "at": sys.base_prefix,
        "packages": versions,
        "files": _sources(),
    }
    return _fill_minimal, recipe


def _fill_minimal(tree: Path) -> None:
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "lib64").mkdir()
    busybox = static_busybox()
    shutil.copy2(busybox, tree / "bin" / "busybox")
    for path in tools.run(str(busybox), "--list-full").decode().split():
        applet = tree / path
        applet.parent.mkdir(parents=True, exist_ok=True)
        if not applet.exists():
            applet.symlink_to("/bin/busybox")
    (tree / "sbin" / "init").unlink()
    _script(tree / "sbin" / "init", f"exec /bin/sh {INSIDE}/minimal.sh")
    for applet in tree.rglob("ip"):
        applet.unlink()  # busybox's knows no JSON; the harness asks iproute2
    _script(tree / "usr" / "local" / "bin" / "systemctl", '[ "$1" = reboot ] && sync && exec reboot -f; exit 1')
    _add_etc(tree)
    python_tree.copy_interpreter(tree)
    site = tree / python_tree.base_site_packages().relative_to("/")
    _add_harness(tree, site, "/usr/local/bin/python3")
    program = python_tree.copy_program(tree, "ip")
    python_tree.copy_libraries(tree, [Path(sys.executable).resolve(), program, *tree.rglob("*.so")])
    shutil.copy2(_LOADER, tree / _LOADER.relative_to("/"))


def _systemd() -> tuple[Callable[[Path], None], dict[str, object]]:
    suite = _suite()
    versions = [f"{one.metadata['Name']} {one.version}" for one in python_tree.distributions()]
    recipe: dict[str, object] = {"suite": suite, "debian": DEBIAN_PACKAGES, "packages": versions, "files": _sources()}
    return lambda tree: _fill_systemd(tree, suite), recipe


def _fill_systemd(tree: Path, suite: str) -> None:
    leave_out = [
        f"--dpkgopt=path-exclude={path}" for path in ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
    ]
    include = f"--include={','.join(DEBIAN_PACKAGES)}"
    tree.rmdir()
    tools.run("mmdebstrap", "--quiet", "--variant=minbase", include, *leave_out, suite, str(tree))
    (debian,) = (tree / "usr" / "bin").glob("python3.[0-9]*")
    if debian.name != f"python3.{sys.version_info.minor}":
        wanted = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise LabError(f"Debian {suite} has {debian.name}, and this is {wanted}: packages of one do not fit the other")
    for name in _UNUSED:
        for path in tree.glob(name):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    leave_wanted(tree)
    (tree / "data").mkdir()
    (tree / "opt" / "harness").mkdir(parents=True)
    _add_etc(tree)
    _add_harness(tree, tree / "usr" / "local" / "lib" / debian.name / "dist-packages", "/usr/bin/python3")
    manager = tree / "etc" / "systemd" / "system.conf.d" / "harness.conf"
    manager.parent.mkdir()
    manager.write_text(
        '[Manager]\nDefaultEnvironment="HARNESS_TELL=1" "HOME=/root"\n'
    )  # for every unit, a campaign's too
    units = tree / "etc" / "systemd" / "system"
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    for name, text in UNITS.items():
        (units / name).write_text(text)
        (units / "multi-user.target.wants" / name).symlink_to(f"/etc/systemd/system/{name}")


def leave_wanted(tree: Path) -> None:
    """Take out of a Debian what its systemd would start at boot, but for `WANTED`."""
    for path in [*tree.glob("usr/lib/systemd/system/*.wants/*"), *tree.glob("etc/systemd/system/*.wants/*")]:
        if path.name not in WANTED:
            path.unlink()
    shutil.rmtree(tree / "usr" / "lib" / "systemd" / "system-generators")


def _add_harness(tree: Path, site: Path, python: str) -> None:
    """Add the packages, the way to the code, the command as pip makes it, and what watches over a guest's syncs."""
    site.mkdir(parents=True, exist_ok=True)
    python_tree.copy_packages(site)
    (site / "harness-code.pth").write_text(f"{MOUNT}\n")
    told = f"{INSIDE}/tell.py"
    (site / "harness-tell.pth").write_text(
        f"import os; os.environ.get('HARNESS_TELL') and exec(open('{told}').read(), {{}})\n"
    )
    command = "import sys\n\nfrom harness.cli import main\n\nsys.exit(main())"
    _script(tree / "usr" / "local" / "bin" / "harness", command, interpreter=python)


def _script(path: Path, text: str, interpreter: str = "/bin/sh") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{interpreter}\n{text}\n")
    path.chmod(0o755)


def _add_etc(tree: Path) -> None:
    etc = tree / "etc"
    (etc / "hostname").write_text("guest\n")
    (etc / "machine-id").write_text(MACHINE_ID + "\n")  # without one, systemd sets up a new machine at each boot
    (etc / "hosts").write_text("127.0.0.1 localhost guest\n::1 localhost\n")
    if not (etc / "passwd").exists():
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")
        (etc / "os-release").write_text('ID=minimal\nPRETTY_NAME="minimal guest"\n')


def _sources() -> dict[str, str]:
    """Return the modules that decide over a root's contents."""
    paths = [Path(__file__), Path(python_tree.__file__)]
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def _suite() -> str:
    """Return the suite of Debian that this machine's package manager knows."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    suite = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not suite:
        raise LabError("the systemd guest is made from Debian's packages, and this system is no Debian")
    return suite


_RECIPES: dict[Kind, Callable[[], tuple[Callable[[Path], None], dict[str, object]]]] = {
    "minimal": _minimal,
    "systemd": _systemd,
}
