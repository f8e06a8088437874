"""What the harness itself costs: packets in a stall, memory over hours, time to start."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time

from harness.bench.contest import Contest, contest
from harness.bench.rows import SMALL, Bench, alone, figure_of, one_each
from harness.bench.tools import OURS, Task
from harness.model.bench import BenchRow
from harness.traffic import END_COPIES

STALL_S = 0.05


def own_buffer(bench: Bench) -> BenchRow:
    """Receive 100,000 pps through a stall of 50 ms, with the large buffer and with the default one."""
    pps = 20_000 if bench.is_quick else 100_000

    def stalled(buffer_bytes: int) -> Contest:
        task = Task(SMALL, max(1.0, bench.seconds), buffer_bytes, pps)
        done = contest(bench.place, OURS, task, at_half=stall)
        if not done.error and not done.tx:
            done.error = "the sender did not end in time: the machine is too busy"
        return done

    large, default = stalled(8_000_000), stalled(0)
    is_whole = not large.error and large.rx["lost"] == 0 and large.received == large.sent
    lost, drops = default.tx.get("sent", 0) - default.rx.get("received", 0), default.rx.get("drops") or 0
    # the end-of-stream probes, which no number counts, may be among the drops
    is_attributed = not default.error and lost <= drops <= lost + END_COPIES and drops == default.dropped
    return alone(
        "own-buffer",
        f"receiver at {pps:,} pps through a stall of 50 ms: 8 MB buffer, and the default",
        "packets lost",
        "0 lost with 8 MB; what the default loses is attributed to the buffer",
        large.error
        or default.error
        or f"8 MB: {large.rx['lost']:,} lost; default: {lost:,} lost, {drops:,} of them by its own buffer",
        is_whole and is_attributed,
        [
            figure_of("ours, 8 MB", one_each([large.rx.get("lost")])),
            figure_of("ours, default buffer", one_each([lost]), f"own buffer dropped {drops}"),
        ],
    )


def stall(pid: int) -> None:
    """Stop a process that this bench started for 50 ms."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(pid, signal.SIGCONT)


def memory(bench: Bench) -> BenchRow:
    """Play 36 million packets through demultiplexer, tally and recording; what the resident size grows by."""
    n_packets = 12_000_000 if bench.is_quick else 36_000_000
    command = [sys.executable, "-m", "harness.bench.memory", str(n_packets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
    match = re.fullmatch(r"grown (-?\d+)", done.stdout.strip())
    grown = float(match.group(1)) if match else None
    return alone(
        "memory",
        f"memory of a receiver over {n_packets:,} packets: growth of the last 80 %",
        "B",
        "< 5 MB",
        "n/a: " + done.stderr.strip()[-160:] if grown is None else f"{grown / 1e6:.1f} MB",
        None if grown is None else grown < 5e6,
        [figure_of("ours", one_each([grown]))],
    )


def start_up(bench: Bench, arguments: str, limit_ms: int) -> BenchRow:
    """Measure the CPU time of a command, start of the interpreter included."""
    command = [sys.executable, "-m", "harness", *arguments.split()]
    spent: list[float | None] = []
    for _ in range(1 if bench.is_quick else max(3, bench.rounds)):
        before = _children_cpu_ns()
        subprocess.run(command, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
        spent.append(_children_cpu_ns() - before)
    figure = figure_of("ours", one_each(spent))
    median_ns = figure.median or 0.0
    return alone(
        f"start-{arguments.strip('-')}",
        f"harness {arguments}: CPU time",
        "ns",
        f"< {limit_ms} ms",
        f"{median_ns / 1e6:.0f} ms",
        median_ns < limit_ms * 1e6,
        [figure],
    )


def _children_cpu_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9
