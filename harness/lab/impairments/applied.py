"""An impairment that is in force, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

Counts = dict[str, int]
"""Packets by what was done to which: {"dropped udp": 3, "duplicated udp": 1}; what did not happen is left out."""


class Applied:
    """An impairment in force.

    Attributes:
      owned: what it made that outlives this program unless removed by name: [("cgroup", path)].
    """

    def __init__(
        self,
        undo: Callable[[], Awaitable[None]] | None = None,
        counted: Callable[[], Awaitable[Counts]] | None = None,
        owned: list[tuple[str, str]] | None = None,
    ) -> None:
        self._undo, self._counted = undo, counted
        self.owned = owned or []
        self._is_over = False

    async def undo(self) -> None:
        """End it, and leave the lab as it was; a second call does nothing.

        Cancellation waits for it, each of its commands being bounded: half an undo would leave rules behind.

        Raises:
          LabError: something of it could not be taken back.
        """
        if self._is_over:
            return
        self._is_over = True
        with trio.CancelScope(shield=True):
            if self._undo is not None:
                await self._undo()

    async def counted(self) -> Counts:
        """Return what its own rules did to packets, up to now or, once it is over, altogether.

        Raises:
          LabError: the kernel's counters cannot be read.
        """
        return await self._counted() if self._counted is not None else {}
