"""Counters of the kernel, from its own text."""

from pathlib import Path

from harness.net.counters import InterfaceCounters, UdpCounters, interface_counters, socket_drops, udp_counters

SNMP = """Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 7126 3 2874 10000 2874 5 6 7 8
UdpLite: InDatagrams NoPorts
UdpLite: 1 2
"""
SNMP6 = """Ip6InReceives                   	900
Udp6InDatagrams                 	11
Udp6RcvbufErrors                	4
UdpLite6InDatagrams             	99
"""
HEAD = "  sl  local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops\n"
ROW = " 1104: 0100007F:1388 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 {} 2 ffff {}\n"


def write(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name).write_text(text, encoding="ascii")
    return path


def test_udp_counters_of_both_versions(tmp_path: Path) -> None:
    write(tmp_path, snmp=SNMP, snmp6=SNMP6)
    assert udp_counters(4, tmp_path) == UdpCounters(7126, 3, 2874, 10000, 2874, 5, 6, 7, 8)
    assert udp_counters(6, tmp_path) == UdpCounters(received=11, receive_buffer_errors=4)


def test_what_a_system_does_not_tell_is_none(tmp_path: Path) -> None:
    assert udp_counters(4, tmp_path) is None
    assert socket_drops(1, tmp_path) is None
    assert udp_counters(4, write(tmp_path, snmp="")) == UdpCounters()
    assert interface_counters("nope0") is None


def test_drops_are_found_by_inode_in_both_tables(tmp_path: Path) -> None:
    write(tmp_path, udp=HEAD + ROW.format(41, 5) + ROW.format(4, 6), udp6=HEAD + ROW.format(43, 7))
    assert [socket_drops(inode, tmp_path) for inode in (41, 4, 43, 44)] == [5, 6, 7, None]


def test_differences_keep_the_unknown_unknown() -> None:
    assert UdpCounters(received=9, sent=4) - UdpCounters(received=2) == UdpCounters(received=7)
    before, after = InterfaceCounters(packets_sent=1, drops_in=0), InterfaceCounters(packets_sent=5, drops_in=0)
    assert after - before == InterfaceCounters(packets_sent=4, drops_in=0)


def test_the_loopback_is_counted() -> None:
    counted = interface_counters("lo")
    assert counted is not None
    assert counted.packets_sent is not None
