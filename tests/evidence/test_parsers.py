"""Parsers of what the systems print; hostile or foreign text gives less, never an exception."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.evidence import clock, netlink
from harness.evidence._windows import parse_joins, parse_objects, parse_routes
from harness.evidence.bsd import parse_ifconfig, parse_netstat_groups, parse_netstat_routes, parse_sysctl
from harness.evidence.clock import kernel_clock, linux_clock_state, parse_tracking
from harness.evidence.counters import (
    parse_assignments,
    parse_dev,
    parse_snmp,
    parse_snmp6,
    parse_softnet,
    parse_statistics,
)
from harness.evidence.firewall import rule_counters, rule_texts
from harness.evidence.machine import boot_arguments, unit_of
from harness.evidence.memberships import parse_igmp, parse_igmp6, parse_mcfilter
from harness.evidence.probe import ProbeError
from harness.evidence.sockets import parse_udp

IGMP = """Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
3\teth0.100  :     2      V2
\t\t\t\t4D07EFEF     3 1:0000012C\t\t1
\t\t\t\t010000E0     1 0:00000000\t\t0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table stands in the byte order of the host")
def test_igmp_table_gives_interface_group_users_and_version() -> None:
    assert parse_igmp(IGMP) == [
        {"interface": "lo", "group": "224.0.0.1", "users": 1, "version": "V3"},
        {"interface": "eth0.100", "group": "239.239.7.77", "users": 3, "version": "V2"},
        {"interface": "eth0.100", "group": "224.0.0.1", "users": 1, "version": "V2"},
    ]


def test_counters_of_protocols_not_wanted_are_left_out() -> None:
    text = "Ip: Forwarding ReasmFails\nIp: 2 7\nUdp: InDatagrams\nUdp: 5\nUdpLite: InDatagrams\nUdpLite: 9\n"
    assert parse_snmp(text, ("Ip", "Udp")) == {"Ip": {"Forwarding": 2, "ReasmFails": 7}, "Udp": {"InDatagrams": 5}}


def test_bsd_statistics_keep_the_words_of_each_line() -> None:
    text = "udp:\n\t120 datagrams received\n\t\t4 with bad checksum\n\t\t33 dropped due to full socket buffers\n"
    assert parse_statistics(text)["dropped due to full socket buffers"] == 33
    assert parse_statistics("") == {}


def test_windows_statistics_in_any_language_keep_their_names() -> None:
    text = "\r\nUDP-Statistik für IPv4\r\n\r\n  Empfangene Datagramme    = 17\r\n  Keine Ports     = 0\r\n"
    assert parse_assignments(text) == {"Empfangene Datagramme": 17, "Keine Ports": 0}


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.sampled_from("\n\t :=,.0123456789aAfFUdp6V"), max_size=120))
def test_foreign_text_gives_less_and_never_an_exception(text: str) -> None:
    assert isinstance(parse_igmp(text), list)
    assert isinstance(parse_igmp(f"header\n1 eth0 1 V3\n 010000E0 {text}"), list)
    assert isinstance(parse_igmp6(f"2 eth0 ff0200000000000000000000000000fb {text}"), list)
    assert isinstance(parse_igmp6(text), list)
    assert isinstance(parse_snmp(text, ("Udp",)), dict)
    assert isinstance(parse_snmp6(text, ("Udp6",)), dict)
    assert isinstance(parse_statistics(text), dict)
    assert isinstance(parse_assignments(text), dict)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("\n\t :=,.0123456789aAfFx<>/%-"), max_size=120))
def test_foreign_text_gives_less_to_the_other_parsers_too(text: str) -> None:
    for head in ("", "x\n", "x\n4 eth0 0xe8010101 0x0a000001 ", "Internet:\n", "1: 0100007F:1388 00000000:0000 07 "):
        for parse in (parse_softnet, parse_ifconfig, parse_netstat_routes, parse_netstat_groups, parse_sysctl):
            assert isinstance(parse(head + text), list | dict)
        for parse_rows in (parse_routes, parse_joins, parse_udp, boot_arguments):
            assert isinstance(parse_rows(head + text), list)
        assert isinstance(parse_mcfilter(head + text, {}), list)
        assert isinstance(parse_dev(head + text, {}), dict)
        assert isinstance(unit_of(head + text), str)
    assert isinstance(parse_ifconfig(f"en0: flags=1<UP> mtu 1500\n\tinet 10.0.0.1 netmask {text}"), dict)
    assert isinstance(parse_joins(f"Interface 1: a\n0 {text} Yes 224.0.0.1"), list)


@pytest.mark.skipif(sys.byteorder != "little", reason="the table stands in the byte order of the host")
def test_sockets_of_ipv6_and_connected_ones_are_read() -> None:
    rest = "07 00000000:00000000 00:00000000 00000000  1000        0 4712 2 0000000000000000 0"
    local = "B80D01200000000000000000010000FF:1389"
    text = f"head\n 1: {local} 00000000000000000000000000000000:0000 {rest}\n 2: 0100007F:0035 0200A8C0:1388 {rest}\n"
    six, four = parse_udp(text)
    assert (six["local"], six["remote"], six["uid"]) == ("[2001:db8::ff00:1]:5001", "", 1000)
    assert (four["local"], four["remote"]) == ("127.0.0.1:53", "192.168.0.2:5000")


def test_source_filter_of_ipv6_is_read_by_index() -> None:
    text = (
        "Idx Device                Multicast Address                   Source Address    INC    EXC\n"
        "  9 verylo ff3e00000000000000000000000000aa fd770000000000000000000000000001      0      1\n"
    )
    (entry,) = parse_mcfilter(text, {9: "verylongname0"})
    assert entry == {"interface": "verylongname0", "group": "ff3e::aa", "source": "fd77::1", "include": 0, "exclude": 1}
    assert parse_mcfilter(text, {})[0]["interface"] == "verylo"


def test_firewall_rules_are_words_without_counters_and_handles() -> None:
    place = {"family": "ip", "table": "filter", "chain": "INPUT"}
    ruleset: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "ip", "name": "filter", "handle": 1}},
        {"set": {"family": "ip", "table": "filter", "name": "s", "type": "ipv4_addr",
                 "elem": [{"elem": {"val": "10.0.0.1", "timeout": 30, "expires": 7}}]}},
        {"counter": {"family": "ip", "table": "filter", "name": "seen", "packets": 5, "bytes": 9}},
        {"rule": place | {"handle": 7, "expr": [
            {"match": {"op": "!=", "left": {"meta": {"key": "skuid"}}, "right": [1, 2]}},
            {"counter": {"packets": 4, "bytes": 8}},
            {"reject": {"type": "icmp", "expr": "port-unreachable"}},
        ]}},
    ]  # fmt: skip
    assert list(rule_texts(ruleset)) == [
        ("table ip filter", ""),
        ("set ip filter s", "type ipv4_addr elem {elem val 10.0.0.1 timeout 30}"),
        ("counter ip filter seen", ""),
        ("rule in ip filter INPUT: meta skuid != {1, 2} reject type icmp expr port-unreachable", ""),
    ]
    assert rule_counters(ruleset) == {"ip filter seen": 5, "ip filter INPUT 7": 4}


def test_boot_arguments_keep_no_secret() -> None:
    assert boot_arguments("root=/dev/sda1 wifi.PASSWORD=abc api_token=x=y quiet") == [
        "root=/dev/sda1", "wifi.PASSWORD=...", "api_token=...", "quiet",
    ]  # fmt: skip


def test_powershell_prints_one_object_or_a_list() -> None:
    assert parse_objects("") == []
    assert parse_objects('[{"a": 1}, 3]') == [{"a": 1}]
    with pytest.raises(ProbeError, match="no JSON"):
        parse_objects("Get-NetIPAddress : not recognized")


def test_route_of_several_ways_names_them_all() -> None:
    def attribute(kind: int, value: bytes) -> bytes:
        return (4 + len(value)).to_bytes(2, sys.byteorder) + kind.to_bytes(2, sys.byteorder) + value

    hops = b"".join((8).to_bytes(2, sys.byteorder) + bytes(2) + index.to_bytes(4, sys.byteorder) for index in (3, 5))
    body = bytes([2, 4, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]) + attribute(1, bytes([224, 0, 0, 0])) + attribute(9, hops)
    route = netlink.parse_route(body)
    assert (route.dst, route.interfaces, route.table) == ("224.0.0.0/4", (3, 5), 254)


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon", "a,b", ",".join("x" * 14), ",".join(["inf"] * 14)])
def test_tracking_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ProbeError, match="chronyc"):
        parse_tracking(text)


TRACKING = "C0A80001,192.168.0.1,3,1700000000.5,-0.000010,0,0,0,0,0,0.002,0.0005,64.2,{leap}\n"


@pytest.mark.parametrize(
    ("kernel", "daemon", "leap", "state"),
    [
        ((True, 5_000), "ntp", "", ("ntp", 5_000)),
        ((True, 5_000), "chrony", "", ("chrony", 5_000)),
        ((True, 5_000), "", "", ("synchronised", 5_000)),
        ((False, 16_000_000_000), "", "", ("unsynchronised", None)),
        ((False, 16_000_000_000), "ntp", "", ("unsynchronised", None)),
        ((False, 16_000_000_000), "chrony", "Normal", ("chrony", 1_510_000)),
        ((False, 16_000_000_000), "chrony", "Not synchronised", ("unsynchronised", None)),
        ((False, 16_000_000_000), "chrony", None, ("unknown", None)),
        (None, "chrony", "Normal", ("unknown", None)),
    ],
)
def test_clock_state_is_the_kernels_or_chronyds_word(
    monkeypatch: pytest.MonkeyPatch,
    kernel: tuple[bool, int] | None,
    daemon: str,
    leap: str | None,
    state: tuple[str, int | None],
) -> None:
    def ask_kernel() -> tuple[bool, int]:
        if kernel is None:
            raise ProbeError("adjtimex: Operation not permitted")
        return kernel

    def ask_chrony(*_: str) -> str:
        if leap is None:
            raise ProbeError("chronyc is not installed")
        return TRACKING.format(leap=leap)

    monkeypatch.setattr(clock, "kernel_clock", ask_kernel)
    monkeypatch.setattr(clock, "discipline", lambda: daemon)
    monkeypatch.setattr(clock, "command", ask_chrony)
    assert linux_clock_state() == state


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_kernel_tells_its_own_error_bound() -> None:
    is_synchronised, bound_ns = kernel_clock()
    assert 0 <= bound_ns <= 16_000_000_000  # NTP_PHASE_LIMIT: the kernel stops counting at 16 s
    assert is_synchronised or bound_ns > 0
    assert linux_clock_state()[0] in ("chrony", "ntp", "ptp", "synchronised", "unsynchronised", "unknown")
