"""The real world of a campaign: this machine's boots, its steps, its signals, and the reboot."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, cast

import msgspec
import trio

from harness.campaign import directory as layout
from harness.campaign.driver import BootResult
from harness.campaign.journal import Journal
from harness.campaign.plan import Resolved, boot_limit_ns
from harness.campaign.reboot import Rebooted, Rebooter
from harness.campaign.state import Begin, Presence
from harness.campaign.steps import Interruption, Stage, carry_out
from harness.errors import HarnessError
from harness.evidence import boot_id, environment
from harness.evidence.system import uptime_ns
from harness.model.boots import BootFacts, Pause, StepResult
from harness.model.campaign_text import filled
from harness.store.documents import read_json, write_document
from harness.store.layout import HOSTS
from harness.units import NS_PER_S, format_duration, format_scaled, parse_duration, parse_size

WATCHDOG_EXIT = 70
"""Exit code of a program whose boot hung: EX_SOFTWARE, which units answer with another start."""

Say = Callable[[str], None]


@dataclass
class Machine:
    """A machine, as the driver sees it.

    Attributes:
      directory: of the campaign. resolved: what it says. command: the command line that repeats it.
      rebooter: of this machine or of the remote host. boot_id: of the machine that it reboots.
      say: takes a line for the user. remote: what the other machine is called; "" when this one is rebooted.
    """

    directory: Path
    resolved: Resolved
    journal: Journal
    command: Sequence[str]
    rebooter: Rebooter
    say: Say
    boot_id: Callable[[], str] = boot_id
    uptime_ns: Callable[[], int | None] = uptime_ns
    launcher: str | None = None
    is_unattended: bool = False
    remote: str = ""

    def __post_init__(self) -> None:
        self.interruption = Interruption()

    @property
    def is_remote(self) -> bool:
        """Whether another machine is rebooted, and this one stays up."""
        return bool(self.remote)

    def presence(self) -> Presence:
        """Return the boot that the machine is in, and the time."""
        uptime = None
        if not self.is_remote:
            with contextlib.suppress(Exception):  # a system that does not tell its uptime only lacks a measure
                uptime = self.uptime_ns()
        return Presence(self.boot_id(), time.time_ns(), uptime, self.launcher, self.is_unattended)

    def room(self) -> str:
        """Return why a boot should not be begun: too little room on the disk."""
        needed = parse_size(self.resolved.campaign.min_free)
        free = shutil.disk_usage(self.directory).free
        if free >= needed:
            return ""
        return f"only {format_scaled(free, 'B')} free at {self.directory}, less than min_free; make room, then resume"

    def boot(self, action: Begin, on_step: Callable[[int, str], None]) -> BootResult:
        """Make a boot: steps, snapshot, measures."""
        path = layout.boot_path(self.directory, action.number)
        steps = filled(self.resolved.campaign.step, action.values)
        stage = Stage(self.resolved, path, self.interruption, self.command)
        self.say(f"boot {action.number}" + "".join(f", {name} = {value}" for name, value in action.values.items()))

        def announce(place: int, text: str) -> None:
            on_step(place, text)
            self.say(f"  {text}")

        with self._watched(action):
            facts = self._facts(action)
            self._write(path / layout.BOOT, facts)
            results: list[StepResult] = []

            def on_result(result: StepResult) -> None:
                results.append(result)
                self._write(path / layout.BOOT, msgspec.structs.replace(facts, steps=list(results)))

            try:
                error = carry_out(stage, steps, announce, on_result)
            finally:
                stage.close()
            pause = cast(Pause, self.interruption.pause)
            self._keep_environment(path, results)
            self._write(path / layout.BOOT, msgspec.structs.replace(facts, steps=results, error=error or None))
            from harness.campaign.measure import measure, write_measures  # after the recording: it takes its time

            measures = measure(path, self.resolved.campaign.reproduced_when)
            write_measures(path, measures)
        if measures.outcome == "reproduced":
            self._report(path, results)
        self.say(f"  {measures.outcome}" + (f": {measures.reason}" if measures.reason else ""))
        return BootResult(measures.outcome, measures.reason, pause)

    def _keep_environment(self, path: Path, results: list[StepResult]) -> None:
        """Keep what the machine that received said of itself just before; of no recording, what this one says now.

        Asking the system takes up to seconds, in which a boot's first packets would be missed: it is done once a boot.
        """
        for result in results:
            run = path / str(result.run)
            told = (run / HOSTS / self.remote if self.remote else run) / layout.ENVIRONMENT
            if told.is_file():
                self._write(path / layout.ENVIRONMENT, read_json(told))
                return
        if not self.remote:
            self._write(path / layout.ENVIRONMENT, environment())

    def _report(self, path: Path, results: list[StepResult]) -> None:
        """Write figures and report of the recordings of a boot that shows the fault."""
        from harness.conclusion import report_again

        for result in results:
            if result.run is not None:
                try:
                    report_again(path / result.run)
                except Exception as exc:  # it can be made again at any time; the boots after this one cannot
                    self.say(f"  no report: {' '.join(str(exc).split())}; harness report {path / result.run} makes it")

    def _facts(self, action: Begin) -> BootFacts:
        who = self.presence()
        booted_ns = None if who.uptime_ns is None else who.now_ns - who.uptime_ns
        return BootFacts(
            boot=action.number,
            boot_id=who.boot_id,
            values=action.values,
            arrival=action.arrival,
            began_ns=who.now_ns,
            booted_ns=booted_ns,
            is_fresh=action.arrival in ("resumed", "by_hand", "power_lost", "hung"),
        )

    def _write(self, path: Path, document: object) -> None:
        write_document(path, document, "is the disk full?", has_folder=False)

    @contextlib.contextmanager
    def _watched(self, action: Begin) -> Iterator[None]:
        """End the program when the boot takes too long: it hangs in a place that no time limit of a step reaches."""
        limit_ns = boot_limit_ns(self.resolved.campaign)

        def bite() -> None:
            text = f"no end within {format_duration(limit_ns)}"
            with contextlib.suppress(HarnessError):  # the end of the program is what matters
                self.journal.write(
                    boot_id=self.boot_id(), kind="boot_end", boot=action.number, outcome="hung", text=text
                )
            os._exit(WATCHDOG_EXIT)

        timer = threading.Timer(limit_ns / NS_PER_S, bite)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def countdown(self, number: int) -> Pause:
        """Count down to the reboot; Ctrl-C or `harness campaign cancel` call it off."""
        what = self.remote or "this machine"
        left = -(-parse_duration(self.resolved.campaign.countdown) // NS_PER_S)
        for second in range(left, 0, -1):
            if second in (left, 30, 20, 10, 5, 4, 3, 2, 1):
                cancel = f"Ctrl-C or harness campaign cancel {self.directory}"
                self.say(f"{what} reboots in {second} s, for boot {number}; {cancel} calls it off")
            self.interruption.wait(1)
            pause = self.pause_asked()
            if pause:
                return pause
        return ""

    def reboot(self) -> Literal["gone", "back", "failed", "hung"]:
        """Reboot, and say what came of it."""
        came = trio.run(self._reboot)
        if came is None or came.boot_id == "":
            return "gone"
        if came.boot_id is not None:
            return "back"
        self.say(f"no reboot: {came.reason}")
        return "hung" if came.is_hung else "failed"

    async def _reboot(self) -> Rebooted | None:
        """Reboot; None when the system told this program to end, since it is going down."""
        came: Rebooted | None = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while True:  # a signal's flag, which wakes nobody
                    await trio.sleep(0.1)
                    if self.interruption.pause == "terminated" and not self.is_remote:
                        nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            came = await self.rebooter.reboot(self.boot_id())
            nursery.cancel_scope.cancel()
        return came

    def pause_asked(self) -> Pause:
        """Return whether somebody wants a pause: by signal, or by word left in the directory."""
        if layout.take_cancel(self.directory):
            return "cancelled"
        return cast(Pause, self.interruption.pause)

    def notes(self) -> list[str]:
        """Return what `harness campaign note` left."""
        return layout.take_notes(self.directory)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Have Ctrl-C and a polite kill pause the campaign at the next good moment; a second Ctrl-C ends it at once."""

        def take(number: int, _: FrameType | None) -> None:
            if self.interruption.pause and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.interruption.pause = "interrupted" if number == signal.SIGINT else "terminated"

        before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
