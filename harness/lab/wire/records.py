"""What a wire writes down: one record per frame that something was done to, and the ledger of all frames."""

from __future__ import annotations

from typing import Literal

import msgspec

VERSION = 1
FORWARD, BACKWARD = 0, 1
DIRECTIONS: tuple[Literal["forward", "backward"], Literal["forward", "backward"]] = ("forward", "backward")

Did = Literal[
    "dropped",
    "over_rate",
    "hold_full",
    "refused",
    "held_at_end",
    "unread",
    "duplicated",
    "corrupted",
    "held",
    "sent",
]
LOST: frozenset[Did] = frozenset(("dropped", "over_rate", "hold_full", "held_at_end", "unread"))
"""What was done to frames that did not leave; of those refused, a copy may have left."""


class FrameRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done to one frame.

    Attributes:
      frame: its number among all frames the wire has read, from 1, both directions together.
      direction: forward is from the first end to the second.
      did: "dropped", "duplicated", "corrupted" or "held" by a fault; "over_rate", above the wire's cap; "hold_full",
        beyond its hold_limit; "refused" by the kernel when it should leave; "held_at_end", when the wire was stopped;
        "unread", in its queue then, and too many to be carried; "sent", left after it was held, and any frame that
        leaves where all are logged.
      monotonic_ns, realtime_ns: when, on both clocks of this machine.
      fault: label of the fault that did it.
      to: UDP destination, "239.1.2.3:5000".
      stream, epoch: of a probe.
      seq: sequence number the datagram carries.
      is_end: a probe's end packet, which is no part of the numbering.
      byte: offset in the payload of the byte that was corrupted.
      copies: how many more were sent.
      packets: how many others a reordered frame was to let pass.
      until_ns: monotonic time to which it was held.
      errno: why the kernel refused it.
    """

    frame: int
    direction: Literal["forward", "backward"]
    did: Did
    monotonic_ns: int
    realtime_ns: int = 0
    fault: str | None = None
    to: str | None = None
    stream: int | None = None
    epoch: int | None = None
    seq: int | None = None
    is_end: bool = False
    byte: int | None = None
    copies: int | None = None
    packets: int | None = None
    until_ns: int | None = None
    errno: int | None = None


class DirectionLedger(msgspec.Struct, kw_only=True):
    """Where the frames of one direction went: read + duplicated = out + dropped + ... + held.

    Attributes:
      n_in: frames read from the end where they come in.
      n_out: frames written to the other end, copies included.
      n_dropped: by fault, by its label.
      n_over_rate: above the wire's cap.
      n_hold_full: beyond the hold_limit.
      n_refused: the kernel would not take them when they should leave.
      n_held: still held; at the end they are lost.
      n_unread: found in the queue when the wire was stopped, and too many to be carried.
      n_duplicated: copies made, each counted.
      n_corrupted, n_delayed, n_reordered: frames so treated that left or were to leave.
      n_completed: checksums left to the network card by the sending kernel, which the wire wrote.
      n_queue_drops: frames lost in the queue before the wire could read them, by the interface's own counter.
      n_far_drops: drops counted by the interface where frames leave; what it could not pass on, and strays.
    """

    n_in: int = 0
    n_out: int = 0
    n_dropped: dict[str, int] = msgspec.field(default_factory=dict)
    n_over_rate: int = 0
    n_hold_full: int = 0
    n_refused: int = 0
    n_held: int = 0
    n_unread: int = 0
    n_duplicated: int = 0
    n_corrupted: int = 0
    n_delayed: int = 0
    n_reordered: int = 0
    n_completed: int = 0
    n_queue_drops: int = 0
    n_far_drops: int = 0

    @property
    def n_lost(self) -> int:
        """Frames and copies that came to this end and did not leave, those lost in the queue included."""
        return self._n_stayed + self.n_queue_drops

    @property
    def imbalance(self) -> int:
        """Frames that are not accounted for; 0 unless the wire is wrong."""
        return self.n_in + self.n_duplicated - self.n_out - self._n_stayed

    @property
    def _n_stayed(self) -> int:
        of_faults = sum(self.n_dropped.values())
        return of_faults + self.n_over_rate + self.n_hold_full + self.n_refused + self.n_held + self.n_unread


class Ledger(msgspec.Struct, kw_only=True):
    """A wire's own account of every frame; `limit_pps` is None where it was not measured."""

    forward: DirectionLedger
    backward: DirectionLedger
    cap_pps: float
    limit_pps: float | None = None
    start_realtime_ns: int | None = None
    start_monotonic_ns: int | None = None
    end_realtime_ns: int | None = None
    end_monotonic_ns: int | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether every frame is accounted for in both directions."""
        return not self.forward.imbalance and not self.backward.imbalance
