"""Roles, options and hooks of a Protocol; what is wrong with one is said when it is made, not when packets come."""

from typing import Any

import construct as c
import numpy as np
import pytest
from numpy.typing import NDArray

from protocols import UNDEFINED_NS, UNNUMBERED, flags
from protocols.decoded import Decoded
from protocols.errors import SchemaError
from protocols.schema import Protocol

SCHEMA = c.Struct(
    "number" / c.Int16ub,
    "sec" / c.Int64ub,
    "usec" / c.Int32sb,
    "ticks" / c.Int24ub,
    "key" / c.Bytes(2),
    "bits" / c.BitStruct("a" / c.BitsInteger(12), "b" / c.Nibble),
    "list" / c.Array(2, c.Int16ub),
    "share" / c.Float32b,
    "rest" / c.GreedyBytes,
)


def make(**roles: Any) -> Protocol:
    return Protocol(**({"name": "mine", "title": "Mine", "schema": SCHEMA} | roles))


def packets(*values: dict[str, Any]) -> NDArray[np.uint8]:
    default = {"number": 0, "sec": 0, "usec": 0, "ticks": 0, "key": b"ab", "bits": {"a": 0, "b": 0}, "list": [1, 2]}
    built = [SCHEMA.build(default | {"share": 0.5, "rest": b""} | value) for value in values]
    return np.frombuffer(b"".join(built), np.uint8).reshape(len(values), -1)


def decode(protocol: Protocol, *values: dict[str, Any]) -> Decoded:
    rows = packets(*values)
    size = np.full(len(rows), rows.shape[1])
    return protocol.decode(rows, size, size)


def test_send_time_adds_up_and_is_undefined_where_it_does_not_fit() -> None:
    protocol = make(send_time={"sec": 10**9, "usec": 1_000})
    times: list[dict[str, Any]] = [{"sec": 3, "usec": 5}, {"sec": 3, "usec": -5}, {"sec": 2**63}, {"sec": 10**10}]
    assert decode(protocol, *times).tx.tolist() == [3_000_005_000, 2_999_995_000, UNDEFINED_NS, UNDEFINED_NS]


def test_send_time_in_ns_is_taken_as_it_is() -> None:
    assert decode(make(send_time="sec"), {"sec": 2**63 - 1}, {"sec": 2**63}).tx.tolist() == [2**63 - 1, UNDEFINED_NS]


def test_clock_gives_ticks() -> None:
    protocol = make(clock="ticks", clock_rate=48_000)
    assert (decode(protocol, {"ticks": 0xFFFFFF}).tx.tolist(), protocol.clock_bits) == ([0xFFFFFF], 24)


def test_without_roles_there_is_no_number_no_time_no_key() -> None:
    decoded = decode(make(), {})
    assert (decoded.seq[0], decoded.tx[0], decoded.key.shape) == (UNNUMBERED, UNDEFINED_NS, (1, 0))
    roles = (decoded.stream_id, decoded.epoch, decoded.count, decoded.interval_ns, decoded.schedule_start_ns)
    assert roles == (None,) * 5


def test_key_tells_streams_apart_by_all_its_fields() -> None:
    protocol = make(stream_key=("key", "bits.a", "list", "share"))
    others: list[dict[str, Any]] = [{"key": b"ac"}, {"bits": {"a": 256, "b": 0}}, {"list": [1, 3]}, {"share": 0.25}]
    decoded = decode(protocol, {}, {"bits": {"a": 0, "b": 9}}, *others)
    assert len(np.unique(decoded.key, axis=0)) == 5
    assert (decoded.key[0] == decoded.key[1]).all()
    assert decoded.key_text(0) == {"key": "6162", "a": "0", "list": "1,2", "share": "0.5"}


def test_key_may_be_a_flag() -> None:
    protocol = make(schema=c.Struct("is_main" / c.Flag), stream_key=("is_main",))
    decoded = protocol.decode(np.array([[0], [7]], np.uint8), np.ones(2, int), np.ones(2, int))
    assert [decoded.key_text(index) for index in range(2)] == [{"is_main": "no"}, {"is_main": "yes"}]
    assert decoded.key.tolist() == [[0], [1]]


def test_key_names_keep_the_path_where_short_ones_clash() -> None:
    schema = c.Struct("one" / c.Struct("id" / c.Int8ub), "two" / c.Struct("id" / c.Int8ub), "x" / c.Int8ub)
    protocol = make(schema=schema, stream_key=("one.id", "two.id", "x"))
    assert protocol.key_names == {"one.id": "one.id", "two.id": "two.id", "x": "x"}


def test_numbers_outside_first_and_modulus_are_unnumbered() -> None:
    protocol = make(sequence="number", sequence_first=10, sequence_modulus=5)
    numbers = [{"number": number} for number in (9, 10, 14, 15)]
    assert decode(protocol, *numbers).seq.tolist() == [UNNUMBERED, 10, 14, UNNUMBERED]


def test_narrower_sequence_rejects_numbers_beyond_it() -> None:
    protocol = make(sequence="number").with_options(sequence_bits=12)
    decoded = decode(protocol, {"number": 4095}, {"number": 4096})
    assert decoded.seq.tolist() == [4095]
    assert protocol.reject_reasons[decoded.reject[1]] == "number out of range"


def test_signed_counter_that_ran_over_goes_on_counting() -> None:
    rows = np.array([[0x7F, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0]], np.uint8)
    decoded = make(schema=c.Struct("number" / c.Int32sb), sequence="number").decode(rows, np.full(4, 4), np.full(4, 4))
    assert decoded.seq.tolist() == [2**31 - 1, 2**31, 2**32 - 1, 0]


@pytest.mark.parametrize("field", [c.Int64sb, c.Int64ub])
def test_numbers_beyond_63_bits_are_rejected(field: Any) -> None:
    rows = np.array([[0x80] + [0] * 7, [0x7F] + [0xFF] * 7], np.uint8)
    protocol = make(schema=c.Struct("number" / field), sequence="number")
    decoded = protocol.decode(rows, np.full(2, 8), np.full(2, 8))
    assert [protocol.reject_reasons[code] for code in decoded.reject] == ["number out of range", "ok"]
    assert decoded.seq.tolist() == [2**63 - 1]


def test_options_replace_what_the_user_knows_better() -> None:
    protocol = make(sequence="number", clock="ticks")
    better = protocol.with_options(sequence_bits=8, clock_rate=90_000, interval_ns=20_000_000)
    assert (better.sequence_bits, better.clock_rate, better.interval_ns) == (8, 90_000, 20_000_000)
    assert (protocol.sequence_bits, protocol.clock_rate, protocol.interval_ns) == (16, None, None)
    assert better.with_options().sequence_bits == 8


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sequence_bits": 17}, "16 bits wide"),
        ({"sequence_bits": -1}, "16 bits wide"),
        ({"clock_rate": 90_000}, "no media clock"),
        ({"interval_ns": 0}, "positive"),
    ],
)
def test_options_that_the_format_cannot_have(options: dict[str, int], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        make(sequence="number").with_options(**options)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"sequence": "numbr"}, "field 'numbr' (sequence) does not exist; did you mean 'number'?"),
        ({"sequence": "rest"}, "field 'rest' (sequence) has no fixed size"),
        ({"sequence": "key"}, "field 'key' (sequence) is not one integer"),
        ({"sequence": "share"}, "field 'share' (sequence) is not one integer"),
        ({"sequence": "list"}, "field 'list' (sequence) is not one integer"),
        ({"clock": "tick"}, "field 'tick' (clock) does not exist; did you mean 'ticks'?"),
        ({"send_time": {"sex": 10**9}}, "field 'sex' (send_time) does not exist; did you mean 'sec'?"),
        ({"send_time": "sec", "clock": "ticks"}, "cannot stand beside a send_time"),
        ({"stream_key": ("keys",)}, "field 'keys' (stream_key) does not exist; did you mean 'key'?"),
        ({"stream_key": "key"}, "write a tuple"),
        ({"versions": {"vers": (1,)}}, "field 'vers' (versions) does not exist"),
        ({"count": "key"}, "field 'key' (count) is not one integer"),
        ({"sequence_bits": 8}, "no field of that role"),
        ({"sequence": "number", "sequence_modulus": 0}, "positive"),
        ({"clock": "ticks", "clock_rate": 0}, "positive"),
    ],
)
def test_wrong_roles_are_named_when_the_protocol_is_made(roles: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        make(**roles)
    assert str(caught.value).startswith("schema mine: ")
    assert message in str(caught.value)


def test_unknown_field_of_decoded_names_the_nearest() -> None:
    with pytest.raises(SchemaError, match="did you mean 'number'"):
        decode(make(), {}).field("numbers")


def test_hooks_see_only_what_was_accepted() -> None:
    seen: list[int] = []

    def is_end(fields: Any) -> Any:
        seen.append(len(fields))
        return fields["number"] == 7

    protocol = make(
        sequence="number",
        is_end=is_end,
        is_retransmitted=lambda fields: fields["number"] == 7,
        is_discontinuity=lambda fields: fields["usec"] == 1,
        accept=(("odd", lambda fields: fields["ticks"] == 0),),
    )
    decoded = decode(protocol, {"number": 7, "ticks": 1}, {"number": 7}, {"number": 8, "usec": 1})
    assert seen == [2]
    assert decoded.flags.tolist() == [flags.END | flags.RETRANSMITTED, flags.DISCONTINUITY]
    assert decoded.row.tolist() == [1, 2]
    assert decoded.field("key").tolist() == [[97, 98]] * 2


def test_first_reason_counts() -> None:
    protocol = make(
        accept=(("first", lambda fields: fields["number"] < 5), ("second", lambda fields: fields["number"] < 3))
    )
    reasons = [protocol.reject_reasons[code] for code in decode(protocol, *[{"number": n} for n in (2, 4, 6)]).reject]
    assert reasons == ["ok", "second", "first"]


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (lambda fields: fields["numbr"] == 1, "did you mean 'number'"),
        (lambda fields: fields["number"] / 0 > fields["key"], "fails: "),
        (lambda _: True, "gives shape"),
        (lambda fields: fields["key"] == 1, "gives shape"),
    ],
)
def test_a_hook_that_fails_is_a_fault_of_the_schema(hook: Any, reason: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(SchemaError, match=reason):
        decode(make(is_end=hook), {}, {}, {})


def test_shared_numbers_are_those_of_the_packet_records() -> None:
    from harness.model import PacketFlag
    from harness.model import packets as records

    assert (records.UNDEFINED_NS, records.UNNUMBERED) == (UNDEFINED_NS, UNNUMBERED)
    for name in ("END", "CORRUPT", "DISCONTINUITY", "RETRANSMITTED", "TRUNCATED"):
        assert PacketFlag[name] == getattr(flags, name)
