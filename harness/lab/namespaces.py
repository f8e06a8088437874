"""Sockets inside a network namespace, opened from outside."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from harness.errors import LabError, errno_text

_FOLDER = "/run/netns"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def inside(namespace: str, do: Callable[[], T]) -> T:
    """Do something short in a network namespace, such as opening a socket, which stays there.

    A thread of its own enters the namespace and ends: none that anybody uses again is ever in the wrong one.

    Raises:
      LabError: no such namespace, or no permission to enter it.
      OSError: `do` raises it.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            _enter(namespace)
            results.append(do())
        except (LabError, OSError) as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, name=f"in {namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: str) -> None:
    try:
        fd = os.open(f"{_FOLDER}/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise LabError(f"no network namespace {namespace}: {errno_text(exc.errno or 0)}") from exc
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            raise LabError(f"cannot enter namespace {namespace}: {errno_text(ctypes.get_errno())}; the lab needs root")
    finally:
        os.close(fd)
