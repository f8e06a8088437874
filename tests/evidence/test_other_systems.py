"""macOS and Windows, by what their tools print, on any system."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

from harness.evidence import _darwin, _linux, _windows, system
from harness.evidence.probe import ProbeError

MACOS = {
    "sysctl -n kern.bootsessionuuid": "5A1C6E0B-1111-4222-8333-944445555566\n",
    "sysctl kern.ipc.maxsockbuf": "kern.ipc.maxsockbuf: 8388608\n",
    "sysctl net.inet.udp": "net.inet.udp.recvspace: 786896\nnet.inet.udp.checksum: 1\n",
    "netstat -rn": "Routing tables\n\nInternet:\nDestination  Gateway  Flags  Netif\n224.0.0/4  link#14  UmCS  en0\n",
    "netstat -gn": "Link-layer Multicast Group Memberships\nGroup  Link-layer Address  Netif\n",
    "netstat -s -p udp": "udp:\n\t9 datagrams received\n\t\t2 dropped due to full socket buffers\n",
    "netstat -s -p igmp": "igmp:\n\t4 messages received\n",
}
WINDOWS = {
    "netstat -rn": "IPv4 Route Table\r\n224.0.0.0  240.0.0.0  On-link  127.0.0.1  331\r\n",
    "netsh interface ipv4 show joins": "Interface 12: Ethernet\r\n0  1  Yes  224.0.0.1\r\n",
    "netsh interface ipv4 show global": "Multicast Forwarding : disabled\r\n",
    "netstat -s -p udp": "UDP Statistics for IPv4\r\n\r\n  Receive Errors = 6\r\n",
}


def recorded(monkeypatch: pytest.MonkeyPatch, module: ModuleType, outputs: dict[str, str]) -> None:
    def command(*arguments: str) -> str:
        try:
            return outputs[" ".join(arguments)]
        except KeyError:
            raise ProbeError(f"{arguments[0]} is not installed") from None

    monkeypatch.setattr(module, "command", command)


def test_every_platform_has_the_same_methods() -> None:
    assert system.__all__
    for name in system.__all__:
        parameters = {tuple(inspect.signature(getattr(m, name)).parameters) for m in (_linux, _darwin, _windows)}
        assert parameters == {()}, name


@pytest.mark.parametrize("module", [_linux, _darwin, _windows])
def test_platform_is_chosen_in_one_place(module: ModuleType) -> None:
    assert "sys.platform" not in inspect.getsource(module)


def test_macos_tells_boot_settings_counters_and_memberships(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, MACOS)
    assert _darwin.boot_id() == "5A1C6E0B-1111-4222-8333-944445555566"
    assert _darwin.settings() == {
        "kern.ipc.maxsockbuf": "8388608",
        "net.inet.udp.recvspace": "786896",
        "net.inet.udp.checksum": "1",
    }
    assert _darwin.counters() == {
        "udp": {"datagrams received": 9, "dropped due to full socket buffers": 2},
        "igmp": {"messages received": 4},
        "ip": {"error": "netstat is not installed"},
        "ip6": {"error": "netstat is not installed"},
    }
    assert "224.0.0/4  link#14  UmCS  en0" in _darwin.routes()["netstat -rn"]
    assert _darwin.memberships()["netstat -gn"][0] == "Link-layer Multicast Group Memberships"
    assert _darwin.clock_state() == ("unknown", None)
    assert _darwin.uptime_ns() > 0


def test_macos_without_its_tools_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _darwin, {})
    assert _darwin.boot_id() == ""
    assert _darwin.settings() == {}
    assert _darwin.routes() == {"netstat -rn": {"error": "netstat is not installed"}}


def test_macos_launch_names_the_responsible_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPC_SERVICE_NAME", "com.example.agent")
    monkeypatch.setenv("TERM_PROGRAM", "Apple_Terminal")
    monkeypatch.setenv("SECRET", "not for a bug report")
    assert _darwin.launch_hints() == {
        "environment": {"XPC_SERVICE_NAME": "com.example.agent", "TERM_PROGRAM": "Apple_Terminal"}
    }


def test_windows_tells_what_its_tools_print(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, _windows, WINDOWS)
    monkeypatch.setenv("SESSIONNAME", "Console")
    assert _windows.boot_id() == ""
    assert _windows.counters() == {"udp": {"Receive Errors": 6}, "ip": {"error": "netstat is not installed"}}
    assert _windows.memberships()["inet"][1] == "0  1  Yes  224.0.0.1"
    assert _windows.memberships()["inet6"] == {"error": "netsh is not installed"}
    assert _windows.routes()["netstat -rn"][0] == "IPv4 Route Table"
    assert _windows.settings()["netsh global"] == ["Multicast Forwarding : disabled"]
    assert _windows.launch_hints() == {"session": "Console"}
    assert _windows.clock_state() == ("unknown", None)
    assert _windows.uptime_ns() > 0


@pytest.mark.parametrize("module", [_darwin, _windows])
def test_system_is_named_even_where_it_is_another(module: ModuleType) -> None:
    assert module.system_name()
