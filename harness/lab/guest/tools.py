"""The system's tools that a guest takes, each with the Debian package that brings it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.errors import LabError
from harness.evidence.probe import path_of

LIMIT_S = 600
"""The longest is the making of a whole Debian, some tens of seconds."""

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mke2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "lz4": "lz4",
    "busybox": "busybox-static",
    "mmdebstrap": "mmdebstrap",
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ldd": "libc-bin",
}


def find(name: str) -> str:
    """Return the path of a tool.

    Raises:
      LabError: it is not installed; names the package.
    """
    path = path_of(name)
    if path is None:
        raise LabError(f"a guest needs {name}, which is not installed; it is in the package {PACKAGES.get(name, name)}")
    return path


def missing_package(names: tuple[str, ...] = tuple(PACKAGES)) -> str:
    """Return the package of the first tool that is not installed, or ""."""
    for name in names:
        try:
            find(name)
        except LabError:
            return PACKAGES.get(name, name)
    return ""


def run(*command: str, text: bytes | None = None, folder: Path | None = None, good: tuple[int, ...] = (0,)) -> bytes:
    """Run a tool to its end and return its output.

    Args:
      command: the tool's name or path, and its arguments.
      text: what it gets on stdin.
      folder: where it runs; None for here.
      good: exit codes that are no failure.

    Raises:
      LabError: it is missing, or fails; the last line that it said.
    """
    words = [find(command[0]), *command[1:]]
    try:
        done = subprocess.run(words, input=text, capture_output=True, timeout=LIMIT_S, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LabError(f"{command[0]}: {exc}") from exc
    if done.returncode not in good:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise LabError(f"{' '.join(command)[:200]}: {lines[-1]}")
    return done.stdout
