"""The Internet checksum (RFC 1071) of UDP datagrams, of one and of a whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.capture.frames import Ints
from harness.model import PacketArray

_UDP = 17


def ones_sum(data: bytes) -> int:
    """Return the sum of the 16-bit words of `data`, an odd last byte padded with zero, not folded.

    >>> hex(ones_sum(bytes([0x12, 0x34, 0x56])))
    '0x6834'
    """
    return int(np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").sum(dtype=np.int64))


def pseudo_sum(source: bytes, destination: bytes, length: int, protocol: int = _UDP) -> int:
    """Return the pseudo header's sum (RFC 768, RFC 8200 8.1); both versions add up the same way.

    >>> pseudo_sum(bytes(4), bytes(4), 8)
    25
    """
    return ones_sum(source + destination) + length + protocol


def is_right(segment: bytes, source: bytes, destination: bytes) -> bool:
    """Return whether a whole UDP datagram, header and payload, has no checksum or a right one."""
    if segment[6:8] == b"\0\0":
        return True
    return (ones_sum(segment) + pseudo_sum(source, destination, len(segment))) % 0xFFFF == 0


def wrong_checksums(
    window: NDArray[np.uint8], payload: Ints, kept: Ints, checksum: NDArray[np.uint16], meta: PacketArray
) -> NDArray[np.bool_]:
    """Return which UDP datagrams of a window carry a wrong checksum; one without any, or cut off, is not wrong.

    Args:
      window: the bytes that the datagrams lie in.
      payload: where their payloads begin, shape (n,).
      kept: captured bytes of the payloads, shape (n,).
      checksum: as in their headers, shape (n,).
      meta: DATAGRAM_DTYPE, shape (n,).

    Returns:
      Shape (n,).
    """
    is_checked = (checksum != 0) & (kept == meta["size"])
    is_wrong = np.zeros(len(payload), bool)
    if not is_checked.any():
        return is_wrong
    start, length = payload[is_checked] - 8, kept[is_checked] + 8
    low = int(start.min()) & ~1
    start = start - low
    # running sums of the words at even and at odd offsets: any stretch is then one difference
    stop = int((start + length).max())
    total = np.zeros(len(start), np.int64)
    for parity in (0, 1):
        rows = start & 1 == parity
        part = window[low + parity : low + parity + (stop - parity) // 2 * 2]
        sums = np.concatenate([[0], np.cumsum(part.view(">u2"), dtype=np.int64)])
        first = start[rows] >> 1
        total[rows] = sums[first + (length[rows] >> 1)] - sums[first]
    is_odd = length & 1 == 1
    total[is_odd] += window[low + start[is_odd] + length[is_odd] - 1].astype(np.int64) << 8
    known = meta[is_checked]
    # the prefix of a mapped IPv4 address is 0xffff, which is nothing modulo 0xffff
    for name in ("source", "destination"):
        total += np.ascontiguousarray(known[name]).view(">u2").sum(axis=1, dtype=np.int64)
    is_wrong[is_checked] = (total + length + _UDP) % 0xFFFF != 0
    return is_wrong
