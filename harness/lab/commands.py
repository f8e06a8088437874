"""The system's tools, run from Trio: bounded in time, and with one line when one fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

import trio

from harness.errors import LabError
from harness.evidence.probe import path_of

LIMIT_S = 10.0
"""How long one command may take; the slowest here is done in tens of milliseconds."""

_PACKAGES = {"ip": "iproute2", "bridge": "iproute2", "tc": "iproute2", "nft": "nftables", "ethtool": "ethtool"}


def find_tool(name: str) -> str:
    """Return the path of a tool.

    Raises:
      LabError: it is not installed; names the package.
    """
    path = path_of(name)
    if path is None:
        raise LabError(
            f"the lab needs {name}, which is not installed; it is in the package {_PACKAGES.get(name, name)}"
        )
    return path


async def run_tool(*arguments: str, text: str | None = None) -> str:
    """Run a tool and return what it prints.

    Args:
      arguments: the command, its first word a name in PATH.
      text: what it gets on stdin; None for nothing.

    Raises:
      LabError: it is missing, fails, or is not done in time.
    """
    command = [find_tool(arguments[0]), *arguments[1:]]
    shown = " ".join(arguments)[:200]
    with trio.move_on_after(LIMIT_S) as scope:
        done = await trio.run_process(
            command,
            stdin=(text or "").encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            start_new_session=True,  # a Ctrl-C is the program's to handle: it must not tear the lab's own clean-up
        )
    if scope.cancelled_caught:
        raise LabError(f"{shown} gave no answer within {LIMIT_S:.0f} s")
    return answer_of(shown, done.returncode, done.stdout, done.stderr, text)


def answer_of(shown: str, code: int, stdout: bytes, stderr: bytes, text: str | None) -> str:
    """Return what a tool that has ended printed.

    Args:
      shown: the command, as an error names it.
      code: its exit code.
      stdout: what it printed.
      stderr: what it complained of.
      text: the batch that it got on stdin, of which the error quotes the line that failed; None for nothing.

    Raises:
      LabError: it failed; the first line that it said, and what the lab needs where it is a right that is missing.
    """
    if code == 0:
        return stdout.decode(errors="replace")
    reasons = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    reason = reasons[0] if reasons else f"exit code {code}"
    if "not permitted" in reason or "ermission denied" in reason:
        reason += "; the lab needs root, or user namespaces (see harness lab list)"
    failed = _failed_line(reasons, text)
    raise LabError(f"{shown}: {reason}" + (f" in {failed!r}" if failed else ""))


def _failed_line(reasons: Iterable[str], text: str | None) -> str:
    """Return the line of a batch that `ip -batch` complains about: "Command failed -:3"."""
    for reason in reasons:
        _, _, number = reason.rpartition("Command failed -:")
        if text and number.isdecimal():
            return text.splitlines()[int(number) - 1]
    return ""


async def run_json(*arguments: str) -> Any:
    """Run a tool that prints JSON and return the value; [] when it prints nothing.

    Raises:
      LabError: as `run_tool`, or it prints something else.
    """
    text = await run_tool(*arguments)
    try:
        return json.loads(text or "[]")
    except ValueError as exc:
        raise LabError(f"{' '.join(arguments)} prints no JSON: {exc}") from exc


def run_now(*arguments: str) -> None:
    """Run a tool outside Trio, for clean-up; that it fails is no error, since what it removes may be gone."""
    subprocess.run([find_tool(arguments[0]), *arguments[1:]], capture_output=True, timeout=LIMIT_S, check=False)
