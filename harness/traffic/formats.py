"""Formats by name, with this program's errors: a schema that cannot be loaded is a usage error, not a traceback."""

from __future__ import annotations

from typing import Any

from harness.errors import SchemaFileError, UsageError
from protocols.errors import SchemaError
from protocols.registry import get_protocol
from protocols.schema import Protocol


def load_protocol(
    text: str, *, sequence_bits: int | None = None, clock_rate: int | None = None, interval_ns: int | None = None
) -> Protocol:
    """Return a format by its name, or from the user's own "path.py:NAME", with what the user knows better of it.

    Raises:
      SchemaFileError: no such format or file, or a schema that is wrong; names the field and the nearest spelling.
      UsageError: a width or rate that the format has no field for.

    >>> load_protocol("probe").sequence_bits
    64
    """
    try:
        protocol = get_protocol(text)
    except SchemaError as exc:
        raise SchemaFileError(str(exc)) from exc
    try:
        return protocol.with_options(sequence_bits=sequence_bits, clock_rate=clock_rate, interval_ns=interval_ns)
    except SchemaError as exc:
        raise UsageError(str(exc)) from exc


def describe(protocol: Protocol) -> dict[str, Any]:
    """Return what a user wants to know of a format, as JSON values."""
    return {
        "name": protocol.name,
        "title": protocol.title,
        "sequence": protocol.sequence or ("computed" if protocol.is_numbered else None),
        "sequence_bits": protocol.sequence_bits,
        "stream_key": list(protocol.stream_key),
        "send_time": list(protocol.send_time_units),
        "clock": protocol.clock,
        "clock_rate": protocol.clock_rate,
        "ports": list(protocol.ports),
        "header_bytes": protocol.layout.dtype.itemsize,
        "rejects": list(protocol.reject_reasons[1:]),
    }
