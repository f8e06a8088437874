"""How the system is asked: with a time limit, and so that an answer that does not come is itself an answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.units import NS_PER_S, format_duration

LIMIT_NS = 5 * NS_PER_S
"""How long a whole snapshot may take."""
_COMMAND_LIMIT_NS = 3 * NS_PER_S
_MAX_OUTPUT = 4_000_000
"""Characters kept of a command's output: a core router's route table must not fill the disk."""


class ProbeError(Exception):
    """The system does not tell; stays inside this package and ends as {"error": ...}."""


def command(*arguments: str, limit_ns: int = _COMMAND_LIMIT_NS) -> str:
    """Return what a system's tool prints, in the C locale.

    Raises:
      ProbeError: the tool is missing, fails, or is not done in time.
    """
    shown = " ".join(arguments)
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # users' PATH often lacks these
    tool = shutil.which(arguments[0], path=search)
    if tool is None:
        raise ProbeError(f"{arguments[0]} is not installed")
    try:
        done = subprocess.run(
            [tool, *arguments[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_ns / NS_PER_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise ProbeError(f"{shown} gave no answer within {format_duration(limit_ns)}") from exc
    except OSError as exc:
        raise ProbeError(f"{shown} cannot be started: {exc.strerror}") from exc
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise ProbeError(f"{shown} ended with {done.returncode}" + (f": {reason[0]}" if reason else ""))
    return done.stdout.decode(errors="replace")[:_MAX_OUTPUT]


def text_of(path: str) -> str:
    """Return a file's text without the white space around it.

    Raises:
      ProbeError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError as exc:
        raise ProbeError(f"{path} cannot be read: {exc.strerror}") from exc


def answer(probe: Callable[[], Any]) -> Any:
    """Return what a probe finds, or {"error": the reason} whatever goes wrong with it."""
    try:
        return probe()
    except ProbeError as exc:
        return {"error": str(exc)}
    except Exception as exc:  # a probe meets systems that its author never saw; the rest of the snapshot goes on
        return {"error": f"{type(exc).__name__}: {exc}"}


def answers(probes: Mapping[str, Callable[[], Any]], limit_ns: int = LIMIT_NS) -> dict[str, Any]:
    """Ask all probes at the same time and return their answers by name.

    Args:
      probes: by name, functions that return a JSON value.
      limit_ns: how long all of them together may take; one that hangs stays behind in a thread that ends with the
        program.
    """
    found: dict[str, Any] = {}

    def ask(name: str, probe: Callable[[], Any]) -> None:
        found[name] = answer(probe)

    threads = [threading.Thread(target=ask, args=item, name=f"probe {item[0]}", daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    deadline_ns = time.monotonic_ns() + limit_ns
    for thread in threads:
        thread.join(max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S)
    late = {"error": f"no answer within {format_duration(limit_ns)}"}
    return {name: found.get(name, late) for name in probes}
