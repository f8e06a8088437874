"""A flood into a small receive buffer: what the own socket dropped is not called the network's."""

import json
from pathlib import Path

import pytest
from lab_helpers import lab, two_hosts
from netns import Namespace, require_lab, run

pytestmark = pytest.mark.lab

GROUP = "239.7.7.7:5000"
COUNT = 50_000


def receive_buffer_errors(side: Namespace) -> int:
    """Return RcvbufErrors of UDP, of the whole namespace."""
    names, values = [
        line.split() for line in run(*side.command("cat", "/proc/net/snmp")).splitlines() if line.startswith("Udp:")
    ]
    return int(values[names.index("RcvbufErrors")])


def cable_drops(side: Namespace, interface: str) -> int:
    """Return what a cable dropped because the other end's backlog was full."""
    (link,) = json.loads(side.ip("-j", "-s", "link", "show", "dev", interface))
    return int(link["stats64"]["tx"]["dropped"])


def test_100_kpps_into_a_small_buffer_is_the_own_buffers_loss(tmp_path: Path) -> None:
    require_lab()
    with lab(tmp_path) as made:
        tx, rx = two_hosts(made)
        receiving = made.receive(rx, GROUP, "--interface", "rx0", "--buffer", "4kB")
        words = ["--rate", "100kpps", "--count", str(COUNT), "--size", "64"]
        sending = made.harness(tx, "send", GROUP, "--interface", "tx0", *words)
        sending.wait_recorded()
        summary = receiving.recorded(sending)
        n_overflown, n_cable = receive_buffer_errors(rx), cable_drops(tx, "tx0")
    (stream,) = summary.streams
    (account,) = summary.senders
    assert (account.sent, account.refused) == (COUNT, 0)
    assert summary.socket_drops == n_overflown > 0
    assert (stream.expected, stream.lost) == (COUNT, COUNT - stream.received)
    assert stream.attribution.own_buffer > 0
    assert stream.attribution.own_buffer + n_cable == stream.lost
    assert stream.attribution.network == n_cable
    assert stream.duplicates == 0
