"""What the witnesses of a run know of it, and what every one of them offers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import StorageError
from harness.model import Endpoint, Membership
from harness.model.witness import WitnessSeries
from harness.run.plan import Plan
from harness.run.receiving import Receiving
from harness.run.recorder import Recorder

MAX_PPS = 50_000
"""Above this rate, seen live, a witness of every packet ends, so that it does not disturb what it witnesses."""

RATE_WINDOW_NS = 200_000_000
"""Over what the rate is taken."""

MAX_GROUPS = 16
"""Groups of one receiver that get sockets of witnesses."""

TOO_MANY = f"the receiver has more than {MAX_GROUPS} groups, and the first ones have witnesses"


@dataclass
class Scene:
    """A run as its witnesses see it.

    Attributes:
      start_ns: first bin of all witnesses, on the run's time line.
      started_ns: when the time line of the scenario began; None before.
      over: numbers of the plan's streams that have been sent.
    """

    plan: Plan
    recorder: Recorder
    receivings: Sequence[Receiving]
    start_ns: int
    started_ns: int | None = None
    over: set[int] = field(default_factory=set)

    def note(self, text: str, receiver: str = "") -> None:
        """Say something of the witnesses in the events."""
        with contextlib.suppress(StorageError):  # the disk refused before, and the run says so
            self.recorder.event("note", text, receiver=receiver)

    def sends(self, group: Endpoint) -> list[int]:
        """Return the numbers of this run's own streams to a group."""
        return [stream.number for stream in self.plan.streams if stream.group == group]


class Witness(Protocol):
    """Someone who listens beside a receiver, or at a sender's interfaces."""

    def open(self) -> None:
        """Begin to listen; a refusal is kept for the series."""

    async def run(self) -> None:
        """Listen until cancelled."""

    def close(self) -> None:
        """Take what still waits, and end."""

    def series(self, end_ns: int) -> list[WitnessSeries]:
        """Return what was heard so far, at least one series for each group."""

    @property
    def n_dropped(self) -> int:
        """Datagrams that its own socket's buffer lost, which the host counts among all."""


def multicast_of(receiving: Receiving) -> list[Membership]:
    """Return the memberships of a receiver in multicast groups: several sockets may hear those."""
    return [membership for membership in receiving.plan.memberships if membership.group.is_multicast]
