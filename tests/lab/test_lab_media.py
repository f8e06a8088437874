"""RTP and MPEG-TS of ffmpeg and GStreamer with known packets removed; tshark has to find the same."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from foreign_helpers import Result, Sender, check_single, figures, send_through_losses
from lab_helpers import require_programs
from netns import require, run
from numpy.typing import NDArray

from harness.analysis import analyze_file
from harness.analyzer.jitter import Jitter
from harness.capture import open_capture
from harness.model import Summary
from harness.store import open_run
from protocols.rtp import RTP

pytestmark = pytest.mark.lab

L16_RATE, PCMU_RATE = 44_100, 8_000
"""Clock rates of the static payload types 10 and 0, which tshark knows without being told (RFC 3551 table 4)."""

FIRST = 65_500
"""The senders' first number, so that all cross the wrap of 16 bits."""

GONE = [*range(65_530, 65_536), *range(5), 20, 22, *range(100, 110)]


GST_ELEMENTS = {
    "audiotestsrc": "gstreamer1.0-plugins-base",
    "audioconvert": "gstreamer1.0-plugins-base",
    "rtpL16pay": "gstreamer1.0-plugins-good",
    "udpsink": "gstreamer1.0-plugins-good",
}


def heard_numbers(path: Path) -> set[int]:
    """Return the RTP numbers of a recording, as they stood on the wire."""
    return {int(seq) % 65_536 for rows in open_run(path).packets() for seq in rows["seq"]}


def tshark_row(file: Path, port: int) -> dict[str, float]:
    """Return lost, and deltas and jitter in ms, of the only RTP stream of a capture as tshark finds them."""
    printed = run("tshark", "-n", "-q", "-r", str(file), "-d", f"udp.port=={port},rtp", "-z", "rtp,streams")
    (line,) = [line for line in printed.splitlines() if f" {port} " in line]
    columns = line.replace("(", " ").split("0x")[1].split()
    at = next(place for place, column in enumerate(columns) if column.endswith("%)"))
    names = ("min_delta", "mean_delta", "max_delta", "min_jitter", "mean_jitter", "max_jitter")
    return {"lost": float(columns[at - 1])} | dict(zip(names, map(float, columns[at + 1 :]), strict=False))


def stamps(file: Path, port: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return arrival times in ns and media clock ticks of the RTP packets to a port of a capture."""
    columns = []
    for batch in open_capture(file).batches(width=64):
        mine = batch.meta["destination_port"] == port
        decoded = RTP.decode(batch.data[mine], batch.kept[mine], batch.meta["size"][mine].astype(np.int64))
        columns.append((batch.meta["rx_ns"][mine], decoded.tx))
    rx_ns, ticks = zip(*columns, strict=True)
    return np.concatenate(rx_ns), np.concatenate(ticks)


def course_of_jitter(rx_ns: NDArray[np.int64], ticks: NDArray[np.int64], clock_rate: int) -> NDArray[np.float64]:
    """Return the jitter in ms after each packet but the first."""
    jitter = Jitter(clock_rate)
    course_ms = []
    for place in range(len(ticks)):
        jitter.add(rx_ns[place : place + 1], ticks[place : place + 1])
        course_ms.append(jitter.value / 1e6)
    return np.array(course_ms[1:])


def check_against_tshark(result: Result, port: int, clock_rate: int) -> None:
    """Hold the figures of the capture against tshark's of the same file.

    It prints three decimals of a millisecond. It divides by whole ticks a millisecond: 44.1 kHz is 44 kHz to it.
    """
    theirs = tshark_row(result.file, port)
    (stream,) = [stream for stream in result.captured.streams if stream.protocol == "rtp"]
    rx_ns, ticks = stamps(result.file, port)
    assert stream.lost == theirs["lost"]
    assert np.diff(rx_ns).max() / 1e6 == pytest.approx(theirs["max_delta"], abs=0.0006)
    assert stream.jitter_ns == pytest.approx(course_of_jitter(rx_ns, ticks, clock_rate)[-1] * 1e6)
    course_ms = course_of_jitter(rx_ns, ticks, clock_rate // 1000 * 1000)
    assert course_ms.max() == pytest.approx(theirs["max_jitter"], rel=1e-3, abs=0.0006)
    assert course_ms.mean() == pytest.approx(theirs["mean_jitter"], rel=1e-3, abs=0.0006)


def send_rtp(folder: Path, words: list[str], port: int, clock_rate: int) -> None:
    """Send RTP whose first number is FIRST, lose the GONE, and hold all that is said of it."""
    sender = Sender(words, "rtp", [f"239.7.7.7:{port}"], f"ip daddr 239.7.7.7 udp dport {port}", {})
    places = ", ".join(str((number - FIRST) % 65_536) for number in GONE)
    result = send_through_losses(folder, sender, places)
    stream = check_single(result, len(GONE))
    (captured,) = [stream for stream in result.captured.streams if stream.protocol == "rtp"]
    assert stream.jitter_ns == pytest.approx(captured.jitter_ns, rel=1e-6)  # the kernel stamps a packet once for both
    numbers = heard_numbers(result.run)
    assert numbers.isdisjoint(GONE)
    assert len(numbers) == stream.received
    assert stream.longest_loss_period == 11
    check_against_tshark(result, port, clock_rate)


def test_rtp_of_ffmpeg(tmp_path: Path) -> None:
    require_programs("nft", "dumpcap", "tshark", "ffmpeg")
    source = ["-re", "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={PCMU_RATE}", "-t", "2"]
    coding = ["-c:a", "pcm_mulaw", "-f", "rtp", "-seq", str(FIRST)]
    url = "rtp://239.7.7.7:5004?localaddr=10.77.0.1&ttl=1&pkt_size=92"  # 80 samples, 10 ms
    send_rtp(tmp_path, ["ffmpeg", "-loglevel", "error", *source, *coding, url], 5004, PCMU_RATE)


def test_rtp_of_gstreamer_in_packets_of_a_millisecond(tmp_path: Path) -> None:
    require_programs("nft", "dumpcap", "tshark", "gst-launch-1.0", "gst-inspect-1.0")
    for element, package in GST_ELEMENTS.items():
        found = subprocess.run(["gst-inspect-1.0", "--exists", element], timeout=60).returncode == 0
        require("" if found else f"GStreamer's {element} (Debian: {package})")
    source = ["audiotestsrc", "is-live=true", "samplesperbuffer=441", "num-buffers=150"]
    form = [f"audio/x-raw,rate={L16_RATE},channels=2", "!", "audioconvert"]
    payload = ["rtpL16pay", "pt=10", "min-ptime=1000000", "max-ptime=1000000", f"seqnum-offset={FIRST}"]
    sink = ["udpsink", "host=239.7.7.7", "port=5006", "multicast-iface=tx0", "auto-multicast=true"]
    words = ["gst-launch-1.0", "-q", *source, "!", *form, "!", *payload, "!", *sink]
    send_rtp(tmp_path, words, 5006, L16_RATE)


def transport_stream(folder: Path, places: str) -> tuple[Result, Summary]:
    """Send a transport stream of ffmpeg through losses; return what came, and the summary of what was sent."""
    require_programs("nft", "dumpcap", "ffmpeg")
    source = ["-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-f", "lavfi", "-i", "sine", "-t", "2"]
    coding = ["-c:v", "mpeg2video", "-b:v", "2M", "-c:a", "mp2", "-f", "mpegts"]
    words = ["ffmpeg", "-loglevel", "error", *source, *coding]
    words += ["udp://239.7.7.7:5008?localaddr=10.77.0.1&ttl=1&pkt_size=1316"]
    sender = Sender(words, "mpegts", ["239.7.7.7:5008"], "ip daddr 239.7.7.7 udp dport 5008", {})
    result = send_through_losses(folder, sender, places, has_sent_file=True)
    assert figures(result.live.streams) == figures(result.captured.streams)
    assert result.sent_file is not None
    return result, analyze_file(result.sent_file)


def pids(summary: Summary) -> dict[str, tuple[int, int | None, int]]:
    """Return packets received, lost and duplicates by PID."""
    return {
        stream.key["pid"]: (stream.received, stream.lost, stream.duplicates)
        for stream in summary.streams
        if stream.protocol == "mpegts"
    }


def test_single_datagrams_of_a_transport_stream_are_counted_exactly(tmp_path: Path) -> None:
    """A datagram holds at most seven packets of a PID: less than the sixteen that the counter tells apart."""
    result, sent = transport_stream(tmp_path, "10, 20, 40, 60, 80")
    assert result.n_dropped == 5
    before, after = pids(sent), pids(result.live)
    assert set(before) == set(after)
    assert {pid: lost for pid, (_, lost, _) in after.items()} == {pid: before[pid][0] - after[pid][0] for pid in before}
    assert {lost for _, lost, _ in before.values()} == {0}
    assert 0 < sum(lost or 0 for _, lost, _ in after.values()) <= 7 * 5


def test_a_burst_of_datagrams_of_a_transport_stream_is_known_modulo_sixteen(tmp_path: Path) -> None:
    result, sent = transport_stream(tmp_path, "40-46")
    assert result.n_dropped == 7
    before, after = pids(sent), pids(result.live)
    missing = {pid: before[pid][0] - after[pid][0] for pid in before}
    assert max(missing.values()) >= 16
    for pid, (_, lost, duplicates) in after.items():
        assert lost is not None
        assert (missing[pid] - lost + duplicates) % 16 == 0
