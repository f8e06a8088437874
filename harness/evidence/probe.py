"""How the system is asked: with a time limit, and so that an answer that does not come is itself an answer.

A platform's table is made of rows: `tool` asks a program, `file` reads one, `call` asks a function; each with the
parser that makes a JSON value of the text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.units import NS_PER_S, format_duration

LIMIT_NS = 5 * NS_PER_S
"""How long a whole snapshot may take."""
_COMMAND_LIMIT_NS = 3 * NS_PER_S
_MAX_OUTPUT = 4_000_000
"""Characters kept of a command's output: a core router's route table must not fill the disk."""

Key = TypeVar("Key")
Ask = Callable[[int], Any]
"""A row's question: given its time limit in ns it returns a JSON value, or raises ProbeError."""
Table = dict[str, Ask | dict[str, Ask]]
"""Sections of a snapshot: one question, or several by name."""


class ProbeError(Exception):
    """The system does not tell; stays inside this package and ends as {"error": ...}."""


def command(*arguments: str, limit_ns: int = _COMMAND_LIMIT_NS, has_both: bool = False) -> str:
    """Return what a system's tool prints, in the C locale; with `has_both` what it prints to stderr as well.

    Raises:
      ProbeError: the tool is missing, fails, or is not done in time.
    """
    shown = " ".join(arguments)
    path = path_of(arguments[0])
    if path is None:
        raise ProbeError(f"{arguments[0]} is not installed")
    try:
        done = subprocess.run(
            [path, *arguments[1:]],
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
    output = done.stdout + done.stderr if has_both else done.stdout
    return output.decode(errors="replace")[:_MAX_OUTPUT]


def path_of(name: str) -> str | None:
    """Return where a tool is installed, None when it is not; administrators' folders are often not in a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


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


def answers(probes: Mapping[Key, Callable[[], Any]], limit_ns: int = LIMIT_NS) -> dict[Key, Any]:
    """Ask all probes at the same time and return their answers by name.

    Args:
      probes: by name, functions that return a JSON value.
      limit_ns: how long all of them together may take; one that hangs stays behind in a thread that ends with the
        program.
    """
    found: dict[Key, Any] = {}

    def ask(name: Key, probe: Callable[[], Any]) -> None:
        found[name] = answer(probe)

    threads = [threading.Thread(target=ask, args=item, name=f"probe {item[0]}", daemon=True) for item in probes.items()]
    for thread in threads:
        thread.start()
    deadline_ns = time.monotonic_ns() + limit_ns
    for thread in threads:
        thread.join(max(0, deadline_ns - time.monotonic_ns()) / NS_PER_S)
    late = {"error": f"no answer within {format_duration(limit_ns)}"}
    return {name: found.get(name, late) for name in probes}


def tool(
    *words: str,
    parse: Callable[[str], Any] = str.splitlines,
    limit_ns: int = _COMMAND_LIMIT_NS,
    has_both: bool = False,
) -> Ask:
    """Return the question to a system's tool, whose text `parse` reads; by default its lines.

    With `has_both` the text is stdout and stderr: some tools describe on stderr.
    """
    return lambda most_ns: parse(command(*words, limit_ns=min(limit_ns, most_ns), has_both=has_both))


def file(path: str, parse: Callable[[str], Any] = str) -> Ask:
    """Return the question to a file, whose text `parse` reads."""
    return lambda _: parse(text_of(path))


def call(function: Callable[[], Any]) -> Ask:
    """Return the question to a function that waits for nobody for long."""
    return lambda _: function()


def as_json(text: str) -> Any:
    """Return what a tool printed as JSON; [] for nothing, as some print where there is nothing to list.

    Raises:
      ProbeError: it is no JSON: the tool is too old for it, or printed more than is kept.
    """
    try:
        return msgspec.json.decode(text.strip() or "[]")
    except (msgspec.DecodeError, RecursionError) as exc:
        reason = "its answer was too long to keep" if len(text) >= _MAX_OUTPUT else "the tool may be too old for it"
        raise ProbeError(f"no JSON was printed; {reason}") from exc


def text_if_any(path: str) -> str:
    """Return a file's text, "" where the system has none: IPv6 may be off, a setting newer than the kernel."""
    try:
        return text_of(path)
    except ProbeError:
        return ""
