"""The network interfaces of this machine, and the one that a user means.

Names, addresses and default routes come through the netifaces API, MTU, flags and link state from psutil.
"""

from __future__ import annotations

import ipaddress
import socket

import netifaces
import psutil

from harness.errors import InterfaceError, nearest
from harness.model.endpoint import Endpoint, IPAddress
from harness.model.interface import AddressScope, Interface, InterfaceAddress

_FAMILIES = (int(netifaces.AF_INET), int(netifaces.AF_INET6))


def list_interfaces() -> list[Interface]:
    """Return the interfaces of this machine (or network namespace) in the order of their index; never cached."""
    stats = psutil.net_if_stats()
    defaults = netifaces.gateways().get("default", {})
    default_names = [defaults[family][1] if family in defaults else None for family in _FAMILIES]
    friendly = _friendly_names(set(stats))
    interfaces = []
    for system_name in netifaces.interfaces():
        by_family = _entries(system_name)
        if by_family is None:
            continue
        name = friendly.get(system_name, system_name)
        stat = stats.get(name)
        flags = tuple(sorted(flag for flag in stat.flags.split(",") if flag)) if stat else ()
        addresses = tuple(_address(entry) for family in _FAMILIES for entry in by_family.get(family, []))
        macs = [str(entry["addr"]) for entry in by_family.get(int(netifaces.AF_LINK), []) if entry.get("addr")]
        is_loopback = "loopback" in flags or any(entry.address.is_loopback for entry in addresses)
        interfaces.append(
            Interface(
                name=name,
                index=_index(system_name, by_family.get(_FAMILIES[1], [])),
                addresses=addresses,
                mtu=stat.mtu if stat and stat.mtu else None,
                flags=flags,
                is_up=bool(stat and stat.isup),
                is_multicast="multicast" in flags if flags else None,
                is_loopback=is_loopback,
                speed_mbps=stat.speed if stat and stat.speed else None,
                is_default_route_v4=default_names[0] == system_name,
                is_default_route_v6=default_names[1] == system_name,
                mac=macs[0] if macs and not is_loopback else None,
            )
        )
    return sorted(interfaces, key=lambda interface: interface.index)


def _entries(system_name: str) -> dict[int, list[dict[str, str]]] | None:
    """Return the addresses of an interface by family; None when it vanished since it was listed."""
    try:
        found: dict[int, list[dict[str, str]]] = netifaces.ifaddresses(system_name)
    except ValueError:
        return None
    return found


def _friendly_names(known: set[str]) -> dict[str, str]:
    """Return the names that people know for those system names that differ (Windows: a GUID), matched by address."""
    strangers = [name for name in netifaces.interfaces() if name not in known]
    if not strangers:
        return {}
    owner = {
        str(entry.address).partition("%")[0]: name for name, all_ in psutil.net_if_addrs().items() for entry in all_
    }
    found = {}
    for name in strangers:
        families = (_entries(name) or {}).values()
        texts = [entry["addr"].partition("%")[0] for family in families for entry in family]
        owners = [owner[text] for text in texts if text in owner]
        if owners:
            found[name] = owners[0]
    return found


def _index(system_name: str, v6_entries: list[dict[str, str]]) -> int:
    try:
        return socket.if_nametoindex(system_name)
    except OSError:  # Windows knows no GUID, but its zones are interface indexes
        zones = [entry["addr"].partition("%")[2] for entry in v6_entries]
        return next((int(zone) for zone in zones if zone.isdecimal()), 0)


def _address(entry: dict[str, str]) -> InterfaceAddress:
    address = ipaddress.ip_address(entry["addr"].partition("%")[0])
    broadcast = entry.get("broadcast") if address.version == 4 else None
    return InterfaceAddress(
        address=address,
        prefix_length=_prefix_length(entry.get("netmask")),
        scope=_scope(address),
        broadcast=ipaddress.ip_address(broadcast) if broadcast else None,
    )


def _prefix_length(netmask: str | None) -> int | None:
    """Return the length of "255.255.255.0", "ffff:ffff::" or "ffff:ffff::/32"; None for no mask.

    >>> _prefix_length("255.255.255.0"), _prefix_length("ffff:ffff::/32"), _prefix_length("ffff:ff00::")
    (24, 32, 24)
    """
    if not netmask:
        return None
    mask, slash, length = netmask.partition("/")
    return int(length) if slash else int(ipaddress.ip_address(mask)).bit_count()


def _scope(address: IPAddress) -> AddressScope:
    if address.is_loopback:
        return "host"
    return "link" if address.is_link_local else "global"


def find_interface(text: str) -> Interface:
    """Return the interface with this name, address ("10.0.0.1", "fe80::1%eth0") or index ("2").

    Raises:
      InterfaceError: none matches, or several do; names the candidates.
    """
    interfaces = list_interfaces()
    wanted = text.strip()
    named = [one for one in interfaces if one.name == wanted]
    named = named or [one for one in interfaces if one.name.lower() == wanted.lower()]
    if named:
        return _only(wanted, named)
    if wanted.isascii() and wanted.isdecimal():
        return _only(wanted, [one for one in interfaces if one.index == int(wanted)], interfaces)
    try:
        address = ipaddress.ip_address(wanted.partition("%")[0])
    except ValueError:
        raise InterfaceError(
            f"no network interface {wanted!r}{nearest(wanted, [i.name for i in interfaces])}"
        ) from None
    zone = wanted.partition("%")[2]
    holders = [one for one in interfaces if any(entry.address == address for entry in one.addresses)]
    if zone:
        holders = [one for one in holders if zone in (one.name, str(one.index))]
    return _only(wanted, holders, interfaces)


def _only(wanted: str, matches: list[Interface], known: list[Interface] = []) -> Interface:  # noqa: B006 (read only)
    if len(matches) == 1:
        return matches[0]
    shown = [
        f"{one.name} (index {one.index}{''.join(f', {a.address}' for a in one.addresses)})" for one in matches or known
    ]
    if matches:
        raise InterfaceError(f"interface {wanted!r} is ambiguous; name one of: {'; '.join(shown)}")
    raise InterfaceError(f"no network interface has the address or index {wanted!r}; known: {'; '.join(shown)}")


def check_usable(interface: Interface, group: Endpoint) -> None:
    """Return when traffic to `group` can pass this interface, as far as its flags tell.

    Linux's `lo` has no MULTICAST flag, yet multicast that is pinned to it works: loopback is let through.

    Raises:
      InterfaceError: it is down, or has no multicast and `group` is a multicast group.
    """
    if not interface.is_up:
        raise InterfaceError(
            f"interface {interface.name} is down or has no link, so nothing can pass to {group}; "
            f"switch it on, plug the cable in, or name another with --interface"
        )
    if group.is_multicast and interface.is_multicast is False and not interface.is_loopback:
        raise InterfaceError(
            f"interface {interface.name} has no MULTICAST flag, so it cannot carry {group}; "
            f"set it (on Linux: ip link set {interface.name} multicast on) or name another with --interface"
        )


def is_broadcast(address: IPAddress) -> bool:
    """Return whether this is the limited broadcast address or that of a network that this machine is on.

    >>> is_broadcast(ipaddress.ip_address("255.255.255.255")), is_broadcast(ipaddress.ip_address("::1"))
    (True, False)
    """
    if address.version == 6 or address.is_multicast or address.is_unspecified:
        return False
    return int(address) == 0xFFFFFFFF or any(
        ipaddress.ip_network((entry.address, entry.prefix_length), strict=False).broadcast_address == address
        for one in list_interfaces()
        for entry in one.addresses
        if entry.address.version == 4 and entry.prefix_length is not None and entry.prefix_length < 31
    )


def interface_index(name: str) -> int:
    """Return the index of the interface that `find_interface` finds, without listing them all when `name` is exact.

    Raises:
      InterfaceError: none matches, several do, or the system tells no index for it.
    """
    try:
        return socket.if_nametoindex(name)
    except OSError:
        found = find_interface(name)
    if not found.index:
        raise InterfaceError(
            f"the system tells no index for interface {found.name}; give the interface one IPv6 address"
        )
    return found.index
