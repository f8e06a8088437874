"""Where the fields of a format lie, and how a column of them is read out of a batch at once.

A batch is a 2-D array of bytes, one row a packet. Every reader returns a column with one entry a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint8]
"""Packets, shape (n, width)."""
Column = NDArray[Any]
"""One value a packet, shape (n,), or (n, k) for a field of k bytes or an array of k numbers."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field at a fixed place.

    Attributes:
      path: names from the outside in, "header.sequence"; an array of structures counts its elements, "cells.0.pid".
      kind: "number" (whole bytes that numpy knows), "bytes", "bits" (anything else: shift and mask), "flag" (true when
        not zero).
      bit_offset, bit_length: place and width of the whole field, in bits from the start of the packet.
      dtype: of one element, for kinds "number" and "bytes".
      count: elements of an array of numbers, or length of a bytes field; None for a single value.
      is_signed: two's complement; for kind "bits".
      is_little: least significant byte first; for kind "bits" on whole bytes.
      labels: text for values (Construct's Enum).
      is_hex: shown in hexadecimal (Construct's Hex).
    """

    path: str
    kind: Literal["number", "bytes", "bits", "flag"]
    bit_offset: int
    bit_length: int
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("u1"))
    count: int | None = None
    is_signed: bool = False
    is_little: bool = False
    labels: Mapping[int, str] = field(default_factory=dict)
    is_hex: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether a value is one integer, as roles such as a sequence number need."""
        return self.count is None and self.kind != "bytes" and self.dtype.kind in "ui"

    def read(self, rows: Rows) -> Column:
        """Return the column: int64 (uint64 for unsigned 64 bits), float64, bool for flags, uint8 (n, k) for bytes.

        Args:
          rows: packets, each at least as long as the format's fixed part.
        """
        first = self.bit_offset // 8
        if self.kind == "bytes":
            return rows[:, first : first + (self.count or 0)]
        if self.kind == "number":
            column = rows[:, first : first + self.bit_length // 8].view(self.dtype)
            column = column if self.count is not None else column[:, 0]
            return column.astype(_result_dtype(self.dtype))
        value = self._read_bits(rows)
        return value != 0 if self.kind == "flag" else value

    def _read_bits(self, rows: Rows) -> Column:
        """Return a field of 1 to 64 bits that may begin and end anywhere."""
        first, last = self.bit_offset // 8, (self.bit_offset + self.bit_length - 1) // 8
        unused = (last + 1) * 8 - self.bit_offset - self.bit_length
        span = last - first + 1
        if span in (1, 2, 4, 8) and not self.is_little:
            word = rows[:, first : last + 1].view(f">u{span}")[:, 0].astype(np.uint64)
        else:
            word = np.zeros(len(rows), np.uint64)
            columns = range(first, first + min(span, 8))
            for column in reversed(columns) if self.is_little else columns:
                word = word << np.uint64(8) | rows[:, column]
        if span == 9:  # the bits pushed out on the left are those before the field
            word = word << np.uint64(8 - unused) | rows[:, last] >> np.uint8(unused)
        else:
            word >>= np.uint64(unused)
        word &= np.uint64((1 << self.bit_length) - 1)
        if not self.is_signed:
            return word if self.bit_length == 64 else word.astype(np.int64)
        lift = np.uint64(64 - self.bit_length)
        return (word << lift).view(np.int64) >> lift.astype(np.int64)

    def text(self, value: Any) -> str:
        """Return one value of the column for people: a label, hexadecimal for Hex and bytes, else decimal."""
        if self.count is not None:
            return bytes(value).hex() if self.kind == "bytes" else ",".join(str(item) for item in value)
        if self.kind == "flag":
            return "yes" if value else "no"
        if value in self.labels:
            return self.labels[value]
        if self.is_hex:
            return f"0x{int(value):0{(self.bit_length + 3) // 4}x}"
        return str(value)


def _result_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of a column of numbers: wide enough for arithmetic, in this machine's byte order."""
    if dtype.kind == "f":
        return np.dtype(np.float64)
    return np.dtype(np.uint64 if dtype == np.dtype(">u8") or dtype == np.dtype("<u8") else np.int64)


@dataclass(frozen=True, slots=True)
class Layout:
    """A compiled schema: the fixed-size part of a format.

    Attributes:
      size: bytes of the fixed part; what follows is payload and is not decoded.
      fields: by path.
      dtype: the fields on whole bytes, and each BitStruct as bytes, as a structured dtype of `size` bytes; an anonymous
        field is left out.
      constants: path and value of each Const; anonymous ones have a path such as "<byte 4>", found in `hidden`.
      hidden: anonymous fields that a constant is checked against.
      tail: names of the variable-size fields at the end, in order.
    """

    size: int
    fields: Mapping[str, Field]
    dtype: np.dtype[np.void]
    constants: tuple[tuple[str, int | bytes], ...]
    hidden: Mapping[str, Field]
    tail: tuple[str, ...]

    def has_constants(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which rows carry all constants where they belong, shape (n,); all of them when there are none."""
        is_right = np.ones(len(rows), bool)
        for path, value in self.constants:
            place = self.fields.get(path) or self.hidden[path]
            if isinstance(value, bytes):
                is_right &= (place.read(rows) == np.frombuffer(value, np.uint8)).all(axis=1)
            else:
                is_right &= place.read(rows) == value
        return is_right
