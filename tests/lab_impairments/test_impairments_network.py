"""Duplicates, lifetimes, shapes, cables and switches: effect, count and undo of each, on a real switch."""

import ipaddress
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import pytest
import trio
from impairment_lab import (
    GROUP4,
    GROUP6,
    OTHER4,
    Listener,
    Speaker,
    SwitchLab,
    Tap,
    conversation,
    in_space,
    switch_lab,
    wait_until,
)
from netns import run

from harness.errors import LabError, UsageError
from harness.lab.impairments import apply
from harness.lab.impairments.routing_state import routing_state
from harness.model.lab import (
    AddressChange,
    Duplicate,
    Flush,
    Impairment,
    Lifetime,
    LinkDown,
    Query,
    Recreate,
    RouteChange,
    Shape,
    SwitchSetting,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def module_lab() -> Iterator[SwitchLab]:
    with switch_lab() as made:
        yield made


@pytest.fixture
def lab(module_lab: SwitchLab) -> Iterator[SwitchLab]:
    with module_lab.left_clean():
        yield module_lab


def bridge_settings(lab: SwitchLab) -> dict[str, Any]:
    found = json.loads(run("ip", "-j", "-d", "-n", lab.namespace("sw"), "link", "show", "dev", "br0"))
    settings: dict[str, Any] = found[0]["linkinfo"]["info_data"]
    return settings


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@pytest.mark.parametrize(
    ("at", "direction", "side", "tx_tap", "rx_tap"),
    [
        ("rx:eth0", "in", "network", [0, 1, 2, 3], [0, 0, 1, 2, 2, 3]),
        ("tx:eth0", "out", "network", [0, 1, 2, 3], [0, 0, 1, 2, 2, 3]),
        ("tx:eth0", "out", "host", [0, 0, 1, 2, 2, 3], [0, 0, 1, 2, 2, 3]),
    ],
)
async def test_every_second_arrives_twice_and_is_counted_once(
    lab: SwitchLab,
    at: str,
    direction: Literal["in", "out"],
    side: Literal["network", "host"],
    tx_tap: list[int],
    rx_tap: list[int],
    group: str,
) -> None:
    with conversation(lab, group) as (speaker, listener, tx, rx):
        own = Listener(lab.spaces["tx"], group)  # the sender's host is a member, too: no copy may come back to it
        wait_until(lambda: lab.mdb(group, "ptx"), "the sender's own membership")
        duplicate = Duplicate(at=at, direction=direction, side=side, group=group, every=2)
        applied = await apply(duplicate, lab, log=lab.log.append)
        speaker.say(range(4))
        assert sorted(listener.heard()) == [0, 0, 1, 2, 2, 3]
        assert (sorted(tx.seen()), sorted(rx.seen())) == (tx_tap, rx_tap)
        assert own.heard() == [0, 1, 2, 3]  # by the host's own loopback
        assert await applied.counted() == {"duplicated udp": 2}
        await applied.undo()
        speaker.say(range(4, 6))
        assert listener.heard() == [4, 5]
        own.close()


@pytest.mark.parametrize(
    ("duplicate", "message"),
    [
        (Duplicate(at="rx:eth0", side="host"), "inside a host"),
        (Duplicate(at="rx:eth0", direction="out", protocol="igmp"), "duplicates of igmp out from rx:eth0"),
    ],
)
async def test_duplicates_that_nothing_can_make_are_refused(lab: SwitchLab, duplicate: Duplicate, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        await apply(duplicate, lab, log=lab.log.append)


def heard_one(speaker: Speaker, listener: Listener) -> bool:
    return speaker.errno() == 0 and bool(listener.heard())


def last_heard(speaker: Speaker, listener: Listener, limit_s: float) -> float:
    """Send a probe each millisecond until 50 in a row are not heard; return when the last one was."""
    last, n_missed = time.monotonic(), 0
    deadline = last + limit_s
    while n_missed < 50 and time.monotonic() < deadline:
        speaker.say(range(1))
        n_missed += 1
        if listener.heard():
            last, n_missed = time.monotonic(), 0
        time.sleep(0.001)
    return last


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("group", ["239.255.18.{}", "ff15::18:{}"])
async def test_a_group_lives_for_its_time_from_each_join_and_no_answer_renews_it(
    lab: SwitchLab, group: str, version: int
) -> None:
    group = group.format(version)
    older = "force_igmp_version=2" if "." in group else "force_mld_version=1"
    family = "ipv4" if "." in group else "ipv6"
    rx = lab.spaces["rx"]
    key = f"net.{family}.conf.eth0.{older.partition('=')[0]}"
    in_space(rx, "sysctl", "-qw", f"{key}={older[-1] if version == 2 else 0}")
    applied = await apply(Lifetime(at="rx:eth0", after="1250ms"), lab, log=lab.log.append)
    speaker = Speaker(lab.spaces["tx"], group)
    try:
        for _ in range(2):  # the second is a new join, after a leave
            joining_s = time.monotonic()
            listener = Listener(rx, group)
            wait_until(partial(heard_one, speaker, listener), "the first probe")
            heard_s = time.monotonic()
            last_s = last_heard(speaker, listener, 3)
            # the join is between the two; queries come every second, and are answered within 0.2 s
            assert joining_s + 1.15 < last_s < heard_s + 1.4
            assert lab.mdb(group)
            listener.close()
            wait_until(lambda: not lab.mdb(group), "the end of the membership at the switch")
        assert (await applied.counted())["dropped udp"] > 0
        await applied.undo()
        with conversation(lab, group) as (speaking, listening, _, _):
            speaking.say(range(3))
            assert listening.heard() == [0, 1, 2]
    finally:
        speaker.close()
        in_space(rx, "sysctl", "-qw", f"{key}=0")


async def test_groups_joined_before_age_from_the_beginning_on(lab: SwitchLab) -> None:
    with conversation(lab) as (speaker, listener, _, _):
        began = time.monotonic()
        applied = await apply(Lifetime(at="rx:eth0", after="300ms"), lab, log=lab.log.append)
        applied_s = time.monotonic()
        assert began + 0.25 < last_heard(speaker, listener, 2) < applied_s + 0.45
        await applied.undo()
        speaker.say(range(2))
        assert listener.heard() == [0, 1]


async def test_a_shaped_sender_overflows_its_queue_and_what_is_missing_is_counted(lab: SwitchLab) -> None:
    with conversation(lab) as (speaker, listener, _, _):
        applied = await apply(Shape(at="tx:eth0", rate="2Mbit/s", queue="16KB"), lab, log=lab.log.append)
        speaker.say(range(100), size=1000)
        assert (await applied.counted())["dropped queue"] > 50
        await applied.undo()
        heard = listener.heard()
        assert await applied.counted() == {"dropped queue": 100 - len(heard)}
        assert heard == sorted(set(heard))
        speaker.say(range(30), size=1000)
        assert listener.heard() == list(range(30))


async def test_a_rate_in_packets_shapes_nothing(lab: SwitchLab) -> None:
    with pytest.raises(UsageError, match="bits per second"):
        await apply(Shape(at="tx:eth0", rate="1kpps"), lab, log=lab.log.append)


@pytest.mark.parametrize("side", ["network", "host"])
async def test_a_pulled_cable_takes_the_traffic_and_the_undo_brings_back_what_went_along(
    lab: SwitchLab, side: Literal["network", "host"]
) -> None:
    rx = lab.spaces["rx"]
    rx.ip("route", "add", "224.0.0.0/4", "dev", "eth0", "metric", "7")
    rx.ip("route", "add", "default", "via", "fd77::1", "dev", "eth0")
    try:
        before = await routing_state(rx.name)
        applied = await apply(LinkDown(at="rx:eth0", side=side), lab, log=lab.log.append)
        rx.wait_until_up("eth0", is_up=False)
        assert ("NO-CARRIER" in rx.ip("link", "show", "dev", "eth0")) is (side == "network")
        await applied.undo()
        rx.wait_until_up("eth0")
        assert await routing_state(rx.name) == before
        with conversation(lab) as (speaker, listener, _, _):
            speaker.say(range(2))
            assert listener.heard() == [0, 1]
    finally:
        rx.ip("route", "del", "224.0.0.0/4", "dev", "eth0")
        rx.ip("-6", "route", "del", "default")


async def test_recreating_is_the_labs_own_deed(lab: SwitchLab) -> None:
    applied = await apply(Recreate(at="rx:eth0"), lab, log=lab.log.append)
    await applied.undo()
    assert lab.recreated == ["rx:eth0"]
    assert [record["kind"] for record in lab.log] == ["recreate"]


async def test_a_switch_gets_all_its_settings_and_has_the_old_ones_again(lab: SwitchLab) -> None:
    setting = SwitchSetting(
        switch="sw", querier=False, snooping=False, igmp_version=2, mld_version=1, query_interval="77s"
    )
    before = bridge_settings(lab)
    applied = await apply(setting, lab, log=lab.log.append)
    during = bridge_settings(lab)
    names = ("mcast_querier", "mcast_snooping", "mcast_igmp_version", "mcast_mld_version", "mcast_query_intvl")
    assert [during[name] for name in names] == [0, 0, 2, 1, 7700]
    await applied.undo()
    after = bridge_settings(lab)
    assert {name: after[name] for name in names} == {name: before[name] for name in names}


async def test_a_host_turns_to_the_older_version_that_the_switch_asks_in(lab: SwitchLab) -> None:
    with conversation(lab):
        applied = await apply(SwitchSetting(switch="sw", igmp_version=2), lab, log=lab.log.append)
        wait_until(lambda: " V2" in in_space(lab.spaces["rx"], "cat", "/proc/net/igmp"), "IGMPv2 at the host")
        await applied.undo()
        assert bridge_settings(lab)["mcast_igmp_version"] == 3


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_a_flushed_group_is_gone_until_the_next_report(lab: SwitchLab, group: str) -> None:
    with conversation(lab, group) as (speaker, listener, _, _), conversation(lab, OTHER4):
        applied = await apply(Flush(switch="sw", host="rx", group=group), lab, log=lab.log.append)
        commands = lab.log[0]["commands"]
        assert isinstance(commands, list)
        assert len(commands) == 1
        assert lab.mdb(OTHER4)
        wait_until(lambda: speaker.errno() == 0 and listener.heard(), "the answer to the next query")
        everything = await apply(Flush(switch="sw", host="rx"), lab, log=lab.log.append)
        commands = lab.log[1]["commands"]
        assert isinstance(commands, list)
        assert len(commands) >= 2
        await applied.undo()
        await everything.undo()


async def test_a_flush_of_a_host_without_a_cable_is_refused(lab: SwitchLab) -> None:
    lab.spaces["alone"] = lab.spaces["sw"]
    try:
        with pytest.raises(LabError, match="host alone has no cable to the switch sw"):
            await apply(Flush(switch="sw", host="alone"), lab, log=lab.log.append)
    finally:
        del lab.spaces["alone"]


@pytest.mark.parametrize(("source", "own"), [("10.77.0.1", "10.77.0.250"), ("fe80::1", "fe80::ff")])
async def test_a_forged_query_from_a_lower_address_silences_the_switch(lab: SwitchLab, source: str, own: str) -> None:
    tap = Tap(lab.spaces["rx"])
    wait_until(lambda: queries(tap, own), "a query of the switch's own")
    applied = await apply(Query(at="tx:eth0", source=source), lab, log=lab.log.append)
    tap.packets()
    await trio.sleep(1.3)  # it asks every second, and so not for an other querier's interval of three
    assert not queries(tap, own)
    wait_until(lambda: queries(tap, own), "the switch's own query when the other querier's time is over")
    tap.close()
    await applied.undo()
    assert [record["do"] for record in lab.log] == ["apply", "undo"]


def queries(tap: Tap, source: str) -> list[bytes]:
    """Return the bodies of the general queries from a source that a tap has seen."""
    address, v4 = ipaddress.ip_address(source).packed, "." in source
    packets = [packet for packet in tap.packets() if packet[12 if v4 else 8 :][: len(address)] == address]
    bodies = [packet[24 if v4 else 48 :] for packet in packets if packet[9 if v4 else 40] == (2 if v4 else 58)]
    return [body for body in bodies if body[0] == (0x11 if v4 else 130)]


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_queries_of_each_version_are_heard_until_the_undo(lab: SwitchLab, version: Literal[1, 2, 3]) -> None:
    flooded = ("bridge", "-n", lab.namespace("sw"), "link", "set", "dev", "prx", "mcast_flood")
    run(*flooded, "on")  # a bridge does not even pass queries to a port that does not flood
    tap = Tap(lab.spaces["rx"])
    query = Query(at="tx:eth0", source="10.77.0.251", version=version, queries=1000, every="10ms")
    applied = await apply(query, lab, log=lab.log.append)
    await trio.sleep(0.1)
    await applied.undo()
    await trio.sleep(0.02)
    heard = queries(tap, "10.77.0.251")
    assert 5 <= len(heard) == len(lab.log) - 1 <= 15
    assert (len(heard[0]), heard[0][1] == 0) == ({1: 8, 2: 8, 3: 12}[version], version == 1)
    await trio.sleep(0.05)
    assert not queries(tap, "10.77.0.251")
    tap.close()
    run(*flooded, "off")


async def test_a_query_from_a_global_ipv6_address_is_refused(lab: SwitchLab) -> None:
    with pytest.raises(UsageError, match="link-local"):
        await apply(Query(at="tx:eth0", source="fd77::1"), lab, log=lab.log.append)


@pytest.mark.parametrize(
    "change",
    [
        RouteChange(host="tx", add=["unreachable 224.0.0.0/4", "unreachable ff00::/8 table main"]),
        RouteChange(host="tx", remove=["default", "-6 default"], add=["default dev eth0 metric 3"]),
        RouteChange(host="tx", add=["default dev eth0 table 100"], add_rules=["ipproto udp dport 53 table 100"]),
        RouteChange(host="tx", add_rules=["-6 ipproto udp dport 53 table 100", "to 10.9.0.0/16 table 100"]),
        AddressChange(at="tx:eth0", remove=["10.77.0.1/24", "fd77::1/64"], add=["10.77.0.33/24", "fd77::33/64"]),
        AddressChange(at="tx:eth0", add=["10.78.0.1/24"]),
    ],
)
async def test_routes_rules_and_addresses_change_and_are_as_before_afterwards(
    lab: SwitchLab, change: Impairment
) -> None:
    tx = lab.spaces["tx"]
    tx.ip("route", "add", "default", "via", "10.77.0.250", "metric", "50", "src", "10.77.0.1")
    tx.ip("route", "add", "default", "via", "fd77::2", "dev", "eth0", "metric", "77")
    try:
        before = await all_routing(lab)
        applied = await apply(change, lab, log=lab.log.append)
        during = await all_routing(lab)
        await applied.undo()
        assert during != before
        assert await all_routing(lab) == before
    finally:
        tx.ip("route", "del", "default")
        tx.ip("-6", "route", "del", "default")


async def all_routing(lab: SwitchLab) -> list[str]:
    tx = lab.spaces["tx"]
    lines = [tx.ip(version, "-o", what, "show") for version in ("-4", "-6") for what in ("rule", "address")]
    found = await routing_state(tx.name)
    return [*(line.partition(" ")[2] for text in lines for line in sorted(text.splitlines())), *sorted(found.routes)]


@pytest.mark.parametrize(
    "change",
    [
        RouteChange(host="tx", remove=["default"], add=["10.5.0.0/16 dev eth0", "10.6.0.0/16 via 99.9.9.9"]),
        AddressChange(at="tx:eth0", remove=["10.77.0.1/24", "10.99.0.1/24"]),
    ],
)
async def test_a_change_that_fails_half_way_is_taken_back(lab: SwitchLab, change: Impairment) -> None:
    tx = lab.spaces["tx"]
    tx.ip("route", "add", "default", "via", "10.77.0.250")
    try:
        before = await all_routing(lab)
        with pytest.raises(LabError, match=r"^ip -n .* in '(route add 10\.6|address del 10\.99)"):
            await apply(change, lab, log=lab.log.append)
        assert await all_routing(lab) == before
        assert lab.log == []
    finally:
        tx.ip("route", "del", "default")
