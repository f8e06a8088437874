"""Rows on their way to the disk: preallocated blocks, filled by one side, written and given back by the other."""

from __future__ import annotations

import numpy as np

from harness.model import PacketArray

SLAB_BYTES, HUGE_PAGE_BYTES = 8 << 20, 2 << 20
"""Blocks are made for so much at a time: from 4 MiB on numpy asks for huge pages, and a fresh page of the usual size
costs more than writing a hundred rows into it. What does not fill a huge page gets none: so it begins with one."""

PREPARED_BLOCKS = 16
"""Blocks that stand ready when rows begin to come: for more than a second, between two commits, at 400,000 a second."""

_PAGE_BYTES = 4096


class RowBuffer:
    """Blocks of rows, at most `max_blocks` of them, the ones that are being written included.

    Not thread-safe: its owner holds a lock around each call, and every call is short.

    Attributes:
      n_rows: rows that wait to be taken.
    """

    def __init__(self, dtype: np.dtype[np.void], block_rows: int, max_blocks: int) -> None:
        self.n_rows = 0
        self._dtype, self._block_rows, self._max_blocks = dtype, block_rows, max_blocks
        self._free: list[PacketArray] = []
        self._full: list[PacketArray] = []
        self._lent: list[PacketArray] = []  # whole blocks, in the order of `take`
        self._block: PacketArray | None = None
        self._used = 0
        self._n_blocks = 0

    @property
    def is_half_full(self) -> bool:
        """Whether rows should go to the disk soon, whatever the clock says."""
        return 2 * self.n_rows >= self._block_rows * self._max_blocks

    @property
    def is_nearly_full(self) -> bool:
        """Whether less than a quarter of the room is left, blocks that are being written counted as taken."""
        n_available = len(self._free) + self._max_blocks - self._n_blocks
        return 4 * n_available < self._max_blocks

    def prepare(self) -> None:
        """Have the system give the memory for the first rows now, and not while they come: it takes milliseconds."""
        if not self._n_blocks:
            self._make_blocks(PREPARED_BLOCKS)
            for block in self._free:
                block.view(np.uint8)[::_PAGE_BYTES] = 0

    def append(self, rows: PacketArray) -> int:
        """Copy rows in and return how many found room; fewer than given when the disk must catch up first."""
        taken = 0
        plain = np.dtype((np.void, self._dtype.itemsize))  # numpy copies structures field by field, 25 times as slowly
        while taken < len(rows):
            block = self._open_block()
            if block is None:
                break
            n = min(self._block_rows - self._used, len(rows) - taken)
            block.view(plain)[self._used : self._used + n] = rows[taken : taken + n].view(plain)
            self._used += n
            taken += n
        self.n_rows += taken
        return taken

    def take(self) -> list[PacketArray]:
        """Return everything that waits, oldest first; the arrays stay valid until `give_back`."""
        taken, self._full = self._full, []
        self._lent += taken
        if self._block is not None and self._used:
            taken.append(self._block[: self._used])
            self._lent.append(self._block)
            self._block, self._used = None, 0
        self.n_rows = 0
        return taken

    def give_back(self, taken: list[PacketArray]) -> None:
        """Return blocks from `take` for reuse, those that were taken first."""
        self._free += self._lent[: len(taken)]
        del self._lent[: len(taken)]

    def _open_block(self) -> PacketArray | None:
        """Return the block with room for a row, or None when there is none left."""
        if self._block is not None and self._used == self._block_rows:
            self._full.append(self._block)
            self._block, self._used = None, 0
        if self._block is None and not self._free:
            self._make_blocks(max(1, SLAB_BYTES // (self._block_rows * self._dtype.itemsize)))
        if self._block is None and self._free:
            self._block = self._free.pop()
        return self._block

    def _make_blocks(self, most: int) -> None:
        """Make some blocks more, if there may be."""
        n = min(most, self._max_blocks - self._n_blocks)
        if n > 0:
            n_bytes = n * self._block_rows * self._dtype.itemsize
            align = HUGE_PAGE_BYTES if n_bytes >= HUGE_PAGE_BYTES else 1
            room = np.empty(n_bytes + align, np.uint8)
            first = -room.ctypes.data % align
            slab = room[first : first + n_bytes].view(self._dtype).reshape(n, self._block_rows)
            self._free += list(slab[::-1])
            self._n_blocks += n
