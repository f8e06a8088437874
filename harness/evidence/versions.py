"""Versions of everything that a result may depend on."""

from __future__ import annotations

import platform
import sys

from harness.evidence import system

_LIBRARIES = ("numpy", "trio", "construct", "msgspec")


def versions() -> dict[str, str]:
    """Return versions by name, without importing a library for it; a library that is not installed is left out.

    >>> sorted(versions())[:3]
    ['construct', 'kernel', 'machine']
    """
    found = {
        "multicast-harness": str(sys.modules["harness"].__version__),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": system.system_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
    for name in _LIBRARIES:
        version = _version_of(name)
        if version is not None:
            found[name] = version
    return found


def _version_of(name: str) -> str | None:
    """Return a library's version: of one that is in use from itself, for reading its metadata takes longer."""
    told = getattr(sys.modules.get(name), "__version__", None)
    if told is not None:
        return str(told)
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
