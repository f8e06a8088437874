"""Control groups (cgroup v2) of a lab's own: a program started in one can be told from others by the kernel.

`ip netns exec` mounts /sys afresh, where no cgroups are seen; so this is used by the program that runs the lab.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

from harness.errors import LabError, UsageError, errno_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_OCTAL = re.compile(r"\\([0-7]{3})")


def make(name: str, *, beside: Path | None = None) -> Path | None:
    """Make a cgroup and return its directory; None where cgroup v2 is not mounted or not ours to change.

    Args:
      name: of its own, without slashes.
      beside: make it a sibling of this one instead of a child of this process's own.

    Raises:
      UsageError: a name that is a path.
      LabError: there is one of that name already.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} is no name for a cgroup; use letters, digits, and -_.")
    parent = beside.parent if beside is not None else _own_group()
    if parent is None:
        return None
    path = parent / name
    try:
        path.mkdir()
    except FileExistsError as exc:
        raise LabError(f"cgroup {path} exists already; harness lab down removes what a killed lab left") from exc
    except OSError:
        return None
    return path


def remove(path: Path) -> None:
    """Remove a cgroup; that it is gone already is no error.

    Raises:
      LabError: processes are still in it.
    """
    try:
        path.rmdir()
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            return
        inside = ", ".join(str(pid) for pid in processes(path)) or "child groups"
        raise LabError(f"cannot remove cgroup {path}: {errno_text(exc.errno or 0)}; in it: {inside}") from exc


def processes(path: Path) -> list[int]:
    """Return the processes in a cgroup; none when it is gone."""
    try:
        return [int(line) for line in (path / "cgroup.procs").read_text(encoding="ascii").split()]
    except OSError:
        return []


def move(pid: int, path: Path) -> bool:
    """Move a process into a cgroup; False when it has ended. Its open sockets stay where they were opened.

    Raises:
      LabError: the kernel refuses.
    """
    try:
        (path / "cgroup.procs").write_text(str(pid), encoding="ascii")
    except ProcessLookupError:
        return False
    except OSError as exc:
        raise LabError(f"cannot move process {pid} to cgroup {path}: {errno_text(exc.errno or 0)}") from exc
    return True


def _own_group() -> Path | None:
    """Return the directory of this process's cgroup; the mount itself when it lies outside of what is mounted."""
    mount = mount_point(_read("/proc/self/mountinfo"))
    if mount is None:
        return None
    own = next((line[3:] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    path = mount / own.lstrip("/")
    return path if ".." not in path.parts and path.is_dir() else mount


def mount_point(mountinfo: str) -> Path | None:
    """Return where cgroup v2 is mounted, from the text of /proc/self/mountinfo (proc(5)); None if nowhere.

    >>> mount_point("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw")
    PosixPath('/sys/fs/cgroup')
    """
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split()[4]))
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
