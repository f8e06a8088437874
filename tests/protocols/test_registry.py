"""Formats by name and from a user's file; each way that a file can be wrong has its own sentence."""

from pathlib import Path

import numpy as np
import pytest

from protocols import END, RETRANSMITTED
from protocols.errors import SchemaError
from protocols.registry import PROTOCOLS, get_protocol
from protocols.schema import Protocol
from protocols.schema_file import load_protocol

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "console.py"
GUIDE = Path(__file__).parents[2] / "docs" / "schemas.md"
HEAD = "from construct import *\nfrom protocols.schema import Protocol\n"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_built_in_formats_load_under_their_own_name(name: str) -> None:
    protocol = get_protocol(name)
    assert isinstance(protocol, Protocol)
    assert protocol.name == name
    assert protocol is PROTOCOLS[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtpp", "schema rtpp: is not a known protocol; did you mean 'rtp'?"),
        ("zzz", "schema zzz: is not a known protocol; known: artnet, "),
        ("zzz:X", ", or FILE.py:NAME"),
        ("nowhere/x.py:X", "schema nowhere/x.py: does not exist"),
    ],
)
def test_unknown_names(text: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        get_protocol(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("def f(:\n", "X", "line 1: invalid syntax"),
        ("x = 1\ny = 1 / 0\n", "X", "line 2: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", "X", "line 1: ModuleNotFoundError"),
        ("x = 1\n", "X", "holds no Protocol"),
        (HEAD + "P = Protocol(name='p', title='', schema=Struct('a' / Byte))\n", "Q", "has no Q; known: P"),
        (HEAD + "DESK = Protocol(name='p', title='', schema=Struct('a' / Byte))\n", "DECK", "did you mean 'DESK'?"),
        (HEAD + "S = Struct('a' / Byte)\nP = Protocol(name='p', title='', schema=S)\n", "S", "S is a Struct, not a "),
        (
            HEAD + "P = Protocol(name='p', title='', schema=Struct('a' / GreedyBytes, 'b' / Byte))\n",
            "P",
            "line 3: schema p: field 'a' has no fixed size",
        ),
        (
            HEAD + "P = Protocol(name='p', title='', sequence='sqe', schema=Struct('seq' / Byte))\n",
            "P",
            "line 3: schema p: field 'sqe' (sequence) does not exist; did you mean 'seq'?",
        ),
        (
            HEAD + "S = Struct(Const(b'X'), 'a' / Byte)\n"
            "P = Protocol(name='p', title='', schema=S, is_end=lambda f: f['b'])\n",
            "P",
            "is_end' fails: SchemaError: schema p: field 'b' (field) does not exist",
        ),
        (
            HEAD + "A = Protocol(name='a', title='', schema=Struct('a' / Byte))\n"
            "B = Protocol(name='b', title='', schema=Struct('a' / Byte))\n",
            "",
            "holds 2 protocols; write ",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(code: str, name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        get_protocol(f"{path}:{name}" if name else str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_python(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(SchemaError, match="is not a Python file"):
        load_protocol(str(tmp_path / "notes.txt"))


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "d.py").mkdir()
    with pytest.raises(SchemaError, match="is not a file"):
        get_protocol(f"{tmp_path}/d.py:X")


@pytest.mark.parametrize("text", [f"{EXAMPLE}:CONSOLE", str(EXAMPLE)])
def test_the_example_of_the_guide_decodes_its_packets(text: str) -> None:
    protocol = get_protocol(text)
    assert text.rpartition(":")[0] or protocol.name == "console"
    packet = {
        "version": 2,
        "state": {"is_last": True, "is_resent": True, "kind": "meters"},
        "length": 31,
        "desk": 0xC0FFEE,
        "header": {"sequence": 513, "sec": 1_700_000_000, "usec": 250_000},
        "serial": b"\x00\x11\x22\x33\x44\x55",
        "payload": b"....",
    }
    rows = np.frombuffer(protocol.schema.build(packet), np.uint8)[None]
    size = np.array([rows.shape[1]])
    assert rows.shape[1] == 32
    assert protocol.reject_reasons[protocol.decode(rows, size, size).reject[0]] == "wrong length"
    rows = np.frombuffer(protocol.schema.build(packet | {"length": 32}), np.uint8)[None]
    decoded = protocol.decode(rows, size, size)
    assert (decoded.seq[0], decoded.tx[0], decoded.flags[0]) == (513, 1_700_000_000_250_000_000, END | RETRANSMITTED)
    assert decoded.key_text(0) == {"desk": "0x00c0ffee", "kind": "meters"}


def test_the_guide_names_every_role_and_hook() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    unexplained = {"name", "title", "schema", "layout"}
    for role in set(Protocol.__dataclass_fields__) - unexplained:
        assert f"`{role}" in guide, role
