"""Python for a guest: the interpreter that runs here, the packages that the harness needs, and the harness itself.

Extension modules fit one minor version of Python, so a guest gets either this very interpreter, at the same path and
with the libraries it is linked to, or Debian's where that is the same minor version.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from harness.errors import LabError
from harness.lab.guest import tools

DISTRIBUTION = "multicast-harness"
LEFT_OUT = frozenset({"matplotlib", "pygments"})
"""With what only they need: figures, which whoever reads the guest's disk can draw, and colours of source code."""

_UNUSED = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "dist-packages",
)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ROOT = Path(__file__).parents[3]
CODE = ("harness", "protocols")


def distributions() -> list[importlib.metadata.Distribution]:
    """Return the distributions that the harness needs to send and receive, sorted by name; itself left out.

    Raises:
      LabError: the harness is not installed in this environment.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [DISTRIBUTION]
    while waiting:
        name = waiting.pop()
        if name.lower() in found or name.lower() in LEFT_OUT:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError as exc:
            if name == DISTRIBUTION:
                raise LabError(f"{DISTRIBUTION} is not installed in {sys.prefix}; run: make setup") from exc
            continue  # asked for on other systems only
        found[name.lower()] = distribution
        for requirement in distribution.requires or []:
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement:
                waiting.append(match.group())
    del found[DISTRIBUTION]
    return [found[name] for name in sorted(found)]


def copy_packages(target: Path) -> None:
    """Copy the third-party packages into a site-packages directory, compiled, without their tests."""
    for distribution in distributions():
        for file in distribution.files or []:
            parts = file.parts
            if ".." in parts or any(part in ("tests", "__pycache__") for part in parts[:-1]) or file.suffix == ".pyi":
                continue
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), place)
    compile_tree(target)


def copy_code(target: Path) -> None:
    """Copy the harness and its protocols, compiled."""
    for name in CODE:
        shutil.copytree(_ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    compile_tree(target)


def code_hash(root: Path = _ROOT) -> str:
    """Return a hash over every file of the harness and its protocols, which lie in `root`."""
    digest = hashlib.sha256()
    for name in CODE:
        for path in sorted((root / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def compile_tree(target: Path) -> None:
    """Compile what is not compiled yet; the guest's Python believes the result without looking at the sources."""
    mode = compileall.PycInvalidationMode.UNCHECKED_HASH if hasattr(compileall, "PycInvalidationMode") else None
    compileall.compile_dir(target, maxlevels=20, quiet=2, workers=0, invalidation_mode=mode)


def copy_interpreter(tree: Path) -> None:
    """Copy this interpreter and its standard library to the same path under `tree`, as python3 in its PATH, too."""
    binary = Path(os.path.realpath(sys.executable))
    _copy(binary, tree)
    standard = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        standard,
        tree / standard.relative_to("/"),
        symlinks=True,
        ignore=lambda _, names: {name for name in names if name in _UNUSED or name.startswith("config-")},
    )
    compile_tree(tree / standard.relative_to("/"))
    link = tree / "usr" / "local" / "bin" / "python3"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(binary)


def base_site_packages() -> Path:
    """Return where the interpreter behind this environment keeps packages, an absolute path."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = tools.run(os.path.realpath(sys.executable), "-I", "-c", program)
    return Path(answer.decode().strip())


def copy_libraries(tree: Path, binaries: Iterable[Path]) -> None:
    """Copy what programs and extension modules are linked to, each library to its own path under `tree`."""
    listing = tools.run("ldd", *(str(path) for path in binaries)).decode()
    for word in {word for line in listing.splitlines() for word in line.split() if word.startswith("/")}:
        path = Path(word.removesuffix(":"))
        if ".so" in path.name and not (tree / path.relative_to("/")).exists() and tree not in path.parents:
            _copy(path, tree)


def copy_program(tree: Path, name: str) -> Path:
    """Copy a program of this system to its path under `tree`, and return its path here."""
    path = Path(tools.find(name))
    _copy(path, tree)
    return path


def _copy(path: Path, tree: Path) -> None:
    place = tree / path.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, place)
