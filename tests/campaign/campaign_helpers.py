"""A disk that forgets what was not synced, and a world in which boots are made, for tests of the campaign's loop."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from harness.campaign.driver import BootResult, Driver, Ending
from harness.campaign.journal import Journal, parse
from harness.campaign.state import Begin, Presence
from harness.model.boots import JournalRecord, Outcome, Pause
from harness.model.campaign import Campaign, Note, Reboot, Step, Stop
from harness.units import NS_PER_S


class PowerCut(BaseException):
    """The program ends here; no handler of errors sees it."""


class ForgetfulDisk:
    """A file of which only synced bytes are sure to survive a power cut.

    Attributes:
      durable: what is on the medium. pending: written and not synced.
      n_left: operations until the cut; -1 for none. full_after: operations until there is no room; n_full: how many
        fail then.
    """

    def __init__(self) -> None:
        self.durable, self.pending = b"", b""
        self.n_left, self.full_after, self.n_full, self.part = -1, 0, 0, 0.5

    def read(self) -> bytes:
        return self.durable + self.pending

    def append(self, data: bytes) -> None:
        written = data[: round(len(data) * self.part)]
        if self._is_full():
            self.pending += written
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._is_last():
            self.pending += written
            raise PowerCut
        self.pending += data

    def sync(self) -> None:
        if self._is_full():
            raise OSError(errno.EIO, "Input/output error")
        if self._is_last():
            raise PowerCut
        self.durable, self.pending = self.durable + self.pending, b""

    def cut(self, size: int) -> None:
        if self._is_last():
            raise PowerCut
        self.durable, self.pending = (self.durable + self.pending)[:size], b""

    def lose_power(self, part: float) -> None:
        """Keep a part of what was not synced, at any byte."""
        self.durable, self.pending = self.durable + self.pending[: round(len(self.pending) * part)], b""

    def records(self) -> list[JournalRecord]:
        """Return what is on the medium for good."""
        return parse(self.durable, "disk")[0]

    def _is_last(self) -> bool:
        self.n_left -= 1
        return self.n_left == 0

    def _is_full(self) -> bool:
        self.full_after -= 1
        if self.full_after >= 0:
            return False
        self.n_full -= 1
        return self.n_full >= 0


def campaign_of(repeats: int, *, replacements: int = 0, has_reboot: bool = True, stop: Stop | None = None) -> Campaign:
    steps: list[Step] = [Note(text="one"), Note(text="two")]
    if has_reboot:
        steps.append(Reboot())
    return Campaign(
        name="test",
        allow_reboot=True,
        repeats=repeats,
        replacements=replacements,
        boot_limit="10min",
        back_within="5min",
        matrix={"address": ["dhcp", "static"]},
        stop=stop or Stop(),
        step=steps,
    )


@dataclass
class Made:
    """A boot that was really made."""

    number: int
    boot_id: str
    values: dict[str, str]
    ended: Outcome | None = None


@dataclass
class SimulatedWorld:
    """A machine that does what it is told, and remembers."""

    disk: ForgetfulDisk
    boot_number: int = 1
    now_ns: int = 1_000_000 * NS_PER_S
    booted_ns: int = 1_000_000 * NS_PER_S
    launcher: str | None = None
    is_unattended: bool = False
    made: list[Made] = field(default_factory=list)
    outcomes: Callable[[int], Outcome] = lambda number: "reproduced" if number % 3 == 0 else "ok"
    pause: Pause = ""
    pause_in_boot: Pause = ""
    cancel: Pause = ""
    rebooted: Literal["gone", "back", "failed", "hung"] = "gone"
    trouble: str = ""
    waiting: list[str] = field(default_factory=list)
    n_silences: int = 0

    def clock_ns(self) -> int:
        self.now_ns += NS_PER_S // 10
        return self.now_ns

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boot_number}"

    def presence(self) -> Presence:
        return Presence(self.boot_id, self.now_ns, self.now_ns - self.booted_ns, self.launcher, self.is_unattended)

    def boot_anew(self, after_ns: int = 30 * NS_PER_S) -> None:
        self.boot_number += 1
        self.n_silences += after_ns > 60 * NS_PER_S
        self.now_ns += after_ns
        self.booted_ns = self.now_ns

    def room(self) -> str:
        return self.trouble

    def boot(self, action: Begin, on_step: Callable[[int, str], None]) -> BootResult:
        begun = [record for record in self.disk.records() if record.kind == "boot_begin"]
        assert begun[-1].boot == action.number, "a boot is made that is not on the medium"
        made = Made(action.number, self.boot_id, action.values)
        self.made.append(made)
        for step in (1, 2):
            on_step(step, "note")
        if self.pause_in_boot:
            pause, self.pause_in_boot = self.pause_in_boot, ""
            return BootResult("not_run", "broken off", pause)
        made.ended = self.outcomes(action.number)
        return BootResult(made.ended)

    def countdown(self, number: int) -> Pause:
        assert number == len(self.disk_numbers()) + 1
        cancel, self.cancel = self.cancel, ""
        return cancel

    def disk_numbers(self) -> list[int | None]:
        return [record.boot for record in self.disk.records() if record.kind == "boot_end"]

    def reboot(self) -> Literal["gone", "back", "failed", "hung"]:
        last = self.disk.records()[-1]
        assert (last.kind, last.boot_id) == ("rebooting", self.boot_id), "a reboot that is not on the medium"
        if self.rebooted == "back":
            self.boot_anew()
        return self.rebooted

    def pause_asked(self) -> Pause:
        pause, self.pause = self.pause, ""
        return pause

    def notes(self) -> list[str]:
        notes, self.waiting = self.waiting, []
        return notes


def start(campaign: Campaign, world: SimulatedWorld) -> Ending:
    """Start the program once, in the world as it is."""
    journal = Journal(world.disk, world.clock_ns)
    if not journal.state.seq:
        journal.write(boot_id=world.boot_id, kind="created", sha256="0" * 64, source="x.toml")
    return Driver(campaign, journal, world).run()


def run_to_the_end(campaign: Campaign, world: SimulatedWorld, most: int = 500) -> Ending:
    """Start the program, and boot, as often as it takes."""
    for _ in range(most):
        ending = start(campaign, world)
        if ending.end == "rebooting":
            world.boot_anew()
        elif ending.end != "paused":
            return ending
    raise AssertionError("no end")
