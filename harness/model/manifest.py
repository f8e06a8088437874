"""The run manifest: what was asked, what was resolved, where and when, how it ended. Stored as `manifest.json`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.model.stream import StreamInfo

MANIFEST_VERSION = 1


class Clocks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clocks behind the time stamps.

    Attributes:
      realtime_ns, monotonic_ns: both clocks read at the same moment, at the start; the run's time line is realtime
        here, continued by the monotonic clock, so that a clock step does not move a window.
      rx_source: "kernel" (stamped on arrival), "hardware" or "user" (after reading).
      sync: what disciplines the realtime clock, "chrony", "ntp", "unsynchronised", "unknown".
      error_bound_ns: the kernel's own estimate of the realtime clock's error; None when it has none.
    """

    realtime_ns: int
    monotonic_ns: int
    rx_source: Literal["kernel", "hardware", "user"] = "user"
    sync: str = "unknown"
    error_bound_ns: int | None = None


class ReceiverInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver of the run: what it joined and what the kernel really gave it."""

    name: str = ""
    groups: list[str]
    source: str | None = None
    interface: str | None = None
    protocol: str = "probe"
    buffer_asked: int | None = None
    buffer_granted: int | None = None
    counts_drops: bool = False
    joined_ns: int | None = None
    path: str = "batch"
    offload: bool = False


class SenderInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sending stream of the run; `stream` is the number in `sent.bin`."""

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


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a reader needs beside the packets.

    Attributes:
      kind: "receive", "send" or "run" (both).
      command: the command line that repeats it.
      asked: the arguments as given; resolved: the scenario with every default and unit resolved.
      versions: of this program, Python, the libraries, the operating system.
      host: host name; boot_id: of this boot, "" where the system has none.
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
    receivers: list[ReceiverInfo] = []
    senders: list[SenderInfo] = []
    streams: list[StreamInfo] = []
    counters: Counters = Counters()
    end: End | None = None
