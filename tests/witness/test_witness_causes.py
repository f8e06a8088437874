"""Causes of silence on a real link, each told apart by who still hears: tap, second and reopened socket, twin."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from netns import cable, require, require_lab
from witness_helpers import GROUP, GROUP6, Pair, event, heard, pair, receiver, records, run_scenario, stream, witnesses

from harness.analysis import analyze_recording, load_evidence
from harness.model import Summary
from harness.model.witness import WitnessSeries
from harness.store import RunReader, layout, open_run
from harness.units import NS_PER_S

pytestmark = pytest.mark.lab
IPV4 = GROUP.partition(":")[0]


def deafened(lab: Pair) -> RunReader:
    """Return a run over two hosts whose receiver goes deaf from 1.6 s on."""
    return lab.scenario(
        stream("tx", interface="tx0", rate="200pps", duration="5600ms")
        + stream("tx", GROUP6, interface="tx0", rate="200pps", duration="5600ms")
        + receiver("rx", [GROUP, GROUP6], interface="rx0")
        + event(at="1600ms", action="deafen")
    )


def filtered_by_reverse_path(lab: Pair) -> RunReader:
    """Return a run whose source is one that its receiver would not send to by that interface."""
    lab.tx.ip("addr", "del", "10.77.0.1/24", "dev", "tx0")
    lab.tx.ip("addr", "add", "10.99.0.1/24", "dev", "tx0")
    subprocess.run(lab.rx.command("sysctl", "-qw", "net.ipv4.conf.rx0.rp_filter=1"), check=True, timeout=10)
    sent = stream("tx", interface="tx0", rate="100pps", duration="1500ms")
    return lab.scenario(sent + receiver("rx", interface="rx0"))


def dropped_behind_the_tap(lab: Pair) -> RunReader:
    """Return a run whose receiver's host drops the group's packets."""
    require("" if shutil.which("nft") else "nft (Debian: nftables)")
    lines = ["table netdev w {", "chain in {", "type filter hook ingress device rx0 priority 0", "udp dport 46461 drop"]
    rule = "\n".join([*lines, "}", "}", ""])
    subprocess.run(lab.rx.command("nft", "-f", "-"), input=rule, text=True, check=True, timeout=10)
    sent = stream("tx", interface="tx0", rate="100pps", duration="1s")
    return lab.scenario(sent + receiver("rx", interface="rx0"))


def by_the_wrong_interface(lab: Pair) -> RunReader:
    """Return a run whose sender's routes lead away from where its receiver listens."""
    cable(lab.tx, lab.rx, 1)
    lab.tx.ip("route", "add", "224.0.0.0/4", "dev", "tx1")
    return lab.scenario(stream("tx", rate="100pps", duration="1s") + receiver("rx", interface="rx0"))


def without_power(lab: Pair) -> RunReader:
    """Return a run that may not open packet sockets."""
    require("" if shutil.which("setpriv") else "setpriv (util-linux)")
    text = stream(interface="rx0", rate="100pps", duration="500ms") + receiver(interface="rx0")
    powers = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    return run_scenario(lab.folder, text, lab.rx, *powers)


def born_again(lab: Pair) -> RunReader:
    """Return a run whose receiver's interface goes and comes again under its name, while a sender goes on and on."""
    with lab.tx.inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.setblocking(False)
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(0.01):
            try:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.1"))
                sender.sendto(b"x" * 100, (IPV4, 46461))
            except OSError:  # the cable is out
                continue

    def be_born_again() -> None:
        while IPV4 not in lab.rx.ip("maddr", "show", "dev", "rx0"):
            if is_over.wait(0.02):
                return
        is_over.wait(0.8)
        lab.rx.ip("link", "del", "rx0")
        is_over.wait(0.2)
        lab.tx.ip("link", "add", "tx0", "type", "veth", "peer", "name", "rx0", "netns", lab.rx.name)
        for side, name, address in ((lab.tx, "tx0", "10.77.0.1/24"), (lab.rx, "rx0", "10.77.0.2/24")):
            side.ip("addr", "add", address, "dev", name)
            side.ip("link", "set", name, "up")

    threads = [threading.Thread(target=send), threading.Thread(target=be_born_again)]
    for thread in threads:
        thread.start()
    try:
        return run_scenario(lab.folder, 'duration = "4500ms"\n' + receiver(interface="rx0"), lab.rx)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        sender.close()


CAUSES = (deafened, born_again, filtered_by_reverse_path, dropped_behind_the_tap, by_the_wrong_interface, without_power)
Runs = Callable[[str], RunReader]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return the run of a cause by its name; they take place side by side, each in namespaces of its own."""
    require_lab()
    tmp_path_factory.getbasetemp()  # made here, and not by several threads at once

    def one(cause: Callable[[Pair], RunReader]) -> RunReader:
        with pair(tmp_path_factory.mktemp(cause.__name__)) as lab:
            return cause(lab)

    with ThreadPoolExecutor(3) as pool:
        made = {cause.__name__: pool.submit(one, cause) for cause in CAUSES}
        yield lambda name: made[name].result()


def first_silent_s(one: WitnessSeries) -> float:
    """Return from when on a witness heard nothing more, in seconds from its start."""
    last = max((place for place, n in enumerate(one.counts) if n), default=-1)
    return (last + 1) * one.bin_ns / NS_PER_S


@pytest.mark.parametrize("group", [GROUP, GROUP6], ids=["IPv4", "IPv6"])
def test_all_others_hear_beside_a_deaf_socket(run_of: Runs, group: str) -> None:
    deafened = run_of("deafened")
    found = witnesses(deafened, "rx")
    for kind in ("tap", "second-socket"):
        assert heard(found, kind, group) >= 1_110
    (reopened,) = [one for one in found if one.kind == "reopened-socket" and one.group == group]
    assert len(reopened.opened_ns) == 2
    assert 120 <= sum(reopened.counts) <= 420
    assert 85 <= heard(found, "unicast-twin", group) <= 125
    (stream,) = [stream for stream in analyze_recording(deafened.path).streams if stream.group == group]
    (window,) = stream.windows
    silent_ns = (
        window.start_ns + NS_PER_S - 10_000_000
    )  # the last packet came up to two intervals before the first lost
    assert all(silent_ns < opened_ns < window.end_ns for opened_ns in reopened.opened_ns)


def test_the_sender_is_tapped_where_its_receiver_is_elsewhere(run_of: Runs) -> None:
    deafened = run_of("deafened")
    found = witnesses(deafened, "tx")
    assert {(one.kind, one.direction, one.interface) for one in found} == {("tap", "out", "tx0")}
    assert heard(found, "tap", direction="out") >= 1_000


def test_the_witnesses_send_no_membership_message_of_their_own(run_of: Runs) -> None:
    deafened = run_of("deafened")
    (info,) = open_run(deafened.path / layout.HOSTS / "rx").manifest.receivers
    end = open_run(deafened.path / layout.HOSTS / "rx").manifest.end
    assert info.joined_ns is not None
    assert end is not None
    told = records(deafened.path / layout.HOSTS / "rx" / layout.MEMBERSHIP)
    mine = [(at_s - info.joined_ns / NS_PER_S, kind) for at_s, kind, group in told if group == IPV4]
    joins = [at_s for at_s, kind in mine if kind == "CHANGE_TO_EXCLUDE"]
    assert joins
    assert max(joins) < 1.7  # the join and its repetition, and none for a socket that was opened later
    assert {kind for _, kind in mine} <= {"CHANGE_TO_EXCLUDE", "CHANGE_TO_INCLUDE"}
    leaves = [at_s for at_s, kind in mine if kind == "CHANGE_TO_INCLUDE"]
    assert all(at_s * NS_PER_S + info.joined_ns > end.t_ns - NS_PER_S for at_s in leaves)


def test_the_summary_of_a_run_over_hosts_has_the_membership_of_each(run_of: Runs) -> None:
    deafened = run_of("deafened")
    summary: Summary = analyze_recording(deafened.path)
    assert summary.membership is not None
    places = {(member.interface, member.host, member.group) for member in summary.membership.members}
    assert {("rx:rx0", "10.77.0.2", IPV4), ("tx:tx0", "10.77.0.2", IPV4)} <= places
    assert {("rx:rx0", "ff15::46")} <= {(interface, group) for interface, _, group in places}
    assert not any(":lo" in link.interface for link in summary.membership.links)


def test_evidence_is_that_of_all_hosts_on_one_time_line(run_of: Runs) -> None:
    deafened = run_of("deafened")
    evidence = load_evidence(deafened.path)
    assert [host.name for host in evidence.hosts] == ["tx", "rx"]
    assert all(host.before["interfaces"] and host.after["interfaces"] for host in evidence.hosts)
    assert {one.receiver for one in evidence.hosts[1].witnesses} == {"rx"}
    assert {one.receiver for one in evidence.hosts[0].witnesses} == {""}
    joined = analyze_recording(deafened.path).events
    first_ns = min(item.t_ns for item in joined if item.kind == "join")
    assert all(abs(one.start_ns - first_ns) < NS_PER_S for host in evidence.hosts for one in host.witnesses)


def test_the_tap_hears_what_reverse_path_filtering_drops(run_of: Runs) -> None:
    run = run_of("filtered_by_reverse_path")
    found = witnesses(run, "rx")
    assert heard(found, "tap") >= 150
    assert heard(found, "second-socket") == 0
    assert heard(found, "reopened-socket") == 0
    assert [one.source.partition(":")[0] for one in found if one.kind == "tap"] == ["10.99.0.1"]
    (reopened,) = [one for one in found if one.kind == "reopened-socket"]
    assert reopened.opened_ns


def test_the_twin_arrives_where_multicast_is_dropped(run_of: Runs) -> None:
    run = run_of("dropped_behind_the_tap")
    found = witnesses(run, "rx")
    assert heard(found, "tap") >= 100
    assert heard(found, "second-socket") == 0
    assert 15 <= heard(found, "unicast-twin") <= 40
    assert {info.group for info in run.manifest.senders} == {GROUP}  # the twin is no stream of the run
    assert run.manifest.streams == []


def test_both_taps_show_the_wrong_interface(run_of: Runs) -> None:
    run = run_of("by_the_wrong_interface")
    found = witnesses(run, "tx")
    assert heard(found, "tap", interface="tx1", direction="out") >= 100
    assert heard(found, "tap", interface="tx0", direction="out") == 0
    found = witnesses(run, "rx")
    assert heard(found, "tap", interface="rx1") >= 100
    assert heard(found, "tap", interface="rx0") == 0
    assert heard(found, "second-socket") == 0


def test_without_the_right_to_listen_the_tap_says_what_it_lacks(run_of: Runs) -> None:
    run = run_of("without_power")
    taps = [one for one in run.witnesses if one.kind == "tap"]
    assert len(taps) == 2
    assert all(one.missing and "CAP_NET_RAW" in one.missing and one.counts == [] for one in taps)
    assert heard(run.witnesses, "second-socket") >= 50
    assert heard(run.witnesses, "unicast-twin") >= 8
    assert not (run.path / layout.MEMBERSHIP).exists()


def test_a_reopened_socket_hears_after_its_interface_was_born_again(run_of: Runs) -> None:
    run = run_of("born_again")
    found = {one.kind: one for one in run.witnesses}
    assert first_silent_s(found["second-socket"]) < 3.5
    assert first_silent_s(found["tap"]) > 4
    reopened = found["reopened-socket"]
    assert reopened.opened_ns
    assert sum(reopened.counts) >= 50
    joins = [at_s for at_s, kind, group in records(run.path / layout.MEMBERSHIP) if group == IPV4 and "EXCL" in kind]
    assert any(abs(at_s - opened_ns / NS_PER_S) < 1.5 for at_s in joins for opened_ns in reopened.opened_ns)
    assert {"link", "address"} <= {item.kind for item in run.events}
