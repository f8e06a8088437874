"""MLD versions 1 and 2 (RFC 2710, RFC 3810): what hosts and queriers say about IPv6 groups, inside ICMPv6.

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

QUERY, V1_REPORT, V1_DONE, V2_REPORT = 130, 131, 132, 143
_NEXT_HEADER = 58
_CODE_MANTISSA_BITS = 12
_ANY = ipaddress.IPv6Address(0)

_ADDRESS = address_field(ipaddress.IPv6Address)
_HEAD = c.Struct(
    "type" / c.Int8ub,
    "code" / c.Default(c.Int8ub, 0),
    "checksum" / c.Int16ub,
    "response_code" / c.Int16ub,
    "reserved" / c.Default(c.Int16ub, 0),
    "group" / _ADDRESS,
)
"""Version 1 is this alone; 24 bytes (RFC 2710 section 3)."""
_QUERY_REST = query_rest(_ADDRESS)
"""What version 2 adds to a query (RFC 3810 5.1)."""
_REPORT = report(V2_REPORT, _ADDRESS)
"""A report of version 2 (RFC 3810 5.2)."""

IPv6 = ipaddress.IPv6Address


def parse_mld(data: bytes, source: IPv6 | None = None, destination: IPv6 | None = None) -> Message:
    """Return the message in an ICMPv6 packet.

    Args:
      data: from the ICMPv6 type on.
      source: of the IPv6 packet; with both addresses the checksum is verified, else `is_checksum_valid` is None.
      destination: of the IPv6 packet.

    Raises:
      MessageError: too short, cut off, or of a type that is none of versions 1 and 2.

    >>> parse_mld(bytes.fromhex("8300000000000000ff150000000000000000000000000007")).records[0].group
    IPv6Address('ff15::7')
    """
    if len(data) < 8:
        raise MessageError(f"MLD message of {len(data)} bytes is too short; the shortest has 8")
    is_valid = None
    if source is not None and destination is not None:
        is_valid = internet_checksum(_pseudo_header(source, destination, len(data)) + data) == 0
    if data[0] not in (QUERY, V1_REPORT, V1_DONE, V2_REPORT):
        raise MessageError(f"ICMPv6 type {data[0]} is not MLD; {QUERY} to {V1_DONE} and {V2_REPORT} are")
    try:
        if data[0] == V2_REPORT:
            return Report(2, report_records(_REPORT.parse(data)), is_valid)
        head = _HEAD.parse(data)
        if head.type == QUERY:
            return _query(data, head, is_valid)
    except c.ConstructError as exc:
        raise MessageError(f"MLD message of type {data[0]} is malformed or cut off after {len(data)} bytes") from exc
    if head.type == V1_REPORT:
        return Report(1, (Record(RecordKind.MODE_IS_EXCLUDE, head.group),), is_valid)
    return Leave(1, head.group, is_valid)


def _pseudo_header(source: IPv6, destination: IPv6, length: int) -> bytes:
    """Return what the checksum covers beside the message (RFC 8200 8.1)."""
    return source.packed + destination.packed + length.to_bytes(4, "big") + bytes(3) + bytes([_NEXT_HEADER])


def _query(data: bytes, head: c.Container, is_valid: bool | None) -> Query:
    """Return a query; its length tells the version (RFC 3810 8.1)."""
    group = None if head.group == _ANY else head.group
    if len(data) == 24:
        return Query(1, group, head.response_code / 1000, is_checksum_valid=is_valid)
    if len(data) < 28:
        raise MessageError(f"MLD query of {len(data)} bytes fits no version; 24, or 28 and more, do")
    response_s = decode_code(head.response_code, _CODE_MANTISSA_BITS) / 1000
    return Query(2, group, response_s, *query_values(_QUERY_REST.parse(data[24:])), is_valid)


def build_mld(message: Message, source: IPv6, destination: IPv6) -> bytes:
    """Return a message as an ICMPv6 packet, with a right checksum whatever `is_checksum_valid` says.

    A time that has no code of its own becomes the next shorter one that has.

    Raises:
      MessageError: an IPv4 address, a version that has no such message, or more than fits one.
    """
    try:
        body = _build(message)
    except (c.ConstructError, ValueError) as exc:
        raise MessageError(f"no MLDv{message.version} message can say {message}") from exc
    check = internet_checksum(_pseudo_header(source, destination, len(body)) + body)
    return body[:2] + check.to_bytes(2, "big") + body[4:]


def _build(message: Message) -> bytes:
    """Return a message with its checksum left 0."""
    if isinstance(message, Leave) and message.version == 1:
        return _build_head(V1_DONE, 0, message.group)
    if isinstance(message, Query) and message.version in (1, 2):
        return _build_query(message)
    if isinstance(message, Report) and message.version == 2:
        return build_report(_REPORT, message)
    if isinstance(message, Report) and message.version == 1 and len(message.records) == 1:
        return _build_head(V1_REPORT, 0, message.records[0].group)
    raise MessageError("no such message")


def _build_head(kind: int, code: int, group: object) -> bytes:
    head: bytes = _HEAD.build({"type": kind, "checksum": 0, "response_code": code, "group": group})
    return head


def _build_query(query: Query) -> bytes:
    group, milliseconds = query.group or _ANY, round(query.max_response_s * 1000)
    if query.version == 1:
        return _build_head(QUERY, min(max(milliseconds, 0), 0xFFFF), group)
    return _build_head(QUERY, encode_code(milliseconds, _CODE_MANTISSA_BITS), group) + build_query_rest(
        _QUERY_REST, query
    )
