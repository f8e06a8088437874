"""A scenario from start to finish on this machine: directory, manifest, environment, traffic, and the ground truth."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import trio

from harness.analysis.recording import write_counted
from harness.analysis.truth import TRUTH
from harness.errors import StorageError
from harness.evidence import boot_id, clock_state, environment, versions
from harness.model import Clocks, Manifest, Parameters
from harness.model.scenario import Scenario
from harness.net import RunClock
from harness.run.engine import Outcome, Run
from harness.run.plan import resolve
from harness.store import RunWriter, fresh_run_path

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
    kind = cast(Literal["receive", "send", "run"], plan.kind)
    path = output if output is not None else fresh_run_path(RESULTS, scenario.name if kind == "run" else kind)
    clock = RunClock()
    sync, error_bound_ns = clock_state()
    clocks = Clocks(
        realtime_ns=clock.start_realtime_ns,
        monotonic_ns=clock.start_monotonic_ns,
        sync=sync,
        error_bound_ns=error_bound_ns,
    )
    manifest = Manifest(
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=list(command),
        asked=asked or {},
        resolved=plan.resolved,
        versions=versions(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        clocks=clocks,
    )
    writer = RunWriter.create(path, manifest, environment())
    run = Run(plan, writer, clock, clocks, parameters)
    for note in plan.notes:
        run.recorder.event("note", note)
    if on_start is not None:
        on_start(run)
    outcome = trio.run(run.execute, on_progress)
    _write_truth(run, path)
    if run.recorder.is_counting:
        write_counted(path, run.recorder.fold)
    return outcome


def _write_truth(run: Run, path: Path) -> None:
    if all(sending.impairment is None for sending in run.sendings):
        return
    lines = [
        json.dumps({"stream": sending.plan.stream_id, **record})
        for sending in run.sendings
        if sending.impairment is not None
        for record in sending.impairment.truth.records()
    ]
    try:
        (path / TRUTH).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    except OSError as exc:
        raise StorageError(f"cannot write {path / TRUTH}: {exc.strerror}") from exc
