"""Drops on a real switch: what is lost, who sees it, what is counted, and nothing stays."""

import errno
from collections.abc import Iterator

import pytest
from impairment_lab import (
    GROUP4,
    GROUP6,
    OTHER4,
    PORT,
    Listener,
    SwitchLab,
    conversation,
    end_probe,
    in_space,
    switch_lab,
    wait_until,
)

from harness.errors import LabError, UsageError
from harness.lab.impairments import apply
from harness.lab.impairments.selection import matches
from harness.model.lab import Drop

pytestmark = pytest.mark.lab
PLACES = [("network", "in"), ("host", "in"), ("network", "out"), ("host", "out")]


@pytest.fixture(scope="module")
def module_lab() -> Iterator[SwitchLab]:
    with switch_lab() as made:
        yield made


@pytest.fixture
def lab(module_lab: SwitchLab) -> Iterator[SwitchLab]:
    with module_lab.left_clean():
        yield module_lab


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@pytest.mark.parametrize(
    ("side", "direction", "tx_tap_sees", "rx_tap_sees", "refusal"),
    [
        ("network", "in", True, False, 0),
        ("host", "in", True, True, 0),
        ("network", "out", True, False, 0),
        ("host", "out", False, False, errno.EPERM),
    ],
)
async def test_drop_loses_all_before_it_is_undone_and_taps_see_what_they_would(
    lab: SwitchLab, side: str, direction: str, tx_tap_sees: bool, rx_tap_sees: bool, refusal: int, group: str
) -> None:
    at = "rx:eth0" if direction == "in" else "tx:eth0"
    with conversation(lab, group) as (speaker, listener, tx_tap, rx_tap):
        speaker.say(range(3))
        assert listener.heard() == tx_tap.seen() == rx_tap.seen() == [0, 1, 2]
        drop = Drop(at=at, side=side, direction=direction, group=group, port=PORT)  # type: ignore[arg-type]  # parametrised
        applied = await apply(drop, lab, log=lab.log.append)
        assert [speaker.errno(number) for number in range(3, 8)] == [refusal] * 5
        assert listener.heard() == []
        assert bool(tx_tap.seen()) is tx_tap_sees
        assert bool(rx_tap.seen()) is rx_tap_sees
        assert await applied.counted() == {"dropped udp": 5}
        await applied.undo()
        speaker.say(range(8, 10))
        assert listener.heard() == [8, 9]
        assert await applied.counted() == {"dropped udp": 5}
        await applied.undo()


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_named_sequences_are_lost_and_the_end_packet_that_bears_such_a_number_is_not(
    lab: SwitchLab, group: str
) -> None:
    with conversation(lab, group) as (speaker, listener, _, _):
        drop = Drop(at="rx:eth0", group=group, sequences=[[4, 6], [6, 7], [12, 12]])
        applied = await apply(drop, lab, log=lab.log.append)
        speaker.say(range(12))
        speaker.sock.sendto(end_probe(12), speaker.destination)
        assert listener.heard() == [0, 1, 2, 3, 8, 9, 10, 11, 12]
        assert await applied.counted() == {"dropped udp": 4}
        await applied.undo()


async def test_every_third_is_lost_and_other_groups_are_not(lab: SwitchLab) -> None:
    with conversation(lab, GROUP4) as (speaker, listener, _, _), conversation(lab, OTHER4) as (other, heard, _, _):
        drop = Drop(at="rx:eth0", group=GROUP4, every=3)
        applied = await apply(drop, lab, log=lab.log.append)
        speaker.say(range(9))
        other.say(range(9))
        assert listener.heard() == [1, 2, 4, 5, 7, 8]
        assert heard.heard() == list(range(9))
        await applied.undo()
        assert await applied.counted() == {"dropped udp": 3}


@pytest.mark.parametrize("side", ["network", "host"])
async def test_what_is_missing_is_what_the_rule_counted(lab: SwitchLab, side: str) -> None:
    with conversation(lab) as (speaker, listener, _, _):
        drop = Drop(at="rx:eth0", side=side, ratio="20%")  # type: ignore[arg-type]  # parametrised
        applied = await apply(drop, lab, log=lab.log.append)
        speaker.say(range(2000))
        counts = await applied.counted()
        missing = 2000 - len(listener.heard())
        assert counts == {"dropped udp": missing}
        assert 280 < missing < 520  # 400, with a standard deviation of 18
        await applied.undo()


@pytest.mark.parametrize(("side", "direction"), PLACES)
@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_only_datagrams_above_the_mtu_die_of_lost_fragments(
    lab: SwitchLab, side: str, direction: str, group: str
) -> None:
    at = "rx:eth0" if direction == "in" else "tx:eth0"
    with conversation(lab, group) as (speaker, listener, _, _):
        speaker.say(range(2), size=3000)
        assert listener.heard() == [0, 1]
        drop = Drop(at=at, side=side, direction=direction, protocol="fragment")  # type: ignore[arg-type]  # parametrised
        applied = await apply(drop, lab, log=lab.log.append)
        speaker.say(range(2, 4), size=3000)
        speaker.say(range(4, 6), size=1400)
        assert listener.heard() == [4, 5]
        assert await applied.counted() == {"dropped fragment": 2 * (2 if side == "network" or direction == "in" else 1)}
        await applied.undo()
        speaker.say(range(6, 8), size=3000)
        assert listener.heard() == [6, 7]


@pytest.mark.parametrize(("protocol", "group"), [("igmp", "239.255.19.{}"), ("mld", "ff15::19:{}")])
@pytest.mark.parametrize("side", ["network", "host"])
async def test_reports_that_are_lost_leave_the_switch_without_a_member(
    lab: SwitchLab, protocol: str, group: str, side: str
) -> None:
    group = group.format({"network": 1, "host": 2}[side])  # not known to the switch from another test
    drop = Drop(at="rx:eth0", direction="out", protocol="membership", side=side)  # type: ignore[arg-type]  # as above
    applied = await apply(drop, lab, log=lab.log.append)
    listener = Listener(lab.spaces["rx"], group)
    try:
        with pytest.raises(AssertionError, match="never came"):
            wait_until(lambda: lab.mdb(group), "nothing", limit_s=0.3)
        counts = await applied.counted()
        assert f"dropped {protocol}" in counts
        assert set(counts) <= {"dropped igmp", "dropped mld"}  # the other one's answers to queries
        await applied.undo()
        wait_until(lambda: lab.mdb(group), "the answer to the next query")
    finally:
        listener.close()


async def test_the_log_holds_the_moment_and_the_commands(lab: SwitchLab) -> None:
    with conversation(lab) as (speaker, _, _, _):
        drop = Drop(at="rx:eth0")
        applied = await apply(drop, lab, log=lab.log.append)
        speaker.say(range(1))
        await applied.undo()
    begin, end = lab.log
    assert (begin["do"], begin["kind"], begin["at"], end["do"]) == ("apply", "drop", "rx:eth0", "undo")
    for record in lab.log:
        width_ns = int(str(record["t_done_ns"])) - int(str(record["t_ns"]))
        assert 0 < width_ns < 100_000_000
        commands = record["commands"]
        assert isinstance(commands, list)
        assert f"ip netns exec {lab.namespace('sw')} nft -f -" in commands
    assert int(str(begin["t_done_ns"])) < int(str(end["t_ns"]))


async def test_what_fails_is_one_line_and_leaves_nothing(lab: SwitchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "far_end", lambda _place: ("mh-no-such-namespace", "eth0"))
    with pytest.raises(LabError, match=r"^ip netns exec mh-no-such-namespace .*nft -f -: Cannot open") as caught:
        await apply(Drop(at="rx:eth0"), lab, log=lab.log.append)
    assert "\n" not in str(caught.value)
    assert lab.log == []


async def test_a_missing_tool_is_named_with_its_package(lab: SwitchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.evidence.probe.shutil.which", lambda *_args, **_named: None)
    with pytest.raises(LabError, match=r"needs nft.*package nftables"):
        await apply(Drop(at="rx:eth0"), lab, log=lab.log.append)


async def test_two_impairments_of_one_place_end_each_for_itself(lab: SwitchLab) -> None:
    with conversation(lab) as (speaker, listener, _, _):
        first = await apply(Drop(at="rx:eth0", sequences=[[1, 1]]), lab, log=lab.log.append)
        second = await apply(Drop(at="rx:eth0", sequences=[[2, 2]]), lab, log=lab.log.append)
        speaker.say(range(4))
        assert listener.heard() == [0, 3]
        await first.undo()
        speaker.say(range(4))
        assert listener.heard() == [0, 1, 3]
        await second.undo()
        assert "table" not in in_space(lab.spaces["sw"], "nft", "list", "tables")


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (Drop(at="rx:eth0", protocol="igmp", port=5004), "neither a port nor sequences"),
        (Drop(at="rx:eth0", protocol="igmp", group="ff15::7"), "no igmp packet at rx:eth0 can have an IPv6"),
        (Drop(at="rx:eth0", group="239.1.2.3", source="fd77::1"), "two IP versions"),
        (Drop(at="rx:eth0", group="left"), "'left' in an impairment at rx:eth0 is no IP address"),
        (Drop(at="rx:eth0", sequences=[[7, 3]]), r"\[7, 3\] are no pair"),
        (Drop(at="rx:eth0", sequences=[]), "empty list"),
    ],
)
def test_a_selection_that_contradicts_itself_is_refused(drop: Drop, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        matches(drop)
