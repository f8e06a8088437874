"""Times: how evenly a sender paces, and the delay that sending itself adds."""

from __future__ import annotations

import re

from harness.bench.contest import SELDOM_S, contest, run_pair
from harness.bench.rows import (
    SMALL,
    TURNS,
    Bench,
    against,
    against_best_peer,
    compared,
    decides_pace,
    figure_of,
    one_each,
)
from harness.bench.tools import BARE, BARE_EAGER, OURS, Tool, sockperf_ping_pong, witness
from harness.model.bench import BenchRow


def pacing(bench: Bench, pps: int) -> BenchRow:
    """Measure the 99th percentile of the interval's error, by the kernel's stamps at one and the same receiver."""
    nominal_ns = 1e9 / pps

    def measure(tool: Tool) -> tuple[float | None, str]:
        task = bench.task(200, pps, stamps=True, idle_s=tool.pause_s, precise=True)
        done = run_pair(
            bench.place, witness(tool.port)(bench.place, task), tool.send(bench.place, task), tool.port, task.seconds,
            ends_itself=False, sample_s=SELDOM_S,
        )  # fmt: skip
        n_due = int(pps * task.seconds)
        gaps = done.rx.get("gaps_ns", [])[n_due // 20 : n_due * 9 // 10]
        if done.error or len(gaps) < n_due // 2:
            return None, done.error or f"only {len(gaps):,} of {n_due:,} packets"
        return sorted(abs(gap - nominal_ns) for gap in gaps)[int(0.99 * (len(gaps) - 1))], ""

    senders = [tool for tool in bench.tools() if tool not in (BARE, BARE_EAGER)]
    figures = bench.alternate(senders, measure, turns=TURNS, decides=decides_pace)
    return compared(
        f"pacing-{pps}",
        f"pacing at {pps:,} pps: p99 of the interval's error",
        "ns",
        "<= the best of iperf, mgen, sockperf",
        figures,
        [against_best_peer(figures, 1.0, is_more_better=False)],
        is_more_better=False,
        notes=["kernel stamps of one receiver for all", "ours with --precise"],
    )


def delay_floor(bench: Bench) -> list[BenchRow]:
    """Measure the one-way delay at 1,000 pps by kernel stamps, beside half of sockperf's round trip."""
    found: dict[str, dict[str, list[float | None]]] = {p: {OURS.name: [], "sockperf": []} for p in ("50", "99")}
    has_sockperf = "sockperf" in bench.peers
    seconds = max(1, round(bench.seconds))
    for number in range(bench.rounds):
        done = contest(bench.place, OURS, bench.task(SMALL, 1_000, delays=True, precise=True))
        theirs: dict[str, float] = {}
        if has_sockperf:
            server, client = sockperf_ping_pong(bench.place, seconds)
            pair = run_pair(bench.place, server, client, 5204, seconds, ends_itself=False, sample_s=SELDOM_S)
            theirs = half_round_trips(pair.text)
        for p, tools in found.items():
            tools[OURS.name].append(done.rx.get("delay_ns", {}).get(p))
            tools["sockperf"].append(theirs.get(p))
        bench.tell(f"  round {number + 1}: ours {done.rx.get('delay_ns')}, sockperf {theirs}")
    rows = []
    for p, tools in found.items():
        taking = [name for name in tools if has_sockperf or name == OURS.name]
        figures = {name: figure_of(name, one_each(tools[name])) for name in taking}
        rows.append(
            compared(
                f"delay-p{p}",
                f"one-way delay at 1,000 pps, kernel stamps, p{p}",
                "ns",
                "<= sockperf's half round trip",
                figures,
                [against(figures, "sockperf", 1.0)],
                is_more_better=False,
                notes=["ours with --precise"],
            )
        )
    return rows


def half_round_trips(text: str) -> dict[str, float]:
    r"""Return sockperf's percentiles of half a round trip in ns, {"50": ..., "99": ...}; {} without them.

    >>> half_round_trips("sockperf: ---> percentile 99.000 =   61.250\nsockperf: ---> percentile 50.000 = 30.5")
    {'99': 61250.0, '50': 30500.0}
    """
    found = re.findall(r"percentile (50|99)\.0+ *= *([\d.]+)", text)
    return {p: float(value) * 1_000 for p, value in found}
