"""IGMP versions 1 to 3 (RFC 1112 appendix I, RFC 2236, RFC 3376): what hosts and queriers say about IPv4 groups.

One message at a time, for evidence and for the lab; not for the hot path.
"""

from __future__ import annotations

import ipaddress

import construct as c

from protocols.membership import (
    Leave,
    Message,
    MessageError,
    Query,
    Record,
    RecordKind,
    Report,
    decode_code,
    encode_code,
    internet_checksum,
)
from protocols.membership_wire import (
    address_field,
    build_query_rest,
    build_report,
    query_rest,
    query_values,
    report,
    report_records,
)

QUERY, V1_REPORT, V2_REPORT, LEAVE, V3_REPORT = 0x11, 0x12, 0x16, 0x17, 0x22
_MANTISSA_BITS = 4
_V1_RESPONSE_S = 10.0
_ANY = ipaddress.IPv4Address(0)

_ADDRESS = address_field(ipaddress.IPv4Address)
_HEAD = c.Struct("type" / c.Int8ub, "code" / c.Int8ub, "checksum" / c.Int16ub, "group" / _ADDRESS)
"""Versions 1 and 2 are this alone; 8 bytes (RFC 2236 section 2)."""
_QUERY_REST = query_rest(_ADDRESS)
"""What version 3 adds to a query (RFC 3376 4.1)."""
_REPORT = report(V3_REPORT, _ADDRESS)
"""A report of version 3 (RFC 3376 4.2)."""


def parse_igmp(data: bytes) -> Message:
    """Return the message in an IP payload; bytes after its fields count for the checksum only (RFC 3376 4.1.10).

    Raises:
      MessageError: too short, cut off, or of a type that is none of versions 1 to 3.

    >>> parse_igmp(bytes.fromhex("1600fa04ef010203")).records[0].group
    IPv4Address('239.1.2.3')
    """
    if len(data) < 8:
        raise MessageError(f"IGMP message of {len(data)} bytes is too short; the shortest has 8")
    is_valid = internet_checksum(data) == 0
    try:
        if data[0] == V3_REPORT:
            records = report_records(_REPORT.parse(data))
            return Report(3, records, is_valid)
        head = _HEAD.parse(data)
        if head.type == QUERY:
            return _query(data, head, is_valid)
    except c.ConstructError as exc:
        raise MessageError(f"IGMP message of type {data[0]:#04x} is cut off after {len(data)} bytes") from exc
    if head.type in (V1_REPORT, V2_REPORT):
        member = Record(RecordKind.MODE_IS_EXCLUDE, head.group)
        return Report(1 if head.type == V1_REPORT else 2, (member,), is_valid)
    if head.type == LEAVE:
        return Leave(2, head.group, is_valid)
    raise MessageError(f"IGMP message type {head.type:#04x} is not one of versions 1 to 3")


def _query(data: bytes, head: c.Container, is_valid: bool) -> Query:
    """Return a query; its length and code tell the version (RFC 3376 7.1)."""
    group = None if head.group == _ANY else head.group
    if len(data) == 8:
        version = 2 if head.code else 1
        return Query(version, group, head.code / 10 if head.code else _V1_RESPONSE_S, is_checksum_valid=is_valid)
    if len(data) < 12:
        raise MessageError(f"IGMP query of {len(data)} bytes fits no version; 8, or 12 and more, do")
    response_s = decode_code(head.code, _MANTISSA_BITS) / 10
    return Query(3, group, response_s, *query_values(_QUERY_REST.parse(data[8:])), is_valid)


def build_igmp(message: Message) -> bytes:
    """Return a message as an IP payload, with a right checksum whatever `is_checksum_valid` says.

    A time that has no code of its own becomes the next shorter one that has.

    Raises:
      MessageError: an IPv6 address, a version that has no such message, or more than fits one.

    >>> build_igmp(Leave(2, ipaddress.IPv4Address("239.1.2.3"))).hex()
    '1700f7faef010203'
    """
    try:
        body = _build(message)
    except (c.ConstructError, AttributeError) as exc:
        raise MessageError(f"no IGMPv{message.version} message can say {message}") from exc
    check = internet_checksum(body)
    return body[:2] + check.to_bytes(2, "big") + body[4:]


def _build(message: Message) -> bytes:
    """Return a message with its checksum left 0."""
    if isinstance(message, Leave) and message.version == 2:
        return _build_head(LEAVE, 0, message.group)
    if isinstance(message, Query) and message.version in (1, 2, 3):
        return _build_query(message)
    if isinstance(message, Report) and message.version == 3:
        return build_report(_REPORT, message)
    if isinstance(message, Report) and message.version in (1, 2) and len(message.records) == 1:
        return _build_head(V1_REPORT if message.version == 1 else V2_REPORT, 0, message.records[0].group)
    raise MessageError(f"no IGMPv{message.version} message can say {message}")


def _build_head(kind: int, code: int, group: object) -> bytes:
    head: bytes = _HEAD.build({"type": kind, "code": code, "checksum": 0, "group": group})
    return head


def _build_query(query: Query) -> bytes:
    group, tenths = query.group or _ANY, round(query.max_response_s * 10)
    if query.version == 1:
        return _build_head(QUERY, 0, group)
    if query.version == 2:
        return _build_head(QUERY, min(max(tenths, 1), 255), group)
    return _build_head(QUERY, encode_code(tenths, _MANTISSA_BITS), group) + build_query_rest(_QUERY_REST, query)
