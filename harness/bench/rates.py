"""Rates: the loss-free rate with and without offload, and what a received packet costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.bench.contest import Contest, contest, run_pair
from harness.bench.rows import (
    RATE_TURNS,
    SMALL,
    TURNS,
    Bench,
    Ratio,
    against,
    against_best_peer,
    compared,
    decides_rate,
    ratio,
)
from harness.bench.tools import BARE, BARE_EAGER, OURS, Task, Tool, witness
from harness.model.bench import BenchRow

BACK_OFF, OFFLOAD_BACK_OFF = (None, 0.92, 0.8), (None, 0.9, 0.75, 0.6, 0.45)
"""What follows when a program lost packets flat out: that again, since the machine may have been busy elsewhere, then
parts of the highest rate received. With offload a buffer lasts for 5 ms, and what is lost is often more.
"""

QUICK_BACK_OFF = (0.5,)

STEADY = 8
"""CPU a packet is measured over so many times as long: start and end of a run are in it, too, for our receiver."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pair did: packets sent and received, their rate, and how the receiver's buffer did."""

    done: Contest
    sent: int
    received: int
    pps: float

    @property
    def is_loss_free(self) -> bool:
        """Whether everything that was sent was read."""
        return not self.done.error and 0 < self.sent <= self.received + self.done.n_unread and not self.done.dropped


def _by_kernel(done: Contest) -> Outcome:
    """Return what the kernel's counters say."""
    return Outcome(done, done.sent, done.received, done.pps)


def _by_programs(done: Contest) -> Outcome:
    """Return what the programs say, and the kernel's time: its counters count a run as one."""
    if done.error:
        return Outcome(done, 0, 0, 0.0)
    received = int(done.rx["received"])
    return Outcome(done, int(done.tx["sent"]), received, received * done.pps / done.received)


def _find_rate(bench: Bench, tool: Tool, task: Task) -> tuple[float | None, str]:
    """Return the rate that a tool sends and receives without loss: flat out, or backed off from there."""
    judge = _by_programs if task.offload else _by_kernel
    outcome = judge(contest(bench.place, tool, task))
    highest_pps = outcome.pps
    for part in QUICK_BACK_OFF if bench.is_quick else OFFLOAD_BACK_OFF if task.offload else BACK_OFF:
        if outcome.done.error or outcome.is_loss_free or not outcome.pps:
            break
        pps = None if part is None else max(1, int(part * highest_pps))
        outcome = judge(contest(bench.place, tool, bench.task(task.size, pps, offload=task.offload)))
        highest_pps = max(highest_pps, outcome.pps)
    done = outcome.done
    if done.error:
        return None, done.error
    if not outcome.is_loss_free:
        lost = outcome.sent - outcome.received
        return (
            None,
            f"lost {lost:,} of {outcome.sent:,} at {outcome.pps:,.0f} pps, own buffers dropped {done.dropped:,}",
        )
    if tool is OURS and (done.rx["received"], done.rx["lost"]) != (done.tx["sent"], 0):
        return None, "the records disagree with the kernel's counters"
    return outcome.pps, ""


def loss_free_rate(bench: Bench, size: int) -> BenchRow:
    """Measure the loss-free multicast rate without offload."""
    tools = bench.tools(unicast=size == SMALL)
    figures = bench.alternate(
        tools,
        lambda tool: _find_rate(bench, tool, bench.task(size)),
        turns=RATE_TURNS,
        of_round="mean",
        decides=decides_rate,
    )
    return compared(
        f"rate-{size}",
        f"loss-free multicast rate, {size} B, no offload, every sequence number checked",
        "pps",
        ">= 1.0 x the best peer and >= 0.9 x the bare loop",
        figures,
        [against_best_peer(figures, 1.0, is_more_better=True), against(figures, BARE.name, 0.9)],
        is_more_better=True,
        notes=["nuttcp by unicast"] if "nuttcp" in figures else [],
    )


def offload_rate(bench: Bench, best_peer_pps: float | None) -> BenchRow:
    """Measure the loss-free rate with segmentation offload, 64 B."""
    task = bench.task(SMALL, offload=True)
    figures = bench.alternate([OURS, BARE], lambda tool: _find_rate(bench, tool, task), turns=TURNS)
    best = Ratio(ratio(figures[OURS.name].median, best_peer_pps), "the best peer", 15.0)
    return compared(
        "rate-offload",
        "loss-free multicast rate with offload, 64 B, every sequence number checked",
        "pps",
        ">= 15 x the best peer and >= 0.7 x the bare offload loop",
        figures,
        [best, against(figures, BARE.name, 0.7)],
        is_more_better=True,
        notes=["ours counts packets and windows by the live analysis, and records none one by one"],
    )


def cpu_per_packet(bench: Bench) -> BenchRow:
    """Measure the receiver's CPU time a packet, recording included, all fed by our own sender flat out."""

    def measure(tool: Tool) -> tuple[float | None, str]:
        task = replace(bench.task(SMALL, is_eager=tool is BARE_EAGER), seconds=STEADY * bench.seconds)
        receive = OURS.receive if tool is OURS else witness(OURS.port)
        done = run_pair(
            bench.place, receive(bench.place, task), OURS.send(bench.place, task), OURS.port, task.seconds,
            ends_itself=True,
        )  # fmt: skip
        return (None, done.error) if done.error else (done.rx["cpu_ns"] / done.rx["received"], "")

    figures = bench.alternate([OURS, *bench.limits], measure)
    return compared(
        "cpu",
        "CPU per received packet, 64 B, no offload, with recording",
        "ns",
        "<= 1.3 x the bare loop",
        figures,
        [against(figures, BARE.name, 1.3)],
        is_more_better=False,
    )
