"""How far one-way delays may be wrong: one clock, two runs of one boot, two hosts, many hosts, and nobody knows."""

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.analysis.delay_bound import READING_NS, delay_bound
from harness.analyzer import Fold
from harness.model import (
    PACKET_DTYPE,
    CardClock,
    Clocks,
    HostInfo,
    Manifest,
    Parameters,
    ReceiverInfo,
    SenderInfo,
    StreamInfo,
    StreamSummary,
)

US, MS = 1_000, 1_000_000
SENDER = SenderInfo(
    stream=0,
    stream_id=5,
    epoch=6,
    group="239.1.2.3:5000",
    schedule="constant",
    first_due_ns=0,
    interval_ns=MS,
    size=64,
    ttl=1,
)
CARD = CardClock(interface="eth0", device="/dev/ptp0", offset_start_ns=1, offset_end_ns=2, error_bound_ns=700)


def stream(receiver: str = "") -> StreamSummary:
    fold = Fold(Parameters(), is_first=True)
    fold.add_stream(StreamInfo(number=0, receiver=receiver, stream_id=5, epoch=6))
    packets = np.zeros(3, PACKET_DTYPE)
    packets["seq"], packets["tx_ns"], packets["rx_ns"] = np.arange(3), np.arange(3) * MS, np.arange(3) * MS + 40
    fold.update(packets)
    (summary,) = fold.summaries()
    return summary


def manifest(
    *, boot: str = "", senders: tuple[SenderInfo, ...] = (), hosts: list[HostInfo] | None = None, **clock: Any
) -> Manifest:
    clocks = Clocks(**{"realtime_ns": 10**18, "monotonic_ns": 5, "rx_source": "kernel", **clock})
    return Manifest(
        kind="run", created="", command=[], clocks=clocks, senders=list(senders), boot_id=boot, hosts=hosts or []
    )


def test_one_run_has_one_clock() -> None:
    found = delay_bound(stream(), manifest(senders=(SENDER,), error_bound_ns=9 * MS))
    assert found.bound_ns == 0
    assert found.note == (
        "one-way delay is of one clock and exact to its stamps: "
        "stamped by the sending program and the receiver's kernel"
    )


def test_two_runs_of_one_boot_are_tied_by_the_monotonic_clock() -> None:
    receiver = manifest(boot="b", realtime_ns=10**18 + 7 * MS, monotonic_ns=5 + 7 * MS + 250)
    sender = manifest(boot="b", senders=(SENDER,))
    found = delay_bound(stream(), receiver, sender)
    assert found.bound_ns == 250 + READING_NS
    assert "two runs of one boot, whose time lines are 250\xa0ns apart" in found.note.replace("250 ns", "250\xa0ns")


def test_errors_of_two_hosts_add_up() -> None:
    receiver = manifest(boot="b", error_bound_ns=300 * US, sync="chrony")
    sender = manifest(boot="a", senders=(SENDER,), error_bound_ns=MS, sync="ntp")
    found = delay_bound(stream(), receiver, sender)
    assert found.bound_ns == 1300 * US
    assert found.note == (
        "one-way delay may be wrong by 1.3 ms: the sender's is ntp, error bound 1 ms; "
        "the receiver's is chrony, error bound 300 µs"
    )


@pytest.mark.parametrize("unknown", ["sender", "receiver", "both"])
def test_a_bound_that_one_side_does_not_know_is_unknown(unknown: str) -> None:
    receiver = manifest(error_bound_ns=None if unknown != "sender" else MS)
    sender = manifest(senders=(SENDER,), error_bound_ns=None if unknown != "receiver" else MS)
    found = delay_bound(stream(), receiver, sender)
    assert found.bound_ns is None
    assert "its error bound is unknown" in found.note


@pytest.mark.parametrize("senders", [None, (), (msgspec.structs.replace(SENDER, epoch=7),)])
def test_without_the_senders_run_it_is_unknown(senders: tuple[SenderInfo, ...] | None) -> None:
    sender = None if senders is None else manifest(boot="b", senders=senders, error_bound_ns=1)
    found = delay_bound(stream(), manifest(boot="b", error_bound_ns=MS, sync="chrony"), sender)
    assert found.bound_ns is None
    assert found.note.endswith(
        "the receiver's is chrony, error bound 1 ms; the sender's is not known, give its run by --sent"
    )


def test_two_runs_without_a_boot_id_are_of_two_clocks() -> None:
    assert delay_bound(stream(), manifest(), manifest(senders=(SENDER,))).bound_ns is None


def host(name: str, bound_ns: int | None) -> HostInfo:
    return HostInfo(
        name=name, kind="ssh", clock_offset_ns=None if bound_ns is None else 5, clock_error_bound_ns=bound_ns
    )


@pytest.mark.parametrize(
    ("receiver", "bounds", "expected"),
    [
        ("rx/a", {"tx": 200 * US, "rx": 30 * US}, 230 * US),
        ("rx", {"tx": 0, "rx": 0}, 0),
        ("tx/a", {"tx": 200 * US, "rx": 30 * US}, 0),
        ("rx", {"tx": None, "rx": 30 * US}, None),
        ("rx", {"tx": 200 * US}, None),
    ],
)
def test_a_run_over_hosts_goes_by_their_clocks(
    receiver: str, bounds: dict[str, int | None], expected: int | None
) -> None:
    sender = msgspec.structs.replace(SENDER, host="tx")
    run = manifest(senders=(sender,), hosts=[host(*each) for each in bounds.items()])
    assert delay_bound(stream(receiver), run).bound_ns == expected


def test_the_network_cards_clock_adds_its_own_error() -> None:
    hardware: dict[str, Any] = {"rx_source": "hardware", "card": CARD}
    found = delay_bound(stream(), manifest(senders=(SENDER,), **hardware))
    assert found.bound_ns == 700
    assert "the receiver's network card, with 700 ns of the network card's clock" in found.note
    two = delay_bound(stream(), manifest(error_bound_ns=10, **hardware), manifest(senders=(SENDER,), error_bound_ns=5))
    assert two.bound_ns == 715


def test_a_receivers_own_stamps_go_before_the_runs() -> None:
    run = manifest(senders=(SENDER,))
    run = msgspec.structs.replace(run, receivers=[ReceiverInfo(groups=[], rx_source="user")])
    assert "the receiving program" in delay_bound(stream(), run).note
