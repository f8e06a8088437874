"""Which frames a fault hits: those that match it, while it is active, and of these the selected ones."""

from __future__ import annotations

import random

from harness.lab.wire.frames import MEMBERSHIP, UDP, Parsed
from harness.lab.wire.plan import FaultPlan, GilbertPlan
from harness.lab.wire.records import BACKWARD, FORWARD


class Matcher:
    """Answers whether a frame is of the kind, destination and direction that a fault asks for."""

    def __init__(self, plan: FaultPlan) -> None:
        spec = plan.spec
        self._directions = {"forward": (FORWARD,), "backward": (BACKWARD,), "both": (FORWARD, BACKWARD)}[spec.direction]
        self._kind = {"udp": UDP, "membership": MEMBERSHIP, "all": None}[spec.frames]
        self._address, self._port = plan.address, plan.port

    def matches(self, direction: int, parsed: Parsed) -> bool:
        """Return whether the frame is one."""
        return (
            direction in self._directions
            and (self._kind is None or parsed.kind == self._kind)
            and (self._address is None or parsed.destination == self._address)
            and (self._port is None or parsed.port == self._port)
        )


class GilbertElliott:
    """A two-state chain; the first state is drawn from the chain's stationary distribution.

    Args:
      plan: the probabilities.
      chances: draws from [0, 1).
    """

    def __init__(self, plan: GilbertPlan, chances: random.Random) -> None:
        self._plan, self._chances = plan, chances
        self._is_bad = chances.random() < plan.p / (plan.p + plan.r)

    def hits(self) -> bool:
        """Return whether the next frame is hit, and take a step."""
        plan, draw = self._plan, self._chances.random
        is_hit = draw() < (plan.bad if self._is_bad else plan.good)
        self._is_bad = draw() >= plan.r if self._is_bad else draw() < plan.p
        return is_hit


class Selector:
    """Says of each matching frame in turn whether it is hit.

    A generator of its own makes its answers depend on nothing but the seed and the frames that match.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self._selection = selection = plan.selection
        self._chances = random.Random(f"{plan.seed} chances")
        self._chain = GilbertElliott(selection.gilbert, self._chances) if selection.gilbert else None
        self._n_seen = 0

    def hits(self, seq: int | None) -> bool:
        """Return whether the frame with this sequence number is hit; None for one without."""
        self._n_seen += 1
        selection = self._selection
        if selection.ratio is not None:
            return self._chances.random() < selection.ratio
        if self._chain is not None:
            return self._chain.hits()
        if selection.nths is not None:
            return self._n_seen in selection.nths
        return selection.seqs is None or (seq is not None and seq in selection.seqs)
