"""A scenario from start to finish on this machine: directory, manifest, environment, traffic, and the ground truth."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import trio

from harness.analysis.truth import TRUTH
from harness.evidence import boot_id, clock_state, environment, versions
from harness.model import Clocks, Manifest, Parameters
from harness.model.scenario import Scenario
from harness.net import RunClock
from harness.run.engine import Outcome, Run
from harness.run.plan import Plan, resolve
from harness.run.undisturbed import undisturbed
from harness.store import RunWriter, fresh_run_path
from harness.store.atomic import write_whole

RESULTS = Path("results")
Progress = Callable[[Run], Awaitable[None]]


def perform(
    scenario: Scenario,
    *,
    output: Path | None,
    command: Sequence[str],
    asked: dict[str, Any] | None = None,
    folder: Path = Path(),
    on_progress: Progress | None = None,
    on_start: Callable[[Run], None] | None = None,
    parameters: Parameters | None = None,
) -> Outcome:
    """Run a scenario and return how it ended; its recording is complete on disk then.

    Args:
      scenario: what to do.
      output: the run's directory; None makes a fresh one under results/.
      command: the command line that repeats it.
      asked: the arguments as given, for the manifest.
      folder: where relative file names in the scenario start from.
      on_progress: called twice a second while it runs.
      on_start: called once, before the first packet.
      parameters: thresholds of the live analysis; they matter where packets are only counted.

    Raises:
      HarnessError: the scenario cannot be run here; no directory was made then.
      StorageError: the directory cannot be made or written.
    """
    plan = resolve(scenario, folder)
    path = output if output is not None else fresh_run_path(RESULTS, scenario.name if plan.kind == "run" else plan.kind)
    run = make_run(plan, path, RunClock(), command=command, asked=asked, parameters=parameters)
    if on_start is not None:
        on_start(run)
    with undisturbed():
        outcome = trio.run(run.execute, on_progress)
    write_rest(run)
    return outcome


def make_run(
    plan: Plan,
    path: Path,
    clock: RunClock,
    *,
    command: Sequence[str],
    asked: dict[str, Any] | None = None,
    parameters: Parameters | None = None,
) -> Run:
    """Make the directory of a run, with manifest and environment, and return the run, ready to be executed.

    Raises:
      StorageError: the directory cannot be made or written.
    """
    kind = cast(Literal["receive", "send", "run"], plan.kind)
    manifest = fresh_manifest(kind, clock, command=command, asked=asked, resolved=plan.resolved)
    writer = RunWriter.create(path, manifest, environment())
    run = Run(plan, writer, clock, manifest.clocks, parameters)
    for note in plan.notes:
        run.recorder.event("note", note)
    return run


def fresh_manifest(
    kind: Literal["receive", "send", "run"],
    clock: RunClock,
    *,
    command: Sequence[str],
    asked: dict[str, Any] | None,
    resolved: dict[str, Any],
) -> Manifest:
    """Return what is known of a run before it starts, on this machine."""
    sync, error_bound_ns = clock_state()
    clocks = Clocks(
        realtime_ns=clock.start_realtime_ns,
        monotonic_ns=clock.start_monotonic_ns,
        sync=sync,
        error_bound_ns=error_bound_ns,
    )
    return Manifest(
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(command),
        asked=asked or {},
        resolved=resolved,
        versions=versions(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        clocks=clocks,
    )


def write_rest(run: Run) -> None:
    """Write what stands beside the recording: what impairments did, and the counts of packets that were not recorded.

    Counts are written only where all that was recorded before them reached the disk: else what is missing between the
    two would be taken for lost, and it is better to say that the run did not live to write them.

    Raises:
      StorageError: it cannot be written.
    """
    _write_truth(run, run.writer.path)
    counted = run.recorder.counted
    if counted is not None and run.writer.recorded.n_packets == run.recorder.n_recorded:
        from harness.analysis.recording import write_counted

        write_counted(run.writer.path, counted)


def _write_truth(run: Run, path: Path) -> None:
    if all(sending.impairment is None for sending in run.sendings):
        return
    lines = [
        json.dumps({"stream": sending.plan.stream_id, **record})
        for sending in run.sendings
        if sending.impairment is not None
        for record in sending.impairment.truth.records()
    ]
    write_whole(path / TRUTH, "".join(line + "\n" for line in lines).encode())
