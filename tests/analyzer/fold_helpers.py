"""Streams of every numbering, recordings cut anyhow, and summaries that must be the same."""

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.model import PacketArray, PacketFlag, StreamInfo, StreamSummary

T0 = 1_700_000_000_000_000_000
INTERVAL = 1_000_000
FLAGS = (
    PacketFlag.END,
    PacketFlag.CORRUPT,
    PacketFlag.MISDELIVERED,
    PacketFlag.DISCONTINUITY,
    PacketFlag.TRUNCATED,
)
STREAMS = [
    StreamInfo(number=0, first_due_ns=T0, interval_ns=INTERVAL),
    StreamInfo(number=1, protocol="sacn", sequence_bits=8),
    StreamInfo(number=2, protocol="rtp", sequence_bits=16, clock_rate=48_000),
    StreamInfo(number=3, protocol="x", sequence_bits=16, interval_ns=INTERVAL),
    StreamInfo(number=4, protocol="x", sequence_bits=0),
    StreamInfo(number=5, protocol="artnet", sequence_bits=8, sequence_first=1, sequence_modulus=255),
    StreamInfo(number=6, protocol="x", sequence_bits=16, first_due_ns=T0, interval_ns=INTERVAL, clock_offset_ns=100),
    StreamInfo(number=7, protocol="x", sequence_bits=4),
]


def cut(seed: int, rows: PacketArray, most: int) -> list[PacketArray]:
    rng = np.random.default_rng(seed)
    return np.split(rows, np.sort(rng.integers(0, len(rows) + 1, int(rng.integers(0, most)))))


def assert_same(one: StreamSummary, other: StreamSummary) -> None:
    assert_alike(msgspec.to_builtins(one), msgspec.to_builtins(other), "summary")


def assert_alike(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), f"{where}: {one!r} is not {other!r}"
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), f"{where}: {one!r} is not {other!r}"
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_alike(a, b, f"{where}[{index}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9), where
    else:
        assert one == other, where
