"""An interface of a capture file, its clock, and ticks of that clock as nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.capture.link import link_name
from harness.model import UNDEFINED_NS
from harness.units import NS_PER_S

_LARGEST_NS = 2**63 - 1
_LARGEST_S = _LARGEST_NS // NS_PER_S


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a capture file.

    Attributes:
      name: as the capturing program wrote it, "" when it did not.
      link_type: the LINKTYPE number of tcpdump.org.
      snaplen: captured bytes of a frame at most; 0 for no limit.
      ticks_per_s: time stamps count units of 1 / ticks_per_s seconds.
      offset_s: seconds to add to every time stamp (if_tsoffset).
      description: the capturing program's words, "" when it gave none.
    """

    name: str
    link_type: int
    snaplen: int
    ticks_per_s: int = 1_000_000
    offset_s: int = 0
    description: str = ""

    @property
    def link_name(self) -> str:
        """The link type by name, "Ethernet"."""
        return link_name(self.link_type)


def ticks_per_second(resolution: int) -> int:
    """Return the ticks per second that an if_tsresol octet stands for (power of ten, or of two with the top bit set).

    >>> ticks_per_second(9), ticks_per_second(0x80 | 10)
    (1000000000, 1024)
    """
    base = 2 if resolution & 0x80 else 10
    return int(base ** (resolution & 0x7F))


def ticks_to_ns(
    ticks: NDArray[np.uint64], ticks_per_s: int, offset_s: NDArray[np.int64] | int = 0
) -> NDArray[np.int64]:
    """Return time stamps as nanoseconds since 1970, rounded down, exact in integers.

    Args:
      ticks: shape (n,).
      ticks_per_s: the clock's resolution, a power of ten or two, of any size.
      offset_s: seconds to add, one for all or one for each.

    Returns:
      Shape (n,); UNDEFINED_NS where the time does not fit into 64 bits (before 1677, after 2262).

    >>> ticks_to_ns(np.array([3, 2**64 - 1], np.uint64), 2).tolist() == [1_500_000_000, UNDEFINED_NS]
    True
    """
    if len(ticks) == 0:
        return np.empty(0, np.int64)
    if ticks_per_s > 2**34:  # beyond it the fraction times 10**9 leaves 64 bits
        offsets = np.broadcast_to(offset_s, ticks.shape).tolist()
        exact = [t * NS_PER_S // ticks_per_s + o * NS_PER_S for t, o in zip(ticks.tolist(), offsets, strict=True)]
        lowest = -_LARGEST_S * NS_PER_S
        return np.array([ns if lowest <= ns <= _LARGEST_NS else UNDEFINED_NS for ns in exact], np.int64)
    if np.isscalar(offset_s) and offset_s == 0 and NS_PER_S % ticks_per_s == 0:
        factor = NS_PER_S // ticks_per_s
        if int(ticks.max()) <= _LARGEST_NS // factor:
            return (ticks * np.uint64(factor)).view(np.int64)
    seconds, fraction = np.divmod(ticks, np.uint64(ticks_per_s))
    fraction_ns = (fraction * np.uint64(NS_PER_S) // np.uint64(ticks_per_s)).astype(np.int64)
    # the sum may wrap in 64 bits; a second sum in floats, good to a few thousand, tells where it did
    offset = np.asarray(offset_s, np.int64)
    is_near = np.abs(seconds.astype(np.float64) + offset.astype(np.float64)) < 2.0**60
    whole = np.where(is_near, (seconds + offset.view(np.uint64)).view(np.int64), 2**62)
    is_last = (whole == _LARGEST_S) & (fraction_ns <= _LARGEST_NS % NS_PER_S)
    fits = (whole >= -_LARGEST_S) & ((whole < _LARGEST_S) | is_last)
    return np.where(fits, np.where(fits, whole, 0) * NS_PER_S + fraction_ns, UNDEFINED_NS)
