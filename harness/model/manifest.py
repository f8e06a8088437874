"""The run manifest: what was asked, what was resolved, where and when, how it ended. Stored as `manifest.json`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.model.stream import StreamInfo
from harness.model.summary import Distribution

MANIFEST_VERSION = 1


class CardClock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock of a network card that stamped arrivals, as compared with realtime; it is a time line of its own.

    Every stamp on record has been moved to realtime with the difference that was measured around it.

    Attributes:
      interface: the card's interface; device: its clock, "/dev/ptp0".
      offset_start_ns, offset_end_ns: the card's clock minus realtime, at the first and the last comparison.
      error_bound_ns: how far a moved stamp may be wrong: the time that a comparison took, and how far the two clocks
        strayed from what the comparison before had foretold, at worst.
    """

    interface: str
    device: str
    offset_start_ns: int
    offset_end_ns: int
    error_bound_ns: int


class Clocks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clocks behind the time stamps.

    Attributes:
      realtime_ns, monotonic_ns: both clocks read at the same moment, at the start; the run's time line is realtime
        here, continued by the monotonic clock, so that a clock step does not move a window.
      rx_source: "kernel" (stamped on arrival), "hardware" or "user" (after reading).
      sync: what disciplines the realtime clock, "chrony", "ntp", "unsynchronised", "unknown".
      error_bound_ns: the kernel's own estimate of the realtime clock's error; None when it has none.
      card: with "hardware", the card's clock; None otherwise.
    """

    realtime_ns: int
    monotonic_ns: int
    rx_source: Literal["kernel", "hardware", "user"] = "user"
    sync: str = "unknown"
    error_bound_ns: int | None = None
    card: CardClock | None = None


class ReceiverInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver of the run: what it joined and what the kernel really gave it.

    `rx_source` is who stamps its arrivals; None in runs of older versions, where `Clocks` alone tells.
    `left_ns` is when it stopped listening because its host was lost; None: it listened to the end of the run.
    """

    name: str = ""
    groups: list[str]
    source: str | None = None
    interface: str | None = None
    protocol: str = "probe"
    buffer_asked: int | None = None
    buffer_granted: int | None = None
    counts_drops: bool = False
    joined_ns: int | None = None
    left_ns: int | None = None
    path: str = "batch"
    offload: bool = False
    rx_source: Literal["kernel", "hardware", "user"] | None = None


class SentCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Packets of a sending stream that were counted, not logged: all of them from a number on but those refused.

    Attributes:
      first_seq: the first packet that was not logged for having left.
      end_seq: the number after the last packet that left or was refused; None when the run did not live to tell.
      sent: how many of these left; None as above.
      lateness: theirs, from due to sent, to a 64th of what one batch spans; no samples for a stream that is never late.
    """

    first_seq: int
    end_seq: int | None = None
    sent: int | None = None
    lateness: Distribution = Distribution(n=0)


class SenderInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sending stream of the run; `stream` is the number in `sent.bin`.

    Attributes:
      host: which of the run's hosts sent it; "" in a run of one machine.
      tx_source: who stamped `tx_ns` in `sent.bin`: "kernel" where asked for and given, row by row by
        SentFlag.KERNEL_STAMP; "user" otherwise. The stamp on the wire is always the user's.
      tx_missing: packets sent for which the kernel's stamp never came; None when none was asked for, or the run did
        not come to its end.
      counted: what of it was counted and not logged, because the user asked for that or the disk could not keep up;
        None when every packet is on record.
    """

    stream: int
    stream_id: int
    epoch: int
    group: str
    source: str = ""
    interface: str | None = None
    schedule: str
    first_due_ns: int
    interval_ns: int
    size: int
    ttl: int
    dscp: int = 0
    offload: bool = False
    host: str = ""
    tx_source: Literal["kernel", "user"] = "user"
    tx_missing: int | None = None
    counted: SentCount | None = None


class Counters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Running totals of a recording, written beside every chunk so that a crash keeps them.

    Attributes:
      socket_drops: by receiver name, datagrams dropped by its socket buffers.
      rejected: datagrams that were no packet of the protocol, by reason.
      misdelivered: by receiver name.
    """

    socket_drops: dict[str, int] = {}
    rejected: dict[str, int] = {}
    misdelivered: dict[str, int] = {}


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run ended. A run without one was killed or is still going on."""

    reason: str
    t_ns: int
    error: str | None = None


class HostInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host of a run over several: who it was, how its clock stood, and what became of its part.

    Attributes:
      name, kind, where: as the scenario names it; `where` its namespace or address, "" for this machine.
      host, boot_id, versions: what its agent says of itself.
      clock_offset_ns: its clock minus the time line of this recording, already taken out of every time in it; 0 for a
        host with the same clock; None when it was never measured.
      clock_error_bound_ns: how far that may be wrong; None when it was never measured.
      lost: why and when its agent was lost, one line; None when it was there to the end.
      missing: what this recording lacks of it, one line; None when nothing.
    """

    name: str
    kind: str
    where: str = ""
    host: str = ""
    boot_id: str = ""
    versions: dict[str, str] = {}
    clock_offset_ns: int | None = None
    clock_error_bound_ns: int | None = None
    lost: str | None = None
    missing: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a reader needs beside the packets.

    Attributes:
      kind: "receive", "send" or "run" (both).
      command: the command line that repeats it.
      asked: the arguments as given; resolved: the scenario with every default and unit resolved.
      versions: of this program, Python, the libraries, the operating system.
      host: host name; boot_id: of this boot, "" where the system has none.
      system_counters: by how much the system's own counters rose during the run, "udp4.receive_buffer_errors",
        "eth0.drops_in"; other programs' traffic is among them.
      counted_from_ns: from when on packets were only counted and not recorded one by one, because the user asked for
        that or the disk could not keep up; None when every packet is on record.
      hosts: those of a run over several, [] for a run of this machine alone.
    """

    version: int = MANIFEST_VERSION
    kind: Literal["receive", "send", "run"]
    created: str
    command: list[str]
    asked: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    versions: dict[str, str] = {}
    host: str = ""
    boot_id: str = ""
    clocks: Clocks
    hosts: list[HostInfo] = []
    receivers: list[ReceiverInfo] = []
    senders: list[SenderInfo] = []
    streams: list[StreamInfo] = []
    counters: Counters = Counters()
    system_counters: dict[str, int] = {}
    counted_from_ns: int | None = None
    end: End | None = None
