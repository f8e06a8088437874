"""Losses that a switch makes are reported packet for packet: one run, a group for each way of losing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from lab_helpers import Wire, lab, require_programs, stream_of, wait_for
from netns import run

from harness.analysis import analyze_recording
from harness.model import StreamSummary, Summary
from harness.store import open_run

pytestmark = pytest.mark.lab

COUNT = 1000
INTERVAL_NS = 2_000_000
NUMBER = "@th,192,64"
"""A probe's sequence number for nft: 8 bytes of UDP header and 16 of ours lie before its 8 bytes."""

LISTED = {3, *range(100, 110), 200, 202, COUNT - 2}
BY_LIST, BY_COUNT, BY_CHANCE, BY_TIME, COPIED, DEAD = GROUPS = [f"239.7.7.{last}:5000" for last in range(1, 7)]
DEAD_FROM = 350


@dataclass
class Run:
    """What came out: the receiver's own summary, the one with the sender's log, and the switch's account."""

    alone: Summary
    with_log: Summary
    n_dropped: dict[str, int]
    by_chance: set[int]
    path: Path

    def missing(self, group: str) -> set[int]:
        """Return the numbers of a group of which the recording has no row."""
        reader = open_run(self.path)
        (info,) = [info for info in reader.manifest.streams if info.group == group]
        seq = np.concatenate(
            [rows["seq"][(rows["stream"] == info.number) & (rows["flags"] == 0)] for rows in reader.packets()]
        )
        return set(range(COUNT)) - set(seq.tolist())


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    require_programs("nft")
    with lab(tmp_path_factory.mktemp("loss")) as made:
        yield lossy_run(Wire(made))


def lossy_run(wire: Wire) -> Run:
    """Send a stream to each group through its rule; the rules leave the end packets alone, except of the dead one."""
    to = {group: f"ip daddr {group.partition(':')[0]} {NUMBER} < {COUNT}" for group in GROUPS}
    wire.drop("by_list", f"{to[BY_LIST]} {NUMBER} {{ {', '.join(map(str, sorted(LISTED)))} }}")
    wire.drop("by_count", f"{to[BY_COUNT]} numgen inc mod 10 7")
    wire.nft(f"add set netdev wire chosen {{ typeof {NUMBER}; flags dynamic; size {COUNT}; }}")
    wire.drop("by_chance", f"{to[BY_CHANCE]} numgen random mod 100 < 5 update @chosen {{ {NUMBER} }}")
    wire.nft("add set netdev wire cut { type ipv4_addr; flags timeout; }", "add counter netdev wire passed")
    wire.drop("by_time", f"{to[BY_TIME]} ip daddr @cut")
    wire.nft(f"add rule netdev wire in {to[BY_TIME]} counter name passed")
    wire.drop("copied", f"{to[COPIED]} {NUMBER} 4")
    wire.nft(*[f"add rule netdev wire in {to[COPIED]} {NUMBER} 8 dup to p1"] * 2)
    wire.drop("dead", f"{to[DEAD]} {NUMBER} >= {DEAD_FROM}")
    wire.drop("dead_end", f"ip daddr {DEAD.partition(':')[0]} {NUMBER} >= {COUNT}")

    receiving = wire.lab.receive(wire.rx, *GROUPS, "--interface", "rx0")
    sending = wire.lab.harness(
        wire.tx, "send", *GROUPS, "--interface", "tx0", "--count", str(COUNT), "--rate", "500pps", "--size", "100"
    )
    for passed in (100, 200):
        wait_for("packets", lambda passed=passed: wire.dropped("passed") >= passed)  # type: ignore[misc] # no default types in lambda
        wire.nft("add element netdev wire cut { 239.7.7.4 timeout 300ms }")
    sending.wait_recorded()
    sent = analyze_recording(sending.run)
    assert [(stream.sent, stream.refused) for stream in sent.senders] == [(COUNT, 0)] * len(GROUPS)
    receiving.wait_event("end_of_stream", len(GROUPS) - 1)
    receiving.interrupt()
    receiving.wait_recorded()
    names = ("by_list", "by_count", "by_chance", "by_time", "copied", "dead")
    chosen = json.loads(run(*wire.switch.command("nft", "-j", "list", "set", "netdev", "wire", "chosen")))
    return Run(
        analyze_recording(receiving.run),
        analyze_recording(receiving.run, sender_run=sending.run),
        {name: wire.dropped(name) for name in names},
        set(chosen["nftables"][1]["set"]["elem"]),
        receiving.run,
    )


def lost_runs(stream: StreamSummary) -> list[tuple[int | None, int | None]]:
    return [(window.first_seq, window.last_seq) for window in stream.windows]


def test_listed_numbers_are_lost_and_no_others(lossy: Run) -> None:
    stream = stream_of(lossy.alone, BY_LIST)
    assert lossy.missing(BY_LIST) == LISTED
    assert stream.expected == COUNT
    assert stream.lost == lossy.n_dropped["by_list"] == len(LISTED)
    assert lost_runs(stream) == [(100, 109)]
    assert (stream.windows[0].duration_ns, stream.windows[0].kind) == (10 * INTERVAL_NS, "mid_run")
    assert stream.schedule.first_due_ns is not None
    assert stream.windows[0].start_ns == stream.schedule.first_due_ns + 100 * INTERVAL_NS
    assert ([burst.lost for burst in stream.thinning], stream.isolated) == ([2], 2)
    assert (stream.duplicates, stream.reordered) == (0, 0)


def test_every_tenth_packet_is_isolated_loss_or_thinning(lossy: Run) -> None:
    stream = stream_of(lossy.alone, BY_COUNT)
    assert lossy.missing(BY_COUNT) == set(range(7, COUNT, 10))
    assert stream.lost == lossy.n_dropped["by_count"] == COUNT // 10
    assert stream.windows == []
    assert sum(burst.lost for burst in stream.thinning) + (stream.isolated or 0) == COUNT // 10
    assert stream.longest_loss_period == 1


def test_packets_chosen_by_chance_are_the_ones_lost(lossy: Run) -> None:
    stream = stream_of(lossy.alone, BY_CHANCE)
    assert lossy.missing(BY_CHANCE) == lossy.by_chance
    assert stream.lost == lossy.n_dropped["by_chance"] == len(lossy.by_chance)


def test_outages_that_end_themselves_are_windows_and_nothing_else(lossy: Run) -> None:
    """Two of 300 ms; how many packets left in them is the sender's affair on a busy machine."""
    stream = stream_of(lossy.alone, BY_TIME)
    missing = sorted(lossy.missing(BY_TIME))
    assert stream.lost == lossy.n_dropped["by_time"] == len(missing) > 0
    runs = np.split(np.array(missing), np.flatnonzero(np.diff(missing) > 1) + 1)
    long_runs = [run for run in runs if len(run) >= lossy.alone.parameters.min_packets]
    assert lost_runs(stream) == [(run[0], run[-1]) for run in long_runs]
    assert {window.kind for window in stream.windows} <= {"mid_run", "stopped"}
    assert [window.duration_ns for window in stream.windows] == [len(run) * INTERVAL_NS for run in long_runs]


def test_two_copies_of_one_packet_do_not_hide_the_loss_of_another(lossy: Run) -> None:
    stream = stream_of(lossy.alone, COPIED)
    assert lossy.missing(COPIED) == {4}
    assert (stream.received, stream.lost, stream.duplicates, stream.reordered) == (COUNT - 1, 1, 2, 0)


def test_a_stream_that_dies_is_lost_to_its_last_packet(lossy: Run) -> None:
    stream = stream_of(lossy.with_log, DEAD)
    assert lossy.missing(DEAD) == set(range(DEAD_FROM, COUNT))
    assert stream.lost == lossy.n_dropped["dead"] == COUNT - DEAD_FROM
    assert [(window.kind, window.first_seq, window.last_seq) for window in stream.windows] == [
        ("stopped", DEAD_FROM, COUNT - 1)
    ]


def test_without_the_senders_log_a_dead_stream_may_have_ended(lossy: Run) -> None:
    stream = stream_of(lossy.alone, DEAD)
    (window,) = stream.windows
    assert (window.kind, window.first_seq) == ("stopped_or_ended", DEAD_FROM)
    assert any("the sender may have ended" in note for note in stream.notes)


def test_all_of_it_is_the_networks_and_the_parts_add_up(lossy: Run) -> None:
    assert lossy.with_log.socket_drops == 0
    for stream in lossy.with_log.streams:
        assert stream.attribution.network == stream.lost
        assert stream.lost == sum(
            [
                *(window.packets or 0 for window in stream.windows),
                *(burst.lost for burst in stream.thinning),
                stream.isolated or 0,
                stream.edge or 0,
            ]
        )
