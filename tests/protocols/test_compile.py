"""The compiled layout reads what Construct parses, for any layout that it accepts; the others it refuses by name."""

from typing import Any

import construct as c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.compile import compile_schema
from protocols.errors import SchemaError

BYTE_FIELDS: list[Any] = [
    c.Int8ub, c.Int8sb, c.Int16ub, c.Int16sl, c.Int24ub, c.Int24ul, c.Int24sb, c.Int24sl, c.Int32ul, c.Int32sb,
    c.Int64ub, c.Int64ul, c.Int64sb, c.Int64sl, c.BytesInteger(5), c.BytesInteger(6, signed=True),
    c.BytesInteger(7, swapped=True), c.BytesInteger(8, swapped=True, signed=True), c.Bytes(1), c.Bytes(5), c.Flag,
    c.Enum(c.Int8ub, one=1, two=2), c.Hex(c.Int16ub), c.Default(c.Int16ul, 7), c.Rebuild(c.Int8ub, lambda _: 1),
    c.Array(3, c.Int16ub), c.Array(2, c.Int24ub), c.Padded(4, c.Int8ub), c.Float32b, c.Float64l,
    c.FlagsEnum(c.Int16ub, low=1, high=0x8000), c.FlagsEnum(c.Int16ul, low=1, high=0x8000, middle=0x100),
    c.Array(2, c.Struct("x" / c.Int8ub, "y" / c.Int16ul)),
]  # fmt: skip


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return a parsed Container as paths and plain values."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, item in value.items():
            if not str(name).startswith("_") and item is not None:
                found |= flat(item, f"{path}.{name}" if path else str(name))
        return found
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return flat({str(index): item for index, item in enumerate(value)}, path)
    return {path: value}


def same(column: Any, value: Any) -> bool:
    """Whether one entry of a column is what Construct parsed."""
    if isinstance(value, bytes):
        return bytes(column) == value
    if isinstance(value, list):
        return bool(np.array_equal(np.asarray(column), np.asarray(value)))
    if isinstance(value, float):
        return bool(np.array_equal(column, value, equal_nan=True))
    return int(column) == int(value)


def assert_reads_like_construct(schema: c.Construct, rows: np.ndarray[Any, Any]) -> None:
    layout = compile_schema(schema)
    columns = {path: place.read(rows) for path, place in layout.fields.items()}
    for index, row in enumerate(rows):
        parsed = flat(schema.parse(row.tobytes()))
        assert parsed.pop("computed", 1) == 1
        for path, value in parsed.items():
            if isinstance(value, list) and path not in columns:
                assert [int(columns[f"{path}.{k}"][index]) for k in range(len(value))] == value
            else:
                assert same(columns[path][index], value), (path, value)


@st.composite
def bit_structs(draw: st.DrawFn, depth: int = 2) -> Any:
    """Bit fields of random width and nesting, filled up to whole bytes."""
    fields, used = [], 0
    for index in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["bits", "signed", "flag", "pad", "nest"]))
        width = draw(st.integers(1, 64))
        if kind == "pad":
            fields.append(c.Padding(width))
        elif kind == "flag":
            fields.append(f"f{index}" / c.Flag)
            width = 1
        elif kind == "nest" and depth:
            inner = [f"n{k}" / c.BitsInteger(draw(st.integers(1, 20))) for k in range(2)]
            fields.append(f"f{index}" / c.Struct(*inner))
            width = sum(field.subcon.length for field in inner)
        else:
            fields.append(f"f{index}" / c.BitsInteger(width, signed=kind == "signed"))
        used += width
    if used % 8:
        fields.append(c.Padding(8 - used % 8))
    return c.BitStruct(*fields)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_layouts_read_like_construct(data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.one_of(st.sampled_from(BYTE_FIELDS), bit_structs()), min_size=1, max_size=6))
    schema = c.Struct(
        *[f"p{index}" / part for index, part in enumerate(parts)],
        c.Padding(1),
        "computed" / c.Computed(1),
        c.GreedyBytes,
    )
    size = compile_schema(schema).size
    noise = data.draw(st.binary(min_size=3 * (size + 2), max_size=3 * (size + 2)))
    assert_reads_like_construct(schema, np.frombuffer(noise, np.uint8).reshape(3, -1))


def test_every_field_kind_reads_like_construct() -> None:
    schema = c.Struct(*[f"p{index}" / part for index, part in enumerate(BYTE_FIELDS)])
    assert compile_schema(schema).size == schema.sizeof()
    assert_reads_like_construct(schema, np.random.default_rng(5).integers(0, 256, (50, schema.sizeof()), np.uint8))


@pytest.mark.parametrize("offset", range(8))
@pytest.mark.parametrize("width", [1, 7, 8, 9, 31, 32, 33, 57, 63, 64])
def test_bit_field_at_every_offset(offset: int, width: int) -> None:
    rest = -(offset + width) % 8
    schema = c.BitStruct(
        *[c.Padding(offset)] * bool(offset), "x" / c.BitsInteger(width), *[c.Padding(rest)] * bool(rest)
    )
    rows = np.random.default_rng(width).integers(0, 256, (20, (offset + width + rest) // 8), np.uint8)
    assert_reads_like_construct(c.Struct("b" / schema), rows)


def test_dtype_covers_the_fixed_part() -> None:
    schema = c.Struct(
        "a" / c.Int16ub, "b" / c.BitStruct("x" / c.Nibble, "y" / c.Nibble), "c" / c.Bytes(3), c.GreedyBytes
    )
    layout = compile_schema(schema)
    record = np.frombuffer(bytes.fromhex("0102f3aabbcc"), layout.dtype)[0]
    assert (int(record["a"]), record["b"].tolist(), record["c"].tobytes()) == (0x0102, [0xF3], b"\xaa\xbb\xcc")
    assert layout.dtype.itemsize == layout.size == 6


def test_flags_of_a_flags_enum_are_fields_of_their_own() -> None:
    layout = compile_schema(c.Struct("f" / c.FlagsEnum(c.Int16ul, a=1, b=0x8000, both=0x8001)))
    rows = np.array([[1, 0x80], [0, 0x80], [1, 0]], np.uint8)
    assert layout.fields["f.a"].read(rows).tolist() == [True, False, True]
    assert layout.fields["f.b"].read(rows).tolist() == [True, True, False]
    assert "f.both" not in layout.fields


@pytest.mark.parametrize(
    ("constant", "good", "bad"),
    [
        (c.Const(b"AB"), b"AB", b"AC"),
        (c.Const(258, c.Int16ul), b"\x02\x01", b"\x01\x02"),
        (c.Const("two", c.Enum(c.Int8ub, one=1, two=2)), b"\x02", b"\x01"),
        (c.BitStruct(c.Const(5, c.BitsInteger(4)), c.Padding(4)), b"\x5f", b"\x6f"),
        ("named" / c.Const(-1, c.Int24sb), b"\xff\xff\xff", b"\xff\xff\xfe"),
    ],
)
def test_constants_are_checked_also_without_a_name(constant: Any, good: bytes, bad: bytes) -> None:
    layout = compile_schema(c.Struct(c.Padding(1), constant))
    rows = np.frombuffer(b"\x00" + good + b"\x00" + bad, np.uint8).reshape(2, -1)
    assert layout.has_constants(rows).tolist() == [True, False]


@pytest.mark.parametrize(
    ("schema", "field", "reason"),
    [
        (c.Struct("n" / c.Int8ub, "x" / c.Bytes(c.this.n), "y" / c.Int8ub), "x", "follows it, 'y', has no fixed place"),
        (c.Struct("text" / c.CString("utf8"), c.Int8ub), "text", "has no fixed size"),
        (c.Struct("a" / c.Struct("b" / c.GreedyBytes), "d" / c.Int8ub), "a.b", "has no fixed size"),
        (c.Struct("list" / c.PrefixedArray(c.Int8ub, c.Int8ub), "d" / c.Int8ub), "list", "has no fixed size"),
        (c.Struct("maybe" / c.If(c.this.x, c.Int8ub), "d" / c.Int8ub), "maybe", "has no fixed size"),
        (c.Struct("big" / c.BytesInteger(9)), "big", "9 bytes"),
        (c.Struct("b" / c.BitStruct("x" / c.BitsInteger(3))), "b", "3 bits"),
        (c.Struct("b" / c.BitStruct("x" / c.BitsInteger(72))), "b.x", "72 bits"),
        (c.Struct("b" / c.BitStruct("x" / c.Bytes(8))), "b.x", "Bytes inside a BitStruct"),
        (c.Struct("b" / c.BitStruct("x" / c.BitsInteger(16, swapped=True))), "b.x", "inside a BitStruct"),
        (c.Struct("t" / c.PaddedString(8, "utf8")), "t", "cannot be compiled"),
        (c.Struct("u" / c.Union(0, "a" / c.Int8ub), "d" / c.Int8ub), "u", "has no fixed size"),
        (c.Struct("v" / c.OneOf(c.Int8ub, [1, 2])), "v", "cannot be compiled"),
        (c.Struct("s" / c.ByteSwapped(c.Int16ub)), "s", "cannot be compiled"),
        (c.Struct("l" / c.Bytes(lambda _: 4)), "l", "computes its size"),
        (c.Struct("a" / c.Int8ub, "a" / c.Int8ub), "a", "twice"),
        (c.Struct("e" / c.Enum(c.Bytes(1), x=1)), "e", "not one integer"),
        (c.Struct("p" / c.Padded(1, c.Int16ub)), "p", "longer than the 1"),
        (c.Struct("p" / c.Padded(9, c.GreedyBytes), "d" / c.Int8ub), "p", "inside its padding"),
        (c.Struct("b" / c.BitStruct("x" / c.GreedyRange(c.Bit)), "d" / c.Int8ub), "b", "has no fixed size"),
        (c.Struct("b" / c.BitStruct("x" / c.Padded(8, c.GreedyRange(c.Bit)))), "b.x", "inside its padding"),
        (c.Struct("f" / c.Const(1.5, c.Float32b)), "f", "neither an integer nor bytes"),
        (c.Struct("f" / c.Const("x", c.Int8ub)), "f", "cannot hold"),
        (c.Struct(c.PaddedString(8, "utf8")), "<byte 0>", "cannot be compiled"),
    ],
)  # fmt: skip
def test_refused_by_name(schema: c.Construct, field: str, reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema, "mine")
    assert (caught.value.schema, caught.value.field) == ("mine", field)
    assert reason in caught.value.reason
    assert str(caught.value) == f"schema mine: field {field!r} {caught.value.reason}"
    assert "\n" not in str(caught.value)


def test_what_is_not_a_struct_is_refused() -> None:
    with pytest.raises(SchemaError, match="is a FormatField, not a Struct"):
        compile_schema(c.Int8ub)


def test_several_variable_fields_may_end_a_packet() -> None:
    layout = compile_schema(c.Struct("n" / c.Int8ub, "names" / c.Array(c.this.n, c.Int8ub), "rest" / c.GreedyBytes))
    assert (layout.size, layout.tail) == (1, ("names", "rest"))
