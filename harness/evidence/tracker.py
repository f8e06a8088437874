"""Linux's links, addresses, routes, rules and bridge entries as messages tell them, and what each message changed.

The kernel repeats itself (a lifetime renewed, a promiscuous tap, a state told twice) and keeps silent where it should
not (IPv4 routes that go with their interface): so the last state is held, only real changes are told, and `compare`
finds by a fresh listing what went unannounced. No socket and no clock here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.evidence import netlink
from harness.evidence.netlink import AddressMessage, LinkMessage, Message, RouteMessage
from harness.model.evidence_change import ObservedKind

_UP, _LOWER_UP = 0x1, 0x10000
_TENTATIVE, _DUPLICATE, _DEPRECATED = 0x40, 0x08, 0x20
_ADDRESS_STATES = ((_DUPLICATE, "duplicate"), (_TENTATIVE, "tentative"), (_DEPRECATED, "deprecated"))
_CACHED = 0x200
_UNICAST, _LOCAL, _BROADCAST, _ANYCAST = 1, 2, 3, 4
_ROUTE_TYPES = {5: "multicast ", 6: "blackhole ", 7: "unreachable ", 8: "prohibit ", 9: "throw "}
_DERIVED = (_LOCAL, _BROADCAST, _ANYCAST)
_MAIN, _LOCAL_TABLE = 254, 255
_AF_INET, _AF_INET6 = 2, 10
_RULE_FAMILIES = (_AF_INET, _AF_INET6)


class Told(NamedTuple):
    """One change: what it is about, the interface, and a line for people."""

    kind: ObservedKind
    subject: str
    text: str


@dataclass(slots=True)
class Tracker:
    """The last known state, as messages told it.

    Attributes:
      resolve: the name of an interface that no message has told yet, "" for none.
      links, names: interfaces by index; of `names` none is ever taken out.
      addresses: with their flags (IFA_F_*), by index and text.
      routes, rules, mdb: by what makes them themselves.
    """

    resolve: Callable[[int], str] = lambda _: ""
    links: dict[int, LinkMessage] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    addresses: dict[tuple[int, str], int] = field(default_factory=dict)
    routes: dict[tuple[object, ...], RouteMessage] = field(default_factory=dict)
    rules: set[tuple[int, str]] = field(default_factory=set)
    mdb: set[tuple[int, int, str]] = field(default_factory=set)

    def feed(self, data: bytes) -> list[Told]:
        """Take a datagram of the kernel and return what it changed, in order."""
        return [told for message in netlink.messages(data) for told in self._of_message(message)]

    def compare(self, now: Tracker, sections: Iterable[str]) -> list[Told]:
        """Take over a fresh listing of some sections, and return what differs from what was known."""
        found: list[Told] = []
        for section in sections:
            if section == "links":
                for index in self.links.keys() - now.links.keys():
                    found += self._link(self.links[index], is_gone=True)
                for link in now.links.values():
                    found += self._link(link, is_gone=False)
            elif section == "addresses":
                for key in self.addresses.keys() - now.addresses.keys():
                    found += self._address(AddressMessage(*key, 0), is_gone=True)
                for key, flags in now.addresses.items():
                    found += self._address(AddressMessage(*key, flags), is_gone=False)
            elif section == "routes":
                for gone in [route for key, route in self.routes.items() if key not in now.routes]:
                    found += self._route(gone, is_gone=True)
                for route in now.routes.values():
                    found += self._route(route, is_gone=False)
            else:
                found += [told for rule in self.rules - now.rules for told in self._rule(rule, is_gone=True)]
                found += [told for rule in now.rules - self.rules for told in self._rule(rule, is_gone=False)]
        return found

    def _of_message(self, message: Message) -> list[Told]:
        kind, body = message.kind, message.body
        try:
            if kind in (netlink.NEW_LINK, netlink.DEL_LINK):
                return list(self._link(netlink.parse_link(body), kind == netlink.DEL_LINK))
            if kind in (netlink.NEW_ADDRESS, netlink.DEL_ADDRESS):
                return list(self._address(netlink.parse_address(body), kind == netlink.DEL_ADDRESS))
            if kind in (netlink.NEW_ROUTE, netlink.DEL_ROUTE):
                is_replacing = bool(message.flags & netlink.FLAG_REPLACE)
                return list(self._route(netlink.parse_route(body), kind == netlink.DEL_ROUTE, is_replacing))
            if kind in (netlink.NEW_RULE, netlink.DEL_RULE):
                return list(self._rule(netlink.parse_rule(body), kind == netlink.DEL_RULE))
            if kind in (netlink.NEW_MULTICAST, netlink.DEL_MULTICAST):
                return list(self._membership(netlink.parse_address(body), kind == netlink.DEL_MULTICAST))
            if kind in (netlink.NEW_MDB, netlink.DEL_MDB):
                return list(self._mdb(netlink.parse_mdb(body), kind == netlink.DEL_MDB))
        except (struct.error, ValueError):  # a message of a kernel that we do not know is no change that we can tell
            pass
        return []

    def name(self, index: int) -> str:
        """Return the name of an interface by index, as last heard: routes may outlive their interface by a moment."""
        return self.names.get(index) or self.resolve(index) or f"interface {index}"

    def _link(self, link: LinkMessage, is_gone: bool) -> Iterator[Told]:
        was = self.links.get(link.index)
        if link.family == netlink.AF_BRIDGE:  # tells of a port's state; that it left its bridge, master tells too
            return
        if is_gone:
            if self.links.pop(link.index, None) is not None:
                yield Told("link", link.name, f"{link.name} gone")
            return
        self.links[link.index], self.names[link.index] = link, link.name
        name = link.name
        if was is None:
            yield Told("link", name, f"{name} appeared ({_state(link)}, index {link.index})")
            return
        if was.name != name:
            yield Told("link", name, f"{was.name} renamed to {name}")
        if _state(was) != _state(link):
            yield Told("link", name, f"{name} {_state(link)}")
        if was.mtu != link.mtu:
            yield Told("link", name, f"{name} MTU {was.mtu} -> {link.mtu}")
        if was.mac != link.mac:
            yield Told("link", name, f"{name} MAC {was.mac} -> {link.mac}")
        if was.master != link.master:
            verb, master = ("joined", link.master) if link.master else ("left", was.master)
            yield Told("link", name, f"{name} {verb} {self.name(master)}")

    def _address(self, address: AddressMessage, is_gone: bool) -> Iterator[Told]:
        key, name = (address.index, address.text), self.name(address.index)
        if is_gone:
            if self.addresses.pop(key, None) is not None:
                yield Told("address", name, f"{address.text} removed from {name}")
            return
        was = self.addresses.get(key)
        self.addresses[key] = address.flags
        state = _address_state(address.flags)
        if was is None:
            yield Told("address", name, f"{address.text} added on {name}" + (f" ({state})" if state else ""))
        elif _address_state(was) != state:
            yield Told("address", name, f"{address.text} on {name} now {state or 'usable'}")

    def _route(self, route: RouteMessage, is_gone: bool, is_replacing: bool = False) -> Iterator[Told]:
        if route.type in _DERIVED or route.flags & _CACHED:
            return
        key = _route_key(route)
        before = self._best_default(route)
        if is_gone:
            if self.routes.pop(key, None) is None:
                return
            action = "removed"
        else:
            if key in self.routes:
                return
            same = [other for other in self.routes if other[:5] == key[:5]] if is_replacing else []
            for other in same:
                del self.routes[other]
            self.routes[key] = route
            action = "changed to this" if same else "added"
        after = self._best_default(route)
        if before != after:
            yield self._new_default(route.family, after)
            return
        names = [self.name(index) for index in route.interfaces]
        yield Told("route", names[0] if names else "", f"route {_route_text(route, names)} {action}")

    def _best_default(self, like: RouteMessage) -> RouteMessage | None:
        """Return the default route of a route's family that is used; None also when `like` is none itself."""
        if like.dst != "default":
            return None
        mine = [
            route for route in self.routes.values()
            if (route.family, route.dst, route.table, route.type) == (like.family, "default", _MAIN, _UNICAST)
        ]  # fmt: skip
        return min(mine, key=lambda route: route.priority, default=None)

    def _new_default(self, family: int, route: RouteMessage | None) -> Told:
        what = "default route" if family == _AF_INET else "IPv6 default route"
        if route is None:
            return Told("route", "", f"{what} gone")
        names = [self.name(index) for index in route.interfaces]
        via = f" ({route.via})" if route.via else ""
        return Told("route", names[0] if names else "", f"{what} now via {', '.join(names)}{via}")

    def _rule(self, rule: tuple[int, str], is_gone: bool) -> Iterator[Told]:
        if rule[0] not in _RULE_FAMILIES or (rule in self.rules) is not is_gone:
            return
        (self.rules.discard if is_gone else self.rules.add)(rule)
        what = "rule" if rule[0] == _AF_INET else "IPv6 rule"
        yield Told("rule", "", f"{what} {rule[1]} {'removed' if is_gone else 'added'}")

    def _membership(self, group: AddressMessage, is_gone: bool) -> Iterator[Told]:
        name = self.name(group.index)
        yield Told("membership", name, f"{group.text} {'left' if is_gone else 'joined'} on {name}")

    def _mdb(self, entries: list[tuple[int, int, str]], is_gone: bool) -> Iterator[Told]:
        for entry in entries:
            if (entry in self.mdb) is is_gone:
                (self.mdb.discard if is_gone else self.mdb.add)(entry)
                bridge, port, group = entry
                action = "removed from" if is_gone else "added on"
                yield Told("mdb", self.name(port), f"{group} {action} {self.name(port)} of {self.name(bridge)}")


def _state(link: LinkMessage) -> str:
    if not link.flags & _UP:
        return "down (switched off)"
    return "up" if link.flags & _LOWER_UP else "down (no carrier)"


def _address_state(flags: int) -> str:
    return next((text for bit, text in _ADDRESS_STATES if flags & bit), "")


def _route_key(route: RouteMessage) -> tuple[object, ...]:
    """Return what makes a route itself; the first five are what the kernel replaces by."""
    return (
        route.family, route.table, route.dst, route.priority, route.tos, route.type, route.interfaces, route.via,
    )  # fmt: skip


def _route_text(route: RouteMessage, interfaces: list[str]) -> str:
    is_v6_default = route.dst == "default" and route.family != _AF_INET
    text = _ROUTE_TYPES.get(route.type, "") + ("IPv6 default" if is_v6_default else route.dst)
    text += f" via {route.via}" if route.via else ""
    text += f" on {', '.join(interfaces)}" if interfaces else ""
    text += f" metric {route.priority}" if route.priority else ""
    return text if route.table in (_MAIN, _LOCAL_TABLE) else f"{text} in table {route.table}"
