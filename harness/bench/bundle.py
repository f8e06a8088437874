"""How long the bundle of an hour's recording takes: `python -m harness.bench.bundle [SECONDS] [PPS]`.

The recording is made up: one stream with a drop-out of four seconds and single losses, its sender's log beside it, both
written by the store. The time is that of `harness report --bundle --redact`, analysis included, then once more without.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.bundle import make_bundle
from harness.model import PACKET_DTYPE, SENT_DTYPE, Clocks, End, Manifest, SenderInfo, StreamInfo
from harness.store import RunWriter
from harness.units import NS_PER_S, format_scaled

_START_NS = 1_784_030_400 * NS_PER_S
_CHUNK = 100_000
_GROUP, _SOURCE = "239.255.7.7:5004", "10.0.0.1:4000"


def main() -> None:
    """Print the figures."""
    given = [int(word) for word in sys.argv[1:3]]
    seconds, pps = (*given, *(3_600, 1_000)[len(given) :])
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        run = Path(folder) / "run"
        record(run, seconds, pps)
        for what in ("analysis included", "analyzed before"):
            begin = time.perf_counter()
            made = make_bundle(run, is_redacted=True)
            took = time.perf_counter() - begin
            sys.stdout.write(f"{seconds * pps:,} packets, {what}: {took:.1f} s, {format_scaled(len(made.data), 'B')}\n")


def record(path: Path, seconds: int, pps: int) -> None:
    """Write a finished recording of one stream; the middle four seconds and one packet in ten thousand are lost."""
    n, interval_ns = seconds * pps, NS_PER_S // pps
    stream = StreamInfo(
        number=0, source=_SOURCE, group=_GROUP, interface="eth0", stream_id=1, epoch=7, first_due_ns=_START_NS,
        interval_ns=interval_ns, sent=n,
    )  # fmt: skip
    sender = SenderInfo(
        stream=0, stream_id=1, epoch=7, group=_GROUP, source=_SOURCE, interface="eth0", schedule="constant",
        first_due_ns=_START_NS, interval_ns=interval_ns, size=200, ttl=1,
    )  # fmt: skip
    manifest = Manifest(
        kind="run", created="2026-07-14T12:00:00+00:00", command=["harness", "run", "hour.toml"], host="bench",
        clocks=Clocks(realtime_ns=_START_NS, monotonic_ns=0), streams=[stream], senders=[sender],
    )  # fmt: skip
    chance = np.random.default_rng(7)
    with RunWriter.create(path, manifest, {"version": 1, "host": "bench"}) as writer:
        for first in range(0, n, _CHUNK):
            seq = np.arange(first, min(first + _CHUNK, n), dtype=np.int64)
            sent = np.zeros(len(seq), SENT_DTYPE)
            sent["seq"], sent["due_ns"], sent["size"] = seq, _START_NS + seq * interval_ns, 200
            sent["tx_ns"] = sent["due_ns"] + chance.integers(0, 20_000, len(seq))
            is_heard = (chance.random(len(seq)) > 1e-4) & (np.abs(seq - n // 2) > 2 * pps)
            rows = np.zeros(int(is_heard.sum()), PACKET_DTYPE)
            rows["seq"], rows["tx_ns"], rows["size"], rows["ttl"] = seq[is_heard], sent["tx_ns"][is_heard], 200, 1
            rows["rx_ns"] = rows["tx_ns"] + chance.integers(20_000, 90_000, len(rows))
            writer.append_sent(sent)
            writer.append_packets(rows)
            writer.flush(force=True)
        writer.finish(End(reason="complete", t_ns=_START_NS + n * interval_ns))


if __name__ == "__main__":
    main()
