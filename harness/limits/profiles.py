"""Named sets of limits: TOML files that come with the program, and one's own, which may extend them.

A file's keys are those of a scenario's [expect], on its top level, beside `description` and `extends`: the name or path
of the set whose limits hold where the file says nothing.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError, nearest
from harness.limits.measures import MEASURES
from harness.model.scenario import Expect

FOLDER = Path(__file__).parent.parent / "profiles"
ENDING = ".toml"
_MOST_EXTENDED = 8
_KEYS = tuple(name for name in Expect.__struct_fields__ if name != "profile")
_OWN_KEYS = ("description", "extends")


def profile_names() -> list[str]:
    """Return the names of the sets that come with the program."""
    return sorted(path.stem for path in FOLDER.glob(f"*{ENDING}"))


def load_profile(name: str, folder: Path = Path()) -> Expect:
    """Return a set of limits.

    Args:
      name: of one that comes with the program, or the path of a TOML file, which has a separator or ends in .toml.
      folder: where a relative path starts from.

    Raises:
      UsageError: no such set, a file that cannot be read, a key or a quantity that it cannot have.

    >>> load_profile("aes67").max_loss
    '0%'
    """
    return _load(name, folder, ())


def with_profile(expect: Expect, folder: Path = Path()) -> Expect:
    """Return limits whose profile has been read: its numbers, and over them what stands beside it.

    Raises:
      UsageError: see `load_profile`.
    """
    return expect if expect.profile is None else _over(load_profile(expect.profile, folder), expect)


def _over(base: Expect, changes: Expect) -> Expect:
    changed = {name: getattr(changes, name) for name in _KEYS if getattr(changes, name) is not None}
    return msgspec.structs.replace(base, **changed)


def _load(name: str, folder: Path, extended_by: tuple[Path, ...]) -> Expect:
    path = _find(name, folder)
    if path in extended_by or len(extended_by) >= _MOST_EXTENDED:
        chain = " -> ".join(str(step) for step in (*extended_by, path))
        raise UsageError(f"limit profiles extend each other without end: {chain}; remove one `extends`")
    document = _read(path)
    base = Expect()
    if "extends" in document:
        if not isinstance(document["extends"], str):
            raise UsageError(f'{path}: extends is no name; write extends = "aes67"')
        base = _load(document["extends"], path.parent, (*extended_by, path))
    return _over(base, _limits(document, path))


def _find(name: str, folder: Path) -> Path:
    known = profile_names()
    if name in known:
        return FOLDER / f"{name}{ENDING}"
    path = folder / name
    if path.is_file():
        return path.resolve()
    if name.endswith(ENDING) or "/" in name or "\\" in name:
        raise UsageError(f"no limit profile {name!r}: there is no such file; the built-in ones are {', '.join(known)}")
    near = nearest(name, known).partition("; did you mean ")[2]
    hint = f"did you mean {near} " if near else ""
    raise UsageError(f"no limit profile {name!r}; {hint}known: {', '.join(known)}, or the path of a TOML file")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"limit profile {path} cannot be read: {exc.strerror or exc}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        raise UsageError(f"limit profile {path} is not valid TOML: {exc}") from exc


def _limits(document: dict[str, Any], path: Path) -> Expect:
    """Return a file's own limits, each checked."""
    values = {key: value for key, value in document.items() if key not in _OWN_KEYS}
    for key in values:
        if key not in _KEYS:
            raise UsageError(f"limit profile {path}: unknown key {key!r}{nearest(key, (*_KEYS, *_OWN_KEYS))}")
    try:
        expect = msgspec.convert(values, Expect)
    except msgspec.ValidationError as exc:
        what, _, where = str(exc).partition(" - at `$.")
        raise UsageError(f"limit profile {path}: {where.rstrip('`') or 'a key'}: {what}") from exc
    check_limits(expect, f"limit profile {path}")
    return expect


def check_limits(expect: Expect, where: str) -> None:
    """Refuse a limit that does not parse.

    Raises:
      UsageError: names the place, the key and what is wrong with it.
    """
    for name, measure in MEASURES.items():
        value = getattr(expect, name)
        try:
            if value is not None:
                measure.parse(str(value))
        except UsageError as exc:
            raise UsageError(f"{where}: {name}: {exc}; for example {measure.example}") from exc
