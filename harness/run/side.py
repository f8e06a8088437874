"""One host of a run over several, from the controller's side: reached, prepared, watched, ended, brought home."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import trio

from harness.errors import HarnessError, HostError
from harness.evidence import boot_id
from harness.hosts import Host, Offset, PartStatus, Spool, default_root, fetch_part, united
from harness.model import HostInfo, SenderInfo
from harness.model.witness import Attendance
from harness.net import RunClock
from harness.run.combine import Identity
from harness.run.split import Share
from harness.units import NS_PER_S, parse_duration

PREPARE_S = 30.0
STOP_S = 15.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
SAME_CLOCK_NS = 50_000
"""Two processes under one kernel read one clock; each starts its time line with an error far below this."""


class Side:
    """One host of the run.

    Args:
      share: what it does.
      host: how it is reached.
      part: the name of its recording there, unique for ever.
      clock: the controller's time line.

    Attributes:
      status: its latest live numbers.
      lost: why its agent was lost, None while it was not.
      error: why its part ended early though its agent is there.
      missing: what could not be brought home, None when all is there.
      identities: of the streams that it sends.
      notes: what it says of its part before the start.
      interfaces: those of its host, when it has receivers.
    """

    def __init__(self, share: Share, host: Host, part: str, clock: RunClock) -> None:
        self.share, self.host, self.part, self._clock = share, host, part, clock
        self.name = share.host.name
        self.status = PartStatus(n_sending=len(share.scenario.stream))
        self.lost: str | None = None
        self.error: str | None = None
        self.missing: str | None = None
        self.identities: list[Identity] = []
        self.notes: list[str] = []
        self.interfaces: list[dict[str, Any]] = []
        self._is_prepared = False
        self._before: Offset | None = None
        self._after: Offset | None = None

    @property
    def offset(self) -> Offset | None:
        """Its time line minus the controller's; zero where both are one kernel's clock."""
        if self._before is None:
            return None
        measured = united(self._before, self._after) if self._after is not None else self._before
        is_one_kernel = bool(self.host.hello.get("boot_id")) and self.host.hello["boot_id"] == boot_id()
        if is_one_kernel and abs(measured.offset_ns) <= measured.bound_ns + SAME_CLOCK_NS:
            return Offset(0, 0)
        return measured

    @property
    def is_there(self) -> bool:
        """Whether its agent answers."""
        return self.lost is None

    @property
    def is_sending(self) -> bool:
        """Whether streams of it are on their way."""
        return self.is_there and not self.status.is_over and self.status.n_sending > 0

    async def reach(self) -> None:
        """Start the agent, compare clocks, and learn its interfaces, where unicast twins of its receivers go to.

        Raises:
          HostError: it cannot be reached.
        """
        await self.host.start()
        self._before = await self.host.measure_clock(self._clock)
        if self.share.scenario.receiver:
            answer = await self.host.request("interfaces")
            try:
                self.interfaces = msgspec.convert(answer.get("interfaces"), list[dict[str, Any]])
            except msgspec.ValidationError as exc:
                raise HostError(self.name, f"its interfaces do not fit: {exc}") from exc

    def attend(self, attendance: Attendance) -> None:
        """Tell its part of the witnesses that it cannot know of."""
        scenario = msgspec.structs.replace(self.share.scenario, attendance=attendance)
        self.share = dataclasses.replace(self.share, scenario=scenario)

    async def prepare(self) -> None:
        """Have it open everything.

        Raises:
          HostError: it cannot do its part.
        """
        scenario = msgspec.to_builtins(self.share.scenario)
        self._is_prepared = True
        answer = await self.host.request(
            "prepare", PREPARE_S, part=self.part, scenario=scenario, files=self.share.files
        )
        try:
            senders = msgspec.convert(answer.get("senders"), list[SenderInfo])
            self.notes = msgspec.convert(answer.get("notes"), list[str])
        except msgspec.ValidationError as exc:
            raise HostError(self.name, f"its answer does not fit: {exc}") from exc
        self.identities = [(info.stream_id, info.epoch) for info in senders]

    async def give_up(self) -> None:
        """Leave nothing there of a run that does not take place."""
        try:
            if self._is_prepared and self.host.pid is not None:
                await self.host.request("stop", STOP_S, reason="given up")
        except HostError:
            pass  # it ended by itself: what it began is to go all the same
        try:
            if self._is_prepared and self.host.pid is not None:
                await self.host.request("discard", part=self.part)
        except HostError:
            pass  # gone; its directory stays, and holds no packet
        await self.host.close()

    async def begin(self, start_ns: int) -> int:
        """Tell when the time line starts; return by how many ns that came too late there, 0 for in time."""
        assert self.offset is not None
        answer = await self.host.request("start", start_ns=start_ns + self.offset.offset_ns)
        return int(answer.get("late_ns", 0))

    async def ask(self) -> None:
        """Get its live numbers."""
        self._take(await self.host.request("status"))

    async def stop_sending(self) -> None:
        """End its streams."""
        self._take(await self.host.request("stop", STOP_S, what="streams"))

    async def stop(self, reason: str) -> None:
        """End its part, and compare the clocks again."""
        self._take(await self.host.request("stop", STOP_S, what="all", reason=reason))
        self._after = await self.host.measure_clock(self._clock)

    def _take(self, answer: dict[str, object]) -> None:
        try:
            self.status = msgspec.convert(answer, PartStatus)
        except msgspec.ValidationError as exc:
            raise HostError(self.name, f"its status does not fit: {exc}") from exc

    async def bring_home(self, folder: Path) -> bool:
        """Fetch the recording into a folder, from an agent started anew where the first one was lost.

        It is tried for as long as the scenario says; `missing` tells when that was in vain. Returns whether it is here.
        """
        patience_ns = parse_duration(self.share.host.retry)
        deadline = trio.current_time() + patience_ns / NS_PER_S
        pause_s, is_connected = FIRST_PAUSE_S, self.is_there
        while True:
            try:
                if not is_connected:
                    await self.host.start()
                    await self.host.request("claim", STOP_S, part=self.part)
                names = await fetch_part(self.host, self.part, folder)
                if "manifest.json" not in names:
                    self.missing = "its whole recording, of which nothing was found there"
                    return False
                await self.host.request("discard", part=self.part)
                await self.host.close()
                return True
            except HostError as exc:
                is_connected = False
                self.lost = self.lost or exc.reason
                if trio.current_time() + pause_s > deadline:
                    self.missing = f"its whole recording, {self.part} in its {self._spool()} ({exc.reason})"
                    return False
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _spool(self) -> str:
        return str(Spool(default_root()).root) if self.share.host.kind != "ssh" else "agents' state directory"

    def info(self) -> HostInfo:
        """Return the manifest's entry."""
        hello, offset = self.host.hello, self.offset
        found = hello.get("versions")
        return HostInfo(
            name=self.name,
            kind=self.share.host.kind,
            where=self.host.where,
            host=str(hello.get("host", "")),
            boot_id=str(hello.get("boot_id", "")),
            versions={str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {},
            clock_offset_ns=offset.offset_ns if offset is not None else None,
            clock_error_bound_ns=offset.bound_ns if offset is not None else None,
            lost=self.lost,
            missing=self.missing,
        )

    def trouble(self) -> str | None:
        """Return what went wrong with it, in one line, or None."""
        if self.lost is not None:
            what = "its recording was fetched" if self.missing is None else f"missing: {self.missing}"
            return f"host {self.name} was lost: {self.lost}; {what}"
        if self.error is not None:
            return f"host {self.name}: {self.error}"
        return f"host {self.name}: missing: {self.missing}" if self.missing is not None else None


async def together(sides: list[Side], do: Callable[[Side], Awaitable[None]]) -> list[HarnessError]:
    """Do something with all sides at once and return the errors of those where it failed."""
    errors: list[HarnessError] = []

    async def one(side: Side) -> None:
        try:
            await do(side)
        except HarnessError as exc:
            errors.append(exc)

    async with trio.open_nursery() as nursery:
        for side in sides:
            nursery.start_soon(one, side)
    return errors
