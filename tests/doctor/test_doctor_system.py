"""The doctor's reading of the system's own words: every question's outcomes, from snapshots."""

import ipaddress
from typing import Any

import pytest

from harness.doctor import Line, Patient
from harness.doctor.system import (
    QUESTIONS,
    buffers,
    firewall,
    igmp_version,
    interface,
    launcher,
    memberships,
    reverse_path,
    route,
)
from harness.model import Endpoint, Interface, InterfaceAddress

GROUP = Endpoint(ipaddress.ip_address("239.1.2.3"), 5000)
ETH0 = Interface(
    name="eth0",
    index=2,
    addresses=(InterfaceAddress(ipaddress.ip_address("10.0.0.2"), 24, "global"),),
    mtu=1500,
    is_up=True,
    is_multicast=True,
)
LO = Interface(name="lo", index=1, is_up=True, is_loopback=True)


def patient(
    snapshot: dict[str, Any] | None = None, *, named: Interface | None = None, likely: Interface | None = ETH0
) -> Patient:
    return Patient(GROUP, named, likely, LO, snapshot or {})


def replaced(**changes: Any) -> Interface:
    values = {name: getattr(ETH0, name) for name in ("name", "index", "addresses", "mtu", "is_up", "is_multicast")}
    return Interface(**(values | changes))


def settings(**values: str) -> dict[str, Any]:
    return {"settings": {f"net.{name.replace('__', '.')}": value for name, value in values.items()}}


def routes(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"routes": {"inet": list(entries)}}


def nft(*items: dict[str, Any]) -> dict[str, Any]:
    return {"firewall": {"nft": list(items)}}


RULE = {"rule": {"family": "inet", "table": "f", "chain": "input", "handle": 1, "expr": [{"drop": None}]}}
CHAIN = {"chain": {"family": "inet", "table": "f", "name": "input", "hook": "input", "policy": "drop"}}


@pytest.mark.parametrize(
    ("question", "who", "status", "says"),
    [
        (interface, patient(), "ok", "10.0.0.2"),
        (interface, patient(likely=replaced(is_up=False)), "broken", "is down"),
        (interface, patient(likely=replaced(is_multicast=False)), "broken", "MULTICAST"),
        (interface, patient(likely=replaced(addresses=())), "broken", "no IPv4 address"),
        (interface, patient(likely=None), "suspicious", "no interface but loopback"),
        (route, patient(), "unknown", "cannot be read"),
        (route, patient(routes({"dst": "default", "dev": "eth0"})), "ok", "goes by eth0"),
        (route, patient(routes({"dst": "10.0.0.0/24", "dev": "eth0"})), "broken", "no route"),
        (route, patient(routes({"dst": "10.0.0.0/24", "dev": "eth0"}), named=ETH0), "suspicious", "no route"),
        (
            route,
            patient(routes({"type": "unreachable", "dst": "224.0.0.0/4"}, {"dst": "default", "dev": "eth0"})),
            "broken",
            "unreachable",
        ),
        (route, patient(routes({"dst": "default", "dev": "eth1"}), named=ETH0), "suspicious", "goes by eth1 unless"),
        (memberships, patient(settings(ipv4__igmp_max_memberships="20")), "ok", "20 groups"),
        (memberships, patient(settings(ipv4__igmp_max_memberships="3")), "suspicious", "3 groups"),
        (memberships, patient(), "unknown", "does not tell"),
        (buffers, patient(settings(core__rmem_max="212992")), "suspicious", "212,992"),
        (buffers, patient(settings(core__rmem_max="8388608")), "ok", "8,388,608"),
        (buffers, patient({"settings": {"kern.ipc.maxsockbuf": "8388608"}}), "ok", "kern.ipc.maxsockbuf"),
        (buffers, patient(), "unknown", "does not tell"),
        (
            reverse_path,
            patient(settings(ipv4__conf__all__rp_filter="0", ipv4__conf__eth0__rp_filter="1")),
            "suspicious",
            "rp_filter is 1",
        ),
        (
            reverse_path,
            patient(settings(ipv4__conf__all__rp_filter="2", ipv4__conf__eth0__rp_filter="1")),
            "ok",
            "rp_filter is 2",
        ),
        (reverse_path, patient(), "unknown", "does not tell"),
        (firewall, patient(nft({"metainfo": {}})), "ok", "no rule denies"),
        (firewall, patient(nft(RULE)), "suspicious", "1 rules deny"),
        (firewall, patient(nft(CHAIN)), "suspicious", "chain inet f input drops"),
        (firewall, patient({"firewall": {"nft": {"error": "nft ended with 1"}}}), "unknown", "nft ended with 1"),
        (
            firewall,
            patient({"firewall": {"state": ["Firewall is enabled. (State = 1)"]}}),
            "suspicious",
            "application firewall is on",
        ),
        (
            firewall,
            patient({"firewall": {"state": ["Firewall is disabled. (State = 0)"]}}),
            "ok",
            "application firewall is off",
        ),
        (
            firewall,
            patient({"firewall": {"state": ["Firewall is enabled."], "block_all": ["Block all ENABLED!"]}}),
            "suspicious",
            "blocks all",
        ),
        (
            igmp_version,
            patient({"memberships": {"inet": [{"interface": "eth0", "group": "224.0.0.1", "version": "V3"}]}}),
            "ok",
            "IGMPv3",
        ),
        (
            igmp_version,
            patient({"memberships": {"inet": [{"interface": "eth0", "group": "224.0.0.1", "version": "V2"}]}}),
            "suspicious",
            "IGMPv2",
        ),
        (igmp_version, patient(settings(ipv4__conf__eth0__force_igmp_version="2")), "suspicious", "forced"),
        (igmp_version, patient(), "unknown", "does not tell"),
        (
            launcher,
            patient({"launch": {"user": "me", "parents": [{"name": "zsh"}], "hints": {}}}),
            "ok",
            "started by zsh",
        ),
        (
            launcher,
            patient({"launch": {"user": "me", "parents": [], "hints": {"container": "docker"}}}),
            "suspicious",
            "container",
        ),
        (
            launcher,
            patient({"launch": {"user": "me", "parents": [], "hints": {"manager": "Aqua"}}}),
            "suspicious",
            "Local Network",
        ),
        (launcher, patient({"launch": {"error": "no"}}), "unknown", "does not tell"),
    ],
)
def test_an_answer_follows_from_the_snapshot(question: Any, who: Patient, status: str, says: str) -> None:
    line: Line = question(who)
    assert (line.status, says in line.text) == (status, True), line
    assert (line.status in ("broken", "suspicious")) <= bool(line.remedy)


@pytest.mark.parametrize("value", [None, [], {}, "x", 3, [None], {"inet": 3}, {"nft": [None, 3, {"rule": 4}]}])
@pytest.mark.parametrize("section", ["routes", "settings", "memberships", "firewall", "launch", "interfaces"])
def test_a_snapshot_of_any_form_gives_an_answer(section: str, value: object) -> None:
    lines = [question(patient({section: value})) for question in QUESTIONS]
    assert all(line.text for line in lines)
