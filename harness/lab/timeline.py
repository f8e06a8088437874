"""The impairments of a run, at their times: applied, logged, counted and undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from harness.errors import ungrouped
from harness.lab.impairments import Applied, apply
from harness.lab.meters import Meters
from harness.lab.topology import LabTopology
from harness.model.lab import Recreate
from harness.model.lab_record import Fault
from harness.model.scenario import TimedEvent
from harness.units import NS_PER_S, parse_duration

Log = Callable[[dict[str, Any]], None]


class Timeline:
    """Carries out the impairments of a scenario.

    Args:
      topology: the lab.
      meters: its meters, put back where a cable is made anew.
      events: of the scenario; those without an impairment are not its business.
      log: takes the ground truth, a record each time that something is done or undone.
    """

    def __init__(self, topology: LabTopology, meters: Meters, events: list[TimedEvent], *, log: Log) -> None:
        self._topology, self._meters, self._log = topology, meters, log
        self._events = [event for event in events if event.impair is not None]
        self._applied: dict[int, Applied] = {}  # by the place of the event, as the faults are
        self._times: dict[int, list[int]] = {}
        self._faults: dict[int, Fault] = {}

    @property
    def faults(self) -> list[Fault]:
        """What was done so far, in the order of the scenario."""
        return [self._faults[place] for place in sorted(self._faults)]

    async def prepare(self) -> None:
        """Apply what holds from the very start, before any traffic: `at` 0.

        Raises:
          LabError: something cannot be done here.
        """
        for place, event in enumerate(self._events):
            if parse_duration(event.at) == 0:
                await self._apply(place)

    async def run(self, start_ns: int, now_ns: Callable[[], int]) -> None:
        """Carry out the rest, each at its time.

        Args:
          start_ns: when the timeline begins.
          now_ns: the clock that this is told on.

        Raises:
          LabError: the first that could not be done.
        """
        with ungrouped():
            async with trio.open_nursery() as nursery:
                for place in range(len(self._events)):
                    nursery.start_soon(self._perform, place, start_ns, now_ns)

    async def _perform(self, place: int, start_ns: int, now_ns: Callable[[], int]) -> None:
        event = self._events[place]
        at_ns = start_ns + parse_duration(event.at)
        if place not in self._applied:
            await trio.sleep(max(0, at_ns - now_ns()) / NS_PER_S)
            await self._apply(place)
        if event.lasts is not None:
            await trio.sleep(max(0, at_ns + parse_duration(event.lasts) - now_ns()) / NS_PER_S)
            await self._undo(place)

    async def _apply(self, place: int) -> None:
        impair = self._events[place].impair
        assert impair is not None
        times: list[int] = []

        def log(record: dict[str, Any]) -> None:
            times.append(record["t_ns"])
            self._log(record)

        self._times[place] = times
        applied = await apply(impair, self._topology, log=log)
        for kind, name in applied.owned:
            self._topology.own(kind, name)
        if isinstance(impair, Recreate):
            await self._meters.attach(impair.at)
        self._applied[place] = applied
        self._faults[place] = Fault(
            kind=str(msgspec.to_builtins(impair)["kind"]),
            at=next((str(found) for key in _WHERE if (found := getattr(impair, key, None))), ""),
            side=getattr(impair, "side", ""),
            direction=getattr(impair, "direction", ""),
            from_ns=times[0],
        )

    async def _undo(self, place: int) -> None:
        applied = self._applied.pop(place)
        await applied.undo()
        counted, until_ns = await applied.counted(), self._times[place][-1]
        self._faults[place] = msgspec.structs.replace(self._faults[place], counted=counted, until_ns=until_ns)

    async def finish(self) -> None:
        """Take the counts of what still holds; it goes with the lab."""
        for place, applied in self._applied.items():
            self._faults[place] = msgspec.structs.replace(self._faults[place], counted=await applied.counted())


_WHERE = ("at", "host", "switch", "router")
"""The key of an impairment that says where it is."""
