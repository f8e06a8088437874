"""Packages whose names load on first use, so that `harness --help` and `harness interfaces` need no numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def names_of(package: str, modules: Mapping[str, tuple[str, ...]]) -> tuple[Callable[[str], object], list[str]]:
    """Return a package's `__getattr__` and `__all__`.

    Args:
      package: the package's `__name__`.
      modules: its modules' names, each with the names that the package re-exports from it.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get, sorted(homes)
