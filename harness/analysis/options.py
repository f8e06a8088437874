"""What the user knows of a foreign stream that its packets do not say."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.errors import UsageError
from harness.model import StreamInfo
from harness.traffic import load_protocol
from protocols.schema import Protocol


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Knowledge about the streams of a capture or table; None where the user says nothing.

    Attributes:
      protocol: format by name, or path.py:NAME; None guesses.
      sequence_bits: width of the sequence number.
      clock_rate: ticks per second of the media clock.
      interval_ns: nominal time between packets.
      first_due_ns: when the packet with the lowest number was due; with `interval_ns` it makes the schedule known.
      count: how many packets the schedule had.
      observed_ns: from when to when the source was being listened to.
    """

    protocol: str | None = None
    sequence_bits: int | None = None
    clock_rate: int | None = None
    interval_ns: int | None = None
    first_due_ns: int | None = None
    count: int | None = None
    observed_ns: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.first_due_ns is not None and self.interval_ns is None:
            raise UsageError("--first-due makes a schedule only together with --interval")
        if self.observed_ns is not None and self.observed_ns[1] <= self.observed_ns[0]:
            raise UsageError(f"--observed ends at {self.observed_ns[1]}, before it starts at {self.observed_ns[0]}")

    def load(self) -> Protocol | None:
        """Return the format with the user's widths and rates; None when it is to be guessed.

        Raises:
          SchemaFileError: no such format.
          UsageError: a width or rate that the format has no field for.
        """
        if self.protocol is None:
            return None
        return load_protocol(
            self.protocol,
            sequence_bits=self.sequence_bits,
            clock_rate=self.clock_rate,
            interval_ns=self.interval_ns,
        )

    def applied(self, info: StreamInfo) -> StreamInfo:
        """Return a stream with what the user knows of it."""
        changes: dict[str, int] = {}
        if self.sequence_bits is not None and info.sequence_bits:
            changes["sequence_bits"] = self.sequence_bits
        if self.clock_rate is not None and info.clock_rate is None and info.protocol == "rtp":
            changes["clock_rate"] = self.clock_rate
        if self.interval_ns is not None:
            changes["interval_ns"] = self.interval_ns
        if self.first_due_ns is not None:
            changes["first_due_ns"] = self.first_due_ns
        if self.count is not None:
            changes["sent"] = self.count
        return msgspec.structs.replace(info, **changes)
