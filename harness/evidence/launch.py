"""Who started this process: on some systems the launcher decides whether multicast arrives."""

from __future__ import annotations

import os
import sys
from typing import Any

import psutil

from harness.evidence import system
from harness.evidence.probe import answer

_MAX_PARENTS = 32


def launch() -> dict[str, Any]:
    """Return user, ancestry, terminal, and what the platform says of container and service manager."""
    process = psutil.Process()
    return {
        "pid": process.pid,
        "user": answer(process.username),
        "uid": os.getuid() if hasattr(os, "getuid") else None,
        "executable": sys.executable,
        "parents": answer(_parents),
        "terminal": answer(process.terminal) if hasattr(process, "terminal") else None,
        "is_stdin_tty": sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty(),
        "is_over_ssh": "SSH_CONNECTION" in os.environ,
        "hints": answer(system.launch_hints),
    }


def _parents() -> list[dict[str, Any]]:
    """Return the processes above this one, the nearest first."""
    found = []
    for parent in psutil.Process().parents()[:_MAX_PARENTS]:
        try:
            found.append({"pid": parent.pid, "name": parent.name()})
        except psutil.Error:  # it ended meanwhile, or is none of ours
            found.append({"pid": parent.pid, "name": ""})
    return found
