"""What witnesses heard beside a receiver, and what the system said before and after: the evidence of a run."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

EVIDENCE_VERSION = 1

WitnessKind = Literal["unicast-twin", "second-socket", "reopened-socket", "tap"]
"""Who listens beside a receiver.

"unicast-twin" the same sender's probes to the receiver's own address; "second-socket" another socket of the same
program, open all the time; "reopened-socket" one opened anew again and again; "tap" the frames on the interface, before
addresses, routes and filters have their say.
"""
WITNESS_KINDS: tuple[WitnessKind, ...] = get_args(WitnessKind)


class WitnessSeries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one witness heard of one group, counted in equal bins.

    Attributes:
      receiver: beside whom; "" for a sender's tap.
      group: "239.1.2.3:5000"; for a unicast twin, the group whose twin it is.
      source: the sender's address and port, as seen; "" when nothing was heard.
      interface, direction: of a tap; "" and "in" otherwise.
      start_ns: of the first bin, on the run's time line; bin_ns: length of a bin.
      counts: packets a bin, up to the end of the witness.
      opened_ns: when a reopened socket was opened, once an opening; [] for the others.
      missing: why it could not listen, one line; None when it did.
    """

    kind: WitnessKind
    receiver: str = ""
    group: str
    source: str = ""
    interface: str = ""
    direction: Literal["in", "out"] = "in"
    start_ns: int = 0
    bin_ns: int = 50_000_000
    counts: list[int] = []
    opened_ns: list[int] = []
    missing: str | None = None


class WitnessRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a host's witnesses heard, as stored in `witnesses.json`."""

    version: int = EVIDENCE_VERSION
    witnesses: list[WitnessSeries] = []


class Twin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One end of a unicast twin in a part of a run over several hosts.

    Attributes:
      receiver: whose, as it is called on its own host; group: whose twin it is.
      address: where it goes to, "10.0.0.2:27100".
      stream: id of the stream to copy, at the sending end; None at the receiving one.
      missing: why there is none, one line; None where there is.
    """

    receiver: str
    group: str
    address: str = ""
    stream: int | None = None
    missing: str | None = None


class Attendance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a part of a run over several hosts cannot know of its witnesses, told by the controller.

    Attributes:
      is_tapped: whether senders have a tap, since receivers elsewhere want one.
      twins: the ends that are on this host.
    """

    is_tapped: bool = False
    twins: list[Twin] = []


class HostEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host: the system's own words before and after (`environment.json`), and its witnesses."""

    name: str
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    witnesses: list[WitnessSeries] = []


class SenderImpairment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender of ours did to its own stream because its scenario asked for it (`[stream.impair]`).

    Attributes:
      stream_id, epoch: of the stream.
      loss, corrupt: the ratios asked for, "0.2%".
      dropouts_ns: the drop-outs asked for, (start, end) from the stream's first due time.
      dropped, corrupted: numbers of the probes that it left out or damaged, ascending; None where its record
        (`truth.jsonl`) is missing or cannot be read.
      n_duplicated: probes of which it sent a second copy.
    """

    stream_id: int
    epoch: int
    loss: str = "0%"
    corrupt: str = "0%"
    dropouts_ns: list[tuple[int, int]] = []
    dropped: list[int] | None = None
    corrupted: list[int] | None = None
    n_duplicated: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a diagnosis has beside the Summary: what the hosts of the run can know in the field, and no switch."""

    version: int = EVIDENCE_VERSION
    hosts: list[HostEvidence] = []
    impairments: list[SenderImpairment] = []
