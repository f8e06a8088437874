"""What is measured: each discipline runs its tools alternately, round by round, and holds medians against the goal."""

from __future__ import annotations

import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.bench.contest import Contest, contest, run_pair
from harness.bench.place import Place
from harness.bench.tools import BARE, OURS, PEERS, UNICAST_ONLY, Task, Tool, sockperf_ping_pong, witness
from harness.model.bench import BenchFigure, BenchRow
from harness.traffic import END_COPIES

BACK_OFF = (None, 0.92, 0.8)
"""What follows when a program lost packets flat out: that again, since the machine may have been busy elsewhere, then
parts of the highest rate received."""

STALL_S = 0.05
SMALL, LARGE = 64, 1400


@dataclass
class Bench:
    """What all disciplines need.

    Attributes:
      peers: names of those that take part.
      tell: called with a line of progress.
    """

    place: Place
    peers: set[str]
    rounds: int
    seconds: float
    buffer_bytes: int
    is_quick: bool
    tell: Callable[[str], None] = lambda _: None

    def tools(self, *, unicast: bool = False) -> list[Tool]:
        """Return ourselves, the limit and the peers that take part."""
        chosen = [peer for peer in PEERS if peer.name in self.peers and (unicast or peer.name not in UNICAST_ONLY)]
        return [OURS, BARE, *chosen]

    def task(self, size: int, pps: int | None = None, **changes: object) -> Task:
        """Return a task with this bench's buffer and duration."""
        return Task(size, self.seconds, self.buffer_bytes, pps, **changes)  # type: ignore[arg-type] # fields of Task

    def alternate(
        self, tools: Iterable[Tool], measure: Callable[[Tool], tuple[float | None, str]]
    ) -> dict[str, BenchFigure]:
        """Measure every tool in every round, so that all of them meet the same load of the machine."""
        tools = list(tools)
        rounds: dict[str, list[float | None]] = {tool.name: [] for tool in tools}
        notes: dict[str, str] = {}
        for number in range(self.rounds):
            for tool in tools:
                value, note = measure(tool)
                self.tell(f"  round {number + 1}, {tool.name}: {'n/a' if value is None else f'{value:,.0f}'} {note}")
                rounds[tool.name].append(value)
                if note:
                    notes[tool.name] = note
        return {name: figure_of(name, values, notes.get(name, "")) for name, values in rounds.items()}


def figure_of(tool: str, rounds: list[float | None], note: str = "") -> BenchFigure:
    """Return a tool's rounds with their median; rounds that gave nothing are left out of it and said."""
    given = [value for value in rounds if value is not None]
    if given and len(given) < len(rounds):
        note = f"{len(rounds) - len(given)} of {len(rounds)} rounds gave none" + (f"; {note}" if note else "")
    return BenchFigure(tool=tool, rounds=rounds, median=statistics.median(given) if given else None, note=note)


def loss_free_rate(bench: Bench, size: int) -> BenchRow:
    """Measure the loss-free multicast rate without offload."""

    def measure(tool: Tool) -> tuple[float | None, str]:
        done = contest(bench.place, tool, bench.task(size))
        highest_pps = done.pps
        for part in BACK_OFF:
            if done.error or done.is_loss_free or not done.pps:
                break
            pps = None if part is None else max(1, int(part * highest_pps))
            done = contest(bench.place, tool, bench.task(size, pps))
            highest_pps = max(highest_pps, done.pps)
        if done.error:
            return None, done.error
        if not done.is_loss_free:
            return None, f"lost {done.sent - done.received:,} of {done.sent:,}, own buffers dropped {done.dropped:,}"
        if tool is OURS and (done.rx["received"], done.rx["lost"]) != (done.tx["sent"], 0):
            return None, "the records disagree with the kernel's counters"
        return done.pps, ""

    figures = bench.alternate(bench.tools(unicast=size == SMALL), measure)
    ours, bare, (best_name, best) = _medians(figures, is_more_better=True)
    against_peer, against_bare = _ratio(ours, best), _ratio(ours, bare)
    return BenchRow(
        key=f"rate-{size}",
        what=f"loss-free multicast rate, {size} B, no offload, every sequence number checked",
        unit="pps",
        goal=">= 1.0 x the best peer and >= 0.9 x the bare loop",
        measured=f"{_times(against_peer)} {best_name}, {_times(against_bare)} the bare loop",
        is_reached=_all_hold((against_peer, 1.0), (against_bare, 0.9)),
        is_more_better=True,
        figures=list(figures.values()),
        notes=["nuttcp by unicast"] if "nuttcp" in figures else [],
    )


def offload_rate(bench: Bench, best_peer_pps: float | None) -> BenchRow:
    """Measure the rate with segmentation offload, 64 B, by the programs' own counts: the kernel counts runs as one."""

    def measure(tool: Tool) -> tuple[float | None, str]:
        done = contest(bench.place, tool, bench.task(SMALL, offload=True))
        if done.error:
            return None, done.error
        lost = done.tx["sent"] - done.rx["received"]
        note = f"{lost / done.tx['sent']:.2%} lost" if lost else ""
        # The kernel's counter gives the time, the programs' own counts give the packets.
        return done.rx["received"] * done.pps / done.received, note

    figures = bench.alternate([OURS, BARE], measure)
    ours, bare = figures[OURS.name].median, figures[BARE.name].median
    against_peer, against_bare = _ratio(ours, best_peer_pps), _ratio(ours, bare)
    return BenchRow(
        key="rate-offload",
        what="multicast rate with offload, 64 B, every sequence number checked",
        unit="pps",
        goal=">= 15 x the best peer and >= 0.7 x the bare offload loop",
        measured=f"{_times(against_peer)} the best peer, {_times(against_bare)} the bare offload loop",
        is_reached=_all_hold((against_peer, 15.0), (against_bare, 0.7)),
        is_more_better=True,
        figures=list(figures.values()),
    )


def cpu_per_packet(bench: Bench) -> BenchRow:
    """Measure the receiver's CPU time a packet, recording included, both fed by our own sender flat out."""

    def measure(tool: Tool) -> tuple[float | None, str]:
        task = bench.task(SMALL)
        done = run_pair(
            bench.place, witness(OURS.port)(bench.place, task) if tool is BARE else OURS.receive(bench.place, task),
            OURS.send(bench.place, task), OURS.port, task.seconds, ends_itself=True,
        )  # fmt: skip
        return (None, done.error) if done.error else (done.rx["cpu_ns"] / done.rx["received"], "")

    figures = bench.alternate([OURS, BARE], measure)
    ratio = _ratio(figures[OURS.name].median, figures[BARE.name].median)
    return BenchRow(
        key="cpu",
        what="CPU per received packet, 64 B, no offload, with recording",
        unit="ns",
        goal="<= 1.3 x the bare loop",
        measured=f"{_times(ratio)} the bare loop",
        is_reached=None if ratio is None else ratio <= 1.3,
        is_more_better=False,
        figures=list(figures.values()),
    )


def pacing(bench: Bench, pps: int) -> BenchRow:
    """Measure the 99th percentile of the interval's error, by the kernel's stamps at one and the same receiver."""
    nominal_ns = 1e9 / pps

    def measure(tool: Tool) -> tuple[float | None, str]:
        task = bench.task(200, pps, stamps=True, idle_s=tool.pause_s)
        done = run_pair(
            bench.place, witness(tool.port)(bench.place, task), tool.send(bench.place, task), tool.port, task.seconds,
            ends_itself=False,
        )  # fmt: skip
        n_due = int(pps * task.seconds)
        gaps = done.rx.get("gaps_ns", [])[n_due // 20 : n_due * 9 // 10]
        if done.error or len(gaps) < n_due // 2:
            return None, done.error or f"only {len(gaps):,} of {n_due:,} packets"
        return sorted(abs(gap - nominal_ns) for gap in gaps)[int(0.99 * (len(gaps) - 1))], ""

    tools = [tool for tool in bench.tools() if tool is not BARE]
    figures = bench.alternate(tools, measure)
    ours, _, (best_name, best) = _medians(figures, is_more_better=False)
    ratio = _ratio(ours, best)
    return BenchRow(
        key=f"pacing-{pps}",
        what=f"pacing at {pps:,} pps: p99 of the interval's error",
        unit="ns",
        goal="<= the best of iperf, mgen, sockperf",
        measured=f"{_times(ratio)} {best_name}",
        is_reached=None if ratio is None else ratio <= 1.0,
        is_more_better=False,
        figures=list(figures.values()),
        notes=["kernel stamps of one receiver for all"],
    )


def delay_floor(bench: Bench) -> list[BenchRow]:
    """Measure the one-way delay at 1,000 pps by kernel stamps, beside half of sockperf's round trip."""
    found: dict[str, dict[str, list[float | None]]] = {p: {OURS.name: [], "sockperf": []} for p in ("50", "99")}
    has_sockperf = "sockperf" in bench.peers
    seconds = max(1, round(bench.seconds))
    for number in range(bench.rounds):
        done = contest(bench.place, OURS, bench.task(SMALL, 1_000, delays=True))
        theirs: dict[str, float] = {}
        if has_sockperf:
            server, client = sockperf_ping_pong(bench.place, seconds)
            theirs = half_round_trips(run_pair(bench.place, server, client, 5204, seconds, ends_itself=False).text)
        for p, tools in found.items():
            tools[OURS.name].append(done.rx.get("delay_ns", {}).get(p))
            tools["sockperf"].append(theirs.get(p))
        bench.tell(f"  round {number + 1}: ours {done.rx.get('delay_ns')}, sockperf {theirs}")
    rows = []
    for p, tools in found.items():
        figures = {name: figure_of(name, values) for name, values in tools.items() if has_sockperf or name == "ours"}
        theirs_median = figures["sockperf"].median if has_sockperf else None
        ratio = _ratio(figures[OURS.name].median, theirs_median)
        rows.append(
            BenchRow(
                key=f"delay-p{p}",
                what=f"one-way delay at 1,000 pps, kernel stamps, p{p}",
                unit="ns",
                goal="<= sockperf's half round trip",
                measured=f"{_times(ratio)} sockperf",
                is_reached=None if ratio is None else ratio <= 1.0,
                is_more_better=False,
                figures=list(figures.values()),
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


def own_buffer(bench: Bench) -> BenchRow:
    """Receive 100,000 pps through a stall of 50 ms, with the large buffer and with the default one."""
    pps = 20_000 if bench.is_quick else 100_000

    def stalled(buffer_bytes: int) -> Contest:
        task = Task(SMALL, max(1.0, bench.seconds), buffer_bytes, pps)
        return contest(bench.place, OURS, task, at_half=stall)

    large, default = stalled(8_000_000), stalled(0)
    is_whole = not large.error and large.rx["lost"] == 0 and large.received == large.sent
    lost, drops = default.tx.get("sent", 0) - default.rx.get("received", 0), default.rx.get("drops") or 0
    # the end-of-stream probes, which no number counts, may be among the drops
    is_attributed = not default.error and lost <= drops <= lost + END_COPIES and drops == default.dropped
    return BenchRow(
        key="own-buffer",
        what=f"receiver at {pps:,} pps through a stall of 50 ms: 8 MB buffer, and the default",
        unit="packets lost",
        goal="0 lost with 8 MB; what the default loses is attributed to the buffer",
        measured=large.error or default.error
        or f"8 MB: {large.rx['lost']:,} lost; default: {lost:,} lost, {drops:,} of them by its own buffer",
        is_reached=is_whole and is_attributed,
        is_more_better=False,
        figures=[
            figure_of("ours, 8 MB", [large.rx.get("lost")]),
            figure_of("ours, default buffer", [lost], f"own buffer dropped {drops}"),
        ],
    )  # fmt: skip


def stall(pid: int) -> None:
    """Stop a process that this bench started for 50 ms."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_S)
    os.kill(pid, signal.SIGCONT)


def memory(bench: Bench) -> BenchRow:
    """Play 36 million packets through demultiplexer, fold and recording; what the resident size grows by."""
    n_packets = 12_000_000 if bench.is_quick else 36_000_000
    command = [sys.executable, "-m", "harness.bench.memory", str(n_packets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
    match = re.fullmatch(r"grown (-?\d+)", done.stdout.strip())
    grown = float(match.group(1)) if match else None
    return BenchRow(
        key="memory",
        what=f"memory of a receiver over {n_packets:,} packets: growth of the last 80 %",
        unit="B",
        goal="< 5 MB",
        measured="n/a: " + done.stderr.strip()[-160:] if grown is None else f"{grown / 1e6:.1f} MB",
        is_reached=None if grown is None else grown < 5e6,
        is_more_better=False,
        figures=[figure_of("ours", [grown])],
    )


def start_up(bench: Bench, arguments: str, limit_ms: int) -> BenchRow:
    """Measure the CPU time of a command, start of the interpreter included."""
    command = [sys.executable, "-m", "harness", *arguments.split()]
    spent: list[float | None] = []
    for _ in range(max(3, bench.rounds)):
        before = _children_cpu_ns()
        subprocess.run(command, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
        spent.append(_children_cpu_ns() - before)
    figure = figure_of("ours", spent)
    median_ns = figure.median or 0.0
    return BenchRow(
        key=f"start-{arguments.strip('-')}",
        what=f"harness {arguments}: CPU time",
        unit="ns",
        goal=f"< {limit_ms} ms",
        measured=f"{median_ns / 1e6:.0f} ms",
        is_reached=median_ns < limit_ms * 1e6,
        is_more_better=False,
        figures=[figure],
    )


def all_disciplines(bench: Bench) -> dict[str, Callable[[dict[str, BenchRow]], list[BenchRow]]]:
    """Return every discipline by the key of its first row; each takes the rows so far."""

    def offload(rows: dict[str, BenchRow]) -> list[BenchRow]:
        before = rows.get("rate-64")
        peers = [figure.median for figure in before.figures if figure.tool in bench.peers] if before else []
        return [offload_rate(bench, max((value for value in peers if value is not None), default=None))]

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


def _children_cpu_ns() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


def _medians(
    figures: dict[str, BenchFigure], *, is_more_better: bool
) -> tuple[float | None, float | None, tuple[str, float | None]]:
    """Return our median, the bare loop's, and the best peer with its own."""
    peers = {
        name: figure.median
        for name, figure in figures.items()
        if name not in (OURS.name, BARE.name) and figure.median is not None
    }
    best = (max if is_more_better else min)(peers, key=lambda name: peers[name] or 0.0, default="")
    bare = figures[BARE.name].median if BARE.name in figures else None
    return figures[OURS.name].median, bare, (best or "any peer", peers.get(best))


def _ratio(ours: float | None, other: float | None) -> float | None:
    return ours / other if ours is not None and other else None


def _times(ratio: float | None) -> str:
    return "n/a x" if ratio is None else f"{ratio:.2f} x"


def _all_hold(*least: tuple[float | None, float]) -> bool | None:
    """Return whether every ratio reaches its least value; None when one that could decide it is not known."""
    if any(ratio is not None and ratio < value for ratio, value in least):
        return False
    return None if any(ratio is None for ratio, _ in least) else True
