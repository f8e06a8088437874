"""What a stream is, and what is known about it beside its packets."""

from __future__ import annotations

import msgspec


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream of a recording: the manifest's entry for a value of PACKET_DTYPE's `stream`.

    A stream is (receiver, source, port, group, port, stream id, epoch) plus the protocol's own key. A restarted
    sender has a new epoch, so it is a new stream, never a negative loss.

    Attributes:
      number: the value of `stream` in the packet records.
      receiver: the receiver that heard it, "" when there is only one.
      source: "10.0.0.1:5004"; "" when not known.
      group: where it was addressed to, "239.1.2.3:5000"; "" when not known.
      interface: the name of the interface that it arrived on, or None.
      protocol: name of the protocol in `protocols`, "probe" for our own.
      stream_id, epoch: of a probe; None for foreign streams.
      key: the fields that tell the protocol's streams apart, {"ssrc": "0x1f2e3d4c"} or {"pid": "256"}.
      sequence_bits: width of the number on the wire; 0 for a protocol without numbers.
      sequence_first, sequence_modulus: for numbers that do not run from 0 to 2**bits - 1 (Art-Net: 1, 255).
      clock_rate: ticks per second of the media clock in `tx_ns`; None when `tx_ns` is realtime ns or absent.
      clock_bits: width of that media clock on the wire.
      first_due_ns: when packet 0 was due, sender's realtime; None when there is no schedule.
      interval_ns: time between packets of the schedule; 0 for an aperiodic schedule, None when not known.
      sent: how many packets the sender says it scheduled (end-of-stream packet, sender's log); None when not known.
      clock_offset_ns: receiver's clock minus sender's, subtracted before a packet is judged too late; None when the
        clocks are one and the same or known to agree.
    """

    number: int
    receiver: str = ""
    source: str = ""
    group: str = ""
    interface: str | None = None
    protocol: str = "probe"
    stream_id: int | None = None
    epoch: int | None = None
    key: dict[str, str] = {}
    sequence_bits: int = 64
    sequence_first: int = 0
    sequence_modulus: int | None = None
    clock_rate: int | None = None
    clock_bits: int = 32
    first_due_ns: int | None = None
    interval_ns: int | None = None
    sent: int | None = None
    clock_offset_ns: int | None = None

    @property
    def label(self) -> str:
        """A short name for plots and tables, without the epoch."""
        parts = [self.group or "?"]
        if self.stream_id is not None:
            parts.append(f"stream {self.stream_id}")
        parts += [f"{name} {value}" for name, value in self.key.items()]
        if self.source:
            parts.append(f"from {self.source}")
        if self.receiver:
            parts.append(f"at {self.receiver}")
        return " ".join(parts)
