"""Which of a stream's missing packets the receiver's own buffer dropped: the kernel counts them all together."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 0.9
"""Share of a drop-out that a count must be able to account for, to be taken for its cause."""


def allot(n_own: int, drop_outs: Sequence[tuple[int, bool]], n_scattered: int) -> tuple[list[int], int]:
    """Return how many of a socket's drops fall to each drop-out, and to the losses outside them.

    A full buffer drops in a row. So the drops account for drop-outs first, the longest first, those that they cannot
    account for left out; then for losses outside; and what is left then is part of a longer drop-out.

    Args:
      n_own: drops that the socket counted.
      drop_outs: packets missing in each, and whether its packets reached the host as far as is known.
      n_scattered: packets missing outside them.

    >>> allot(955, [(973, True)], 280), allot(40, [(500, True)], 40), allot(500, [(500, False), (480, True)], 0)
    (([955], 0), ([0], 40), ([0, 480], 0))
    """
    found = [0] * len(drop_outs)
    rest = n_own
    arrived = [place for place, (_, has_arrived) in enumerate(drop_outs) if has_arrived]
    by_length = sorted(arrived, key=lambda place: -drop_outs[place][0])
    for place in by_length:
        if MOST * drop_outs[place][0] <= rest:
            found[place] = min(drop_outs[place][0], rest)
            rest -= found[place]
    of_scattered = min(n_scattered, rest)
    rest -= of_scattered
    for place in by_length:
        if not found[place]:
            found[place] = min(drop_outs[place][0], rest)
            rest -= found[place]
    return found, of_scattered
