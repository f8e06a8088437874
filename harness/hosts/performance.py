"""What an agent needs of whoever carries out a part of a scenario: `harness.run`, which this package does not know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from harness.model import SenderInfo
from harness.model.scenario import Scenario, TimedEvent
from harness.net import RunClock


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Live numbers of a part.

    Attributes:
      n_sent, n_refused, n_received: packets so far.
      n_sending: streams that are not over yet.
      lost: numbers missing so far, all streams heard; None before the first packet.
      has_heard_every_end: every group joined was heard, and every stream heard has told its end.
      is_over: the part has ended, its recording is complete; `reason` and `error` say how.
    """

    n_sent: int = 0
    n_refused: int = 0
    n_received: int = 0
    n_sending: int = 0
    lost: int | None = None
    has_heard_every_end: bool = False
    is_over: bool = False
    reason: str = ""
    error: str | None = None


class Performance(Protocol):
    """A part being carried out; made by a `Performer`, which may block and runs in a thread."""

    async def perform(self, begin: Callable[[], Awaitable[int]]) -> None:
        """Open and join everything, await `begin` for the start on the clock's time line, and run until stopped.

        The recording is complete when this returns; an error of the environment ends in the status, not here.
        """

    def notes(self) -> list[str]:
        """Return what is allowed and yet worth saying about the part."""

    def senders(self) -> list[SenderInfo]:
        """Return the streams that this part sends; their due times count from the agreed start."""

    def status(self) -> PartStatus:
        """Return the live numbers."""

    def act(self, event: TimedEvent) -> None:
        """Do at once what an event says; its `at` does not count."""

    async def stop_sending(self) -> None:
        """End the streams and wait until they have told their end; receivers go on."""

    def stop(self, reason: str) -> None:
        """End the part."""


Performer = Callable[[Scenario, Path, Path, RunClock], Performance]
"""Makes a part from its scenario, its fresh run directory, the folder of its files, and the agent's time line."""
