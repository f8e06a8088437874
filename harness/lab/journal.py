"""What a lab has made, on disk before it is made: so that leftovers of a killed run are found by name and removed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.errors import LabError
from harness.evidence import boot_id
from harness.lab import cgroups
from harness.lab.commands import run_now

_SUFFIX = ".jsonl"


def journal_folder() -> Path:
    """Return where labs keep their journals: the user's state directory."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "multicast-harness" / "labs"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A lab whose program is gone: its token, and what it made, in order."""

    path: Path
    token: str
    made: tuple[tuple[str, str], ...]


class Journal:
    """The journal of one lab; a line is on disk before the thing it names exists.

    Raises:
      LabError: it cannot be written.
    """

    def __init__(self, token: str, folder: Path | None = None) -> None:
        folder = folder or journal_folder()
        self.path = folder / f"{token}{_SUFFIX}"
        process = psutil.Process()
        owner = {
            "token": token,
            "pid": process.pid,
            "created": process.create_time(),
            "boot_id": boot_id(),
            "mounts": _mounts(),
            "is_private": is_private(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise LabError(f"cannot make {folder}: {exc.strerror}; set XDG_STATE_HOME to a directory of yours") from exc
        self._write(owner)

    def add(self, kind: str, name: str) -> None:
        """Note that something is about to be made: "namespace" or "cgroup", and its name."""
        self._write({"kind": kind, "name": name})

    def close(self) -> None:
        """Forget the lab: all that it made is gone."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, object]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as output:
                output.write(json.dumps(line) + "\n")
                output.flush()
                os.fsync(output.fileno())
        except OSError as exc:
            raise LabError(f"cannot write {self.path}: {exc.strerror}; set XDG_STATE_HOME elsewhere") from exc


def leftovers(folder: Path | None = None) -> list[Leftover]:
    """Return the labs whose programs are gone; one that is still running is nobody else's to remove."""
    return [found for path in sorted((folder or journal_folder()).glob(f"*{_SUFFIX}")) if (found := _leftover(path))]


def remove(leftover: Leftover) -> list[str]:
    """Remove what a lab left, the youngest first, and then its journal; return the names."""
    for kind, name in reversed(leftover.made):
        destroy(kind, name)
    leftover.path.unlink(missing_ok=True)
    return [name for _, name in leftover.made]


def destroy(kind: str, name: str) -> None:
    """Remove one thing by its kind and exact name; that it is gone already is no error."""
    if kind == "namespace":
        run_now("ip", "netns", "delete", name)
    elif kind == "cgroup":
        with contextlib.suppress(LabError):  # a process of the killed lab is still ending in it
            cgroups.remove(Path(name))


def _leftover(path: Path) -> Leftover | None:
    lines = list(_lines(path))
    if not lines:
        return Leftover(path, path.stem, ())
    owner, made = lines[0], lines[1:]
    if owner.get("boot_id") != boot_id() or owner.get("is_private"):
        made = []  # gone with the boot, or with the private mounts that held the names
    if owner.get("boot_id") == boot_id() and _is_running(owner.get("pid"), owner.get("created")):
        return None
    if made and owner.get("mounts") != _mounts():
        return None  # its names are not to be seen from here
    return Leftover(path, path.stem, tuple((str(line.get("kind")), str(line.get("name"))) for line in made))


def _lines(path: Path) -> Iterator[dict[str, object]]:
    """Yield a journal's whole lines; a torn last one named something that was never made."""
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            return
        if isinstance(line, dict):
            yield line


def _is_running(pid: object, created: object) -> bool:
    try:
        process = psutil.Process(pid if isinstance(pid, int) else -1)
        # a killed program whose parent has not yet taken note of its end is a zombie
        return process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def is_private() -> bool:
    """Whether this process is in a user namespace of the lab's own, where all names go with the last process."""
    return PRIVATE in os.environ


PRIVATE = "HARNESS_LAB_PRIVATE"
"""Set in the environment of a lab without root, see `harness.lab.privilege`."""


def _mounts() -> str:
    """Return which mount namespace we are in: it holds the names of network namespaces."""
    try:
        return os.readlink("/proc/self/ns/mnt")
    except OSError:
        return ""
