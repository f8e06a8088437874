"""What becomes of a captured frame: a datagram, or a reason why not."""

from __future__ import annotations

from enum import StrEnum


class Skip(StrEnum):
    """Why a frame of a capture is no datagram; the keys of `Capture.counters`, which count frames."""

    BAD_RECORD = "bad record"
    """The record contradicts itself: it claims more captured bytes than it holds."""
    UNKNOWN_INTERFACE = "unknown interface"
    """The file does not describe the interface that the packet names."""
    UNKNOWN_LINK_TYPE = "unknown link type"
    NOT_IP = "not IP"
    TRUNCATED = "truncated"
    """Cut off by the snap length before the end of the UDP (or IGMP, MLD) header."""
    BAD_HEADER = "bad header"
    TCP = "TCP"
    OTHER_PROTOCOL = "other protocol"
    """IP, but neither UDP, TCP, IGMP nor MLD."""
    JOINED_FRAGMENT = "joined fragment"
    """Not lost: part of a datagram that is delivered with another fragment of it."""
    FRAGMENT = "fragment not reassembled"
    """The rest of its datagram never came, or came too late."""
    OVERLAPPING_FRAGMENT = "overlapping fragment"
    """Fragments that contradict one another; the whole datagram is refused (RFC 5722)."""
    DUPLICATE_FRAGMENT = "duplicate fragment"
    BAD_CHECKSUM = "bad checksum"
    TOO_MANY_MEMBERSHIPS = "membership message beyond the limit"


UDP, SLOW = 0, 1
"""Codes of `fate` in an array: a datagram, and a frame that has to be looked at by itself."""

REASONS = tuple(Skip)
_FIRST_REASON = 2


def code(reason: Skip) -> int:
    """Return the code of a reason in an array of fates.

    >>> reason_of(code(Skip.TCP))
    <Skip.TCP: 'TCP'>
    """
    return REASONS.index(reason) + _FIRST_REASON


def reason_of(fate: int) -> Skip:
    """Return the reason that a code stands for."""
    return REASONS[fate - _FIRST_REASON]
