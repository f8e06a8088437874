"""Versions of everything that a result may depend on."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

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
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
