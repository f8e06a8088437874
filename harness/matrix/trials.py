"""Many lab runs, each in a process of its own, several side by side."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import trio

from harness.errors import HarnessError
from harness.matrix.catalogue import Entry
from harness.model import Summary
from harness.model.lab_record import Ledger
from harness.model.matrix import Matrix, Trial
from harness.model.scenario_lab import REAL_TIMERS
from harness.store import read_summary
from harness.store.layout import LEDGER
from harness.units import NS_PER_S, parse_duration

MARGIN_S = 90.0
"""What a run may take beyond its traffic: building, agents, analysis, on a busy machine."""

_LAST_WORDS_S = 15.0

OnTrial = Callable[[Trial, int, int], None]
"""Told of every trial that is done: the trial, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Job:
    """One trial to be run."""

    entry: Entry
    seed: int
    path: Path


def default_jobs() -> int:
    """Return how many labs run side by side: they mostly wait, and timers of milliseconds are at stake."""
    return max(1, 3 * (os.cpu_count() or 1))


def plan_trials(entries: Sequence[Entry], seeds: int, first_seed: int, output: Path) -> list[Job]:
    """Return the jobs: every entry with every seed; the longest first, so that none is left alone at the end."""
    jobs = [
        Job(entry, seed, output / (entry.name if seeds == 1 else f"{entry.name}-{seed}"))
        for seed in range(first_seed, first_seed + seeds)
        for entry in entries
    ]
    return sorted(jobs, key=lambda job: -duration_s(job.entry))


def duration_s(entry: Entry) -> float:
    """Return how long a scenario's traffic takes."""
    ends = [parse_duration(stream.start) + parse_duration(stream.duration or "0s") for stream in entry.scenario.stream]
    return max(ends, default=0) / NS_PER_S


def run_trials(
    jobs: Sequence[Job],
    *,
    n_jobs: int,
    real_timers: bool = False,
    on_trial: OnTrial | None = None,
) -> Matrix:
    """Run the jobs and return the matrix; a Ctrl-C ends the runs that are on, and keeps what is done.

    Args:
      jobs: as planned.
      n_jobs: how many at once.
      real_timers: as for `harness lab run`.
      on_trial: told of each trial as it ends.
    """
    done: dict[Path, Trial] = {}
    start_s = time.monotonic()

    async def one(job: Job, places: trio.Semaphore) -> None:
        async with places:
            trial = await _trial(job, real_timers=real_timers)
        done[job.path] = trial
        if on_trial is not None:
            on_trial(trial, len(done), len(jobs))

    async def whole() -> None:
        places = trio.Semaphore(n_jobs)
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(one, job, places)

    try:
        trio.run(whole)
    except* KeyboardInterrupt:
        pass  # what is done is the result, and says how much is missing
    return Matrix(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.monotonic() - start_s,
        jobs=n_jobs,
        real_timers=real_timers,
        trials=sorted(done.values(), key=lambda trial: (trial.expected != "ok", trial.scenario, trial.seed)),
    )


async def _trial(job: Job, *, real_timers: bool) -> Trial:
    entry, start_s = job.entry, time.monotonic()
    words = ["lab", "run", entry.text, "--seed", str(job.seed)]
    words += ["--output", str(job.path), "--no-report", "--json", *(["--real-timers"] if real_timers else [])]
    limit_s = MARGIN_S + math.ceil(duration_s(entry) * (REAL_TIMERS if real_timers else 1))
    error = await _run([sys.executable, "-m", "harness", *words], limit_s)
    trial = Trial(
        scenario=entry.name, family=entry.family, seed=job.seed, expected=entry.cause, path=str(job.path), error=error
    )
    trial = msgspec.structs.replace(trial, seconds=round(time.monotonic() - start_s, 2))
    return trial if error is not None else _with_result(trial, job.path)


async def _run(command: Sequence[str], limit_s: float) -> str | None:
    """Run one trial's process; return why it failed in one line, None for a run that came to its end."""
    process = await trio.lowlevel.open_process(
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    text = bytearray()
    try:
        with trio.move_on_after(limit_s) as scope:
            assert process.stderr is not None
            while data := await process.stderr.receive_some(65_536):
                text += data
            await process.wait()
        if scope.cancelled_caught:
            return f"not done within {limit_s:.0f} s"
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    lines = text.decode(errors="replace").strip().splitlines()
    code = process.returncode or 0
    if code in (0, 1):
        return None
    if code < 0:
        return f"its process died by {signal.Signals(-code).name}"
    return lines[-1].removeprefix("harness: ") if lines else f"exit code {process.returncode}"


async def _end(process: trio.Process) -> None:
    """End a run so that it takes its lab down; one that does not is killed, and `harness lab down` finds its names."""
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(_LAST_WORDS_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stderr is not None:
        await process.stderr.aclose()


def _with_result(trial: Trial, path: Path) -> Trial:
    """Return a trial with what its run left on disk."""
    try:
        summary: Summary | None = read_summary(path)
        ledgers = msgspec.json.decode((path / LEDGER).read_bytes(), type=list[Ledger])
    except (OSError, ValueError, HarnessError) as exc:
        return msgspec.structs.replace(trial, error=f"its results cannot be read: {exc}")
    verdicts = summary.verdicts if summary is not None else []
    return msgspec.structs.replace(
        trial,
        ranking=[(verdict.name, round(verdict.score, 3)) for verdict in verdicts],
        is_balanced=all(ledger.is_balanced for ledger in ledgers),
    )
