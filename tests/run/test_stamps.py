"""Runs whose packets the kernel stamps as they leave: what the log, the manifest and the report say then."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from harness.errors import UsageError
from harness.model import PacketFlag, SentFlag, Summary
from harness.model.scenario_text import parse_scenario
from harness.net import SenderSocket
from harness.run import Outcome, resolve
from harness.store import open_run

PerformText = Callable[[str], tuple[Outcome, Summary]]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
STREAM = """
linger = "100ms"
[[stream]]
group = "239.255.83.1:5083"
interface = "127.0.0.1"
rate = "2kpps"
count = 600
tx_stamps = true
"""
RECEIVER = """
[[receiver]]
groups = ["239.255.83.1:5083"]
interface = "127.0.0.1"
"""


@needs_linux
def test_the_log_holds_the_kernels_stamps_between_sending_and_arrival(perform_text: PerformText) -> None:
    outcome, summary = perform_text(STREAM + RECEIVER)
    reader = open_run(outcome.path)
    (sender,) = reader.manifest.senders
    assert (sender.tx_source, sender.tx_missing) == ("kernel", 0)
    sent = np.concatenate(list(reader.sent()))
    assert sent["seq"].tolist() == list(range(600))
    assert set(sent["flags"]) == {int(SentFlag.KERNEL_STAMP)}
    packets = np.concatenate(list(reader.packets()))
    packets = packets[packets["flags"] & int(PacketFlag.END) == 0]
    user_ns, rx_ns, kernel_ns = packets["tx_ns"], packets["rx_ns"], sent["tx_ns"][packets["seq"]]
    assert len(packets) == 600
    assert np.count_nonzero((user_ns <= kernel_ns) & (kernel_ns <= rx_ns)) >= 590
    assert (rx_ns - kernel_ns).min() < (rx_ns - user_ns).min()
    assert summary.senders[0].sent == 600
    assert any("one clock and exact" in note for note in summary.streams[0].notes)


@needs_linux
def test_stamps_that_never_come_are_counted_and_said(
    perform_text: PerformText, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = np.zeros(0, np.int64)
    monkeypatch.setattr(SenderSocket, "take_tx_stamps", lambda _: (nothing, nothing))
    outcome, summary = perform_text(STREAM + RECEIVER)
    reader = open_run(outcome.path)
    assert (reader.manifest.senders[0].tx_source, reader.manifest.senders[0].tx_missing) == ("user", 600)
    sent = np.concatenate(list(reader.sent()))
    assert sent["seq"].tolist() == list(range(600))
    assert not sent["flags"].any()
    assert any("for 600 packets the kernel's transmit stamp never came" in note for note in summary.notes)


def test_without_being_asked_the_sender_stamps(perform_text: PerformText) -> None:
    outcome, _ = perform_text(STREAM.replace("tx_stamps = true", "") + RECEIVER.rstrip() + '\nstamps = "user"\n')
    reader = open_run(outcome.path)
    assert (reader.manifest.senders[0].tx_source, reader.manifest.senders[0].tx_missing) == ("user", None)
    assert reader.manifest.receivers[0].rx_source == reader.manifest.clocks.rx_source == "user"
    assert not np.concatenate(list(reader.sent()))["flags"].any()
    assert (np.concatenate(list(reader.packets()))["flags"] & int(PacketFlag.USER_STAMP)).all()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('impair = { loss = "1%" }\n', "tx_stamps with impair"),
        ("offload = true\n", "share a stamp"),
    ],
)
def test_what_cannot_be_stamped_is_refused_before_the_run(more: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(parse_scenario(STREAM + more, "test"))
