"""Interfaces by name, address and index, here and as other systems describe them."""

import ipaddress
import socket
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import netifaces
import psutil
import pytest

from harness.errors import InterfaceError
from harness.model import Endpoint, Interface
from harness.net.interfaces import check_usable, find_interface, interface_index, is_broadcast, list_interfaces

V4, V6, LINK = netifaces.AF_INET, netifaces.AF_INET6, netifaces.AF_LINK
GROUP = Endpoint(ipaddress.ip_address("239.77.5.1"), 5000)
SystemDescription = Callable[..., None]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SystemDescription:
    """Have the machine described as the test says."""

    def describe(
        addresses: dict[str, dict[int, list[dict[str, str]]]],
        stats: dict[str, tuple[bool, str, int]],
        indexes: dict[str, int],
        friendly: dict[str, list[str]] | None = None,
        default: dict[int, tuple[str, str]] | None = None,
    ) -> None:
        def if_nametoindex(name: str) -> int:
            if name not in indexes:
                raise OSError(19, "no such interface")
            return indexes[name]

        told = {
            name: SimpleNamespace(isup=is_up, flags=flags, mtu=mtu, speed=0)
            for name, (is_up, flags, mtu) in stats.items()
        }
        named = {name: [SimpleNamespace(address=text) for text in texts] for name, texts in (friendly or {}).items()}
        monkeypatch.setattr(netifaces, "interfaces", lambda: list(addresses))
        monkeypatch.setattr(netifaces, "ifaddresses", addresses.__getitem__)
        monkeypatch.setattr(netifaces, "gateways", lambda: {"default": default or {}})
        monkeypatch.setattr(psutil, "net_if_stats", lambda: told)
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: named)
        monkeypatch.setattr(socket, "if_nametoindex", if_nametoindex)

    return describe


def test_the_loopback_is_found_by_name_address_and_index() -> None:
    lo = find_interface("lo")
    assert lo.is_loopback
    assert lo.is_up
    assert lo.first_address(4) == ipaddress.ip_address("127.0.0.1")
    assert find_interface(" LO ") == find_interface(str(lo.index)) == find_interface("127.0.0.1") == lo
    assert interface_index("lo") == interface_index("127.0.0.1") == lo.index
    assert lo in list_interfaces()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loo", "no network interface 'loo'; did you mean 'lo'?"),
        ("9999", "no network interface has the address or index '9999'; known: lo (index 1, 127.0.0.1"),
        ("203.0.113.77", "no network interface has the address or index '203.0.113.77'; known: lo (index 1, 127"),
        ("127.0.0.1%nope", "no network interface has the address or index '127.0.0.1%nope'; known: "),
    ],
)
def test_an_unknown_interface_is_refused_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(InterfaceError) as refusal:
        find_interface(text)
    assert str(refusal.value).startswith(message)


def test_an_interface_that_vanishes_while_being_listed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = netifaces.interfaces()
    monkeypatch.setattr(netifaces, "interfaces", lambda: [*real, "gone0"])
    assert "gone0" not in [one.name for one in list_interfaces()]


def test_windows_names_indexes_and_unknown_flags(system: SystemDescription) -> None:
    guid, bare = "{1B5C-77}", "{2C-99}"
    system(
        addresses={
            guid: {
                LINK: [{"addr": "02:00:00:00:00:01"}],
                V4: [{"addr": "192.0.2.7", "netmask": "255.255.255.0", "broadcast": "192.0.2.255"}],
                V6: [{"addr": "fe80::7%12", "netmask": "ffff:ffff:ffff:ffff::/64"}],
            },
            bare: {V4: [{"addr": "198.51.100.7"}]},
        },
        stats={"Ethernet 2": (True, "", 1500), "Wi-Fi": (True, "", 1500)},
        indexes={},
        friendly={"Ethernet 2": ["02-00-00-00-00-01", "192.0.2.7", "fe80::7"], "Wi-Fi": ["198.51.100.7"]},
        default={V4: ("192.0.2.1", guid)},
    )
    ethernet = find_interface("ethernet 2")
    assert (ethernet.name, ethernet.index, ethernet.is_multicast, ethernet.mtu) == ("Ethernet 2", 12, None, 1500)
    assert [str(entry) for entry in ethernet.addresses] == ["192.0.2.7/24", "fe80::7/64"]
    assert [entry.scope for entry in ethernet.addresses] == ["global", "link"]
    assert ethernet.addresses[0].broadcast == ipaddress.ip_address("192.0.2.255")
    assert ethernet.is_default_route_v4
    assert not ethernet.is_default_route_v6
    assert (ethernet.mac, ethernet.speed_mbps) == ("02:00:00:00:00:01", None)
    assert interface_index("Ethernet 2") == 12
    check_usable(ethernet, GROUP)
    wifi = find_interface("Wi-Fi")
    assert (wifi.index, wifi.addresses[0].prefix_length) == (0, None)
    with pytest.raises(InterfaceError, match="the system tells no index for interface Wi-Fi"):
        interface_index("Wi-Fi")


def test_an_address_on_two_interfaces_is_ambiguous(system: SystemDescription) -> None:
    system(
        addresses={name: {V4: [{"addr": "192.0.2.7"}]} for name in ("en0", "en1")},
        stats={"en0": (True, "up,multicast", 1500), "en1": (False, "multicast", 1500)},
        indexes={"en0": 4, "en1": 5},
    )
    with pytest.raises(InterfaceError) as refusal:
        find_interface("192.0.2.7")
    assert str(refusal.value) == (
        "interface '192.0.2.7' is ambiguous; name one of: en0 (index 4, 192.0.2.7); en1 (index 5, 192.0.2.7)"
    )
    assert find_interface("192.0.2.7%en1").name == find_interface("192.0.2.7%5").name == "en1"
    with pytest.raises(InterfaceError, match="interface en1 is down or has no link, so nothing can pass to"):
        check_usable(find_interface("en1"), GROUP)


def test_no_multicast_matters_for_groups_only_and_not_on_loopback() -> None:
    plain = Interface("tun0", 3, is_up=True, is_multicast=False)
    with pytest.raises(
        InterfaceError, match=r"interface tun0 has no MULTICAST flag, so it cannot carry 239.77.5.1:5000"
    ):
        check_usable(plain, GROUP)
    check_usable(plain, Endpoint(ipaddress.ip_address("192.0.2.1"), 5000))
    check_usable(Interface("lo", 1, is_up=True, is_multicast=False, is_loopback=True), GROUP)


def test_broadcast_addresses_are_known() -> None:
    for text, expected in (("255.255.255.255", True), ("127.255.255.255", True), ("127.0.0.1", False)):
        assert is_broadcast(ipaddress.ip_address(text)) is expected
    for text in ("0.0.0.0", "239.1.1.255", "ff02::1", "::"):
        assert not is_broadcast(ipaddress.ip_address(text))


def test_an_interface_without_addresses_has_none_of_either_version() -> None:
    assert Interface("eth9", 9).first_address(4) is None


def test_listing_interfaces_loads_no_event_loop() -> None:
    code = "import sys; from harness.net import list_interfaces; list_interfaces(); print('trio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "False\n", done.stderr


def test_the_package_offers_what_it_lists_and_nothing_else() -> None:
    import harness.net

    for name in harness.net.__all__:
        assert getattr(harness.net, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = harness.net.nonsense
