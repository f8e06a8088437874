"""Packets of an imaginary mixing console: a complete schema to start from.

harness receive 239.20.0.1:7000 --protocol docs/examples/console.py:CONSOLE
"""

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    Enum,
    Flag,
    GreedyBytes,
    Hex,
    Int8ub,
    Int16ub,
    Int32ub,
    Struct,
)

from protocols.schema import Protocol

CONSOLE_PACKET = Struct(
    "magic" / Const(b"CNSL"),
    "version" / Int8ub,
    "state"
    / BitStruct(
        "is_last" / Flag,
        "is_resent" / Flag,
        "kind" / Enum(BitsInteger(6), levels=1, meters=2),
    ),
    "length" / Int16ub,
    "desk" / Hex(Int32ub),
    "header" / Struct("sequence" / Int16ub, "sec" / Int32ub, "usec" / Int32ub),
    "serial" / Bytes(6),
    "payload" / GreedyBytes,
)

CONSOLE = Protocol(
    name="console",
    title="Console levels and meters",
    schema=CONSOLE_PACKET,
    sequence="header.sequence",
    send_time={"header.sec": 10**9, "header.usec": 1_000},
    stream_key=("desk", "state.kind"),
    interval_ns=20_000_000,
    versions={"version": (1, 2)},
    accept=(("wrong length", lambda fields: fields["length"] == fields.size),),
    is_end=lambda fields: fields["state.is_last"],
    is_retransmitted=lambda fields: fields["state.is_resent"],
)
