"""Parsers of what the systems print; hostile or foreign text gives less, never an exception."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.evidence import clock
from harness.evidence.clock import kernel_clock, linux_clock_state, parse_tracking
from harness.evidence.counters import parse_assignments, parse_snmp, parse_snmp6, parse_statistics
from harness.evidence.memberships import parse_igmp, parse_igmp6
from harness.evidence.probe import ProbeError

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
