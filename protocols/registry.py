"""Find a format: by name, in the user's own file, or from the traffic itself.

A module of a format is imported when its name is asked for, so that a list of names costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from protocols.errors import SchemaError, nearest
from protocols.schema import Protocol

_BUILT_IN = {
    "probe": ("protocols.probe", "PROBE"),
    "rtp": ("protocols.rtp", "RTP"),
    "mpegts": ("protocols.mpegts", "MPEGTS"),
    "sacn": ("protocols.sacn", "SACN"),
    "artnet": ("protocols.artnet", "ARTNET"),
    "ptp": ("protocols.ptp", "PTP"),
    "srt": ("protocols.srt", "SRT"),
    "iperf2": ("protocols.iperf2", "IPERF2"),
    "mgen": ("protocols.mgen", "MGEN"),
    "raw": ("protocols.raw", "RAW"),
}


class _Lazy(Mapping[str, Protocol]):
    """The built-in formats by name, each loaded when it is first looked at."""

    def __getitem__(self, name: str) -> Protocol:
        module, attribute = _BUILT_IN[name]
        protocol: Protocol = getattr(importlib.import_module(module), attribute)
        return protocol

    def __iter__(self) -> Iterator[str]:
        return iter(_BUILT_IN)

    def __len__(self) -> int:
        return len(_BUILT_IN)

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN


PROTOCOLS: Mapping[str, Protocol] = _Lazy()
"""Built-in formats by name."""


def get_protocol(text: str) -> Protocol:
    """Return a format by its built-in name, "rtp", or from the user's own file, "console.py:CONSOLE".

    Of a file with a single Protocol in it the name may be left out. The file is run: it is the user's own program.

    Raises:
      SchemaError: no such name or file, or something wrong with what the file holds.

    >>> get_protocol("probe").title
    'multicast-harness test packet'
    >>> get_protocol("prob")
    Traceback (most recent call last):
    protocols.errors.SchemaError: schema prob: is not a known protocol; did you mean 'probe'?
    """
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    path_text, name = text, ""
    if not text.endswith(".py"):
        path_text, colon, name = text.rpartition(":")
        if not colon or not path_text.endswith(".py"):
            hint = nearest(text, PROTOCOLS)
            raise SchemaError(
                text, "", f"is not a known protocol{hint}" + ("" if hint[:5] == "; did" else ", or FILE.py:NAME")
            )
    protocol = _pick(_load(Path(path_text)), path_text, name)
    _rehearse(protocol)
    return protocol


def _load(path: Path) -> ModuleType:
    """Run a schema file and return its module."""
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
    except SchemaError as exc:
        raise SchemaError(str(path), "", f"{exc}") from exc
    except Exception as exc:  # the user's code may fail in any way
        line = _line_in(exc, path)
        raise SchemaError(str(path), "", f"{line}{type(exc).__name__}: {exc}".replace("\n", " ")) from exc
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
    if not name:
        if len(found) != 1:
            what = f"holds {len(found)} protocols" if found else "holds no Protocol"
            raise SchemaError(
                path, "", what + (f"; write {path}:NAME with one of {', '.join(sorted(found))}" if found else "")
            )
        return next(iter(found.values()))
    if name in found:
        return found[name]
    if hasattr(module, name):
        raise SchemaError(
            path, "", f"{name} is a {type(getattr(module, name)).__name__}, not a Protocol{nearest(name, found)}"
        )
    raise SchemaError(path, "", f"has no {name}{nearest(name, found) or '; it holds no Protocol'}")


def _rehearse(protocol: Protocol) -> None:
    """Decode made-up packets once, so that a hook that fails does so now and not in the middle of a recording."""
    width = protocol.layout.size + 64
    rows = np.random.default_rng(0).integers(0, 256, (64, width), np.uint8)
    kept = np.full(len(rows), width)
    protocol.decode(rows, kept, kept)
    protocol.decode(rows[:0], kept[:0], kept[:0])
