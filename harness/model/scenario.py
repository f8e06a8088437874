"""The scenario: hosts, streams, receivers, events and expectations of one run, as written in TOML.

Quantities are strings with units; `scenario_text` reads and checks them, and what they mean at run time is decided in
`harness.run`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.lab import Impairment, Link, MulticastRoute, Switch
from harness.model.witness import Attendance, WitnessKind


class Dropout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window of total loss: from `at` after the stream's start, for `lasts`."""

    at: str
    lasts: str


class Impair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The in-process impairment of a stream; ratios as "1%", `displacement` in packets."""

    loss: str = "0%"
    duplicate: str = "0%"
    reorder: str = "0%"
    corrupt: str = "0%"
    displacement: int = 3
    dropouts: list[Dropout] = []
    seed: int | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place where streams are sent and received; what each kind needs is checked in `scenario_text`.

    Attributes:
      kind: "local" a process on this machine, "namespace" one in a network namespace of it, "ssh" another machine,
        "lab" a namespace that the run makes, "router" one that forwards and runs nothing.
      namespace: the network namespace's name; None for the host's own.
      address, user, port, identity: as the OpenSSH client takes them; None leaves them to its configuration.
      known_hosts: file with the host's key; None for the OpenSSH client's own.
      python: the Python there that has multicast-harness installed; None: this one's, and over ssh `python3`.
      retry: how long a host that was lost is waited for, after the run, to fetch its recording.
      shares: in a lab, the host on whose machine this one is another program, started by another launcher.
      settings, routes, rules: of a lab host's machine, as `sysctl`, `ip route add` and `ip rule add` take them.
      multicast_routes: what a router forwards.
    """

    name: str
    kind: Literal["local", "namespace", "ssh", "lab", "router"] = "local"
    namespace: str | None = None
    address: str | None = None
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    known_hosts: str | None = None
    python: str | None = None
    retry: str = "30s"
    shares: str | None = None
    settings: dict[str, str] = {}
    routes: list[str] = []
    rules: list[str] = []
    multicast_routes: list[MulticastRoute] = []


class Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of probes to send; without a `host`, from this machine.

    `tx_stamps`: by the kernel, in the log. `precise`: the program watches the clock from packet to packet, which takes
    a processor, where it otherwise sleeps for most of the time.
    """

    group: str
    interface: str | None = None
    host: str | None = None
    rate: str = "100pps"
    schedule: str = "constant"
    size: str = "200"
    count: int | None = None
    duration: str | None = None
    start: str = "0s"
    ttl: int = 1
    dscp: int = 0
    stream: int | None = None
    loop: bool = True
    pattern: bool = False
    offload: bool = False
    tx_stamps: bool = False
    precise: bool = False
    impair: Impair | None = None


class Receiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver: what it joins, where, and for how long; without a `host`, on this machine.

    `stamps` is who stamps arrivals: the kernel, the network card, or this program after reading. `witnesses` listen
    beside it; None: those that the system allows. `one_socket` joins all groups on one socket per port, as many
    programs do, and meets the kernel's limit of memberships as they do.
    """

    groups: list[str]
    name: str = ""
    interface: str | None = None
    host: str | None = None
    source: str | None = None
    protocol: str = "probe"
    clock_rate: int | None = None
    buffer: str | None = None
    start: str = "0s"
    offload: bool = False
    stamps: Literal["kernel", "hardware", "user"] = "kernel"
    witnesses: list[WitnessKind] | None = None
    one_socket: bool = False


class TimedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something done at a time after the start of the run.

    `receiver` names whom it concerns: a receiver's name, on whatever host, "host/name", a host's name for its receiver
    without a name, or "" for all. "stall" stops its reading, "deafen" puts a filter on its present sockets that lets
    nothing in; "impair" does something to the lab. `lasts` is until when, for these three; None: to the end.
    """

    at: str
    action: Literal["join", "leave", "reopen", "note", "stall", "deafen", "impair"]
    lasts: str | None = None
    impair: Impairment | None = None
    receiver: str = ""
    group: str | None = None
    text: str = ""


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits that decide the exit code; None = not checked. Each holds for every stream, what `harness.limits` says.

    `profile` names a set of limits that come with the program, or a TOML file of one's own; what stands beside it
    overrides it.
    """

    profile: str | None = None
    max_loss: str | None = None
    max_dropout: str | None = None
    max_windows: int | None = None
    max_burst: int | None = None
    max_loss_events: int | None = None
    max_unavailability: str | None = None
    max_gap: str | None = None
    max_reordered: str | None = None
    max_duplicates: int | None = None
    max_duplicate_ratio: str | None = None
    max_join_delay: str | None = None
    max_ipdv: str | None = None
    max_pdv: str | None = None
    max_jitter: str | None = None
    max_corrupt: int | None = None
    max_too_late: int | None = None
    max_misdelivered: int | None = None
    max_own_drops: int | None = None
    min_received: int | None = None
    windows: int | None = None
    streams: int | None = None
    verdict: str | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run, whole.

    Attributes:
      duration: when the run ends at the latest; None: when every stream has been sent and has had `linger` to arrive.
      timeout: how long receivers wait for a first packet before the run gives up; None waits for ever.
      linger: how long receivers stay after the last stream has ended.
      record: "packets" one by one, or only "counters" and windows, for rates that no disk takes; with offload a
        sender's packets are counted, too, and of them those alone are logged that the system refused.
      seed: of everything random that has no seed of its own.
      switch, link: the lab that its hosts of kind "lab" stand in.
      families: the IP versions that the lab's catalogue runs it with; it is written for the first.
      attendance: of a part of a run over several hosts, what its controller adds; nobody writes it by hand.
    """

    name: str = "scenario"
    description: str = ""
    duration: str | None = None
    timeout: str | None = None
    linger: str = "500ms"
    seed: int = 1
    record: Literal["packets", "counters"] = "packets"
    host: list[Host] = []
    switch: list[Switch] = []
    link: list[Link] = []
    families: tuple[Literal[4, 6], ...] = (4,)
    stream: list[Stream] = []
    receiver: list[Receiver] = []
    event: list[TimedEvent] = []
    expect: Expect = Expect()
    attendance: Attendance | None = None
