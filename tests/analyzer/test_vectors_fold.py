"""Worked answers for what the fold computes, and for burst and gap."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analyzer import StreamFold
from harness.analyzer.bursts import burst_gap
from harness.analyzer.jitter import Jitter
from harness.analyzer.sequence import Extender
from harness.model import PACKET_DTYPE, UNDEFINED_NS, PacketArray, Parameters, StreamInfo, StreamSummary, Window

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "metrics.json").read_text(encoding="utf-8"))["vectors"]
Answer = dict[str, Any]
MS = 1_000_000
RATE = 8000  # of the media clock in which the jitter vectors are written: 125 us a tick


def packets(arrivals: list[list[int]], tx_ns: Any = UNDEFINED_NS) -> PacketArray:
    rows = np.zeros(len(arrivals), PACKET_DTYPE)
    rows["seq"] = [seq for seq, _ in arrivals]
    rows["rx_ns"] = [rx_ns for _, rx_ns in arrivals]
    rows["tx_ns"] = tx_ns
    return rows


def folded(info: StreamInfo, rows: PacketArray, **observation: Any) -> StreamSummary:
    fold = StreamFold(info, Parameters())
    fold.update(rows)
    return fold.summary(**observation)


def plain_window(window: Window) -> Answer:
    return {
        "class": window.kind,
        "first_lost": window.first_seq,
        "last_lost": window.last_seq,
        "packets": window.packets,
        "missing": window.packets,
        "start_ns": window.start_ns,
        "end_ns": window.end_ns,
        "duration_ns": window.duration_ns,
    }


def runs_of(numbers: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def dropouts_active(n_packets: int, interval_ns: int, arrivals: list[list[int]]) -> Answer:
    info = StreamInfo(number=0, first_due_ns=0, interval_ns=interval_ns, sent=n_packets)
    summary = folded(info, packets(arrivals, np.array([seq * interval_ns for seq, _ in arrivals])))
    gone = sorted(set(range(n_packets)) - {seq for seq, _ in arrivals})
    spans = [(item.first_seq, item.last_seq) for item in summary.windows]
    spans += [(item.first_seq, item.last_seq) for item in summary.thinning]
    placed = [number for number in gone for first, last in spans if (first or 0) <= number <= (last or 0)]
    isolated = [number for number in gone if number not in placed]
    assert len(isolated) == (summary.isolated or 0) + (summary.edge or 0)
    periods = runs_of(gone)
    assert len(periods) == summary.loss_periods
    return {
        "received": summary.received,
        "lost": summary.lost,
        "loss_periods": periods,
        "windows": [plain_window(window) for window in summary.windows],
        "thinning": summary.thinning,
        "isolated_losses": isolated,
    }


def dropouts_passive(arrivals: list[list[int]], obs_start_ns: int, obs_end_ns: int, bits: int) -> Answer:
    info = StreamInfo(number=0, protocol="rtp", sequence_bits=bits)
    summary = folded(info, packets(arrivals), observed=(obs_start_ns, obs_end_ns))
    assert summary.schedule.interval_ns is not None
    return {
        "interval_ns": summary.schedule.interval_ns,
        "threshold_ns": Parameters().silence_factor * summary.schedule.interval_ns,
        "windows": [plain_window(window) for window in summary.windows],
        "thinning": summary.thinning,
    }


def stream_summary(raw: list[int], bits: int) -> Answer:
    summary = folded(
        StreamInfo(number=0, protocol="rtp", sequence_bits=bits), packets([[seq, k] for k, seq in enumerate(raw)])
    )
    return {
        "extended": Extender(bits).extend(np.array(raw), np.arange(len(raw))).tolist(),
        "lost": summary.lost,
        "reordered": summary.reordered,
        "reordered_seqs": [mark.seq for mark in summary.marks if mark.kind == "reordered"],
        "duplicates": summary.duplicates,
        "expected": summary.expected,
    }


def rtp_jitter(packets: list[list[int]]) -> Answer:
    tick_ns = 1_000_000_000 // RATE
    running = Jitter(RATE)
    values = []
    for arrival, ticks in packets:
        running.add(np.array([arrival * tick_ns]), np.array([ticks]))
        values.append(running.value / tick_ns)
    at_once = Jitter(RATE)
    at_once.add(np.array([arrival * tick_ns for arrival, _ in packets]), np.array([ticks for _, ticks in packets]))
    assert at_once.value / tick_ns == pytest.approx(values[-1], rel=1e-12)
    return {"jitter_float": values, "jitter_reported": [int(value) for value in values]}


def burst_and_gap(pattern: str, gmin: int, packet_ms: int | None = None) -> Answer:
    found = burst_gap(np.array([symbol != "1" for symbol in pattern]), gmin)
    packets_in = found.bursts[:, 1] - found.bursts[:, 0] + 1
    interval = (packet_ms or 0) * MS
    in_burst = [pattern[a : b + 1] for a, b, _ in found.bursts.tolist()]
    lost_in = sum(part.count("0") for part in in_burst)
    mean_burst, mean_gap = found.mean_burst_ns(interval), found.mean_gap_ns(interval)
    return {
        "bursts": found.bursts.tolist(),
        "gaps": found.gaps.tolist(),
        "isolated_losses": found.isolated.tolist(),
        "burst_density": found.burst_density,
        "gap_density": found.gap_density,
        "burst_density_field": int(256 * (found.burst_density or 0)),
        "gap_density_field": int(256 * (found.gap_density or 0)),
        "mean_burst_ms": None if mean_burst is None else mean_burst / MS,
        "mean_gap_ms": None if mean_gap is None else mean_gap / MS,
        "sum_gap_ms": None if mean_gap is None else mean_gap / MS * len(found.gaps),
        "loss_rate_field": 256 * pattern.count("0") // len(pattern),
        "discard_rate_field": 256 * pattern.count("X") // len(pattern),
        "rfc6958": {
            "threshold": gmin,
            "sum_of_burst_durations_ms": int(packets_in.sum()) * (packet_ms or 0),
            "packets_lost_in_bursts": lost_in,
            "total_packets_expected_in_bursts": int(packets_in.sum()),
            "number_of_bursts": len(found.bursts),
            "sum_of_squares_of_burst_durations_ms2": int(((packets_in * (packet_ms or 0)) ** 2).sum()),
        },
    }


METRICS: dict[str, Callable[..., Answer]] = {
    "dropouts_active": dropouts_active,
    "dropouts_passive": dropouts_passive,
    "stream_summary": stream_summary,
    "rtp_jitter": rtp_jitter,
    "burst_gap": burst_and_gap,
}
MINE = [vector for vector in VECTORS if vector["metric"] in METRICS]
LEFT_OUT = {"jitter_int_variant"}  # the scaled-integer arithmetic of RFC 3550 A.8, which nothing here needs


def assert_same(found: Any, wanted: Any, tolerance: float, where: str) -> None:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_same(found[key], value, tolerance, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{where}: {found} is not {wanted}"
        for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert_same(a, b, tolerance, f"{where}[{index}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance), where
    else:
        assert found == wanted, where


@pytest.mark.parametrize("vector", MINE, ids=[vector["name"] for vector in MINE])
def test_vector(vector: dict[str, Any]) -> None:
    found = METRICS[vector["metric"]](**vector["input"])
    for column in ("expected", "computed"):
        wanted = {key: value for key, value in vector[column].items() if key not in LEFT_OUT}
        assert_same(found, wanted, vector.get("tolerance", 1e-9), vector["name"])
