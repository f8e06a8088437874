"""Find a format: by name, in the user's own file, or from the traffic itself.

A module of a format is imported when its name is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from protocols.decoded import Decoded
from protocols.errors import SchemaError, nearest
from protocols.flags import UNNUMBERED
from protocols.layout import Column, Rows
from protocols.schema import Protocol
from protocols.schema_file import load_protocol

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
_SAMPLE = 1_000
_FITTING_SHARE = 0.8
_RUNNING_SHARE = 0.8
_LARGEST_STEP = 4
_ENOUGH_STEPS = 4
_ENOUGH_MAGIC_BITS = 16


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
    path, _, name = text.rpartition(":")
    if path.endswith(".py"):
        return load_protocol(path, name)
    if text.endswith(".py"):
        return load_protocol(text)
    hint = nearest(text, PROTOCOLS)
    raise SchemaError(text, "", f"is not a known protocol{hint}{', or FILE.py:NAME' * hint.startswith('; known')}")


def guess(data: Rows, kept: Column, size: Column, ports: Collection[int] = ()) -> tuple[Protocol, str]:
    """Return the built-in format that most of some datagrams are of, and why; "raw" when none fits.

    What counts is that nearly all of them fit, and beside it fixed bytes in them, the port, or numbers that run on. The
    first thousand are looked at. It is a guess: say it to the user, who may know better.

    Args:
      data: payloads, uint8, shape (n, width).
      kept: bytes at hand, shape (n,).
      size: bytes on the wire, shape (n,).
      ports: destination ports seen among them.
    """
    data, kept, size = data[:_SAMPLE], kept[:_SAMPLE], size[:_SAMPLE]
    best, best_score, why = PROTOCOLS["raw"], 0, "no known format fits"
    for name, protocol in PROTOCOLS.items():
        decoded = protocol.decode(data, kept, size)
        n_fitting = int((decoded.reject == 0).sum())
        if name == "raw" or not n_fitting or n_fitting < _FITTING_SHARE * len(data):
            continue
        score, reasons = _evidence(protocol, decoded, len(decoded) / n_fitting, set(ports))
        if score > best_score:
            best, best_score = protocol, score
            why = f"{n_fitting} of {len(data)} datagrams fit; {', '.join(reasons)}"
    return best, why


def _evidence(protocol: Protocol, decoded: Decoded, per_datagram: float, ports: set[int]) -> tuple[int, list[str]]:
    """Return how strongly datagrams that fit speak for a format, about in bits, and in words; 0 if not enough."""
    fields = [protocol.field_named(path, "versions") for path in protocol.versions]
    fields += [
        protocol.layout.fields.get(path) or protocol.layout.hidden[path] for path, _ in protocol.layout.constants
    ]
    magic_bits = round(sum(place.bit_length for place in fields) * per_datagram)
    on_port = sorted(ports & set(protocol.ports))
    steps = _steps(protocol, decoded)
    running = float(np.mean((steps >= 1) & (steps <= _LARGEST_STEP))) if len(steps) >= _ENOUGH_STEPS else None
    is_running = running is not None and running >= _RUNNING_SHARE
    has_magic = magic_bits >= _ENOUGH_MAGIC_BITS
    is_refuted = running is not None and running < 1 - _RUNNING_SHARE and not has_magic
    if is_refuted or not (has_magic or on_port or is_running):
        return 0, []
    reasons = ["fixed bytes agree"] * has_magic + [f"port {port}" for port in on_port] + ["numbers run on"] * is_running
    score = magic_bits + 16 * bool(on_port) + 16 * is_running + 8 * len(protocol.accept)
    return score, reasons


def _steps(protocol: Protocol, decoded: Decoded) -> Column:
    """Return the steps between successive numbers of each stream, modulo the range of the numbers."""
    is_numbered = decoded.seq != UNNUMBERED
    seq, key = decoded.seq[is_numbered], decoded.key[is_numbered]
    _, stream = np.unique(key, axis=0, return_inverse=True) if key.shape[1] else (None, np.zeros(len(seq), int))
    order = np.argsort(stream, kind="stable")
    steps: Column = np.diff(seq[order])[np.diff(stream[order]) == 0]
    if protocol.sequence_bits and protocol.sequence_bits < 63:
        steps %= protocol.sequence_modulus or 1 << protocol.sequence_bits
    return steps
