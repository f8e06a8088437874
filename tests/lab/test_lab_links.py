"""Interfaces that vanish and links that flap while the real command line sends and receives."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from lab_helpers import Wire, lab, require_programs, two_hosts, wait_for
from netns import Namespace, require_lab

from harness.store import open_run

pytestmark = pytest.mark.lab

GROUP = "239.7.7.7:5000"
COUNT = 1000
INTERVAL_NS = 2_000_000
TRAFFIC = ["--count", str(COUNT), "--rate", "500pps"]
IN_FLIGHT_NS = 20_000_000
"""From the sender's stamp to the switch: tens of microseconds, and on a busy machine some turns of the scheduler."""


def wait_packets(side: Namespace, interface: str, n_packets: int) -> None:
    """Wait until an interface has received so many packets."""

    def received() -> int:
        (link,) = json.loads(side.ip("-j", "-s", "link", "show", "dev", interface))
        return int(link["stats64"]["rx"]["packets"])

    wait_for("packets", lambda: received() >= n_packets)


def test_an_interface_that_vanishes_ends_nothing_and_the_recording_is_whole(tmp_path: Path) -> None:
    require_lab()
    with lab(tmp_path) as made:
        tx, rx = two_hosts(made)
        receiving = made.receive(rx, GROUP, "--interface", "rx0")
        sending = made.harness(tx, "send", GROUP, "--interface", "tx0", *TRAFFIC)
        wait_packets(rx, "rx0", 200)
        tx.ip("link", "del", "tx0")
        sending.wait_recorded()
        receiving.interrupt()
        heard = receiving.printed()
        reader = open_run(receiving.run)
        with_log = receiving.recorded(sending)
    (account,) = with_log.senders
    (stream,) = heard.streams
    assert (account.scheduled, account.sent + account.refused) == (COUNT, COUNT)
    # while it goes, the kernel may first find no route by it
    assert set(account.errnos) - {"ENETUNREACH"} == {"ENODEV"}
    assert sum(account.errnos.values()) == account.refused
    assert 0 < stream.received <= account.sent
    assert (reader.warnings, reader.n_packets) == ([], stream.received)
    assert reader.manifest.end is not None
    assert reader.manifest.end.reason == "interrupted"
    (stream,) = with_log.streams
    assert stream.lost == COUNT - stream.received
    assert stream.attribution.not_sent == account.refused
    assert stream.attribution.network == account.sent - stream.received <= 1


def test_a_link_that_is_down_for_a_second_makes_one_window_that_long(tmp_path: Path) -> None:
    require_programs("nft")
    with lab(tmp_path) as made:
        wire = Wire(made)
        receiving = made.receive(wire.rx, GROUP, "--interface", "rx0")
        sending = made.harness(wire.tx, "send", GROUP, "--interface", "tx0", *TRAFFIC)
        wait_packets(wire.rx, "rx0", 100)
        before_down_ns = time.time_ns()
        wire.switch.ip("link", "set", "p1", "down")
        after_down_ns = time.time_ns()
        time.sleep(1)
        before_up_ns = time.time_ns()
        wire.switch.ip("link", "set", "p1", "up")
        wire.wait_forwarding()
        after_up_ns = time.time_ns()
        (stream,) = receiving.recorded(sending).streams
        log = np.concatenate(list(open_run(sending.run).sent()))
    (window,) = stream.windows
    assert (window.kind, stream.lost) == ("mid_run", window.packets)
    assert window.first_seq is not None
    assert window.last_seq is not None
    tx_ns = log["tx_ns"][np.argsort(log["seq"])]
    # exact, packet by packet, whatever the sender's lateness: what left while the link was surely up came,
    # what left while it was surely down did not
    assert before_down_ns - IN_FLIGHT_NS <= tx_ns[window.first_seq]
    assert tx_ns[window.first_seq - 1] <= after_down_ns
    assert tx_ns[window.last_seq] <= after_up_ns
    assert tx_ns[window.last_seq + 1] >= before_up_ns - IN_FLIGHT_NS
    slack_ns = INTERVAL_NS + IN_FLIGHT_NS + int(np.max(log["tx_ns"] - log["due_ns"]))
    assert before_up_ns - after_down_ns - slack_ns <= window.duration_ns <= after_up_ns - before_down_ns + slack_ns


def test_an_interface_made_again_under_its_name_goes_on_with_the_same_stream(tmp_path: Path) -> None:
    require_programs("nft")
    with lab(tmp_path) as made:
        wire = Wire(made)
        # one of them comes after the interface is back, however late the sender starts; at no period, which would show
        reopenings = [word for at in ("2s", "3s", "4500ms", "6500ms") for word in ("--at", f"{at} reopen")]
        receiving = made.receive(wire.rx, GROUP, "--interface", "rx0", *reopenings)
        (before,) = json.loads(wire.rx.ip("-j", "link", "show", "dev", "rx0"))
        sending = made.harness(wire.tx, "send", GROUP, "--interface", "tx0", "--count", "2000", "--rate", "500pps")
        wait_packets(wire.rx, "rx0", 100)
        wire.rx.ip("link", "del", "rx0")
        time.sleep(0.1)  # 50 packets are due meanwhile: a reopening may follow right after it
        wire.plug_in(wire.rx, 1, "rx0")
        wire.wait_forwarding()
        (after,) = json.loads(wire.rx.ip("-j", "link", "show", "dev", "rx0"))
        sending.wait_recorded()
        receiving.interrupt()
        (stream,) = receiving.recorded(sending).streams
    assert after["ifindex"] != before["ifindex"]
    # one stream, deaf from the removal to the reopening, and heard to its end
    assert stream.interface == "rx0"
    window = max(stream.windows, key=lambda each: each.packets or 0)
    assert window.kind == "mid_run"
    assert (window.packets or 0) > 20
    assert stream.received + (stream.lost or 0) == 2000
