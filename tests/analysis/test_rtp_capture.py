"""RTP of a capture: whose clock, how lost, how late; against tshark where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rtp_captures import NS, T0, Frame, rtp_frame, write_capture

from harness.analysis import StreamOptions, analyze_capture
from harness.model import StreamSummary
from harness.traffic.media_clock import USUAL_RATES, estimated_rate

RTP = StreamOptions(protocol="rtp")


def one(folder: Path, frames: list[Frame], options: StreamOptions = RTP) -> StreamSummary:
    (stream,) = analyze_capture(write_capture(folder / "rtp.pcapng", frames), None, options).streams
    return stream


def steady(n: int, rate: int, payload_type: int, packet_ns: int = 1_000_000, start: int = 0) -> list[Frame]:
    """Packets on time to the nanosecond, the clock of which wraps when `start` says so."""
    return [rtp_frame(T0 + k * packet_ns, k, start + k * packet_ns * rate // NS, payload_type) for k in range(n)]


@pytest.mark.parametrize(("payload_type", "rate"), [(0, 8_000), (10, 44_100), (33, 90_000)])
def test_a_static_payload_type_fixes_the_clock(tmp_path: Path, payload_type: int, rate: int) -> None:
    stream = one(tmp_path, steady(20, rate, payload_type))
    assert any(f"{rate:,} Hz, payload type {payload_type}" in note for note in stream.notes)
    assert stream.jitter_ns is not None
    assert stream.jitter_ns < NS / rate  # what a tick cannot say
    assert stream.schedule.interval_ns is not None
    assert abs(stream.schedule.interval_ns - 1_000_000) < NS / rate


@pytest.mark.parametrize("rate", [44_100, 48_000, 88_200, 90_000])
def test_the_clock_of_a_dynamic_type_is_estimated_and_said(tmp_path: Path, rate: int) -> None:
    stream = one(tmp_path, steady(800, rate, 97, start=2**32 - 20_000))
    assert any(f"{rate:,} Hz, estimated" in note for note in stream.notes)
    assert stream.jitter_ns is not None


def test_a_clock_that_fits_no_usual_rate_leaves_jitter_and_delay_undefined(tmp_path: Path) -> None:
    stream = one(tmp_path, steady(800, 50_000, 97))
    assert stream.jitter_ns is None
    assert (stream.delay.n, stream.ipdv.n) == (0, 0)
    assert any("give --clock-rate" in note for note in stream.notes)
    assert stream.series.bin_ns < NS  # ticks taken for nanoseconds would stretch it over years


def test_too_few_packets_leave_the_clock_unknown(tmp_path: Path) -> None:
    assert one(tmp_path, steady(40, 48_000, 97)).jitter_ns is None


@pytest.mark.parametrize("protocol", ["rtp", None])
def test_the_users_clock_rate_counts_before_every_other(tmp_path: Path, protocol: str | None) -> None:
    stream = one(tmp_path, steady(800, 48_000, 0), StreamOptions(protocol=protocol, clock_rate=48_000))
    assert stream.jitter_ns is not None
    assert stream.jitter_ns < 1_000
    assert not any("Hz" in note for note in stream.notes)


@pytest.mark.parametrize("rate", USUAL_RATES)
def test_every_usual_rate_is_told_from_its_neighbours_through_jitter(rate: int) -> None:
    t = np.arange(2_000, dtype=np.int64) * 1_000_000
    late = np.abs(np.random.default_rng(rate).normal(0, 300_000, len(t))).astype(np.int64)
    assert estimated_rate((t * rate // NS) & 0xFFFF_FFFF, t + late, 32) == rate


def test_a_clock_that_jumps_has_no_rate() -> None:
    t = np.arange(2_000, dtype=np.int64) * 1_000_000
    ticks = t * 48_000 // NS + np.where(t > NS, 10**6, 0)
    assert estimated_rate(ticks, t, 32) is None
    assert estimated_rate(np.zeros(2_000, np.int64), t, 32) is None
    assert estimated_rate(ticks, np.zeros(2_000, np.int64), 32) is None


def test_another_ssrc_is_another_stream_and_no_loss(tmp_path: Path) -> None:
    frames = [rtp_frame(T0 + k * 1_000_000, 5_000 + k, k * 8) for k in range(100)]
    frames += [rtp_frame(T0 + (100 + k) * 1_000_000, 60_000 + k, k * 8, ssrc=8) for k in range(100)]
    streams = analyze_capture(write_capture(tmp_path / "two.pcapng", frames), None, RTP).streams
    assert [(s.received, s.lost, s.key) for s in streams] == [
        (100, 0, {"ssrc": "0x00000007"}),
        (100, 0, {"ssrc": "0x00000008"}),
    ]


def test_the_longest_gap_is_between_arrivals_of_first_copies(tmp_path: Path) -> None:
    frames = steady(500, 8_000, 0, packet_ns=20_000_000)
    del frames[200:210]
    assert one(tmp_path, frames).longest_gap_ns == 11 * 20_000_000
    assert one(tmp_path, frames[:1]).longest_gap_ns is None


def tshark_streams(path: Path) -> list[dict[str, float]]:
    command = ["tshark", "-n", "-q", "-d", "udp.port==5004,rtp", "-z", "rtp,streams", "-r", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = re.compile(
        r"0x\w+\s+\S+\s+(\d+)\s+(-?\d+) \(.*?%\)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)"
    )
    names = ("packets", "lost", "min_delta", "mean_delta", "max_delta", "min_jitter", "mean_jitter", "max_jitter")
    return [dict(zip(names, map(float, found.groups()), strict=True)) for found in row.finditer(shown)]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_agrees_on_lost_max_delta_and_jitter(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frames = [
        rtp_frame(T0 + k * NS + (k % 2) * 400_000_000, 50_000 + k, k * 8_000)
        for k in range(4_000)
        if rng.random() > 0.01 or not 100 < k < 3_900
    ]
    path = write_capture(tmp_path / "tshark.pcapng", frames)
    (ours,) = analyze_capture(path, None, RTP).streams
    (theirs,) = tshark_streams(path)
    assert ours.received == theirs["packets"]
    assert ours.lost == theirs["lost"] > 10
    assert ours.longest_gap_ns is not None
    assert ours.longest_gap_ns / 1e6 == pytest.approx(theirs["max_delta"], abs=0.001)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_agrees_on_jitter_to_a_thousandth(tmp_path: Path) -> None:
    frames = [
        rtp_frame(T0 + k * 1_000_000_000 + (k % 2) * 400_000_000, k, k * 8_000) for k in range(300)
    ]  # |D| is always 400 ms, so the estimate only rises, and its largest value is its last
    path = write_capture(tmp_path / "jitter.pcapng", frames)
    (ours,) = analyze_capture(path, None, RTP).streams
    (theirs,) = tshark_streams(path)
    assert ours.jitter_ns is not None
    assert ours.jitter_ns / 1e6 == pytest.approx(theirs["max_jitter"], rel=0.001)
    assert ours.jitter_ns == pytest.approx(400e6 * (1 - (15 / 16) ** 299), rel=1e-9)
