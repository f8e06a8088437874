"""Senders that are not ours, with known packets removed on the way: live and from a capture, the same are missing."""

import subprocess
import sys
from pathlib import Path

import pytest
from foreign_helpers import Sender, check_single, figures, send_through_losses
from lab_helpers import require_programs
from netns import require

pytestmark = pytest.mark.lab

SACN = "sacn==1.11.0"
SACN_SENDER = """
import time, sacn
sender = sacn.sACNsender(bind_address="10.77.0.1", universeDiscovery=False)
sender.start()
sender.activate_output(1)
sender[1].multicast = True
sender.manual_flush = True
for n in range(300):
    sender[1].dmx_data = (n % 256,)
    sender.flush([1])
    time.sleep(0.003)
sender.stop()
"""
PTP_SETTINGS = """[global]
network_transport UDPv4
delay_mechanism E2E
time_stamping software
free_running 1
masterOnly 1
logSyncInterval -6
logAnnounceInterval -4
uds_address {folder}/ptp4l
"""


def test_iperf2(tmp_path: Path) -> None:
    require_programs("nft", "dumpcap", "iperf")
    words = ["iperf", "-u", "-c", "239.7.7.7%tx0", "-B", "10.77.0.1", "-p", "5001", "-T", "4"]
    words += ["-b", "500pps", "-l", "200", "-t", "1.5"]
    sender = Sender(words, "iperf2", ["239.7.7.7:5001"], "ip daddr 239.7.7.7 udp dport 5001", {})
    result = send_through_losses(tmp_path, sender, "10, 100-149, 200, 300-302")
    check_single(result, 55, n_ends=1)


def test_mgen(tmp_path: Path) -> None:
    require_programs("nft", "dumpcap", "mgen")
    flow = "0.0 ON 1 UDP SRC 5000 DST 239.7.7.7/5000 PERIODIC [500 200] INTERFACE tx0 TTL 4"
    words = ["mgen", "ipv4", "event", flow, "event", "1.5 OFF 1"]
    sender = Sender(words, "mgen", ["239.7.7.7:5000"], "ip daddr 239.7.7.7 udp dport 5000", {})
    result = send_through_losses(tmp_path, sender, "10, 100-149, 200, 300-302")
    stream = check_single(result, 55)
    assert (stream.loss_periods, stream.longest_loss_period) == (4, 50)


@pytest.fixture(scope="module")
def sacn_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sacn package, which the project does not depend on."""
    folder = tmp_path_factory.mktemp("sacn")
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
    done = subprocess.run([sys.executable, *words, str(folder), SACN], capture_output=True, text=True, timeout=60)
    require(f"the package {SACN}: {done.stderr.strip()[-200:]}" if done.returncode else "")
    return folder


def test_sacn_across_the_wrap_of_its_eight_bits(tmp_path: Path, sacn_path: Path) -> None:
    require_programs("nft", "dumpcap")
    words = [sys.executable, "-c", SACN_SENDER]
    sender = Sender(
        words, "sacn", ["239.255.0.1:5568"], "ip daddr 239.255.0.1 udp dport 5568", {"PYTHONPATH": str(sacn_path)}
    )
    result = send_through_losses(tmp_path, sender, "10, 100-139, 250-259, 290")
    check_single(result, 52)


def test_ptp4l(tmp_path: Path) -> None:
    require_programs("nft", "dumpcap", "ptp4l")
    settings = tmp_path / "ptp4l.conf"
    settings.write_text(PTP_SETTINGS.format(folder=tmp_path), encoding="utf-8")
    groups = ["224.0.1.129:319", "224.0.1.129:320"]
    words = ["ptp4l", "-f", str(settings), "-i", "tx0", "-m"]
    sync = Sender(words, "ptp", groups, "ip daddr 224.0.1.129 udp dport 319", {})
    result = send_through_losses(tmp_path, sync, "5, 10-19, 30", n_enough=60)
    assert result.n_dropped == 12
    assert figures(result.live.streams) == figures(result.captured.streams)
    streams = {stream.key["message_type"]: stream for stream in result.live.streams}
    assert (streams["Sync"].lost, streams["Sync"].received) == (12, result.n_seen - 12)
    assert (streams["Follow_Up"].lost, streams["Announce"].lost) == (0, 0)
