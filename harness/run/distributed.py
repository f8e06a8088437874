"""A run over several hosts: each host's part runs in its agent, and the recordings become one.

The controller starts an agent a host, compares clocks, has every part opened and joined, agrees on one start, and asks
for live numbers until the run is over. A host that is lost on the way ends its part as an event; the others go on, and
its recording is fetched when it is back.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import trio

from harness import __version__
from harness.errors import HarnessError, RecordError, StorageError, first_error, ungrouped
from harness.evidence import environment
from harness.hosts import make_host
from harness.limits import with_profile
from harness.model import Clocks, End, Event
from harness.model.scenario import Scenario, TimedEvent
from harness.net import RunClock
from harness.run.attendance import attendances
from harness.run.combine import Combination, HostRun
from harness.run.engine import AFTER_LIMIT_NS, Outcome
from harness.run.session import RESULTS, fresh_manifest
from harness.run.side import Side, together
from harness.run.split import split
from harness.store import RunReader, RunWriter, fresh_run_path, layout, open_run, write_beside
from harness.units import NS_PER_S, parse_duration

START_DELAY_NS = 300_000_000
"""From the last join to the first packet: time for every agent to be told, and for membership reports."""

STATUS_PERIOD_S = 0.2
POLL_S = 0.02
LOG_PERIOD_S = 0.5


class DistributedRun:
    """One run over several hosts.

    Attributes:
      sides: its hosts.
      outcome: how it ended.
      started_ns: when the timeline began, on the run's time line; None before.
      alongside: done while the traffic runs, from the moment that its start is agreed; what it raises ends the run.

    Args:
      scenario: with its hosts as they are reached.
      folder: where relative file names in it start from.
      told: the scenario as the manifest tells it, when that is another.
    """

    def __init__(self, scenario: Scenario, folder: Path, *, told: Scenario | None = None) -> None:
        self.alongside: list[Callable[[], Awaitable[None]]] = []
        self._told = told
        self.scenario = msgspec.structs.replace(scenario, expect=with_profile(scenario.expect, folder))
        self.clock = RunClock()
        token = secrets.token_hex(6)
        self.sides = [
            Side(share, make_host(share.host, __version__), f"{token}-{share.host.name}", self.clock)
            for share in split(self.scenario, folder)
        ]
        self.started_ns: int | None = None
        self.outcome = Outcome(Path())
        self._ended = trio.Event()
        self._clocks: Clocks | None = None
        self._linger_s = parse_duration(scenario.linger) / NS_PER_S

    async def execute(
        self,
        output: Path | None,
        command: Sequence[str],
        asked: dict[str, Any] | None,
        on_progress: Callable[[DistributedRun], None] | None = None,
        on_start: Callable[[DistributedRun], None] | None = None,
    ) -> Outcome:
        """Run, and return how it ended; see `perform_over_hosts`."""
        async with contextlib.AsyncExitStack() as stack:
            for side in self.sides:
                await stack.enter_async_context(side.host)
            try:
                await self._prepare()
                path = output if output is not None else fresh_run_path(RESULTS, self.scenario.name)
                self.outcome.path = path
                writer = await trio.to_thread.run_sync(self._create, path, command, asked)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await together(self.sides, Side.give_up)
                raise
            await self._with_writer(writer, on_progress, on_start)
        return self.outcome

    async def _prepare(self) -> None:
        """Reach all hosts, tell them of each other's witnesses, and have them open everything."""
        if errors := await together(self.sides, Side.reach):
            raise errors[0]
        told = attendances(
            {side.name: side.share.scenario for side in self.sides}, {side.name: side.interfaces for side in self.sides}
        )
        for side in self.sides:
            side.attend(told[side.name])
        if errors := await together(self.sides, Side.prepare):
            raise errors[0]

    def stop(self, reason: str) -> None:
        """End the run; the first reason stands."""
        if not self._ended.is_set():
            self.outcome.reason = reason
            self._ended.set()

    def _create(self, path: Path, command: Sequence[str], asked: dict[str, Any] | None) -> RunWriter:
        kind: Literal["receive", "send", "run"] = "run"
        if not (self.scenario.stream and self.scenario.receiver):
            kind = "send" if self.scenario.stream else "receive"
        told = msgspec.structs.replace(self._told or self.scenario, expect=self.scenario.expect)
        resolved = {**msgspec.to_builtins(told), "parts": {side.name: side.part for side in self.sides}}
        manifest = fresh_manifest(kind, self.clock, command=command, asked=asked, resolved=resolved)
        manifest = msgspec.structs.replace(manifest, hosts=[side.info() for side in self.sides])
        self._clocks = manifest.clocks
        return RunWriter.create(path, manifest, environment())

    async def _with_writer(
        self,
        writer: RunWriter,
        on_progress: Callable[[DistributedRun], None] | None,
        on_start: Callable[[DistributedRun], None] | None,
    ) -> None:
        for side in self.sides:
            for note in side.notes:
                self._event(writer, "note", f"{side.name}: {note}")
        if on_start is not None:
            on_start(self)
        ended_ns: int | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_signals, writer)
                nursery.start_soon(self._keep_flushing, writer)
                await self._traffic(writer, on_progress)
                ended_ns = self.clock.now_ns()
                self._event(writer, "end", f"{self.scenario.name} ends: {self.outcome.reason}")
                await self._bring_home(writer)
                nursery.cancel_scope.cancel()
        except* HarnessError as group:
            self.outcome.error = str(first_error(group))
        finally:
            troubles = [trouble for side in self.sides if (trouble := side.trouble()) is not None]
            self.outcome.error = "; ".join([*troubles, *([self.outcome.error] if self.outcome.error else [])]) or None
            end = End(reason=self.outcome.reason, t_ns=ended_ns or self.clock.now_ns(), error=self.outcome.error)
            with trio.CancelScope(shield=True):
                await self._finish(writer, end)

    async def _finish(self, writer: RunWriter, end: End) -> None:
        after = await trio.to_thread.run_sync(environment, AFTER_LIMIT_NS)
        steps: list[Callable[[], object]] = [
            lambda: write_beside(writer.path / layout.ENVIRONMENT_AFTER, after),
            lambda: writer.finish(end),
        ]
        for step in steps:
            try:
                await trio.to_thread.run_sync(step)
            except StorageError as exc:
                self.outcome.error = "; ".join(filter(None, [self.outcome.error, str(exc)]))

    async def _traffic(self, writer: RunWriter, on_progress: Callable[[DistributedRun], None] | None) -> None:
        """From the agreed start to the end of every part."""
        bound_ns = max(side.offset.bound_ns for side in self.sides if side.offset is not None)
        self.started_ns = self.clock.now_ns() + START_DELAY_NS + 4 * bound_ns
        self._event(writer, "start", f"{self.scenario.name} starts", self.started_ns)
        await self._with_all(writer, lambda side: self._begin(writer, side))
        async with trio.open_nursery() as nursery:
            for side in self.sides:
                nursery.start_soon(self._watch, writer, side)
            for event in self.scenario.event:
                if event.action == "note":
                    nursery.start_soon(self._note, writer, event)
            nursery.start_soon(self._watch_end)
            for do in self.alongside:
                nursery.start_soon(do)
            if on_progress is not None:
                nursery.start_soon(self._report, on_progress)
            await self._ended.wait()
            nursery.cancel_scope.cancel()
        await self._with_all(writer, Side.stop_sending, only=lambda side: bool(side.share.scenario.stream))
        if self.outcome.reason != "complete":  # else the wait is over already
            await trio.sleep(min(self._linger_s, 0.2))
        await self._with_all(writer, lambda side: side.stop(self.outcome.reason))

    async def _with_all(
        self,
        writer: RunWriter,
        do: Callable[[Side], Awaitable[None]],
        only: Callable[[Side], bool] = lambda _: True,
    ) -> None:
        """Do something with all hosts that are there; one that fails is lost, and the others go on."""

        async def guarded(side: Side) -> None:
            try:
                await do(side)
            except HarnessError as exc:
                self._lose(writer, side, exc)

        await together([side for side in self.sides if side.is_there and only(side)], guarded)

    async def _begin(self, writer: RunWriter, side: Side) -> None:
        assert self.started_ns is not None
        late_ns = await side.begin(self.started_ns)
        if late_ns:
            self._event(writer, "note", f"{side.name}: heard of the start {late_ns / 1e6:.1f} ms after it")

    async def _watch(self, writer: RunWriter, side: Side) -> None:
        """Ask a host for its numbers until its part is over or it is lost."""
        while side.is_there:
            try:
                await side.ask()
            except HarnessError as exc:
                self._lose(writer, side, exc)
                return
            if side.status.is_over:
                side.error = side.status.error or f"its part ended early: {side.status.reason}"
                self._event(writer, "host_lost", f"host {side.name}: {side.error}")
                return
            await trio.sleep(STATUS_PERIOD_S)

    def _lose(self, writer: RunWriter, side: Side, exc: HarnessError) -> None:
        side.lost = getattr(exc, "reason", str(exc))
        self._event(writer, "host_lost", f"host {side.name} was lost: {side.lost}")

    async def _watch_end(self) -> None:
        """Find out when the run is over."""
        scenario = self.scenario
        assert self.started_ns is not None
        duration_ns = parse_duration(scenario.duration) if scenario.duration else None
        timeout_ns = parse_duration(scenario.timeout) if scenario.timeout else None
        last_event_ns = max((parse_duration(event.at) for event in scenario.event), default=0)
        while not self._ended.is_set():
            await trio.sleep(POLL_S)
            run_ns = self.clock.now_ns() - self.started_ns
            going_on = [side for side in self.sides if side.is_there and not side.status.is_over]
            if not going_on:
                self.stop("every host was lost")
            elif duration_ns is not None and run_ns >= duration_ns:
                self.stop("duration")
            elif scenario.stream and not any(side.is_sending for side in self.sides):
                await trio.sleep(self._linger_s if scenario.receiver else 0)
                self.stop("complete")
            elif (
                not scenario.stream
                and run_ns > last_event_ns
                and all(side.status.has_heard_every_end for side in going_on)
            ):
                await trio.sleep(self._linger_s)
                self.stop("end of stream")
            elif (
                timeout_ns is not None
                and scenario.receiver
                and run_ns >= timeout_ns
                and not any(side.status.n_received for side in self.sides)
            ):
                self.stop("timeout")

    async def _note(self, writer: RunWriter, event: TimedEvent) -> None:
        assert self.started_ns is not None
        wait_ns = self.started_ns + parse_duration(event.at) - self.clock.now_ns()
        await trio.sleep(max(0, wait_ns) / NS_PER_S)
        self._event(writer, "note", event.text or "note", receiver=event.receiver)

    async def _report(self, on_progress: Callable[[DistributedRun], None]) -> None:
        while True:
            await trio.sleep(LOG_PERIOD_S)
            on_progress(self)

    async def _watch_signals(self, writer: RunWriter) -> None:
        """Let Ctrl-C and a polite kill end the traffic and bring home what there is; a second one ends all at once."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                if self._ended.is_set():
                    raise KeyboardInterrupt
                self._event(writer, "note", f"{signal.Signals(number).name} received: ending")
                self.stop("interrupted")

    async def _keep_flushing(self, writer: RunWriter) -> None:
        while True:
            await trio.sleep(LOG_PERIOD_S)
            await trio.to_thread.run_sync(writer.flush)

    async def _bring_home(self, writer: RunWriter) -> None:
        """Fetch every recording and make one of them."""
        readers: dict[str, RunReader] = {}

        async def fetch(side: Side) -> None:
            folder = writer.path / layout.HOSTS / side.name
            if await side.bring_home(folder):
                try:
                    readers[side.name] = await trio.to_thread.run_sync(open_run, folder)
                except RecordError as exc:
                    side.missing = f"its recording cannot be read: {exc}"

        errors = await together(self.sides, fetch)
        await trio.to_thread.run_sync(self._combine, writer, readers)
        if errors:  # of this machine's disk: what the others brought is safe
            raise errors[0]

    def _combine(self, writer: RunWriter, readers: dict[str, RunReader]) -> None:
        offsets = {side.name: side.offset.offset_ns if side.offset is not None else 0 for side in self.sides}
        senders = {identity: offsets[side.name] for side in self.sides for identity in side.identities}
        combination = Combination(writer, self.clock, senders)
        sources = set()
        for side in self.sides:
            if (reader := readers.get(side.name)) is None:
                continue
            is_cut = side.lost is not None or side.error is not None
            combination.add(HostRun(side.name, reader, offsets[side.name], is_cut))
            if reader.manifest.counted_from_ns is not None:
                side.missing = f"packets that were only counted; their figures: {reader.path}"
            if reader.manifest.receivers:
                sources.add(reader.manifest.clocks.rx_source)
        clocks = self._clocks
        if clocks is not None and len(sources) == 1:
            clocks = msgspec.structs.replace(clocks, rx_source=sources.pop())
        hosts = [side.info() for side in self.sides]
        writer.amend(hosts=hosts, clocks=clocks, system_counters=combination.system_counters)

    def _event(self, writer: RunWriter, kind: str, text: str, t_ns: int | None = None, *, receiver: str = "") -> None:
        t_ns = self.clock.now_ns() if t_ns is None else t_ns
        with contextlib.suppress(StorageError):  # a full disk shows at the next flush, which tells the run
            writer.event(
                Event(t_ns=t_ns, kind=kind, text=text, receiver=receiver, monotonic_ns=self.clock.to_monotonic(t_ns))
            )


def perform_over_hosts(
    scenario: Scenario,
    *,
    output: Path | None,
    command: Sequence[str],
    asked: dict[str, Any] | None = None,
    folder: Path = Path(),
    on_progress: Callable[[DistributedRun], None] | None = None,
    on_start: Callable[[DistributedRun], None] | None = None,
) -> Outcome:
    """Run a scenario over its hosts and return how it ended; arguments as for `perform`.

    The run's directory holds one recording of all hosts, and under `hosts/<name>/` each as its host made it. A host
    that was lost is in the outcome's `error`, with what is missing of it.

    Raises:
      HarnessError: a host cannot be reached or cannot do its part; no directory was made then.
      StorageError: the directory cannot be made or written.
    """
    run = DistributedRun(scenario, folder)
    with ungrouped():
        return trio.run(run.execute, output, command, asked, on_progress, on_start)
