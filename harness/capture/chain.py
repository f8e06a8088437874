"""Where records begin: the walk along a chain in which each record tells only its own length.

Such a chain looks sequential, one dependent read after another. Two guesses make it parallel, and both are *proved*
before they are used, so a wrong guess costs time and never a record:

- records are often all of one size: then the lengths stand at a fixed distance, and one strided compare proves a run;
- else the window is cut into lanes. In each a plausible record start is guessed and all lanes step in parallel, one
  gather for all of them. A lane that lands exactly on the guessed start of the next one proves that guess; so by
  induction from the first lane, whose start is known, every position up to the first lane that lands elsewhere is
  exactly what the sequential walk would have found.

What remains, odd lengths, the last few records, a disproved guess, is walked record by record.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

_FIRST_REACH = 1 << 16
_MIN_RUN = 256
_MIN_LANES = 8
_FIRST_WALK = 256
_WALK = 16
_RECORDS_A_LANE = 32


class Records(Protocol):
    """A window of records, positions counted in the format's own unit (pcap: bytes, pcapng: 32-bit words).

    A record is whole when all of it lies before `end` and its length is plausible; a chain ends at the first that is
    not, or that the format wants to look at itself.
    """

    end: int

    def steps(self, at: Positions) -> Positions:
        """Return the lengths of the records at `at`, shape (n,); 0 where none is whole."""

    def walk(self, at: int, stop: int, limit: int) -> tuple[list[int], int]:
        """Return up to `limit` positions from `at` on and before `stop`, one by one, and where the next would be."""

    def run(self, at: int) -> tuple[int, int]:
        """Return how many records of the length of that at `at` follow one another there, and that length; (0, 0)."""

    def guesses(self, lanes: Positions, stride: int, span: int) -> Positions:
        """Return plausible record starts, one at most in each [lane, lane + span), which never overlap."""


class Chain:
    """Walks the chain of records of a file, window after window, and remembers how far guessing went well."""

    def __init__(self) -> None:
        self._reach = _FIRST_REACH

    def positions(self, records: Records, start: int) -> tuple[Positions, int]:
        """Return where the records of a window from `start` on begin, and where the chain ends in it.

        Returns:
          Shape (n,), increasing, every one a whole record; and the position after the last of them, which is `start`
          when there is none.
        """
        parts: list[Positions] = []
        at, found = start, 0
        limit = _FIRST_WALK  # a file of a thousand tiny sections shall not set up lanes for each
        while True:
            few, at = records.walk(at, records.end, limit)
            if few:
                parts.append(np.array(few, np.int64))
                found += len(few)
            if len(few) < limit:
                break
            limit = _WALK
            count, length = records.run(at)
            if count >= _MIN_RUN:
                parts.append(at + length * np.arange(count, dtype=np.int64))
                at += count * length
                found += count
                continue
            stop = min(at + self._reach, records.end)
            part, at = _lanes(records, at, stop, max((at - start) // found, 4))
            rest, at = records.walk(at, stop, stop)
            # what lanes leave over is the end of the chain, where nothing follows, or a wrong guess: then guess less
            self._reach = _FIRST_REACH if rest else min(2 * self._reach, 1 << 40)
            part = np.concatenate([part, np.array(rest, np.int64)])
            parts.append(part)
            found += len(part)
        return (np.concatenate(parts) if parts else np.empty(0, np.int64)), at


def _lanes(records: Records, start: int, stop: int, usual: int) -> tuple[Positions, int]:
    """Return the proved positions from `start` on, all before `stop`, and where the next record would be.

    `usual` is the length of a usual record; _RECORDS_A_LANE of them balance guessing against stepping.
    """
    stride = _RECORDS_A_LANE * usual
    guesses = records.guesses(
        np.arange(start + stride, stop - stride, stride, dtype=np.int64), stride, min(4 * usual, stride)
    )
    heads = np.concatenate([[start], guesses])
    bounds = np.concatenate([guesses, [stop]])
    landing = heads.copy()
    lane, at = np.arange(len(heads)), heads
    seen: list[Positions] = []
    while len(lane) >= _MIN_LANES:
        step = records.steps(at)
        if not step.all():
            is_dead = step == 0
            landing[lane[is_dead]] = at[is_dead]
            lane, at, step = lane[~is_dead], at[~is_dead], step[~is_dead]
        seen.append(at)
        at = at + step
        is_going = at < bounds[lane]
        if not is_going.all():
            landing[lane[~is_going]] = at[~is_going]
            lane, at = lane[is_going], at[is_going]
    for number, position in zip(lane.tolist(), at.tolist(), strict=True):  # too few left to be worth an array
        rest, landing[number] = records.walk(position, int(bounds[number]), stop)
        seen.append(np.array(rest, np.int64))
    every = np.sort(np.concatenate(seen)) if seen else np.empty(0, np.int64)
    is_wrong = landing[:-1] != bounds[:-1]
    if not is_wrong.any():
        return every, int(landing[-1])
    first = int(np.argmax(is_wrong))
    return every[: np.searchsorted(every, bounds[first])], int(landing[first])
