"""What each kind of fault does to a frame that it hits: it writes into the frame's treatment, and nothing moves yet."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from harness.lab.wire.frames import UDP, Parsed, flip, is_probe
from harness.lab.wire.plan import FaultPlan
from harness.lab.wire.selection import Matcher, Selector
from harness.lab.wire.spec import CorruptFault, DelayFault, DuplicateFault, ReorderFault

PROBE_BYTES = (12, 60)
"""Where a probe is damaged: behind magic and version, so that it is recognised, and found corrupt by its check."""


@dataclass(slots=True)
class Treatment:
    """What is to become of one frame.

    Attributes:
      data: the frame, damaged by then; `original` as it came.
      due_ns: when it leaves; the time it came unless delayed.
      dropped_by: label of the first fault that drops it.
      corrupted: label and offset of each byte damaged.
      duplicated: label and number of copies of each fault that copies it.
      delayed_by: labels of the faults that delay it.
      reorder: the fault that has others overtake it, and how many.
    """

    number: int
    direction: int
    data: bytes
    original: bytes
    parsed: Parsed
    due_ns: int
    dropped_by: str | None = None
    corrupted: list[tuple[str, int]] = field(default_factory=list)
    duplicated: list[tuple[str, int]] = field(default_factory=list)
    delayed_by: list[str] = field(default_factory=list)
    reorder: tuple[Reordering, int] | None = None
    n_to_pass: int = 0
    is_waiting: bool = False
    has_left: bool = False

    @property
    def n_copies(self) -> int:
        """How many more of it are sent."""
        return sum(copies for _, copies in self.duplicated)


class Action(ABC):
    """One fault at work.

    Args:
      plan: the fault.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.plan, self.label = plan, plan.label
        self.matcher, self.selector = Matcher(plan), Selector(plan)
        self.needs_seq = plan.selection.seqs is not None
        self.values = random.Random(f"{plan.seed} values")
        self.start_ns = 0

    def treat(self, frame: Treatment, now_ns: int, seq: int | None) -> None:
        """Apply the fault if it hits the frame, which matches."""
        if self.selector.hits(seq):
            self.apply(frame, now_ns)

    @abstractmethod
    def apply(self, frame: Treatment, now_ns: int) -> None:
        """Write what the fault does into the frame's treatment."""


class Dropping(Action):
    """Loss and drop-out."""

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Drop it, unless a fault before has."""
        frame.dropped_by = frame.dropped_by or self.label


class Duplicating(Action):
    """Copies."""

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Have copies follow it."""
        assert isinstance(self.plan.spec, DuplicateFault)
        frame.duplicated.append((self.label, self.plan.spec.copies))


class Corrupting(Action):
    """Damage to one byte of the payload."""

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Damage it; a byte that another fault has damaged stays as that left it."""
        spec, parsed = self.plan.spec, frame.parsed
        assert isinstance(spec, CorruptFault)
        size = parsed.end - parsed.payload
        draw = self.values.random()  # also where it is not needed, so that the next frame's does not depend on it
        if parsed.kind != UDP or size < 1:
            return
        first, last = PROBE_BYTES if is_probe(frame.data, parsed) else (0, size)
        byte = spec.byte if spec.byte is not None else first + int(draw * (last - first))
        if byte < size and all(byte != other for _, other in frame.corrupted):
            frame.data = flip(frame.data, parsed, byte, fix=spec.checksum == "fix")
            frame.corrupted.append((self.label, byte))


class Delaying(Action):
    """Constant delay and jitter."""

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__(plan)
        self._last_ns = [0, 0]

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Move its leaving."""
        spec, plan, direction = self.plan.spec, self.plan, frame.direction
        assert isinstance(spec, DelayFault)
        frame.due_ns += plan.delay_ns + int(self.values.random() * (plan.jitter_ns + 1))
        if spec.keep_order:
            frame.due_ns = self._last_ns[direction] = max(frame.due_ns, self._last_ns[direction])
        frame.delayed_by.append(self.label)


class PowerSaving(Action):
    """Release at ticks only."""

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Move its leaving to the next tick, or to the end of the fault."""
        plan = self.plan
        first_ns = self.start_ns + plan.from_ns
        n_ticks = -(-(frame.due_ns - first_ns) // plan.interval_ns)
        tick_ns = min(first_ns + n_ticks * plan.interval_ns, self.start_ns + plan.until_ns)
        frame.due_ns = max(frame.due_ns, tick_ns)
        frame.delayed_by.append(self.label)


class Reordering(Action):
    """Holds frames back until others have left.

    Attributes:
      waiting: the frames held back, in the order in which they came.
    """

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__(plan)
        self.waiting: list[Treatment] = []

    def apply(self, frame: Treatment, now_ns: int) -> None:  # noqa: ARG002 - one method set
        """Have others overtake it, unless a fault before has."""
        spec = self.plan.spec
        assert isinstance(spec, ReorderFault)
        n_to_pass = spec.displacement if spec.exact else 1 + int(self.values.random() * spec.displacement)
        if frame.reorder is None:
            frame.reorder = self, n_to_pass

    def passed(self, frame: Treatment) -> list[Treatment]:
        """Return the frames whose wait ends with the leaving of `frame`, in the order in which they came."""
        if not self.waiting or not self.matcher.matches(frame.direction, frame.parsed):
            return []
        for held in self.waiting:
            held.n_to_pass -= held.direction == frame.direction
        free = [held for held in self.waiting if held.n_to_pass <= 0]
        if free:
            self.waiting = [held for held in self.waiting if held.n_to_pass > 0]
        return free


_ACTIONS: dict[str, type[Action]] = {
    "loss": Dropping,
    "dropout": Dropping,
    "duplicate": Duplicating,
    "reorder": Reordering,
    "corrupt": Corrupting,
    "delay": Delaying,
    "power-save": PowerSaving,
}


def action_of(plan: FaultPlan) -> Action:
    """Return the fault, ready to work."""
    return _ACTIONS[str(plan.spec.__struct_config__.tag)](plan)
