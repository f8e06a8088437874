"""What IGMPv3 and MLDv2 spell alike but for the length of an address: the end of a query, and reports."""

from __future__ import annotations

import ipaddress
from typing import Any

import construct as c

from protocols.membership import Address, Query, Record, RecordKind, Report, decode_code, encode_code

_INTERVAL_MANTISSA_BITS = 4


def address_field(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> c.Construct:
    """Return the field of an address; one of the other family does not fit it."""
    size = 4 if kind is ipaddress.IPv4Address else 16
    return c.ExprAdapter(c.Bytes(size), decoder=lambda obj, _: kind(obj), encoder=lambda obj, _: obj.packed)


def query_rest(address: c.Construct) -> c.Construct:
    """Return what IGMPv3 and MLDv2 add to a query (RFC 3376 4.1.5 to 4.1.9, RFC 3810 5.1.7 to 5.1.11)."""
    return c.Struct(
        "bits" / c.BitStruct(c.Padding(4), "suppress" / c.Flag, "robustness" / c.BitsInteger(3)),
        "interval_code" / c.Int8ub,
        "n_sources" / c.Rebuild(c.Int16ub, c.len_(c.this.sources)),
        "sources" / c.Array(c.this.n_sources, address),
    )


def report(message_type: int, address: c.Construct) -> c.Construct:
    """Return a report with group records (RFC 3376 4.2, RFC 3810 5.2)."""
    record = c.Struct(
        "kind" / c.Int8ub,
        "n_words" / c.Rebuild(c.Int8ub, lambda this: len(this.auxiliary) // 4),
        "n_sources" / c.Rebuild(c.Int16ub, c.len_(c.this.sources)),
        "group" / address,
        "sources" / c.Array(c.this.n_sources, address),
        "auxiliary" / c.Bytes(c.this.n_words * 4),
    )
    return c.Struct(
        "type" / c.Const(message_type, c.Int8ub),
        "reserved" / c.Default(c.Int8ub, 0),
        "checksum" / c.Int16ub,
        "reserved_2" / c.Default(c.Int16ub, 0),
        "n_records" / c.Rebuild(c.Int16ub, c.len_(c.this.records)),
        "records" / c.Array(c.this.n_records, record),
    )


def query_values(rest: Any) -> tuple[tuple[Address, ...], bool, int, int]:
    """Return sources, S flag, robustness and interval in seconds of what `query_rest` parsed."""
    interval_s = decode_code(rest.interval_code, _INTERVAL_MANTISSA_BITS)
    return tuple(rest.sources), rest.bits.suppress, rest.bits.robustness, interval_s


def report_records(parsed: Any) -> tuple[Record, ...]:
    """Return the records of what `report` parsed."""
    known = {kind.value: kind for kind in RecordKind}
    return tuple(
        Record(known.get(item.kind, item.kind), item.group, tuple(item.sources), item.auxiliary)
        for item in parsed.records
    )


def build_query_rest(schema: c.Construct, query: Query) -> bytes:
    """Return the bytes that follow the group in a query."""
    rest: bytes = schema.build(
        {
            "bits": {"suppress": bool(query.is_router_suppressed), "robustness": query.robustness or 0},
            "interval_code": encode_code(query.interval_s or 0, _INTERVAL_MANTISSA_BITS),
            "sources": query.sources,
        }
    )
    return rest


def build_report(schema: c.Construct, message: Report) -> bytes:
    """Return a report, its checksum 0."""
    records = [
        {"kind": int(record.kind), "group": record.group, "sources": record.sources, "auxiliary": record.auxiliary}
        for record in message.records
    ]
    body: bytes = schema.build({"checksum": 0, "records": records})
    return body
