"""macOS and Windows, by what their tools print, on any system.

No output here was recorded on those systems: all are written from documentation. macOS from the manual pages and open
sources (network_cmds, ifconfig of FreeBSD) as of macOS 14, Windows from the reference of netsh, route and PowerShell's
NetTCPIP and NetSecurity modules as of Windows 11.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from harness.evidence import _darwin, _linux, _windows, probe, system
from harness.evidence.bsd import parse_ifconfig, parse_netstat_groups, parse_netstat_routes
from harness.evidence.difference import difference
from harness.evidence.probe import ProbeError, answer
from harness.units import NS_PER_S

IFCONFIG = """lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\toptions=1203<RXCSUM,TXCSUM,TXSTATUS,SW_TIMESTAMP>
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
\tinet6 fe80::1%lo0 prefixlen 64 scopeid 0x1
\tnd6 options=201<PERFORMNUD,DAD>
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether a4:5e:60:01:02:03
\tinet6 fe80::8c:1111:2222:3333%en0 prefixlen 64 secured scopeid 0xb
\tinet 192.168.1.5 netmask 0xffffff00 broadcast 192.168.1.255
\tinet6 2001:db8::10 prefixlen 64 autoconf secured
\tinet6 2001:db8::77 prefixlen 64 autoconf temporary
\tmedia: autoselect (1000baseT <full-duplex>)
\tstatus: active
en5: flags=8822<BROADCAST,SMART,SIMPLEX,MULTICAST> mtu 1500
\tether a4:5e:60:0a:0b:0c
\tinet 10.0.0.5 netmask 0xff000000 broadcast 10.255.255.255
\tmedia: none
\tstatus: inactive
"""
NETSTAT_RN = """Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
127                127.0.0.1          UCS                   lo0
224.0.0/4          link#11            UmCS                  en0      !
239.255.255.250    1:0:5e:7f:ff:fa    UHmLWI                en0

Internet6:
Destination                             Gateway                                 Flags               Netif Expire
default                                 fe80::1%en0                             UGcg                  en0
ff00::/8                                ::1                                     UmCI                  lo0
"""
NETSTAT_GN = """Link-layer Multicast Group Memberships
Group               \tLink-layer Address \tNetif
1:0:5e:0:0:1        \t<none>             \ten0

IPv4 Multicast Group Memberships
Group               \tLink-layer Address \tNetif
224.0.0.251         \t1:0:5e:0:0:fb      \ten0
224.0.0.1           \t<none>             \tlo0

IPv6 Multicast Group Memberships
Group               \tLink-layer Address \tNetif
ff02::fb%en0        \t33:33:0:0:0:fb     \ten0
"""
CODESIGN = (
    "Executable=/usr/bin/python3\nIdentifier=com.apple.python3\nCDHash=0123456789abcdef\nTeamIdentifier=not set\n"
)
LOG = {
    name: f"/usr/bin/log show --style compact --last 5m --predicate {predicate}"
    for name, predicate in _darwin._LOG_PREDICATES.items()
}
MACOS = {
    "sysctl -n kern.bootsessionuuid": "5A1C6E0B-1111-4222-8333-944445555566\n",
    "sysctl -n kern.bootargs": "-v keepsyms=1\n",
    "sysctl kern.ipc.maxsockbuf": "kern.ipc.maxsockbuf: 8388608\n",
    "sysctl net.inet.udp": "net.inet.udp.recvspace: 786896\nnet.inet.udp.checksum: 1\n",
    "sysctl net.inet.igmp": "net.inet.igmp.v1enable: 1\nnet.inet.igmp.default_version: 3\n",
    "sysctl -n kern.hv_vmm_present": "0\n",
    "ifconfig -a": IFCONFIG,
    "ipconfig getpacket en0": "op = BOOTREPLY\nyiaddr = 192.168.1.5\n",
    "netstat -rn": NETSTAT_RN,
    "netstat -gn": NETSTAT_GN,
    "netstat -s -p udp": "udp:\n\t9 datagrams received\n\t\t2 dropped due to full socket buffers\n",
    "netstat -s -p igmp": "igmp:\n\t4 messages received\n",
    "/usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate": "Firewall is enabled. (State = 1) \n",
    "sw_vers": "ProductName:\t\tmacOS\nProductVersion:\t\t14.7\nBuildVersion:\t\t23H124\n",
    f"codesign -dvvv {sys.executable}": CODESIGN,
    f"dwarfdump --uuid {sys.executable}": "UUID: 11112222-3333-4444-5555-666677778888 (arm64) /usr/bin/python3\n",
    "systemextensionsctl list": "0 extension(s)\n",
    "networksetup -listnetworkserviceorder": "(1) Ethernet\n(Hardware Port: Ethernet, Device: en0)\n",
    "launchctl managername": "Aqua\n",
    LOG["nehelper"]: "2024-10-01 10:00:00.000 Df nehelper[120:1a] local network denied for com.example.app\n",
}
ROUTE_PRINT = """===========================================================================
Interface List
 12...a4 5e 60 01 02 03 ......Intel(R) Ethernet
  1...........................Software Loopback Interface 1
===========================================================================

IPv4 Route Table
===========================================================================
Active Routes:
Network Destination        Netmask          Gateway       Interface  Metric
          0.0.0.0          0.0.0.0      192.168.1.1      192.168.1.5     25
        224.0.0.0        240.0.0.0         On-link       192.168.1.5    281
===========================================================================
Persistent Routes:
  None

IPv6 Route Table
===========================================================================
Active Routes:
 If Metric Network Destination      Gateway
  1    331 ::1/128                  On-link
 12    281 ff00::/8                 On-link
===========================================================================
"""
JOINS = """Interface 1: Loopback Pseudo-Interface 1

Scope       References  Last  Address
----------  ----------  ----  ---------------------------------
0                    3  Yes   239.255.255.250

Interface 12: Ethernet 2

Scope       References  Last  Address
----------  ----------  ----  ---------------------------------
0                    1  No    224.0.0.1
"""
ADDRESSES = """[{"InterfaceAlias":"Ethernet 2","InterfaceIndex":12,"IPAddress":"192.168.1.5","PrefixLength":24,
"PrefixOrigin":"Dhcp","AddressState":"Preferred"},{"InterfaceAlias":"Ethernet 2","InterfaceIndex":12,
"IPAddress":"10.0.0.5","PrefixLength":8,"PrefixOrigin":"Manual","AddressState":"Duplicate"}]"""
PROFILE = '{"Name":"Public","Enabled":"True","DefaultInboundAction":"Block","AllowUnicastResponseToMulticast":"True"}'
WINDOWS = {
    "route print": ROUTE_PRINT.replace("\n", "\r\n"),
    "netsh interface ipv4 show joins": JOINS.replace("\n", "\r\n"),
    "netsh interface ipv4 show global": "Multicast Forwarding : disabled\r\n",
    "netstat -s -p udp": "UDP Statistics for IPv4\r\n\r\n  Receive Errors = 6\r\n",
}


def recorded(monkeypatch: pytest.MonkeyPatch, module: ModuleType, outputs: dict[str, str]) -> None:
    """Have the tools answer from a table; PowerShell's scripts are found by the cmdlet that they begin with."""

    def command(*arguments: str, limit_ns: int = 0, has_both: bool = False) -> str:
        words = " ".join(arguments)
        if words.startswith("powershell "):
            words = words.partition("@(")[2].split()[0]
        try:
            return outputs[words]
        except KeyError:
            raise ProbeError(f"{arguments[0]} is not installed") from None

    for place in (module, probe):
        monkeypatch.setattr(place, "command", command, raising=False)


def ask(module: ModuleType, section: str) -> Any:
    """Return a section's answers, errors in their places."""
    rows = module.TABLE[section]
    if isinstance(rows, dict):
        return {name: answer(functools.partial(row, NS_PER_S)) for name, row in rows.items()}
    return answer(functools.partial(rows, NS_PER_S))


def whole(module: ModuleType) -> dict[str, Any]:
    return {section: ask(module, section) for section in module.TABLE}


def test_every_platform_has_the_same_methods_and_the_common_sections() -> None:
    modules = (_linux, _darwin, _windows)
    for name in system.__all__:
        values = [getattr(module, name) for module in modules]
        if callable(values[0]):
            assert {tuple(inspect.signature(value).parameters) for value in values} == {()}, name
    common = {"boot", "interfaces", "routes", "memberships", "settings", "counters", "interface_counters", "firewall"}
    for module in modules:
        assert common <= module.TABLE.keys()
        assert module.COUNTERS.keys() <= module.TABLE.keys()


@pytest.mark.parametrize("module", [_linux, _darwin, _windows])
def test_platform_is_chosen_in_one_place(module: ModuleType) -> None:
    assert "sys.platform" not in inspect.getsource(module)


def test_macos_tells_boot_settings_and_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    boot = ask(_darwin, "boot")
    assert boot["boot_id"] == _darwin.boot_id() == "5A1C6E0B-1111-4222-8333-944445555566"
    assert boot["arguments"] == ["-v", "keepsyms=1"]
    assert boot["uptime_ns"] > 0
    assert ask(_darwin, "settings") == {
        "kern.ipc.maxsockbuf": "8388608",
        "net.inet.udp.recvspace": "786896",
        "net.inet.udp.checksum": "1",
        "net.inet.igmp.v1enable": "1",
        "net.inet.igmp.default_version": "3",
    }
    assert ask(_darwin, "counters") == {
        "udp": {"datagrams received": 9, "dropped due to full socket buffers": 2},
        "igmp": {"messages received": 4},
        "ip": {"error": "netstat is not installed"},
        "ip6": {"error": "netstat is not installed"},
    }
    assert _darwin.clock_state() == ("unknown", None)


def test_macos_addresses_are_dynamic_by_lease_or_router(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    found = ask(_darwin, "interfaces")
    assert list(found) == ["lo0", "en0", "en5"]
    origins = {address["address"]: address["origin"] for address in found["en0"]["addresses"]}
    assert origins == {
        "fe80::8c:1111:2222:3333": "link-local",
        "192.168.1.5": "dynamic",
        "2001:db8::10": "dynamic",
        "2001:db8::77": "dynamic",
    }
    (wired,) = found["en5"]["addresses"]
    assert (wired["origin"], wired["prefix"]) == ("static", 8)
    assert [(entry["is_up"], entry["has_carrier"]) for entry in found.values()] == [
        (True, None),
        (True, True),
        (False, False),
    ]
    assert [entry["index"] for entry in found.values()] == [1, 2, 3]


def test_macos_routes_and_memberships_are_read() -> None:
    routes = parse_netstat_routes(NETSTAT_RN)
    assert {(route["family"], route["dst"], route["dev"]) for route in routes} == {
        ("inet", "default", "en0"), ("inet", "127", "lo0"), ("inet", "224.0.0/4", "en0"),
        ("inet", "239.255.255.250", "en0"), ("inet6", "default", "en0"), ("inet6", "ff00::/8", "lo0"),
    }  # fmt: skip
    assert parse_netstat_groups(NETSTAT_GN) == [
        {"interface": "en0", "group": "224.0.0.251"},
        {"interface": "lo0", "group": "224.0.0.1"},
        {"interface": "en0", "group": "ff02::fb"},
    ]


def test_macos_tells_identity_firewall_log_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    identity = ask(_darwin, "identity")
    assert "CDHash=0123456789abcdef" in identity["signature"]
    assert identity["uuid"][0].startswith("UUID: 11112222")
    assert identity["extensions"] == ["0 extension(s)"]
    assert "ProductVersion:\t\t14.7" in identity["system"]
    assert ask(_darwin, "firewall")["state"] == ["Firewall is enabled. (State = 1) "]
    log = ask(_darwin, "log")
    assert "local network denied" in log["nehelper"][0]
    assert log["kernel"] == {"error": "/usr/bin/log is not installed"}
    assert ask(_darwin, "services")["order"][0] == "(1) Ethernet"
    assert ask(_darwin, "virtualisation") == {"is_hypervisor_flag_set": "0"}


def test_macos_without_its_tools_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, {})
    assert _darwin.boot_id() == ""
    assert ask(_darwin, "settings") == {}
    assert ask(_darwin, "interfaces") == {"error": "ifconfig is not installed"}
    assert ask(_darwin, "routes") == {"netstat": {"error": "netstat is not installed"}}


def test_macos_launch_names_the_responsible_app(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    monkeypatch.setenv("XPC_SERVICE_NAME", "com.example.agent")
    monkeypatch.setenv("TERM_PROGRAM", "Apple_Terminal")
    monkeypatch.setenv("SECRET", "not for a bug report")
    assert _darwin.launch_hints() == {
        "environment": {"XPC_SERVICE_NAME": "com.example.agent", "TERM_PROGRAM": "Apple_Terminal"},
        "manager": "Aqua",
    }


def test_macos_difference_names_lease_group_route_and_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    before = whole(_darwin)
    later = {name: text for name, text in MACOS.items() if name != "ipconfig getpacket en0"}
    later["netstat -gn"] = NETSTAT_GN.replace("224.0.0.251 ", "224.0.0.252 ")
    later["netstat -rn"] = NETSTAT_RN.replace("224.0.0/4          link#11            UmCS                  en0", "")
    later[f"codesign -dvvv {sys.executable}"] = CODESIGN.replace("0123456789abcdef", "fedcba9876543210")
    recorded(monkeypatch, _darwin, later)
    texts = [change.text for change in difference(before, whole(_darwin))]
    assert texts == [
        "address 192.168.1.5/24 on en0 origin: dynamic -> static",
        "identity CDHash=0123456789abcdef removed",
        "identity CDHash=fedcba9876543210 added",
        "membership 224.0.0.251 on en0 vanished",
        "membership 224.0.0.252 on en0 appeared",
        "route 224.0.0/4 dev en0 via link#11 family inet removed",
    ]


def test_windows_tells_what_its_tools_print(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _windows, WINDOWS | {"Get-NetFirewallProfile": PROFILE, "Get-NetConnectionProfile": "[]"})
    monkeypatch.setenv("SESSIONNAME", "Console")
    assert _windows.boot_id() == ""
    assert ask(_windows, "counters") == {"udp": {"Receive Errors": 6}, "ip": {"error": "netstat is not installed"}}
    memberships = ask(_windows, "memberships")
    assert memberships["inet"] == [
        {"interface": "Loopback Pseudo-Interface 1", "group": "239.255.255.250", "users": 3},
        {"interface": "Ethernet 2", "group": "224.0.0.1", "users": 1},
    ]
    assert memberships["inet6"] == {"error": "netsh is not installed"}
    routes = ask(_windows, "routes")["print"]
    assert [(route["dst"], route["gateway"], route["dev"]) for route in routes] == [
        ("0.0.0.0/0", "192.168.1.1", "192.168.1.5"),
        ("224.0.0.0/4", "On-link", "192.168.1.5"),
        ("::1/128", "On-link", "1"),
        ("ff00::/8", "On-link", "12"),
    ]
    firewall = ask(_windows, "firewall")
    assert firewall["profiles"][0]["DefaultInboundAction"] == "Block"
    assert firewall["networks"] == []
    assert ask(_windows, "settings")["netsh global"] == ["Multicast Forwarding : disabled"]
    assert _windows.launch_hints() == {"session": "Console"}
    assert _windows.clock_state() == ("unknown", None)
    assert _windows.uptime_ns() > 0


def test_windows_addresses_get_their_origin_from_powershell(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(address: str) -> dict[str, Any]:
        return {"address": address, "origin": "", "flags": []}

    portable = {
        "Ethernet 2": {"index": None, "addresses": [entry("192.168.1.5"), entry("10.0.0.5"), entry("10.0.0.6")]}
    }
    monkeypatch.setattr(_windows, "portable_interfaces", lambda: portable)
    recorded(monkeypatch, _windows, {"Get-NetIPAddress": ADDRESSES})
    found = ask(_windows, "interfaces")["Ethernet 2"]
    assert found["index"] == 12
    assert [(address["origin"], address["flags"]) for address in found["addresses"]] == [
        ("dynamic", []),
        ("static", ["duplicate"]),
        ("", []),
    ]
    recorded(monkeypatch, _windows, {})
    assert ask(_windows, "interfaces") is portable


@pytest.mark.parametrize("module", [_darwin, _windows])
def test_system_is_named_even_where_it_is_another(module: ModuleType) -> None:
    assert module.system_name()


def test_interfaces_by_psutil_and_by_ifconfig_have_the_same_form() -> None:
    from harness.evidence.interfaces import portable_counters, portable_interfaces

    portable = portable_interfaces()
    assert portable.keys() == psutil.net_if_addrs().keys()
    common = {"index", "flags", "is_up", "has_carrier", "mtu", "mac", "kind", "addresses"}
    for entry in (*portable.values(), *parse_ifconfig(IFCONFIG).values()):
        assert common <= entry.keys()
        for address in entry["addresses"]:
            assert address.keys() == {"family", "address", "prefix", "scope", "origin", "flags", "valid_s"}
    assert portable_counters().keys() <= portable.keys()


@pytest.mark.parametrize(("module", "heading"), [(_linux, "Linux"), (_darwin, "macOS"), (_windows, "Windows")])
def test_document_lists_every_section_of_each_platform(module: ModuleType, heading: str) -> None:
    document = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")
    chapter = document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)) == module.TABLE.keys()
