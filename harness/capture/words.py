"""A window of a pcapng section as 32-bit words: the records that `chain` walks are its blocks.

    type 1 | total length 1 | body | total length 1        everything in words, lengths counted in bytes

The length stands at both ends, which is what makes a guessed block start credible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.capture.chain import Positions

SECTION = 0x0A0D0D0A
"""Block type of a section header; reads the same in both byte orders, since the order is not known before it."""

ENHANCED_PACKET = 6


class Words:
    """The blocks of a window in one byte order, positions in words."""

    def __init__(self, words: NDArray[np.uint32], end: int) -> None:
        """Take the window's words in the machine's byte order, of which `end` are the file's; more must follow."""
        self.end = end
        self.words = words
        self._view = words.data

    def steps(self, at: Positions) -> Positions:
        """Return the lengths of the blocks at `at`; see `chain.Records` for this and what follows."""
        words = self.words
        length = words[at + 1].astype(np.int64)
        step = length >> 2
        is_whole = (length & 3 == 0) & (step >= 3) & (at + step <= self.end) & (words[at] != SECTION)
        last = at + step - 1
        if not is_whole.all():
            last = np.where(is_whole, last, 0)
        is_whole &= words[last] == length
        return step if is_whole.all() else np.where(is_whole, step, 0)

    def walk(self, at: int, stop: int, limit: int) -> tuple[list[int], int]:
        """Return positions one by one, and where the next would be."""
        found: list[int] = []
        view, end = self._view, self.end
        while at < stop and len(found) < limit and at + 3 <= end:
            length = view[at + 1]
            step = length >> 2
            if length & 3 or step < 3 or at + step > end or view[at + step - 1] != length or view[at] == SECTION:
                break
            found.append(at)
            at += step
        return found, at

    def run(self, at: int) -> tuple[int, int]:
        """Return how many packet blocks of one length follow one another, and that length."""
        length = int(self.steps(np.array([at]))[0])
        if length == 0 or self._view[at] != ENHANCED_PACKET:
            return 0, 0
        count = (self.end - at) // length
        step, same = 64, 0
        while same < count:
            begin, stop = at + same * length, at + min(same + step, count) * length
            is_other = self.words[begin + 1 : stop : length] != length * 4
            is_other |= self.words[begin:stop:length] != ENHANCED_PACKET
            is_other |= self.words[begin + length - 1 : stop : length] != length * 4
            if is_other.any():
                return same + int(np.argmax(is_other)), length
            same += len(is_other)
            step *= 8
        return count, length

    def guesses(self, lanes: Positions, stride: int, span: int) -> Positions:
        """Guess by the type: an enhanced packet block whose length stands at both of its ends."""
        if len(lanes) == 0:
            return lanes
        shape, strides = (len(lanes), span), (4 * stride, 4)
        is_type = np.ndarray(shape, np.uint32, self.words, 4 * int(lanes[0]), strides) == ENHANCED_PACKET
        if np.count_nonzero(is_type) > 16 * len(lanes):  # the payload is full of the type's number: walking is faster
            return lanes[:0]
        lane, within = np.nonzero(is_type)
        at = lanes[lane] + within
        is_good = self.steps(at) > 0
        lane, at = lane[is_good], at[is_good]
        _, first_of_lane = np.unique(lane, return_index=True)
        heads: Positions = at[first_of_lane]
        return heads
