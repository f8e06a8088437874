"""What is measured, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

from harness.bench.costs import memory, own_buffer, start_up
from harness.bench.rates import cpu_per_packet, loss_free_rate, offload_rate
from harness.bench.rows import LARGE, SMALL, Bench, best_peer
from harness.bench.timing import delay_floor, pacing
from harness.model.bench import BenchRow


def all_disciplines(bench: Bench) -> dict[str, Callable[[dict[str, BenchRow]], list[BenchRow]]]:
    """Return every discipline by the key of its first row; each takes the rows so far."""

    def offload(rows: dict[str, BenchRow]) -> list[BenchRow]:
        before = rows.get("rate-64")
        figures = {figure.tool: figure for figure in before.figures} if before else {}
        return [offload_rate(bench, best_peer(figures, is_more_better=True)[1])]

    return {
        "rate-64": lambda _: [loss_free_rate(bench, SMALL)],
        "rate-1400": lambda _: [loss_free_rate(bench, LARGE)],
        "rate-offload": offload,
        "cpu": lambda _: [cpu_per_packet(bench)],
        "pacing-1000": lambda _: [pacing(bench, 1_000)],
        "pacing-10000": lambda _: [pacing(bench, 10_000)],
        "delay": lambda _: delay_floor(bench),
        "own-buffer": lambda _: [own_buffer(bench)],
        "memory": lambda _: [memory(bench)],
        "start": lambda _: [start_up(bench, "--help", 100), start_up(bench, "interfaces", 150)],
    }
