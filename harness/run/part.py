"""A part of a scenario on one of its hosts, as the agent there carries it out (`harness.hosts.Performance`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from harness.errors import UsageError, nearest
from harness.hosts import PartStatus
from harness.model import SenderInfo
from harness.model.scenario import Scenario, TimedEvent
from harness.net import RunClock
from harness.run.engine import Run
from harness.run.plan import event_plan, resolve
from harness.run.session import make_run, write_rest

COMMAND = ("harness", "agent")


class Part:
    """Runs a part into a directory of its own."""

    def __init__(self, run: Run) -> None:
        self.run = run

    async def perform(self, begin: Callable[[], Awaitable[int]]) -> None:
        """Open everything, await the start, and run until stopped; the recording is complete when this returns."""
        await self.run.execute(begin=begin)
        write_rest(self.run)

    def notes(self) -> list[str]:
        """Return what is allowed and yet worth saying."""
        return list(self.run.plan.notes)

    def senders(self) -> list[SenderInfo]:
        """Return the streams that this part sends."""
        return [sending.info(0) for sending in self.run.sendings]

    def status(self) -> PartStatus:
        """Return the live numbers."""
        run, recorder = self.run, self.run.recorder
        views = recorder.view()
        return PartStatus(
            n_sent=recorder.n_sent,
            n_refused=recorder.n_refused,
            n_received=recorder.n_received,
            n_sending=run.n_sending,
            lost=sum(view.lost or 0 for view in views) if views else None,
            has_heard_every_end=bool(run.receivings) and run.has_heard_every_end(),
            reason=run.outcome.reason,
            error=run.outcome.error,
        )

    def act(self, event: TimedEvent) -> None:
        """Do now what an event says.

        Raises:
          UsageError: it names a receiver that is not here.
        """
        names = [receiving.plan.name for receiving in self.run.receivings]
        if event.receiver and event.receiver not in names:
            raise UsageError(f"no receiver {event.receiver!r} here{nearest(event.receiver, names)}")
        self.run.act(event_plan(event))

    async def stop_sending(self) -> None:
        """End the streams and wait until they have told their end."""
        await self.run.stop_sending()

    def stop(self, reason: str) -> None:
        """End the part."""
        self.run.stop(reason)


def make_part(scenario: Scenario, path: Path, files: Path, clock: RunClock) -> Part:
    """Return a part, ready to be performed (`harness.hosts.Performer`).

    Args:
      scenario: the host's streams, receivers and events, none of which names a host.
      path: the run directory, which does not exist yet.
      files: the folder of the files that the part names.
      clock: the agent's time line.

    Raises:
      HarnessError: the part cannot be run here.
    """
    receivers = [
        msgspec.structs.replace(receiver, protocol=f"{files / receiver.protocol}")
        if ".py:" in receiver.protocol
        else receiver
        for receiver in scenario.receiver
    ]
    plan = resolve(msgspec.structs.replace(scenario, receiver=receivers), files, is_part=True)
    return Part(make_run(plan, path, clock, command=COMMAND))
