"""Where built images lie, outside the tree: one directory each, named by a hash of what it was made of.

A directory is either whole or not there: it is built beside its place and renamed. A lock held while building makes a
second program wait for the first instead of building the same thing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from harness.errors import StorageError

MOST_KEPT = 3
"""So many of a kind stay; the one used longest ago goes first."""

_BUILDING, _RECIPE = ".building-", "recipe.json"


def cache_folder() -> Path:
    """Return where images lie: the user's cache directory (XDG Base Directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "multicast-harness" / "guests"


def recipe_hash(recipe: Mapping[str, object]) -> str:
    """Return the name of what a recipe makes: 16 hexadecimal digits, the same for the same recipe.

    >>> recipe_hash({"b": 1, "a": [2]}) == recipe_hash({"a": [2], "b": 1})
    True
    """
    return hashlib.sha256(msgspec.json.encode(recipe, order="deterministic")).hexdigest()[:16]


def cached(kind: str, recipe: Mapping[str, object], build: Callable[[Path], None], folder: Path | None = None) -> Path:
    """Return the directory that a recipe makes, built now if it is not there.

    Args:
      kind: what it is, a word: "kernel".
      recipe: everything that decides over the contents, as JSON values.
      build: fills the empty directory that it is given.
      folder: the cache; None for the user's.

    Raises:
      LabError: from `build`.
      StorageError: the cache cannot be written.
    """
    folder = folder or cache_folder()
    place = folder / f"{kind}-{recipe_hash(recipe)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{kind}.lock"):
            if not place.exists():
                _build(place, kind, recipe, build)
            os.utime(place)
            _forget_old(folder, kind, place)
    except OSError as exc:
        raise StorageError(f"cannot write {folder}: {exc.strerror or exc}; set XDG_CACHE_HOME elsewhere") from exc
    return place


def _build(place: Path, kind: str, recipe: Mapping[str, object], build: Callable[[Path], None]) -> None:
    for left in place.parent.glob(f"{_BUILDING}{kind}-*"):  # nobody builds while the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{_BUILDING}{kind}-", dir=place.parent))
    try:
        build(draft)
        (draft / _RECIPE).write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _forget_old(folder: Path, kind: str, used: Path) -> None:
    """Remove what was used longest ago, and is not in use now."""
    others = sorted(folder.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [path for path in others if path != used][MOST_KEPT - 1 :]:
        with suppress(OSError), (path / _RECIPE).open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def in_use(*places: Path) -> Iterator[None]:
    """Keep directories of the cache from being removed by other programs that build.

    Raises:
      StorageError: one of them is gone already.
    """
    with ExitStack() as stack:
        for place in places:
            try:
                held = stack.enter_context((place / _RECIPE).open("rb"))
                fcntl.flock(held, fcntl.LOCK_SH)
            except OSError as exc:
                raise StorageError(f"the image {place} is gone from the cache: {exc.strerror}; try again") from exc
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
