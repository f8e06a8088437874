"""Membership messages as values, the same for IGMP and MLD: query, report, leave.

What one protocol lacks is None. `igmp` and `mld` turn them into bytes and back.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class MessageError(ValueError):
    """Bytes that are no membership message, or not a whole one; one line with the reason."""


class RecordKind(IntEnum):
    """Types of group records (RFC 3376 4.2.12, RFC 3810 5.2.12)."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE = 3
    CHANGE_TO_EXCLUDE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


@dataclass(frozen=True, slots=True)
class Record:
    """One group of a report.

    `kind` is a plain number where it is none of RecordKind; such a record is to be ignored (RFC 3376 4.2.12).
    """

    kind: RecordKind | int
    group: Address
    sources: tuple[Address, ...] = ()
    auxiliary: bytes = b""


@dataclass(frozen=True, slots=True)
class Query:
    """A querier asks who is still a member.

    Attributes:
      version: of the protocol, from length and code (RFC 3376 7.1, RFC 3810 8.1).
      group: None in a general query.
      max_response_s: time in which members answer; 10 s in IGMPv1, which cannot say.
      sources: asked for by name; only IGMPv3 and MLDv2.
      is_router_suppressed: S flag; None in versions without it, and so are the next two.
      robustness: the querier's robustness variable (QRV), 0 when it exceeds 7.
      interval_s: the querier's query interval (QQIC, decoded).
      is_checksum_valid: None where it cannot be known (MLD without the addresses of the packet).
    """

    version: int
    group: Address | None
    max_response_s: float
    sources: tuple[Address, ...] = ()
    is_router_suppressed: bool | None = None
    robustness: int | None = None
    interval_s: int | None = None
    is_checksum_valid: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A member answers or announces itself; versions without records have a single one, MODE_IS_EXCLUDE, no sources."""

    version: int
    records: tuple[Record, ...]
    is_checksum_valid: bool | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """A member leaves: IGMPv2 Leave Group, MLDv1 Done. Later versions leave by a report."""

    version: int
    group: Address
    is_checksum_valid: bool | None = None


Message = Query | Report | Leave


def internet_checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071); of data that holds a right one it is 0.

    >>> hex(internet_checksum(bytes.fromhex("1164000000000000")))
    '0xee9b'
    """
    padded = data + b"\x00" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def decode_code(code: int, mantissa_bits: int) -> int:
    """Return the value of a floating-point code (RFC 3376 4.1.1 with 4 bits, RFC 3810 5.1.3 with 12).

    >>> decode_code(100, 4), decode_code(0x80, 4), decode_code(0xFF, 4), decode_code(0xFFFF, 12)
    (100, 128, 31744, 8387584)
    """
    if code < 1 << (mantissa_bits + 3):
        return code
    leading = 1 << mantissa_bits
    exponent = code >> mantissa_bits & 7
    return (code & (leading - 1) | leading) << exponent + 3


def encode_code(value: int, mantissa_bits: int) -> int:
    """Return the code of the largest value that is not above `value`; values beyond the range give the last code.

    >>> encode_code(100, 4), hex(encode_code(131, 4)), hex(encode_code(10**9, 4))
    (100, '0x80', '0xff')
    """
    if value < 1 << (mantissa_bits + 3):
        return max(value, 0)
    exponent = min(value.bit_length() - mantissa_bits - 4, 7)
    mantissa = min(value >> (exponent + 3), (2 << mantissa_bits) - 1) & ((1 << mantissa_bits) - 1)
    return 1 << (mantissa_bits + 3) | exponent << mantissa_bits | mantissa
