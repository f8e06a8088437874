"""Load a format from the user's own file, and say what is wrong with it before any packet is lost to it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from protocols.decode import check_hooks
from protocols.decoded import Fields
from protocols.errors import SchemaError, nearest
from protocols.schema import Protocol


def load_protocol(path: str, name: str = "") -> Protocol:
    """Return the Protocol called `name` in a Python file; without a name the file's only one.

    The file is run, with the rights of this program: it is the user's own code.

    Raises:
      SchemaError: no such file, a file that does not run, no such name, or a hook that fails on made-up packets.
    """
    protocol = _pick(_run(Path(path)), path, name)
    rows = np.random.default_rng(0).integers(0, 256, (16, protocol.layout.size + 64), np.uint8)
    length = np.full(len(rows), rows.shape[1])
    for n in (len(rows), 0):
        check_hooks(protocol, Fields(protocol, rows[:n], None, length[:n], length[:n]))
        protocol.decode(rows[:n], length[:n], length[:n])
    return protocol


def _run(path: Path) -> ModuleType:
    """Run a file and return it as a module."""
    if not path.is_file():
        raise SchemaError(str(path), "", "is not a file" if path.exists() else "does not exist")
    spec = importlib.util.spec_from_file_location(f"schema_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SchemaError(str(path), "", "is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as exc:
        raise SchemaError(str(path), "", f"line {exc.lineno}: {exc.msg}") from exc
    except Exception as exc:  # the user's code may fail in any way
        what = str(exc) if isinstance(exc, SchemaError) else f"{type(exc).__name__}: {exc}"
        raise SchemaError(str(path), "", f"{_line_in(exc, path)}{' '.join(what.split())}") from exc
    return module


def _line_in(exc: BaseException, path: Path) -> str:
    """Return "line 12: " for the last line of the file that took part in an error."""
    line, trace = "", exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f"line {trace.tb_lineno}: "
        trace = trace.tb_next
    return line


def _pick(module: ModuleType, path: str, name: str) -> Protocol:
    """Return the protocol of that name in a module, or its only one."""
    found = {key: value for key, value in vars(module).items() if isinstance(value, Protocol)}
    if name in found:
        return found[name]
    if not found:
        raise SchemaError(path, "", "holds no Protocol")
    if not name:
        if len(found) == 1:
            return next(iter(found.values()))
        raise SchemaError(path, "", f"holds {len(found)} protocols; write {path}:NAME with one of {', '.join(found)}")
    if hasattr(module, name):
        kind = type(getattr(module, name)).__name__
        raise SchemaError(path, "", f"{name} is a {kind}, not a Protocol{nearest(name, found)}")
    raise SchemaError(path, "", f"has no {name}{nearest(name, found)}")
