"""The loop of a campaign: ask the state what comes next, write it down, do it.

What it does in the world stands behind `World`, so that the same loop runs on a machine that really reboots, in an
imitated campaign, and in tests on a disk that loses power between any two writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.campaign.journal import Journal
from harness.campaign.plan import boot_limit_ns, ordered
from harness.campaign.state import (
    Begin,
    Finish,
    GiveUp,
    Limits,
    Presence,
    Restart,
    interruption,
    is_held,
    limits_of,
    next_action,
    remaining,
)
from harness.model.boots import Outcome, Pause
from harness.model.campaign import Campaign
from harness.model.campaign_text import LAUNCHER


@dataclass(frozen=True, slots=True)
class BootResult:
    """How a boot ended; with `pause`, the user or the system broke it off, and its place is still to be filled."""

    outcome: Outcome
    text: str = ""
    pause: Pause = ""


class World(Protocol):
    """What a campaign does outside its journal."""

    def presence(self) -> Presence:
        """Return the boot that the machine is in, and the time."""

    def room(self) -> str:
        """Return why a boot should not be begun here, such as a full disk; "" when it may."""

    def boot(self, action: Begin, on_step: Callable[[int, str], None]) -> BootResult:
        """Make a boot and measure it; `on_step` is called before each step with its place and a few words."""

    def countdown(self, number: int) -> Pause:
        """Tell the user that a reboot comes, and wait; return "" to go on, or who called it off."""

    def reboot(self) -> Literal["gone", "back", "failed", "hung"]:
        """Reboot.

        "gone": this machine goes down, and this program with it. "back": a remote host is back, in a new boot.
        "failed": nothing happened. "hung": a remote host did not come back in time, and cannot be reached.
        """

    def pause_asked(self) -> Pause:
        """Return whether, between two boots, somebody wants the campaign to pause."""

    def notes(self) -> list[str]:
        """Return what somebody wants noted; each text once."""


End = Literal["finished", "rebooting", "paused", "held", "other launcher"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the loop ended, in a word and in a sentence."""

    end: End
    text: str = ""


class Driver:
    """The loop.

    Attributes:
      journal: of the campaign, opened.
      plan: values of every boot that is to be made.
    """

    def __init__(self, campaign: Campaign, journal: Journal, world: World) -> None:
        self.campaign, self.journal, self.world = campaign, journal, world
        self.plan = ordered(campaign)
        self._limits: Limits = limits_of(campaign, boot_limit_ns(campaign))

    def run(self) -> Ending:
        """Go on until the campaign is over, pauses, or the machine goes down.

        Raises:
          StorageError: the journal could not be written; nothing was done after that.
        """
        state, who = self.journal.state, self.world.presence()
        if state.finished is not None:
            return Ending("finished", state.finished)
        held = is_held(state, who)
        if held is not None:
            return Ending("held", f"{held}; harness campaign resume goes on by hand")
        other = self._other_launcher(who)
        if other is not None:
            return Ending("other launcher", f"the next boot is for the launcher {other!r}")
        self._settle(who)
        while True:
            ending = self._once()
            if ending is not None:
                return ending

    def _other_launcher(self, who: Presence) -> str | None:
        """Return the launcher that the next boot is for, when that is not this one."""
        left = remaining(self.journal.state, self.campaign, self.plan)
        wanted = left[0].get(LAUNCHER) if left else None
        return wanted if who.launcher is not None and wanted is not None and wanted != who.launcher else None

    def _settle(self, who: Presence) -> None:
        """Write down what happened since the last record."""
        left = remaining(self.journal.state, self.campaign, self.plan)
        for draft in interruption(self.journal.state, who, self._limits, left[0] if left else None):
            self.journal.write(boot_id=who.boot_id, **draft)

    def _once(self) -> Ending | None:
        """Do the next thing; None to go on."""
        who = self.world.presence()
        for text in self.world.notes():
            self.journal.write(boot_id=who.boot_id, kind="note", text=text)
        action = next_action(self.journal.state, self.campaign, self.plan, who)
        if isinstance(action, Finish):
            if action.is_new:
                self.journal.write(boot_id=who.boot_id, kind="finished", text=action.reason)
            return Ending("finished", action.reason)
        if isinstance(action, GiveUp):
            return self._pause(who, "trouble", action.reason)
        pause = self.world.pause_asked()
        if pause:
            return self._pause(who, pause, "between two boots")
        if isinstance(action, Restart):
            return self._reboot(who, action)
        other = self._other_launcher(who)
        if other is not None:
            return Ending("other launcher", f"the next boot is for the launcher {other!r}")
        return self._boot(who, action)

    def _boot(self, who: Presence, action: Begin) -> Ending | None:
        trouble = self.world.room()
        if trouble:
            return self._pause(who, "trouble", trouble)
        write, number = self.journal.write, action.number
        write(boot_id=who.boot_id, kind="boot_begin", boot=number, values=action.values, arrival=action.arrival)

        def on_step(place: int, text: str) -> None:
            write(boot_id=who.boot_id, kind="step", boot=number, step=place, text=text)

        result = self.world.boot(action, on_step)
        write(
            boot_id=who.boot_id,
            kind="boot_end",
            boot=number,
            outcome=result.outcome,
            is_void=bool(result.pause),
            text=result.text,
        )
        return self._pause(who, result.pause, result.text) if result.pause else None

    def _reboot(self, who: Presence, action: Restart) -> Ending | None:
        called_off = self.world.countdown(action.number)
        if called_off:
            return self._pause(who, called_off, f"the reboot for boot {action.number} was called off")
        self.journal.write(boot_id=who.boot_id, kind="rebooting", boot=action.number)
        came = self.world.reboot()
        if came == "gone":
            return Ending("rebooting", f"for boot {action.number}")
        if came == "failed":
            self.journal.write(boot_id=who.boot_id, kind="reboot_failed", boot=action.number)
            return None
        if came == "hung":
            left = remaining(self.journal.state, self.campaign, self.plan)
            text = "the host did not come back in time"
            self.journal.write(
                boot_id=who.boot_id, kind="boot_end", boot=action.number, values=left[0], outcome="hung", text=text
            )
            return self._pause(who, "trouble", f"{text}; switch it on, then harness campaign resume")
        self._settle(self.world.presence())
        return None

    def _pause(self, who: Presence, pause: Pause, text: str) -> Ending:
        self.journal.write(boot_id=who.boot_id, kind="paused", pause=pause, text=text)
        return Ending("paused", text)
