"""What sets two snapshots apart: by hand, by any JSON, and by a namespace that really changes."""

from __future__ import annotations

import copy
import socket
import subprocess
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import cable, cabled

from harness.evidence import counters_only, difference, environment, risen
from harness.evidence.facts import FACETS
from harness.model.evidence_change import Change

V4 = {"family": "inet", "address": "10.0.0.2", "prefix": 24, "scope": "global", "origin": "static", "flags": []}
SNAPSHOT: dict[str, Any] = {
    "version": 2,
    "taken_ns": 1,
    "host": "rx",
    "versions": {"kernel": "Linux 6.1", "python": "CPython 3.11.2"},
    "boot": {"boot_id": "11111111-1", "uptime_ns": 5, "arguments": ["quiet", "ipv6.disable=1"]},
    "clock": {"sync": "chrony", "error_bound_ns": 500},
    "interfaces": {
        "lo": {"index": 1, "flags": ["UP", "LOOPBACK"], "is_up": True, "has_carrier": True, "addresses": []},
        "eth0": {
            "index": 2, "flags": ["UP", "MULTICAST"], "is_up": True, "has_carrier": True, "mtu": 1500, "kind": "",
            "driver": "e1000e", "mac": "02:00:00:00:00:01", "carrier_changes": 4, "addresses": [V4],
        },
        "eth1": {"index": 3, "flags": ["UP"], "is_up": True, "has_carrier": False, "addresses": []},
    },
    "routes": {
        "inet": [
            {"dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "protocol": "dhcp", "flags": []},
            {"type": "local", "dst": "10.0.0.2", "dev": "eth0", "table": "local"},
        ],
        "rules": [{"priority": 0, "src": "all", "table": "local"}],
    },
    "memberships": {
        "inet": [{"interface": "eth0", "group": "239.1.2.3", "users": 1, "version": "V3"}],
        "filters": [
            {"interface": "eth0", "group": "232.1.1.1", "source": "10.0.0.9", "include": 1, "exclude": 0},
        ],
    },
    "bridges": {
        "links": [{"ifname": "br0", "linkinfo": {"info_data": {"mcast_querier": 1, "hello_timer": 0.5}}}],
        "mdb": [{"mdb": [{"dev": "br0", "port": "p1", "grp": "239.1.2.3", "state": "temp", "timer": " 3.1"}]}],
    },
    "qdiscs": [{"kind": "tbf", "dev": "eth0", "root": True, "options": {"rate": 1000}, "drops": 7, "packets": 9}],
    "firewall": {
        "nft": [
            {"chain": {"family": "inet", "table": "t", "name": "in", "hook": "input", "policy": "accept"}},
            {
                "rule": {
                    "family": "inet", "table": "t", "chain": "in", "handle": 4,
                    "expr": [
                        {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 5}},
                        {"counter": {"packets": 3, "bytes": 300}},
                        {"drop": None},
                    ],
                }
            },
        ]
    },
    "settings": {"net.ipv4.conf.all.rp_filter": "0"},
    "counters": {"udp": {"RcvbufErrors": 10}, "ip_ext": {"IPReversePathFilter": 0}},
    "interface_counters": {"eth0": {"index": 2, "rx_dropped": 5}, "eth1": {"index": 3, "rx_dropped": 50}},
    "sockets": {"udp": [{"local": "239.1.2.3:5000", "inode": 77, "drops": 2}], "udp6": []},
    "launch": {
        "pid": 100, "uid": 0, "user": "root", "parents": [{"pid": 99, "name": "bash"}], "terminal": "/dev/pts/0",
        "hints": {"unit": "session-3.scope", "init": "systemd"},
    },
}  # fmt: skip


def changed(**sections: Any) -> dict[str, Any]:
    return copy.deepcopy(SNAPSHOT) | sections


def edited(path: str, value: Any) -> dict[str, Any]:
    """Return the snapshot with one value set, at "boot/boot_id" or "qdiscs/0/drops"; None takes it out."""
    snapshot = copy.deepcopy(SNAPSHOT)
    *places, last = path.split("/")
    here: Any = snapshot
    for place in places:
        here = here[int(place)] if isinstance(here, list) else here[place]
    key = int(last) if isinstance(here, list) else last
    if value is None:
        del here[key]
    else:
        here[key] = value
    return snapshot


def test_every_facet_finds_its_part_of_the_sample_or_a_platforms() -> None:
    assert difference(SNAPSHOT, SNAPSHOT) == []
    known = {facet.path[0] for facet in FACETS}
    assert known >= SNAPSHOT.keys() - {"version", "taken_ns", "counters", "interface_counters", "sockets"}
    for facet in FACETS:
        value: Any = SNAPSHOT
        for key in facet.path:
            value = value.get(key) if isinstance(value, dict) else None
        assert value is None or facet.read(value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("taken_ns", 2), ("boot/uptime_ns", 99), ("launch/pid", 7), ("launch/parents/0/pid", 7),
        ("launch/terminal", "/dev/pts/9"), ("launch/hints/unit", "session-9.scope"), ("qdiscs/0/drops", 8),
        ("bridges/links/0/linkinfo/info_data/hello_timer", 0.1), ("bridges/mdb/0/mdb/0/timer", " 2.0"),
        ("clock/error_bound_ns", 7), ("firewall/nft/1/rule/handle", 9), ("counters/udp/RcvbufErrors", 99),
        ("firewall/nft/1/rule/expr/1/counter/packets", 99), ("memberships/inet/0/users", 4),
        ("routes/inet/1/dst", "10.0.0.9"), ("interfaces/eth0/carrier_changes", 9),
    ],
)  # fmt: skip
def test_what_always_differs_is_no_change(path: str, value: object) -> None:
    assert difference(SNAPSHOT, edited(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("boot/boot_id", "22222222-2", "another boot: 11111111-1 -> 22222222-2"),
        ("boot/arguments/1", None, "boot argument ipv6.disable=1 removed"),
        ("versions/kernel", "Linux 6.2", "version kernel: Linux 6.1 -> Linux 6.2"),
        ("host", "other", "host: rx -> other"),
        ("clock/sync", "unsynchronised", "clock sync: chrony -> unsynchronised"),
        ("interfaces/eth0/index", 7, "interface eth0 index: 2 -> 7"),
        ("interfaces/eth0/mac", "02:00:00:00:00:02", "interface eth0 mac: 02:00:00:00:00:01 -> 02:00:00:00:00:02"),
        ("interfaces/eth1/has_carrier", True, "interface eth1 state: no carrier -> up"),
        ("interfaces/eth1/is_up", False, "interface eth1 state: no carrier -> switched off"),
        ("interfaces/eth0/addresses/0/origin", "dynamic", "address 10.0.0.2/24 on eth0 origin: static -> dynamic"),
        ("interfaces/eth0/addresses/0", None, "address 10.0.0.2/24 on eth0 removed (origin static)"),
        ("routes/inet/0", None, "route default dev eth0 via 10.0.0.1 removed (protocol dhcp)"),
        ("routes/rules/0", None, "rule priority 0, src all, table local removed"),
        ("memberships/inet/0", None, "membership 239.1.2.3 on eth0 vanished"),
        ("memberships/inet/0/version", "V2", "igmp version eth0: V3 -> V2"),
        ("memberships/filters/0", None, "membership (10.0.0.9, 232.1.1.1) on eth0 vanished (filter include)"),
        ("bridges/links/0/linkinfo/info_data/mcast_querier", 0, "bridge br0 mcast_querier: 1 -> 0"),
        ("bridges/mdb/0/mdb/0", None, "mdb 239.1.2.3 on p1 of br0 removed (state temp)"),
        ("qdiscs/0/options/rate", 2000, "qdisc eth0 root options: rate 1000 -> rate 2000"),
        ("firewall/nft/1", None, "firewall rule in inet t in: udp dport == 5 drop removed"),
        (
            "firewall/nft/0/chain/policy", "drop",
            "firewall chain inet t in: hook input policy accept -> hook input policy drop",
        ),
        ("settings/net.ipv4.conf.all.rp_filter", "1", "setting net.ipv4.conf.all.rp_filter: 0 -> 1"),
        ("launch/uid", 1000, "launch uid: 0 -> 1000"),
        ("launch/parents/0/name", "launchd", "launch parents: bash -> launchd"),
        ("launch/hints/unit", "harness.service", "launch unit: session -> harness.service"),
        ("memberships/inet", {"error": "gone"}, "memberships inet: read before, not read (gone) after"),
        ("routes", {"error": "late"}, "routes inet: read before, not read (late) after"),
        ("bridges/mdb", None, "bridges mdb: read before, not asked after"),
        ("firewall/nft", "odd", "firewall nft: read before, unreadable after"),
    ],
)  # fmt: skip
def test_a_change_is_named_with_both_its_values_and_turns_round(path: str, value: object, text: str) -> None:
    after = edited(path, value)
    found = difference(SNAPSHOT, after)
    assert text in [change.text for change in found]
    assert len(found) <= 2  # a part that is gone may have fed two facets
    assert turned(difference(after, SNAPSHOT)) == sides(found)


def sides(changes: list[Change]) -> list[tuple[Any, ...]]:
    return sorted((c.kind, c.subject, c.field, c.before or "", c.after or "") for c in changes)


def turned(changes: list[Change]) -> list[tuple[Any, ...]]:
    return sorted((c.kind, c.subject, c.field, c.after or "", c.before or "") for c in changes)


def test_interface_that_vanished_is_one_change_beside_what_it_carried() -> None:
    found = difference(SNAPSHOT, edited("interfaces/eth1", None))
    assert [(change.kind, change.subject, change.after) for change in found] == [("interface", "eth1", None)]
    found = difference(SNAPSHOT, edited("interfaces/eth0", None))
    assert [(change.kind, change.subject) for change in found] == [
        ("address", "10.0.0.2/24 on eth0"),
        ("interface", "eth0"),
    ]


def test_order_of_interfaces_is_told_apart_from_their_number() -> None:
    tables = SNAPSHOT["interfaces"]
    swapped = changed(interfaces={name: tables[name] for name in ("lo", "eth1", "eth0")})
    (change,) = difference(SNAPSHOT, swapped)
    assert (change.subject, change.before, change.after) == ("order", "lo, eth0, eth1", "lo, eth1, eth0")
    assert difference(SNAPSHOT, changed(interfaces={"lo": tables["lo"], "eth1": tables["eth1"]}))[-1].subject == "eth0"


def test_saved_iptables_rules_are_compared_without_their_counters() -> None:
    def saved(*rules: str, packets: int) -> dict[str, Any]:
        head = ["# Generated on Tue", "*filter", f":INPUT ACCEPT [{packets}:99]"]
        return {"firewall": {"nft": {"error": "nft is not installed"}, "iptables": [*head, *rules, "COMMIT"]}}

    before = saved("[5:10] -A INPUT -p udp -j DROP", packets=7)
    assert difference(before, saved("[6:12] -A INPUT -p udp -j DROP", packets=9)) == []
    (change,) = difference(before, saved(packets=7))
    assert change.text == "firewall -A INPUT -p udp -j DROP removed"


def test_part_that_is_read_in_neither_is_no_change() -> None:
    missing = edited("firewall/nft", {"error": "nft is not installed"})
    other = edited("firewall/nft", {"error": "nft gave no answer within 2 s"})
    assert difference(missing, other) == difference({}, {}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "eth0", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "interfaces", "eth0", "addresses", "udp", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths(value: Any, at: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in items for path in [f"{at}{key}", *paths(each, f"{at}{key}/")]]


PATHS = paths(SNAPSHOT)


@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(st.tuples(st.sampled_from(PATHS), JSON), max_size=3),
    sections=st.dictionaries(st.sampled_from(sorted(SNAPSHOT)), JSON, max_size=3),
)
def test_any_snapshot_from_disk_is_compared_without_an_exception(
    edits: list[tuple[str, Any]], sections: dict[str, Any]
) -> None:
    after = copy.deepcopy(SNAPSHOT)
    for path, value in edits:
        try:
            *places, last = path.split("/")
            here: Any = after
            for place in places:
                here = here[int(place)] if isinstance(here, list) else here[place]
            here[int(last) if isinstance(here, list) else last] = value
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    after |= sections
    found = difference(SNAPSHOT, after)
    assert difference(after, after) == []
    assert turned(difference(after, SNAPSHOT)) == sides(found)
    assert found == sorted(found, key=lambda c: (c.kind, c.subject, c.field, c.before or "", c.after or ""))
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Change]) == found
    assert all("\n" not in change.text and change.before != change.after for change in found)
    assert all(value >= 0 for value in risen(SNAPSHOT, after).values())


def test_counters_rise_by_flat_names() -> None:
    after = copy.deepcopy(SNAPSHOT)
    after["counters"]["udp"]["RcvbufErrors"] = 14
    after["interface_counters"]["eth0"]["rx_dropped"] = 6
    after["qdiscs"][0]["drops"] = 9
    after["firewall"]["nft"][1]["rule"]["expr"][1]["counter"]["packets"] = 10
    after["sockets"]["udp"][0]["drops"] = 5
    after["interfaces"]["eth0"]["carrier_changes"] = 6
    assert risen(SNAPSHOT, after) == {
        "eth0.carrier_changes": 2, "eth0.qdisc_drops": 2, "eth0.qdisc_packets": 0, "eth0.rx_dropped": 1,
        "eth1.rx_dropped": 0, "ip_ext.IPReversePathFilter": 0, "nft.inet t in 4": 7,
        "socket.239.1.2.3:5000.77.drops": 3, "udp.RcvbufErrors": 4,
    }  # fmt: skip


def test_counter_that_fell_or_began_anew_is_left_out() -> None:
    assert "udp.RcvbufErrors" not in risen(SNAPSHOT, edited("counters/udp/RcvbufErrors", 9))
    reborn = edited("interface_counters/eth1", {"index": 9, "rx_dropped": 60})
    assert not [name for name in risen(SNAPSHOT, reborn) if name.startswith("eth1.")]
    assert risen(SNAPSHOT, edited("boot/boot_id", "22222222-2")) == {}
    assert risen(SNAPSHOT, {}) == risen({}, SNAPSHOT) == {}
    assert risen(SNAPSHOT, edited("boot/boot_id", ""))["udp.RcvbufErrors"] == 0


def test_counters_alone_are_comparable_with_a_snapshot() -> None:
    before = environment()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", 9))
    assert risen(before, counters_only())["udp.OutDatagrams"] >= 1


def test_two_snapshots_of_a_quiet_host_are_alike() -> None:
    assert [change for change in difference(environment(), environment()) if change.kind != "membership"] == []


@pytest.mark.lab
def test_namespace_that_changes_is_told_change_by_change() -> None:
    with cabled() as (far, host):
        cable(far, host, 1)
        host.ip("route", "add", "default", "via", "10.77.0.1")
        with host.inside():
            before = environment()
            host.ip("route", "replace", "default", "via", "10.78.0.1")
            host.ip("link", "del", "rx0")
            host.ip("link", "add", "name", "rx0", "type", "bridge")
            host.ip("rule", "add", "ipproto", "udp", "dport", "53", "lookup", "100")
            host.ip("address", "change", "10.78.0.2/24", "dev", "rx1", "valid_lft", "600", "preferred_lft", "300")
            host.ip("address", "add", "10.79.0.2/24", "dev", "rx1")
            ruleset = "table inet t {\nchain c {\ntype filter hook input priority 0\nudp dport 5 drop\n}\n}"
            subprocess.run(host.command("nft", ruleset), check=True, timeout=20)
            subprocess.run(host.command("sysctl", "-q", "-w", "net.ipv4.conf.rx1.rp_filter=1"), check=True, timeout=20)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
                request = socket.inet_aton("239.255.4.4") + socket.inet_aton("10.78.0.2")
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                after = environment()
            texts = [change.text for change in difference(before, after)]
            rises = risen(before, after)
    for text in (
        "address 10.77.0.2/24 on rx0 removed (origin static)",
        "address 10.78.0.2/24 on rx1 origin: static -> dynamic",
        "address 10.79.0.2/24 on rx1 added (origin static)",
        "interface rx0 kind: veth -> bridge",
        "interface rx0 state: up -> switched off",
        "interface order: lo, rx0, rx1 -> lo, rx1, rx0",
        "membership 239.255.4.4 on rx1 appeared",
        "route default dev rx1 via 10.78.0.1 added",
        "route default dev rx0 via 10.77.0.1 removed",
        "rule priority 32765, src all, ipproto udp, dport 53, table 100 added",
        "firewall rule in inet t c: udp dport == 5 drop added",
        "setting net.ipv4.conf.rx1.rp_filter: 0 -> 1",
    ):
        assert text in texts, texts
    assert any(text.startswith("interface rx0 index: ") for text in texts)
    assert not [name for name in rises if name.startswith("rx0.rx_")]
    assert rises["rx1.rx_dropped"] == 0
