"""The speed of the analysis, as a program of its own: recordings in memory, a billion packets in parts, a capture.

    python -m harness.bench.analysis [--packets 10e6] [--billion] [--capture-packets 3e6]

Each figure is of one process on one core, but for the billion, which is folded in two parts and merged. The capture is
an RTP stream written for the purpose, analyzed by `harness analyze` and by tshark in the same run, where tshark is
installed; its file is removed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from harness.analyzer import StreamFold
from harness.bench.rtp_capture import write_rtp_capture
from harness.model import PACKET_DTYPE, PacketArray, StreamInfo
from harness.units import NS_PER_S

FIRST_DUE_NS, INTERVAL_NS = 1_700_000_000 * NS_PER_S, 100_000
CHUNK = 1 << 17
BILLION = 10**9
PARTS = 2


def main() -> None:
    """Print each figure as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m harness.bench.analysis", description="Speed of the analysis.")
    parser.add_argument("--packets", type=float, default=10e6, help="packets of the folds (default 10e6)")
    parser.add_argument("--billion", action="store_true", help="fold a billion packets in two parts, and merge them")
    parser.add_argument("--capture-packets", type=float, default=3e6, help="packets of the capture (default 3e6)")
    args = parser.parse_args()
    for name, is_messy in (("in order", False), ("1 % lost, 1 % reordered, 0.1 % copies", True)):
        n, seconds = fold_speed(int(args.packets), is_messy=is_messy)
        _say(f"fold, {name}: {n / seconds / 1e6:.1f} M packets/s over {n:,} packets")
    if args.billion:
        received, seconds, peak = in_parts(BILLION, PARTS)
        _say(f"{received:,} packets in {PARTS} parts, merged: {seconds:.0f} s, {peak // 10**6} MB in the larger part")
    _say(capture_speed(int(args.capture_packets)))


def chunk(first: int, n: int, is_messy: bool) -> PacketArray:
    """Return n records from number `first` on, the messy ones with losses, swaps and copies drawn by the number."""
    random = np.random.default_rng(first)
    rows = np.zeros(n, PACKET_DTYPE)
    seq = np.arange(first, first + n)
    if is_messy:
        seq = seq[random.random(n) >= 0.01]
        swap = np.flatnonzero(random.random(len(seq) - 1) < 0.01)
        swap = swap[np.diff(swap, prepend=-2) > 1]
        seq[swap], seq[swap + 1] = seq[swap + 1], seq[swap].copy()
        seq = np.repeat(seq, 1 + (random.random(len(seq)) < 0.001))
        rows = np.zeros(len(seq), PACKET_DTYPE)
    rows["seq"], rows["tx_ns"] = seq, FIRST_DUE_NS + seq * INTERVAL_NS
    arrival = FIRST_DUE_NS + (first + np.arange(len(rows))) * INTERVAL_NS
    rows["rx_ns"], rows["size"] = arrival + 50_000 + random.integers(0, 20_000, len(rows)), 200
    return rows


def fold_speed(n: int, *, is_messy: bool) -> tuple[int, float]:
    """Return how many packets were folded to a summary, and the CPU seconds of folding alone."""
    fold = StreamFold(_stream(n), is_first=True)
    n_folded, seconds = 0, 0.0
    for first in range(0, n, CHUNK):
        rows = chunk(first, min(CHUNK, n - first), is_messy)
        begin = time.process_time()
        fold.update(rows)
        seconds += time.process_time() - begin
        n_folded += len(rows)
    begin = time.process_time()
    fold.summary()
    return n_folded, seconds + time.process_time() - begin


def in_parts(n: int, n_parts: int) -> tuple[int, float, int]:
    """Return packets received, wall seconds, and the peak resident bytes of a part, for parts folded side by side."""
    begin, size = time.perf_counter(), n // n_parts
    with ProcessPoolExecutor(n_parts, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_part, [(k * size, size, n) for k in range(n_parts)]))
    fold = parts[0][0]
    for later, _ in parts[1:]:
        fold = fold.merge(later)
    return fold.summary().received, time.perf_counter() - begin, max(peak for _, peak in parts)


def _part(task: tuple[int, int, int]) -> tuple[StreamFold, int]:
    first, n, total = task
    fold = StreamFold(_stream(total))
    template = chunk(0, CHUNK, is_messy=False)
    for start in range(first, first + n, CHUNK):
        rows = template.copy()
        rows["seq"] += start
        rows["tx_ns"] += start * INTERVAL_NS
        rows["rx_ns"] += start * INTERVAL_NS
        fold.update(rows[: min(CHUNK, first + n - start)])
    return fold, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _stream(n: int) -> StreamInfo:
    return StreamInfo(number=0, first_due_ns=FIRST_DUE_NS, interval_ns=INTERVAL_NS, sent=n)


def capture_speed(n: int) -> str:
    """Return a sentence on the time of `harness analyze` and of tshark over the same RTP capture."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        path = Path(folder) / "rtp.pcapng"
        n_written = write_rtp_capture(path, n)
        ours = [sys.executable, "-m", "harness", "analyze", str(path), "--protocol", "rtp", "--clock-rate", "48000"]
        seconds = _cpu_seconds([*ours, "--json"])
        sentence = f"RTP capture of {n_written:,} packets: harness analyze {seconds:.1f} s of CPU"
        if shutil.which("tshark") is None:
            return f"{sentence}; tshark is not installed"
        theirs = ["tshark", "-n", "-q", "-r", str(path), "-d", "udp.port==5004,rtp", "-z", "rtp,streams"]
        tshark_seconds = _cpu_seconds(theirs)
        return f"{sentence}, tshark {tshark_seconds:.1f} s: {tshark_seconds / seconds:.1f} times as long"


def _cpu_seconds(words: list[str]) -> float:
    """Return the CPU seconds that a command takes, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
