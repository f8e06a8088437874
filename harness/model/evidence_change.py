"""What has changed about a system: between two snapshots, and at a moment while somebody watched."""

from __future__ import annotations

from typing import Literal

import msgspec

ChangeKind = Literal[
    "address",
    "boot",
    "boot_argument",
    "bridge",
    "clock",
    "evidence",
    "firewall",
    "host",
    "identity",
    "igmp_version",
    "interface",
    "launch",
    "mdb",
    "membership",
    "qdisc",
    "route",
    "rule",
    "setting",
    "version",
    "virtualisation",
]
"""What a difference is about; "evidence" is a part of the snapshot itself that could be read only on one side."""

ObservedKind = Literal["link", "address", "route", "rule", "mdb", "membership", "overrun", "unwatched"]
"""What an observed change is about.

"overrun" says that changes came faster than they could be read, "unwatched" that none are seen, and why.
"""


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One difference between two snapshots of the same host.

    Attributes:
      subject: the thing, "eth0", "10.0.0.2/24 on eth0", "net.ipv4.conf.all.rp_filter".
      field: which of its properties changed, "index"; "" when the thing is one value, or came or went whole.
      before, after: the value as text; None where the thing was not there. Added and removed differ in that alone.
      text: the change as a line for people.
    """

    kind: ChangeKind
    subject: str
    field: str = ""
    before: str | None
    after: str | None
    text: str


class ObservedChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change at the moment when the system told of it.

    Attributes:
      t_realtime_ns: when the message was read, on the realtime clock.
      subject: the interface, where there is one; "" otherwise.
      text: "eth0 down (no carrier)", "10.0.0.2/24 added on eth0".
    """

    t_realtime_ns: int
    kind: ObservedKind
    subject: str = ""
    text: str
