"""A scenario in a lab: built, run over its hosts, impaired on the way, counted, and removed."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from harness.errors import StorageError, ungrouped
from harness.hosts.kinds import NamespaceHost
from harness.lab.meters import Meters, groups_of, paths_of
from harness.lab.timeline import Timeline
from harness.lab.topology import LabTopology, open_lab
from harness.model.lab_record import Fault, LabRecord
from harness.model.scenario import Host, Scenario
from harness.model.scenario_lab import REAL_TIMERS, stretched
from harness.run.distributed import DistributedRun
from harness.run.engine import Outcome
from harness.store import write_document
from harness.store.atomic import write_whole
from harness.store.layout import LAB, LAB_TRUTH

T = TypeVar("T")


def perform_in_lab(
    scenario: Scenario,
    *,
    output: Path | None,
    command: Sequence[str],
    asked: dict[str, Any] | None = None,
    folder: Path = Path(),
    real_timers: bool = False,
    on_progress: Callable[[DistributedRun], None] | None = None,
    on_start: Callable[[DistributedRun], None] | None = None,
) -> Outcome:
    """Run a scenario in a lab of its own and return how it ended; arguments as for `perform_over_hosts`.

    With `real_timers` all times are stretched until the switches' timers are those of RFC 3376. Beside the recording
    lie `lab.json`, what the lab counted, and `lab.jsonl`, what was done to it and when.

    Raises:
      LabError: the lab cannot be built.
      HarnessError: as for `perform_over_hosts`.
    """
    chosen = stretched(scenario, REAL_TIMERS) if real_timers else scenario

    async def whole() -> Outcome:
        return await in_lab(
            chosen,
            output=output,
            command=command,
            asked=asked,
            folder=folder,
            real_timers=real_timers,
            on_progress=on_progress,
            on_start=on_start,
        )

    return until_told(whole)


def until_told(do: Callable[[], Awaitable[T]]) -> T:
    """Run something in Trio; a Ctrl-C or a polite kill, where it does not heed them itself, cancels it in order.

    So a lab that is being built is taken down, and its names do not outlive the program.

    Raises:
      KeyboardInterrupt: it was cancelled so.
      HarnessError: what it raises.
    """
    results: list[T] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_interrupt)
            results.append(await do())
            nursery.cancel_scope.cancel()

    with ungrouped():
        trio.run(main)
    return results[0]


async def _interrupt() -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            raise KeyboardInterrupt


async def in_lab(
    scenario: Scenario,
    *,
    output: Path | None,
    command: Sequence[str],
    asked: dict[str, Any] | None,
    folder: Path,
    real_timers: bool,
    on_progress: Callable[[DistributedRun], None] | None,
    on_start: Callable[[DistributedRun], None] | None,
) -> Outcome:
    """Run a scenario in a lab, within a Trio run; see `perform_in_lab`."""
    with tempfile.TemporaryDirectory(prefix="harness-lab-") as name:
        truths = Path(name)
        truth: list[dict[str, Any]] = []
        async with open_lab(scenario, truths) as topology:
            meters = Meters(topology.layout, groups_of(scenario))
            await meters.install()
            timeline = Timeline(topology, meters, scenario.event, log=truth.append)
            await timeline.prepare()
            run = DistributedRun(placed(scenario, topology), folder, told=scenario)
            _enter_cgroups(run, topology)
            run.alongside.append(lambda: _impair(run, topology, timeline))
            outcome = await run.execute(output, command, asked, on_progress, on_start)
            await timeline.finish()
            record = LabRecord(
                recipe=topology.recipe(),
                real_timers=real_timers,
                meters=await meters.read(),
                paths=paths_of(scenario, topology.layout),
                faults=[*timeline.faults, *await _wire_faults(topology)],
            )
        if outcome.path.is_dir():
            await trio.to_thread.run_sync(_write, outcome.path, record, truth, truths)
    return outcome


def _enter_cgroups(run: DistributedRun, topology: LabTopology) -> None:
    for side in run.sides:
        if isinstance(side.host, NamespaceHost):
            side.host.cgroup = topology.cgroup(side.name)


async def _impair(run: DistributedRun, topology: LabTopology, timeline: Timeline) -> None:
    """Carry out the lab's part of the timeline, from the run's start on."""
    assert run.started_ns is not None
    for side in run.sides:
        if side.host.pid is not None:
            topology.note_agent(side.name, side.host.pid)
    for wire in topology.wires.values():
        await wire.start(run.started_ns)
    await timeline.run(run.started_ns, run.clock.now_ns)


async def _wire_faults(topology: LabTopology) -> list[Fault]:
    """Stop the wires, and return what each did in either direction."""
    found = []
    for place, wire in topology.wires.items():
        ledger = await wire.stop()
        for direction, account in (("out", ledger.forward), ("in", ledger.backward)):
            counted = {"dropped": account.n_lost, "duplicated": account.n_duplicated}
            begun_ns = ledger.start_realtime_ns or 0
            found.append(Fault(kind="wire", at=place, direction=direction, from_ns=begun_ns, counted=counted))
    return found


def placed(scenario: Scenario, topology: LabTopology) -> Scenario:
    """Return a scenario whose lab hosts are the namespaces that were made for them, and whose lab is left out."""
    hosts = [
        Host(name=host.name, kind="namespace", namespace=topology.namespace(host.name), python=host.python)
        if host.kind == "lab"
        else host
        for host in scenario.host
        if host.kind != "router"
    ]
    return msgspec.structs.replace(scenario, host=hosts)


def _write(path: Path, record: LabRecord, truth: list[dict[str, Any]], wires: Path) -> None:
    """Write what the lab counted and did beside the recording."""
    write_document(path / LAB, record)
    write_whole(path / LAB_TRUTH, "".join(json.dumps(line) + "\n" for line in truth).encode())
    try:
        for file in wires.glob("wire-*.jsonl"):
            shutil.copyfile(file, path / file.name)
    except OSError as exc:
        raise StorageError(f"cannot write into {path}: {exc.strerror}") from exc
