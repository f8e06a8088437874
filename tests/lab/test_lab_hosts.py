"""`harness send` on one host and `harness receive` on another: every kind of destination, on the wire as asked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from lab_helpers import Capture, lab, require_programs, stream_of, two_hosts
from netns import require_lab, run

from harness.analysis import analyze_recording
from harness.model import Summary
from harness.store import open_run
from harness.traffic import END_COPIES

pytestmark = pytest.mark.lab

COUNT = 200
SSM = "232.7.7.7:5004"
ANY_SOURCE = [
    "239.7.7.7:5000",
    "10.77.0.2:5001",
    "10.77.0.255:5002",
    "255.255.255.255:5003",
    "[ff15::77]:5005",
    "[ff02::77]:5006",
    "[fd77::2]:5007",
]
TTL, DSCP = 5, 46
TRAFFIC = ["--count", str(COUNT), "--rate", "500pps"]


@dataclass
class Heard:
    """Summaries and recordings of the receivers, and the lines of tshark: destination, TTL, DSCP."""

    any_source: Summary
    one_source: Summary
    other_source: Summary
    path: Path
    wire: Counter[tuple[str, ...]]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Send to all destinations at once, to receivers of any source, of the right one and of another one."""
    require_programs("dumpcap", "tshark")
    with lab(tmp_path_factory.mktemp("hosts")) as made:
        tx, rx = two_hosts(made)
        capture = Capture(made, tx, rx, "rx0", *range(5000, 5008))
        receivings = [
            made.harness(rx, "receive", *words, "--interface", "rx0")
            for words in (ANY_SOURCE, [SSM, "--source", "10.77.0.1"], [SSM, "--source", "10.77.0.99"])
        ]
        for receiving in receivings:
            receiving.wait_event("start")
        words = [*ANY_SOURCE, SSM, "--interface", "tx0", "--ttl", str(TTL), "--dscp", str(DSCP)]
        made.harness(tx, "send", *words, *TRAFFIC).wait_recorded()
        file = capture.end()
        for receiving in receivings[:2]:  # those end by themselves
            receiving.wait_recorded()
        receivings[2].interrupt()
        receivings[2].wait_recorded()
        fields = ["ip.dst", "ipv6.dst", "ip.ttl", "ipv6.hlim", "ip.dsfield.dscp", "ipv6.tclass.dscp"]
        asked = [word for field in fields for word in ("-e", field)]
        lines = run("tshark", "-n", "-r", str(file), "-Y", "udp.dstport >= 5000", "-T", "fields", *asked).splitlines()
        any_source, one_source, other_source = (analyze_recording(receiving.run) for receiving in receivings)
        seen = Counter(tuple(line.split()) for line in lines)
        yield Heard(any_source, one_source, other_source, receivings[0].run, seen)


@pytest.mark.parametrize("group", ANY_SOURCE)
def test_every_kind_of_destination_is_received_whole(heard: Heard, group: str) -> None:
    stream = stream_of(heard.any_source, group)
    assert (stream.expected, stream.received, stream.lost, stream.duplicates) == (COUNT, COUNT, 0, 0)
    assert stream.interface == "rx0"
    assert heard.any_source.misdelivered == 0
    assert heard.any_source.rejected == {}


def test_ssm_hears_its_source(heard: Heard) -> None:
    stream = stream_of(heard.one_source, SSM)
    assert (stream.received, stream.lost) == (COUNT, 0)
    assert stream.source.startswith("10.77.0.1:")


def test_ssm_of_another_source_hears_nothing_and_does_not_call_it_loss(heard: Heard) -> None:
    stream = stream_of(heard.other_source, SSM)
    assert (stream.received, stream.lost, [window.kind for window in stream.windows]) == (0, None, ["never_received"])


def test_ttl_and_dscp_stand_on_the_wire(heard: Heard) -> None:
    addresses = [group.rpartition(":")[0].strip("[]") for group in [*ANY_SOURCE, SSM]]
    assert heard.wire == {(address, str(TTL), str(DSCP)): COUNT + END_COPIES for address in addresses}


def test_ttl_stands_in_the_record(heard: Heard) -> None:
    assert {ttl for rows in open_run(heard.path).packets() for ttl in np.unique(rows["ttl"])} == {TTL}


def test_receiver_joined_on_the_wrong_interface_hears_nothing(tmp_path: Path) -> None:
    require_lab()
    with lab(tmp_path) as made:
        tx, rx = two_hosts(made, n_cables=2)
        receiving = made.receive(rx, "239.7.7.7:5000", "--interface", "rx1")
        sending = made.harness(tx, "send", "239.7.7.7:5000", "--interface", "tx0", *TRAFFIC)
        sending.wait_recorded()
        receiving.interrupt()
        alone = receiving.recorded()
        with_log = receiving.recorded(sending)
    (stream,) = alone.streams
    assert (stream.received, stream.lost, [window.kind for window in stream.windows]) == (0, None, ["never_received"])
    assert alone.misdelivered == 0
    (stream,) = with_log.streams
    assert (stream.expected, stream.received, stream.lost) == (COUNT, 0, COUNT)
    assert [(window.kind, window.packets) for window in stream.windows] == [("never_received", COUNT)]


def test_packets_by_the_other_interface_are_misdelivered_and_not_lost(tmp_path: Path) -> None:
    """Linux gives an IPv6 group's packets to every socket that joined it, on whichever interface they came."""
    require_lab()
    group = "[ff15::77]:5000"
    with lab(tmp_path) as made:
        tx, rx = two_hosts(made, n_cables=2)
        mine, other = (made.harness(rx, "receive", group, "--interface", name) for name in ("rx0", "rx1"))
        mine.wait_event("start")
        other.wait_event("start")
        made.harness(tx, "send", group, "--interface", "tx1", "--stream", "2", *TRAFFIC).wait_recorded()
        theirs = other.recorded()
        made.harness(tx, "send", group, "--interface", "tx0", *TRAFFIC).wait_recorded()
        summary = mine.recorded()
    (stream,) = summary.streams
    assert (stream.stream_id, stream.received, stream.lost) == (1, COUNT, 0)
    assert summary.misdelivered == COUNT + END_COPIES
    assert summary.rejected == {}
    (stream,) = theirs.streams
    assert (stream.stream_id, stream.received, stream.lost, theirs.misdelivered) == (2, COUNT, 0, 0)


def test_groups_that_others_joined_on_this_host_are_not_heard(tmp_path: Path) -> None:
    require_lab()
    with lab(tmp_path) as made:
        tx, rx = two_hosts(made)
        mine, other = (made.harness(rx, "receive", f"239.7.7.{last}:5000", "--interface", "rx0") for last in (7, 9))
        mine.wait_event("start")
        other.wait_event("start")
        made.harness(tx, "send", "239.7.7.9:5000", "239.7.7.7:5000", "--interface", "tx0", *TRAFFIC).wait_recorded()
        summaries = [mine.recorded(), other.recorded()]
    for summary, group in zip(summaries, ("239.7.7.7:5000", "239.7.7.9:5000"), strict=True):
        stream = stream_of(summary, group)
        assert (len(summary.streams), stream.received, stream.lost, summary.misdelivered) == (1, COUNT, 0, 0)
