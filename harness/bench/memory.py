"""The memory of a receiver, as a child program: packets played through everything behind the socket.

    python -m harness.bench.memory COUNT

Prints "grown BYTES": by how much the resident size grew over the last 80 % of the packets.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.errors import StorageError
from harness.model import DATAGRAM_DTYPE, Clocks, Datagrams, End, Manifest
from harness.net import RunClock
from harness.run.recorder import Recorder
from harness.store import RunWriter
from harness.traffic import Demultiplexer, load_protocol
from protocols.probe import HEADER_SIZE, fill_probes

BATCH = 4096
INTERVAL_NS = 100_000
RECORD_BYTES = 32


def main() -> None:
    """Play the packets and print the growth."""
    n_batches = max(5, int(sys.argv[1]) // BATCH)
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        free = shutil.disk_usage(folder).free
        if free < 2 * n_batches * BATCH * RECORD_BYTES:
            raise StorageError(f"{folder} has no room for the recording of {n_batches * BATCH} packets")
        sys.stdout.write(f"grown {play(Path(folder) / 'run', n_batches)}\n")


def play(path: Path, n_batches: int) -> int:
    """Return by how many bytes the resident size grew over the last 80 % of the batches."""
    clock = RunClock()
    clocks = Clocks(realtime_ns=clock.start_realtime_ns, monotonic_ns=clock.start_monotonic_ns)
    manifest = Manifest(
        kind="receive", created=datetime.now(UTC).isoformat(timespec="seconds"), command=["harness", "bench"],
        asked={}, resolved={}, versions={}, host="", boot_id="", clocks=clocks,
    )  # fmt: skip
    writer = RunWriter.create(path, manifest)
    recorder = Recorder(writer, clock)
    demultiplexer = Demultiplexer(load_protocol("probe"), recorder.registry)
    data = np.zeros((BATCH, HEADER_SIZE), np.uint8)
    meta = np.zeros(BATCH, DATAGRAM_DTYPE)
    meta["size"], meta["destination_port"] = HEADER_SIZE, 5000
    datagrams = Datagrams(data, np.full(BATCH, HEADER_SIZE, np.int64), meta)
    start_ns, warm = clock.now_ns(), 0
    for number in range(n_batches):
        seq = np.arange(number * BATCH, (number + 1) * BATCH)
        due_ns = start_ns + seq * INTERVAL_NS
        fill_probes(
            data, stream_id=1, epoch=1, seq=seq, tx_ns=due_ns, schedule_start_ns=start_ns, interval_ns=INTERVAL_NS
        )
        meta["rx_ns"] = due_ns + 20_000
        recorder.packets(demultiplexer.receive(datagrams))
        writer.flush()
        if number == n_batches // 5:
            warm = resident_bytes()
    grown = resident_bytes() - warm
    writer.finish(End(reason="complete", t_ns=time.time_ns()))
    return grown


def resident_bytes() -> int:
    """Return the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
