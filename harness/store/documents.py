"""Versioned JSON documents of a run: encoded one way, decoded with one line of explanation when they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from harness.errors import RecordError, os_reason
from harness.model import Event, Manifest, Summary
from harness.model.summary import SUMMARY_VERSION
from harness.model.witness import WitnessRecord
from harness.store import layout
from harness.store.atomic import write_whole

T = TypeVar("T")

for _kind in (Manifest, Event, Summary, WitnessRecord):
    # msgspec builds what it knows of a type at its first use, and two threads that do so at once crash the interpreter
    # (0.22: a null pointer in its C code). An import is done by one thread.
    msgspec.json.Decoder(_kind)


def _plain(value: object) -> object:
    """Return the JSON value for what msgspec does not know: numpy scalars as numbers, the rest as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: object) -> bytes:
    """Return a value as one line of JSON; what JSON has no form for becomes text.

    >>> encode({"path": Path("a"), "n": np.int64(3)})
    b'{"path":"a","n":3}'
    """
    return _ENCODER.encode(value)


def encode_document(value: object) -> bytes:
    """Return a value as indented JSON with a final newline, as the documents of a run are stored."""
    return msgspec.json.format(encode(value), indent=2) + b"\n"


def read_json(path: Path) -> Any:
    """Return the JSON value in a file.

    Raises:
      RecordError: no such file, no permission, or not JSON; names the file.
    """
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise RecordError(f"{path} is not valid JSON: {exc}; it was edited or damaged, take it from a backup") from exc


def read_document(path: Path, kind: type[T], version: int) -> T:
    """Return a versioned document.

    Args:
      path: the file.
      kind: the type that it decodes to.
      version: the version that this program writes, and the only one that it reads.

    Raises:
      RecordError: unreadable, not JSON, of another version, or a field that does not fit; names file and field.
    """
    value = read_json(path)
    found = value.get("version") if isinstance(value, dict) else None
    if isinstance(found, bool) or not isinstance(found, int):
        raise RecordError(f"{path} has no integer field `version`; it is no {kind.__name__.lower()} of this program")
    if found > version:
        raise RecordError(f"{path}: version {found} is newer than this program's {version}; upgrade multicast-harness")
    if found != version:
        raise RecordError(f"{path}: version {found} is unknown; this program reads version {version}")
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise RecordError(f"{path} does not fit version {version}: {exc}") from exc


def write_document(path: Path, value: object, remedy: str = "", *, has_folder: bool = True) -> None:
    """Write a value as an indented document, as a whole; arguments as for `write_whole`.

    Raises:
      StorageError: it could not be written; an older one is untouched.
    """
    write_whole(path, encode_document(value), remedy, has_folder=has_folder)


def write_summary(path: Path, summary: Summary) -> None:
    """Write a summary as a whole, to a file or as `summary.json` of a run directory.

    Raises:
      StorageError: it could not be written; an older summary is untouched.
    """
    write_document(
        path / layout.SUMMARY if path.is_dir() else path,
        summary,
        "does the directory exist, is it yours, is the disk full?",
    )


def write_beside(path: Path, value: object) -> None:
    """Write a document that stands beside a recording, as one line of JSON.

    Raises:
      StorageError: it could not be written; an older one is untouched.
    """
    write_whole(path, encode(value) + b"\n")


def read_summary(path: Path) -> Summary:
    """Return the summary in a file, or in `summary.json` of a run directory.

    Raises:
      RecordError: missing, not JSON, of another version, or a field that does not fit.
    """
    return read_document(path / layout.SUMMARY if path.is_dir() else path, Summary, SUMMARY_VERSION)
