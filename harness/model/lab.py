"""What a lab is made of, as a scenario declares it: switches, links, and what is done to them while a run is on.

Places are written like this: "rx" a host, "rx:eth0" its interface, "sw" a switch. What a value does on Linux is
decided in `harness.lab`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Switch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A switch with IGMP and MLD snooping.

    The default timers stand to each other as those of RFC 3376 section 8, at 3 s for the query interval of 125 s.

    Attributes:
      querier: whether the switch itself asks for members.
      flood: whether groups that nobody reported go to every port; hosts' ports do not flood otherwise.
      query_interval, response_interval, membership_interval, other_querier_interval: as in RFC 3376 8.2 to 8.5.
      last_member_interval: wait after a leave (8.8). igmp_version, mld_version: of its own queries.
    """

    name: str
    snooping: bool = True
    querier: bool = True
    flood: bool = False
    query_interval: str = "3s"
    response_interval: str = "240ms"
    membership_interval: str = "6240ms"
    other_querier_interval: str = "6120ms"
    last_member_interval: str = "100ms"
    igmp_version: Literal[2, 3] = 3
    mld_version: Literal[1, 2] = 2


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cable between a host's interface and a switch, or between two hosts' interfaces.

    Attributes:
      ends: two places: ["tx:eth0", "sw"] or ["tx:eth0", "router:left"].
      addresses: of the first end, with prefix length: "10.77.0.1/24", "fd77::1/64".
      peer_addresses: of the second end, when that is a host's.
      wire: faults of a user-space wire that takes the cable's place; None is a plain cable.
    """

    ends: list[str]
    addresses: list[str] = []
    peer_addresses: list[str] = []
    mtu: int | None = None
    wire: dict[str, Any] | None = None


class MulticastRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a router forwards: a group from one source, from one interface to others."""

    group: str
    source: str
    incoming: str
    outgoing: list[str]


class _Impairment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Something done to the network; undone after the event's `lasts`, or with the lab."""


class Selection(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which packets an impairment means.

    Attributes:
      at: a host's interface, "rx:eth0".
      direction: "in" towards that host, "out" from it.
      side: "network" before the host can see it or after it has sent it, "host" inside, where a tap still sees it.
      protocol: "membership" is IGMP and MLD; "fragment" is every fragment but the first.
      ratio: of the packets meant, at random. every: of so many packets one. sequences: [[first, last], ...] of probes.
    """

    at: str
    direction: Literal["in", "out"] = "in"
    side: Literal["network", "host"] = "network"
    protocol: Literal["udp", "igmp", "mld", "membership", "fragment", "any"] = "udp"
    group: str | None = None
    source: str | None = None
    port: int | None = None
    ratio: str = "100%"
    every: int | None = None
    sequences: list[list[int]] | None = None


class Drop(Selection, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="drop"):
    """Packets are lost; on the host's side, outwards, the sender gets an errno."""


class Duplicate(Selection, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="duplicate"):
    """Packets arrive twice."""


class Lifetime(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="lifetime"):
    """Groups reach a host for `after` from each new membership report on, and then no more."""

    at: str
    after: str


class Shape(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="shape"):
    """An interface sends at `rate` at most, from a queue of so many bytes (token bucket)."""

    at: str
    rate: str
    queue: str = "16KB"


class LinkDown(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="link-down"):
    """A cable is pulled: "network" the far end goes down and the host loses its carrier, "host" it is switched off."""

    at: str
    side: Literal["network", "host"] = "network"


class Recreate(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="recreate"):
    """An interface goes and comes again with the same name and addresses, as a USB adapter does on wake."""

    at: str


class SwitchSetting(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="switch"):
    """A switch is configured anew: querier on or off, IGMP version of its queries."""

    switch: str
    querier: bool | None = None
    snooping: bool | None = None
    igmp_version: Literal[2, 3] | None = None
    mld_version: Literal[1, 2] | None = None
    query_interval: str | None = None


class Flush(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="flush"):
    """A switch forgets a host's memberships, of one group or of all."""

    switch: str
    host: str
    group: str | None = None


class Query(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="query"):
    """A general query by somebody else's hand, sent from a host's interface with a source address of choice.

    Attributes:
      query_interval, response_interval: as it states them; `queries` and `every` are what is done.
    """

    at: str
    source: str
    version: Literal[1, 2, 3] = 3
    query_interval: str = "3s"
    response_interval: str = "240ms"
    queries: int = 1
    every: str = "1s"


class RouteChange(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="route"):
    """Routes and policy rules of a host, as `ip route add` and `ip rule add` take them."""

    host: str
    add: list[str] = []
    remove: list[str] = []
    add_rules: list[str] = []


class AddressChange(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="address"):
    """Addresses of an interface come and go, as after another lease."""

    at: str
    add: list[str] = []
    remove: list[str] = []


class Block(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="block"):
    """One program's multicast is refused by its system, as an OS policy does; unicast is not.

    Attributes:
      host: whose program; other programs of the same machine are another host that `shares` it.
      send: sends end with `errno`. receive: nothing is delivered, and no error is told.
      born: "before": only sockets that were open when it began; "any": new ones, too.
    """

    host: str
    send: bool = True
    receive: bool = True
    errno: Literal["EHOSTUNREACH", "EPERM", "ENETUNREACH"] = "EHOSTUNREACH"
    born: Literal["before", "any"] = "any"


class Unroute(_Impairment, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="unroute"):
    """A router withdraws its multicast routes."""

    router: str


Impairment = (
    Drop
    | Duplicate
    | Lifetime
    | Shape
    | LinkDown
    | Recreate
    | SwitchSetting
    | Flush
    | Query
    | RouteChange
    | AddressChange
    | Block
    | Unroute
)
