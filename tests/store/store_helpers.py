"""Small runs for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.model import (
    PACKET_DTYPE,
    SENT_DTYPE,
    Clocks,
    End,
    Event,
    Manifest,
    PacketArray,
    SenderInfo,
    StreamInfo,
)
from harness.store import RunReader, RunWriter

CLOCKS = Clocks(realtime_ns=1_700_000_000_000_000_000, monotonic_ns=5_000_000_000)
END = End(reason="duration reached", t_ns=1_700_000_001_000_000_000)


def a_manifest(*numbers: int) -> Manifest:
    streams = [StreamInfo(number=number, group=f"239.1.2.{number}:5000", source="10.0.0.1:4000") for number in numbers]
    return Manifest(
        kind="run", created="2024-01-02T03:04:05Z", command=["harness", "receive"], clocks=CLOCKS, streams=streams
    )


def a_sender(number: int) -> SenderInfo:
    return SenderInfo(
        stream=number, stream_id=1, epoch=7, group="239.1.2.3:5000", schedule="periodic", first_due_ns=0,
        interval_ns=1_000_000, size=200, ttl=1,
    )  # fmt: skip


def an_event(text: str) -> Event:
    return Event(t_ns=1, kind="note", text=text)


def packets(first: int, n: int, stream: int = 0) -> PacketArray:
    rows = np.zeros(n, PACKET_DTYPE)
    rows["seq"] = np.arange(first, first + n)
    rows["rx_ns"] = rows["seq"] * 1_000_000
    rows["stream"] = stream
    return rows


def sent_rows(first: int, n: int, stream: int = 0) -> PacketArray:
    rows = np.zeros(n, SENT_DTYPE)
    rows["seq"] = np.arange(first, first + n)
    rows["stream"] = stream
    return rows


def a_writer(path: Path, *numbers: int, block_rows: int = 64, max_blocks: int = 8) -> RunWriter:
    return RunWriter.create(path, a_manifest(*numbers), block_rows=block_rows, max_blocks=max_blocks)


def a_run(path: Path, *chunk_sizes: int) -> PacketArray:
    """Record a finished run of stream 0 with chunks of the sizes given, each below 64 rows; return its rows."""
    rows = packets(0, sum(chunk_sizes))
    done = 0
    with a_writer(path, 0) as writer:
        for size in chunk_sizes:
            writer.append_packets(rows[done : done + size])
            writer.flush(force=True)
            done += size
        writer.finish(END)
    return rows


def all_packets(reader: RunReader, chunk_rows: int = 1_000) -> PacketArray:
    return np.concatenate([np.empty(0, PACKET_DTYPE), *reader.packets(chunk_rows)])


def all_sent(reader: RunReader) -> PacketArray:
    return np.concatenate([np.empty(0, SENT_DTYPE), *reader.sent()])
