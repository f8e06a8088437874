"""Entering a network namespace for the length of a block; Python 3.11 has no os.setns (Linux, setns(2))."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import InterfaceError, errno_text

CLONE_NEWNET = 0x40000000
FOLDER = Path("/run/netns")
"""Where `ip netns add` puts their names."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """Have what this thread opens in the block belong to a named network namespace; None: to the one it is in.

    Raises:
      InterfaceError: no namespace of that name, or no permission.
    """
    if namespace is None:
        yield
        return
    try:
        there = os.open(FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        reason = errno_text(exc.errno or 0)
        raise InterfaceError(f"no network namespace {namespace!r}: {reason}; see: ip netns list") from exc
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there, namespace)
        try:
            yield
        finally:
            _enter(home, "this program's own")
    finally:
        os.close(home)
        os.close(there)


def leave_all() -> None:
    """Move this thread into a fresh network namespace without a name, which ends with what is open in it.

    Raises:
      InterfaceError: no permission.
    """
    if _libc.unshare(CLONE_NEWNET):
        raise InterfaceError(f"cannot make a network namespace: {errno_text(ctypes.get_errno())}; it takes root")


def _enter(descriptor: int, name: str) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise InterfaceError(f"cannot enter network namespace {name!r}: {errno_text(number)}; it takes root")
