"""What a guest's persistent disk holds, read without mounting it: on a copy, repaired as the next boot would."""

from __future__ import annotations

from pathlib import Path

from harness.errors import LabError
from harness.lab.guest import tools

_CORRECTED = 1
"""Counts of free blocks are never right after a crash; e2fsck(8) says so in its exit code."""


def read_back(disk: Path, source: str, target: Path) -> Path:
    """Copy a folder of a guest's disk to this machine, as it would be after the next boot's recovery.

    Args:
      disk: the image; it is not changed.
      source: the folder, as seen from the disk's root: "/campaign".
      target: a directory that is there; the folder appears in it.

    Raises:
      LabError: the disk cannot be repaired, or has no such folder.
    """
    copy = target / f".{disk.name}"
    tools.run("cp", "--sparse=always", str(disk), str(copy))
    try:
        tools.run("e2fsck", "-fy", str(copy), good=(0, _CORRECTED))
        tools.run("debugfs", "-R", f"rdump {source} {target}", str(copy))
    finally:
        copy.unlink()
    found = target / Path(source).name
    if not found.exists():
        raise LabError(f"the guest's disk {disk} has no {source}")
    return found
