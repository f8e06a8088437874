"""A scenario's lab as plain values: namespaces, cables and the commands that make them, before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import ScenarioError, nearest
from harness.model.lab import Link, Switch
from harness.model.scenario import Host, Scenario
from harness.units import parse_duration

BRIDGE = "br0"
"""A switch's bridge, in the namespace of its own."""

_NS_PER_CENTISECOND = 10_000_000
"""The unit of a bridge's timers."""

NAMESPACE_KINDS = ("lab", "router")
_QUIET = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.all.accept_dad": "0",
}
"""What would make a lab depend on the machine that it runs on, or wait for seconds."""
_FORWARDING = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable: whose, in which namespace, and the interface's name there."""

    owner: str
    namespace: str
    interface: str
    addresses: tuple[str, ...] = ()
    is_port: bool = False

    @property
    def place(self) -> str:
        """As a scenario writes it: "rx:eth0"; a switch's port is "sw:to-rx"."""
        return f"{self.owner}:{self.interface}"


@dataclass(frozen=True, slots=True)
class Cable:
    """Two ends and what lies between them."""

    first: End
    second: End
    link: Link

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.first, self.second


@dataclass(frozen=True)
class Layout:
    """Everything that is to be made.

    Attributes:
      namespaces: by host or switch, a host that `shares` another's among them.
      cables: in the scenario's order.
      switches, hosts: those of the lab.
    """

    token: str
    namespaces: dict[str, str]
    cables: list[Cable]
    switches: list[Switch]
    hosts: list[Host]
    _by_place: dict[str, tuple[End, End]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for cable in self.cables:
            for end, other in (cable.ends, cable.ends[::-1]):
                self._by_place[end.place] = (end, other)

    def ends(self, place: str) -> tuple[End, End]:
        """Return the end at a place and the other end of its cable.

        Raises:
          ScenarioError: no such place.
        """
        owner, _, interface = place.partition(":")
        host = next((host for host in self.hosts if host.name == owner), None)
        asked = f"{host.shares}:{interface}" if host is not None and host.shares else place
        if asked not in self._by_place:
            raise ScenarioError(f"the lab has no interface {place!r}{nearest(place, self._by_place)}")
        return self._by_place[asked]

    def ends_of(self, owner: str) -> list[End]:
        """Return the ends of all cables at a host or a switch."""
        return [end for cable in self.cables for end in cable.ends if end.owner == owner]

    def own_namespaces(self) -> list[str]:
        """Return the names of all namespaces, each once."""
        return list(dict.fromkeys(self.namespaces.values()))

    def machines(self) -> list[Host]:
        """Return the hosts that are machines of their own, not further programs on another's."""
        return [host for host in self.hosts if host.shares is None]


def make_layout(scenario: Scenario, token: str) -> Layout:
    """Return the layout of a scenario's lab.

    Args:
      scenario: parsed and checked.
      token: what makes its names unique on this machine.

    Raises:
      ScenarioError: a cable's end that nothing bears.
    """
    hosts = [host for host in scenario.host if host.kind in NAMESPACE_KINDS]
    namespaces = {owner: f"{token}-{owner}" for owner in [*(h.name for h in hosts), *(s.name for s in scenario.switch)]}
    for host in hosts:
        if host.shares is not None:
            namespaces[host.name] = namespaces[host.shares]
    switches = {switch.name for switch in scenario.switch}
    ports: set[str] = set()

    def end_of(text: str, other: str, addresses: list[str]) -> End:
        owner, _, interface = text.partition(":")
        if owner not in namespaces:
            raise ScenarioError(f"link end {text!r}: no host or switch of that name{nearest(owner, namespaces)}")
        if owner in switches:
            port = _port_name(other.partition(":")[0], {name for name in ports if name.startswith(f"{owner}:")}, owner)
            ports.add(f"{owner}:{port}")
            return End(owner, namespaces[owner], port, (), is_port=True)
        if not interface:
            raise ScenarioError(f'link end {text!r}: a host\'s end names its interface, like "{owner}:eth0"')
        return End(owner, namespaces[owner], interface, tuple(addresses))

    cables = [
        Cable(
            end_of(link.ends[0], link.ends[1], link.addresses),
            end_of(link.ends[1], link.ends[0], link.peer_addresses),
            link,
        )
        for link in scenario.link
    ]
    return Layout(token, namespaces, cables, scenario.switch, hosts)


def _port_name(host: str, taken: set[str], switch: str) -> str:
    """Return a name for a switch's port that tells where it leads, in the 15 characters that an interface has."""
    base = f"to-{host}"[:13]
    names = (base if number == 1 else f"{base}{number}" for number in range(1, 100))
    return next(name for name in names if f"{switch}:{name}" not in taken)


def cable_line(cable: Cable) -> str:
    """Return the line of `ip -batch` that makes a plain cable, both ends in their namespaces."""
    one, two = cable.ends
    return (
        f"link add name {one.interface} netns {one.namespace} type veth peer name {two.interface} netns {two.namespace}"
    )


def settings_of(host: Host | None) -> dict[str, str]:
    """Return the kernel settings of a host's machine, or of a switch's."""
    if host is None:
        return _QUIET
    return _QUIET | (_FORWARDING if host.kind == "router" else {}) | host.settings


def end_lines(end: End, link: Link) -> list[str]:
    """Return the lines of `ip -batch` that configure one end, in its namespace."""
    lines = [f"link set dev {end.interface} mtu {link.mtu}"] if link.mtu else []
    for address in end.addresses:
        nodad = " nodad" if ":" in address else ""
        lines.append(f"address add {address} dev {end.interface}{nodad}")
    if end.is_port:
        lines.append(f"link set dev {end.interface} master {BRIDGE}")
    return [*lines, f"link set dev {end.interface} up"]


def bridge_lines(switch: Switch, number: int = 0) -> list[str]:
    """Return the lines of `ip -batch` that make a switch's bridge; its querier comes last, see `querier_line`.

    The response interval comes first: the kernel checks the others against it.
    """
    startup = parse_duration(switch.query_interval) // 4
    return [
        f"link add name {BRIDGE} type bridge mcast_snooping {int(switch.snooping)}",
        f"link set dev {BRIDGE} type bridge mcast_query_response_interval {_centiseconds(switch.response_interval)}",
        f"link set dev {BRIDGE} type bridge mcast_query_interval {_centiseconds(switch.query_interval)} "
        f"mcast_startup_query_interval {max(1, startup // _NS_PER_CENTISECOND)} "
        f"mcast_membership_interval {_centiseconds(switch.membership_interval)} "
        f"mcast_querier_interval {_centiseconds(switch.other_querier_interval)} "
        f"mcast_last_member_interval {_centiseconds(switch.last_member_interval)} "
        f"mcast_igmp_version {switch.igmp_version} mcast_mld_version {switch.mld_version} "
        "mcast_query_use_ifaddr 1 mcast_stats_enabled 1",
        f"address add {querier_address(number)}/16 dev {BRIDGE}",
        f"link set dev {BRIDGE} up",
    ]


def querier_address(number: int) -> str:
    """Return the address of the n-th switch's querier.

    It is high, so that any other querier of the lab's network wins the election by its lower one (RFC 3376 6.6.2).
    """
    return f"10.77.255.{254 - number}"


def querier_line(switch: Switch) -> str:
    """Return the line that turns a switch's querier on; before its own address is there, MLD would flood."""
    return f"link set dev {BRIDGE} type bridge mcast_querier {int(switch.querier)}"


def _centiseconds(text: str) -> int:
    centiseconds: int = round(parse_duration(text) / _NS_PER_CENTISECOND)
    return max(1, centiseconds)
