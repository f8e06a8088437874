"""One run: open everything, keep the timeline, stop for a stated reason, leave a complete recording."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from harness.errors import HarnessError, StorageError, first_error
from harness.evidence import environment
from harness.model import Clocks, Counters, End, Parameters
from harness.net import RunClock, SenderSocket, quiet_phase_ns
from harness.run.changes import ChangeLog
from harness.run.plan import EventPlan, Plan
from harness.run.receiving import Receiving
from harness.run.recorder import Recorder
from harness.run.rehearsal import rehearse
from harness.run.sending import Sending
from harness.run.watch import CounterWatch, only_overflows, overflows, without_witnesses
from harness.run.witnesses import Scene, Witnesses
from harness.store import RunWriter, layout, write_beside
from harness.units import NS_PER_S

START_DELAY_NS = 100_000_000
"""From the last join to the first packet, so that a membership report is out before the traffic."""

AFTER_LIMIT_NS = 3 * NS_PER_S
"""How long the snapshot after a run may take."""

LOOK_NS = NS_PER_S
"""A run looks whether it is over when something happened that may end it, and this often at least."""
CLOCK_POLL_S = 0.5
PROGRESS_PERIOD_S = 0.5


@dataclass
class Outcome:
    """How a run ended: the reason in a word, and for an error its one line."""

    path: Path
    reason: str = "complete"
    error: str | None = None


class Run:
    """One run of a plan into a directory.

    Attributes:
      recorder, sendings, receivings: its parts, for a status line to read.
      started_ns: when the timeline began, on the run's time line.
      on_ready: called once everything is open and joined, before the first packet.
      n_sending: streams that are not over yet.
    """

    def __init__(
        self, plan: Plan, writer: RunWriter, clock: RunClock, clocks: Clocks, parameters: Parameters | None = None
    ) -> None:
        self.plan, self.writer, self.clock, self.clocks = plan, writer, clock, clocks
        self.recorder = Recorder(writer, clock, parameters)
        self.recorder.counters = self.counters
        # a part may share its machine with the others, whose time a task that watches the clock would take
        is_alone = len(plan.streams) == 1 and not plan.receivers and not plan.is_part
        self.sendings = [Sending(stream, self.recorder, is_alone=is_alone) for stream in plan.streams]
        self.receivings = [Receiving(receiver, self.recorder) for receiver in plan.receivers]
        self.started_ns = clock.now_ns()
        self.outcome = Outcome(writer.path)
        self._watch = CounterWatch(plan.interfaces)
        self.witnesses = Witnesses(Scene(plan, self.recorder, self.receivings, self.started_ns), writer.path)
        self.n_sending = len(self.sendings)
        self._ended, self._all_sent = trio.Event(), trio.Event()
        self._signals: AsyncIterator[int]
        self.on_ready: Callable[[], None] | None = None

    def counters(self) -> Counters:
        """Return the receivers' running totals."""
        drops = {receiving.plan.name: receiving.drops() for receiving in self.receivings}
        rejected: dict[str, int] = {}
        for receiving in self.receivings:
            for reason, n in receiving.demultiplexer.rejected.items():
                rejected[reason] = rejected.get(reason, 0) + n
        return Counters(
            socket_drops={name: n for name, n in drops.items() if n is not None},
            rejected=rejected,
            misdelivered={receiving.plan.name: receiving.demultiplexer.misdelivered for receiving in self.receivings},
        )

    def stop(self, reason: str, error: str | None = None) -> None:
        """End the run; the first reason stands."""
        if not self._ended.is_set():
            self.outcome.reason, self.outcome.error = reason, error
            self._ended.set()

    async def stop_sending(self) -> None:
        """End the streams and wait until they have told their end; receivers go on."""
        for sending in self.sendings:
            sending.stop.set()
        await self._all_sent.wait()

    async def execute(
        self,
        on_progress: Callable[[Run], Awaitable[None]] | None = None,
        *,
        begin: Callable[[], Awaitable[int]] | None = None,
    ) -> Outcome:
        """Run until it ends by itself, by the plan's duration or by a signal, and finish the recording.

        An error of the environment (a refused join, a full disk) is the outcome's `error`; what was recorded stays.

        Args:
          on_progress: called twice a second.
          begin: for a part of a run over several hosts: awaited once everything is open, it returns when the timeline
            begins, on the run's time line; then the run ends by `stop` or a signal alone.
        """
        # the receiver of signals stays open to the very end: a Ctrl-C while the rest is written must not tear it
        with trio.open_signal_receiver(*ending_signals()) as self._signals:
            try:
                await self._with_everything_open(await self._open(begin), on_progress, is_part=begin is not None)
            except* HarnessError as group:
                self.outcome.reason, self.outcome.error = "error", str(first_error(group))
            finally:
                self._all_sent.set()
                for receiving in self.receivings:
                    receiving.close()
                with trio.CancelScope(shield=True):
                    await self._finish()
        return self.outcome

    async def _open(self, begin: Callable[[], Awaitable[int]] | None) -> list[SenderSocket]:
        """Open and join everything that the run starts with, so that an environment error shows before it."""
        self.witnesses.open_early()
        rehearse(self.plan.receivers)
        for receiving in self.receivings:
            if receiving.plan.start_ns == 0:
                self.writer.add_receiver(receiving.open())
        self.witnesses.open()
        with contextlib.ExitStack() as opened:
            sockets = [opened.enter_context(sending.open()) for sending in self.sendings]
            if begin is None:
                self.started_ns = self.clock.now_ns() + (START_DELAY_NS if sockets else 0)
                self._start_where_it_is_quiet()
            else:
                self.started_ns = await begin()
            opened.pop_all()
        self.witnesses.scene.started_ns = self.started_ns
        for sending, socket in zip(self.sendings, sockets, strict=True):
            self.writer.add_sender(sending.info(self.started_ns + sending.plan.start_ns, socket))
        if self.receivings and self.receivings[0].sockets:
            self.clocks = msgspec.structs.replace(self.clocks, rx_source=self.receivings[0].rx_source)
            self._amend_clocks()
        if self.plan.is_counting:
            self.recorder.count_only("asked for")
        self.recorder.event("start", f"{self.plan.name} starts", t_ns=self.started_ns)
        return sockets

    def _start_where_it_is_quiet(self) -> None:
        """Shift the start by less than an interval, so that a precise stream is not due when the machine is busy."""
        plan = next((sending.plan for sending in self.sendings if sending.plan.precise), None)
        if plan is None:
            return
        interval_ns = plan.schedule.interval_ns
        phase_ns = quiet_phase_ns(interval_ns)
        if phase_ns is not None:
            self.started_ns += (phase_ns - self.clock.to_monotonic(self.started_ns + plan.start_ns)) % interval_ns

    def _amend_clocks(self) -> None:
        """Tell the manifest how the clocks stand now."""
        card = next((receiving.card for receiving in self.receivings if receiving.card is not None), None)
        self.writer.amend(clocks=msgspec.structs.replace(self.clocks, card=card))

    async def _with_everything_open(
        self,
        sockets: list[SenderSocket],
        on_progress: Callable[[Run], Awaitable[None]] | None,
        *,
        is_part: bool,
    ) -> None:
        if self.on_ready is not None:
            self.on_ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_signals)
            nursery.start_soon(self.recorder.keep_flushing)
            nursery.start_soon(self._watch_clock)
            nursery.start_soon(self.witnesses.run)
            nursery.start_soon(ChangeLog(self.recorder).run)
            for receiving in self.receivings:
                nursery.start_soon(self._receive, receiving)
            for event in self.plan.events:
                nursery.start_soon(self._at, event)
            if not is_part:
                nursery.start_soon(self._watch_end)
            if on_progress is not None:
                nursery.start_soon(self._report, on_progress)
            async with trio.open_nursery() as senders:
                for sending, socket in zip(self.sendings, sockets, strict=True):
                    senders.start_soon(self._send, sending, socket)
                await self._ended.wait()
                for sending in self.sendings:
                    sending.stop.set()
            if self.receivings and self.sendings:
                await trio.sleep(self._stragglers_s())
            nursery.cancel_scope.cancel()

    def _stragglers_s(self) -> float:
        """After the senders have told their end, what is on its way still has this long."""
        return min(self.plan.linger_ns / NS_PER_S, 0.2) if self.outcome.reason != "complete" else 0.0

    async def _send(self, sending: Sending, socket: SenderSocket) -> None:
        info = sending.info(self.started_ns + sending.plan.start_ns, socket)
        await sending.run(socket, info)
        self.writer.add_sender(sending.settled(info))
        self.n_sending -= 1
        self.witnesses.scene.over.add(sending.plan.number)
        if self.n_sending == 0:
            self._all_sent.set()
            self.recorder.tell_news()

    async def _receive(self, receiving: Receiving) -> None:
        if not receiving.sockets:
            await trio.sleep_until(self._trio_time(receiving.plan.start_ns))
            self.writer.add_receiver(receiving.open())
        await receiving.run()

    def _trio_time(self, offset_ns: int) -> float:
        """Return the Trio clock's time of an offset from the start of the timeline."""
        wait_ns: int = max(0, self.started_ns + offset_ns - self.clock.now_ns())
        return trio.current_time() + wait_ns / NS_PER_S

    async def _at(self, event: EventPlan) -> None:
        await trio.sleep_until(self._trio_time(event.at_ns))
        self.act(event)

    def act(self, event: EventPlan) -> None:
        """Do now what an event says; a refused join is an event of its own, not the end of the run."""
        if event.action == "note":
            self.recorder.event("note", event.text or "note", receiver=event.receiver)
            return
        for receiving in self.receivings:
            if event.receiver not in ("", receiving.plan.name):
                continue
            if event.action == "reopen":
                receiving.reopen()
            elif event.action in ("deafen", "stall"):
                getattr(receiving, event.action)(event.lasts_ns)
            else:
                getattr(receiving, event.action)(event.group)

    async def _watch_signals(self) -> None:
        """Let Ctrl-C, a polite kill and a closed terminal end the run and keep the data; a second one does at once."""
        n_polite = 0
        async for number in self._signals:
            if number in (signal.SIGINT, signal.SIGTERM):
                n_polite += 1
            if n_polite > 1:
                raise KeyboardInterrupt
            if not self._ended.is_set():  # a terminal that closes tells so twice, by the kernel and by the shell
                self.recorder.event("note", f"{signal.Signals(number).name} received: ending")
                self.stop("interrupted")

    async def _watch_clock(self) -> None:
        while True:
            await trio.sleep(CLOCK_POLL_S)
            step_ns = self.clock.check_step()
            if step_ns:
                self.recorder.event(
                    "clock_step", f"realtime clock stepped by {step_ns / 1e6:+.3f} ms; windows are not moved by it"
                )

    async def _watch_end(self) -> None:
        """Find out when the run is over."""
        plan, clock = self.plan, self.clock
        last_event_ns = self.started_ns + max((event.at_ns for event in plan.events), default=0)
        over_ns = None if plan.duration_ns is None else self.started_ns + plan.duration_ns
        give_up_ns = None if plan.timeout_ns is None else self.started_ns + plan.timeout_ns
        while not self._ended.is_set():
            news, now_ns = self.recorder.news, clock.now_ns()
            if over_ns is not None and now_ns >= over_ns:
                self.stop("duration")
            elif self.sendings and self.n_sending == 0:
                await trio.sleep(plan.linger_ns / NS_PER_S if self.receivings else 0)
                self.stop("complete")
            elif not self.sendings and now_ns > last_event_ns and self.has_heard_every_end():
                await trio.sleep(plan.linger_ns / NS_PER_S)
                self.stop("end of stream")
            elif give_up_ns is not None and self.receivings and not self.recorder.n_received and now_ns >= give_up_ns:
                self.stop("timeout")
            else:
                times_ns = [t_ns for t_ns in (over_ns, give_up_ns, last_event_ns + 1) if t_ns is not None]
                wait_ns = min((t_ns - now_ns for t_ns in times_ns if t_ns > now_ns), default=LOOK_NS)
                with trio.move_on_after(min(wait_ns, LOOK_NS) / NS_PER_S):
                    await news.wait()

    def has_heard_every_end(self) -> bool:
        """Whether every group joined has been heard, and every stream heard has told its end."""
        registry = self.recorder.registry
        if registry.ended != registry.streams.keys():
            return False
        heard = {(info.receiver, info.group) for info in registry.streams.values()}
        joined = {(r.plan.name, str(m.group)) for r in self.receivings for m in r.plan.memberships}
        return bool(joined) and joined <= heard

    async def _report(self, on_progress: Callable[[Run], Awaitable[None]]) -> None:
        while True:
            await trio.sleep(PROGRESS_PERIOD_S)
            await on_progress(self)

    async def _finish(self) -> None:
        """Bring the rest to the disk, with the ends of streams and the final counters."""
        for info in self.recorder.registry.take_fresh():
            self.writer.add_stream(info)
        end_ns = self.clock.now_ns()
        n_witnesses_lost = self.witnesses.close()
        rises, counters = without_witnesses(self._watch.risen(), n_witnesses_lost), self.counters()
        kept, n_filtered = only_overflows(counters.socket_drops, overflows(rises))
        if n_filtered:
            what = (
                "datagrams were dropped at the sockets and not by their buffers: a filter on them, or wrong checksums"
            )
            with contextlib.suppress(StorageError):
                self.recorder.event("note", f"{n_filtered} {what}")
        self.writer.set_counters(msgspec.structs.replace(counters, socket_drops=kept))
        self._amend_clocks()
        self.writer.amend(system_counters=rises)
        end = End(reason=self.outcome.reason, t_ns=end_ns, error=self.outcome.error)
        after = await trio.to_thread.run_sync(environment, AFTER_LIMIT_NS)
        self.witnesses.close_last()
        with contextlib.suppress(StorageError):  # the disk refused before: `finish` still writes how the run ended
            self.recorder.event("end", f"{self.plan.name} ends: {self.outcome.reason}", t_ns=end_ns)
        try:
            await trio.to_thread.run_sync(self._write_beside, after, end_ns)
        except StorageError as exc:
            self.outcome.reason, self.outcome.error = "error", self.outcome.error or str(exc)
        try:
            await trio.to_thread.run_sync(self.writer.finish, end)
        except StorageError as exc:
            self.outcome.reason, self.outcome.error = "error", str(exc)

    def _write_beside(self, after: dict[str, Any], end_ns: int) -> None:
        """Write what stands beside the recording, before the manifest says that all is there."""
        write_beside(self.writer.path / layout.ENVIRONMENT_AFTER, after)
        self.witnesses.write(end_ns)


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a run and keep its data; not a hang-up that nohup has switched off."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals
