"""From a Construct schema to a numpy layout: the schema is the specification, the layout is the hot path.

Only what has a fixed place can be read from a batch at once, so the walk keeps one position, in bits, and refuses by
name whatever would make the position of a later field depend on the packet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import construct as c
import numpy as np
from construct.lib import bytes2bits

from protocols.errors import SchemaError
from protocols.layout import Field, Layout

_TRANSPARENT = (c.Default, c.Rebuild, c.Renamed)


def compile_schema(schema: c.Construct, name: str = "schema") -> Layout:
    """Return the layout of a schema's fixed-size part.

    Understood: Struct (also nested), Int8 to Int64 in both byte orders and signs, floats, BytesInteger up to 8 bytes,
    Bytes(n), Const, Enum, FlagsEnum, Hex, Flag, Padding and Padded, Default, Rebuild, Array(n, ...), BitStruct with
    BitsInteger, Nibble, Bit, Flag, Padding. Computed takes no room and is left out. One or more variable-size fields
    may stand at the very end; they are not decoded.

    Args:
      schema: a Construct Struct.
      name: for error messages.

    Raises:
      SchemaError: a field of variable size before the end, of a kind that cannot be compiled, or named twice.

    >>> layout = compile_schema(c.Struct("kind" / c.Int8ub, "bits" / c.BitStruct("a" / c.Nibble, "b" / c.Nibble)))
    >>> layout.size, list(layout.fields), layout.dtype.names
    (2, ['kind', 'bits.a', 'bits.b'], ('kind', 'bits'))
    """
    walk = _Walk(name)
    if not isinstance(_bare(schema), c.Struct):
        raise SchemaError(name, "", f"is a {type(schema).__name__}, not a Struct")
    walk.add(schema, "", is_bits=False)
    size = walk.at // 8
    columns = {
        path: (_column_dtype(place), place.bit_offset // 8)
        for path, place in walk.fields.items()
        if place.kind in ("number", "bytes")
    } | walk.groups
    dtype = np.dtype(
        {
            "names": list(columns),
            "formats": [column[0] for column in columns.values()],
            "offsets": [column[1] for column in columns.values()],
            "itemsize": size,
        }
    )
    return Layout(size, walk.fields, dtype, tuple(walk.constants), walk.hidden, tuple(walk.tail))


def _column_dtype(place: Field) -> np.dtype[Any]:
    return place.dtype if place.count is None else np.dtype((place.dtype, (place.count,)))


def _bare(con: Any) -> Any:
    while isinstance(con, _TRANSPARENT):
        con = con.subcon
    return con


def _is_variable(con: Any) -> bool:
    try:
        con.sizeof()
    except Exception:  # a size may be any expression over the packet, and fails in its own way without one
        return True
    return False


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class _Walk:
    """One pass over a schema; `at` is the position in bits."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.at = 0
        self.fields: dict[str, Field] = {}
        self.hidden: dict[str, Field] = {}
        self.groups: dict[str, tuple[np.dtype[Any], int]] = {}
        self.constants: list[tuple[str, int | bytes]] = []
        self.tail: list[str] = []

    def refuse(self, path: str, reason: str) -> NoReturn:
        is_anonymous = not path or path.startswith("?")
        raise SchemaError(self.schema, f"<byte {self.at // 8}>" if is_anonymous else path, reason)

    def add(self, con: Any, path: str, *, is_bits: bool) -> Field | None:
        """Walk over one construct; return its field if it is a single one. An anonymous one has the path "" or "?"."""
        con = _bare(con)
        if isinstance(con, c.Struct):
            self._add_struct(con, path, is_bits)
            return None
        if isinstance(con, c.Computed) or con is c.Pass:
            return None
        if _is_variable(con):
            self.tail.append(path)
            return None
        if self.tail:
            self.refuse(
                self.tail[-1],
                f"has no fixed size, so what follows it, {path or 'an anonymous field'!r}, has no fixed place; "
                "only the end of a packet may vary",
            )
        return self._add_fixed(con, path, is_bits)

    def _add_struct(self, con: Any, path: str, is_bits: bool) -> None:
        names: set[str] = set()
        for sub in con.subcons:
            if sub.name in names:
                self.refuse(_join(path, sub.name), "is named twice")
            names |= {sub.name} - {None}
            is_hidden = sub.name is None or path == "?"
            self.add(sub, "?" if is_hidden else _join(path, sub.name), is_bits=is_bits)

    def _add_fixed(self, con: Any, path: str, is_bits: bool) -> Field | None:
        """Walk over a construct of fixed size."""
        if callable(getattr(con, "length", None)) or callable(getattr(con, "count", None)):
            self.refuse(path, "computes its size; write the number instead")
        if isinstance(con, c.Const):
            return self._add_const(con, path, is_bits)
        if isinstance(con, c.Enum):
            labels = {int(value): str(label) for value, label in con.decmapping.items()}
            return self._amend(con, path, is_bits, lambda place: replace(place, labels=labels))
        if isinstance(con, c.Hex):
            return self._amend(con, path, is_bits, lambda place: replace(place, is_hex=True))
        if isinstance(con, c.FlagsEnum):
            return self._add_flags(con, path, is_bits)
        if isinstance(con, c.Padded):
            return self._add_padded(con, path, is_bits)
        if isinstance(con, c.Array):
            return self._add_array(con, path, is_bits)
        if isinstance(con, c.Transformed) and con.decodefunc is bytes2bits and not is_bits:
            return self._add_bits(con, path)
        place = self._leaf(con, path, is_bits)
        return self._register(path, place)

    def _leaf(self, con: Any, path: str, is_bits: bool) -> Field:
        """Return the field of a construct that holds one value."""
        if con is c.Flag:
            return Field(path, "flag", self.at, 1 if is_bits else 8)
        if is_bits:
            if not isinstance(con, c.BitsInteger) or con.swapped is not False:
                self.refuse(path, f"is a {type(con).__name__} inside a BitStruct; use BitsInteger(n), Flag or Padding")
            if not 1 <= con.length <= 64:
                self.refuse(path, f"is {con.length} bits wide; 1 to 64 can be read")
            return Field(path, "bits", self.at, con.length, is_signed=bool(con.signed))
        if isinstance(con, c.Bytes):
            return Field(path, "bytes", self.at, con.length * 8, count=con.length)
        if isinstance(con, c.BytesInteger) and isinstance(con.swapped, bool):
            if not 1 <= con.length <= 8:
                self.refuse(path, f"is an integer of {con.length} bytes; 1 to 8 can be read, more as Bytes(n)")
            return Field(path, "bits", self.at, con.length * 8, is_signed=bool(con.signed), is_little=con.swapped)
        if not isinstance(con, c.FormatField) or con.fmtstr[1] not in "BHLQbhlqefd":
            self.refuse(path, f"is a {type(con).__name__}, which cannot be compiled; describe it as Bytes(n)")
        kind = "f" if con.fmtstr[1] in "efd" else "u" if con.fmtstr[1].isupper() else "i"
        return Field(path, "number", self.at, con.length * 8, np.dtype(f"{con.fmtstr[0]}{kind}{con.length}"))

    def _register(self, path: str, place: Field) -> Field:
        self.at += place.bit_length
        if path and path != "?" and not path.startswith("?."):
            self.fields[path] = place
        return place

    def _amend(self, con: Any, path: str, is_bits: bool, change: Callable[[Field], Field]) -> Field:
        """Walk over what `con` wraps, then change that one field."""
        place = self.add(con.subcon, path, is_bits=is_bits)
        if place is None or not (place.is_integer or isinstance(con, c.Hex)):
            self.refuse(path, f"is a {type(con).__name__} of something that is not one integer")
        place = change(place)
        if path in self.fields:
            self.fields[path] = place
        return place

    def _add_const(self, con: Any, path: str, is_bits: bool) -> Field:
        place = self.add(con.subcon, path, is_bits=is_bits)
        if place is None or place.dtype.kind == "f" or (place.count is not None and place.kind != "bytes"):
            self.refuse(path, "is a Const of something that is neither an integer nor bytes")
        value = con.value
        if isinstance(value, str):
            value = {label: number for number, label in place.labels.items()}.get(value, value)
        if not isinstance(value, bytes if place.kind == "bytes" else int):
            self.refuse(path, f"is a Const of {con.value!r}, which its {place.kind} cannot hold")
        if path not in self.fields:
            path = f"<byte {place.bit_offset // 8}, bit {place.bit_offset % 8}>"
            self.hidden[path] = place
        self.constants.append((path, bytes(value) if isinstance(value, bytes) else int(value)))
        return place

    def _add_flags(self, con: Any, path: str, is_bits: bool) -> Field:
        """A FlagsEnum is readable whole and, for masks of one bit each, flag by flag: "flags.marker"."""
        place = self._amend(con, path, is_bits, lambda whole: whole)
        for flag, mask in con.flags.items():
            if path in self.fields and mask > 0 and mask & (mask - 1) == 0 and mask < 1 << place.bit_length:
                bit = mask.bit_length() - 1
                is_little = place.is_little or place.dtype.str.startswith("<")
                up = bit // 8 * 8 + 7 - bit % 8 if is_little else place.bit_length - 1 - bit
                self.fields[_join(path, str(flag))] = Field(path, "flag", place.bit_offset + up, 1)
        return place

    def _add_padded(self, con: Any, path: str, is_bits: bool) -> Field | None:
        end = self.at + con.length * (1 if is_bits else 8)
        n_tail = len(self.tail)
        place = self.add(con.subcon, path, is_bits=is_bits)
        if len(self.tail) > n_tail:
            self.refuse(path, "has no fixed size inside its padding; describe it as Bytes(n)")
        if self.at > end:
            self.refuse(path, f"is longer than the {con.length} that it is padded to")
        self.at = end
        return place

    def _add_array(self, con: Any, path: str, is_bits: bool) -> Field | None:
        item = _bare(con.subcon)
        if isinstance(item, c.FormatField) and not is_bits:
            one = self._leaf(item, path, is_bits)
            return self._register(path, replace(one, count=con.count, bit_length=one.bit_length * con.count))
        for index in range(con.count):
            self.add(con.subcon, _join(path, str(index)), is_bits=is_bits)
        return None

    def _add_bits(self, con: Any, path: str) -> Field | None:
        start = self.at
        place = self.add(con.subcon, path, is_bits=True)
        if (self.at - start) % 8:
            self.refuse(path, f"holds {self.at - start} bits, which are not whole bytes; add Padding")
        if path and "?" not in path and self.at > start:
            self.groups[path] = (np.dtype(("u1", ((self.at - start) // 8,))), start // 8)
        return place
