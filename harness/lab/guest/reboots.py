"""A campaign of real reboots: what is done to each boot, the run, and whether each boot's outcome is what was done.

The guest runs the campaign and reboots itself; the controller only disturbs: it cuts the power, holds the switch's port
back, changes the hardware between two boots, or has a boot hang. What came of each boot is read off the guest's disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from harness.errors import LabError
from harness.lab.guest.beside import beside
from harness.lab.guest.lab import BootSeen, GuestLab, guest_lab
from harness.lab.guest.machine import Hardware, Image, Machine
from harness.lab.guest.outcome import BootResult, broken_promises, results, synced_rows
from harness.lab.guest.roots import Kind
from harness.lab.guest.work import BACK_WITHIN_S, DURATION_S, EXPECTED, GROUP, Disturbance, campaign_files, has_begun

SENDER = (GROUP, "--rate", "100pps", "--size", "200", "--duration", "2h")
PORT_DELAY_S = 1.2
"""How long after the guest's join the switch's port comes; before the sockets are reopened, and after a second."""

BOOT_LIMIT_S: dict[Kind, float] = {"minimal": 90.0, "systemd": 180.0}
HANG_LIMIT_S = BACK_WITHIN_S + 10.0
WORK_LIMIT_S = 240.0
"""Many times what a machine with nothing else to do needs; a time limit is there to end, not to measure."""

MIXED: tuple[Disturbance, ...] = (
    "healthy",
    "deaf",
    "healthy",
    "deaf",
    "cut-recording",
    "deaf",
    "slow-switch",
    "deaf",
    "spare-card",
    "deaf",
    "hang",
    "healthy",
    "deaf",
    "cut-any-time",
    "deaf",
    "slow-switch",
    "deaf",
    "cut-recording",
    "deaf",
    "spare-card",
    "deaf",
)
"""Twenty boots that reach the campaign and one that hangs. Every second one that the guest counts is deaf."""


@dataclass(frozen=True, slots=True)
class Row:
    """One boot of the table: what was done, and what the guest's disk tells of it."""

    disturbance: Disturbance
    result: BootResult

    @property
    def is_right(self) -> bool:
        """Whether the campaign's outcome and its recording both tell what was done."""
        return (self.result.outcome, self.result.finding) == EXPECTED[self.disturbance]

    def __str__(self) -> str:
        return told((self.result.outcome, self.result.finding))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a campaign of reboots went.

    Attributes:
      rows: one for each power-on, in order.
      problems: sentences; [] when everything is as it must be.
      n_synced: files that were called safe, as often as they were. n_rows_synced: packets of which that was said.
      n_flushes: how often the guest's kernel had the disk's cache emptied.
      n_lost_sectors: what the power cuts took from that cache.
      n_deaf: of each deaf boot, what the kernel had kept from its first sockets a second after they were opened.
    """

    rows: list[Row]
    problems: list[str]
    n_synced: int
    n_rows_synced: int
    n_flushes: int
    n_lost_sectors: int
    n_deaf: list[int]


def told(pair: tuple[str, str]) -> str:
    """Return outcome and finding in words.

    >>> told(("reproduced", "late")), told(("hung", ""))
    ('reproduced: late', 'hung')
    """
    outcome, finding = pair
    return f"{outcome}: {finding}" if finding else outcome


def deaf_numbers(plan: Sequence[Disturbance]) -> tuple[int, ...]:
    """Return which boots are deaf, in the guest's count, which knows nothing of those that hang.

    >>> deaf_numbers(["healthy", "hang", "deaf"])
    (2,)
    """
    counted = [disturbance for disturbance in plan if disturbance != "hang"]
    return tuple(number for number, disturbance in enumerate(counted, 1) if disturbance == "deaf")


async def reboot_campaign(
    image: Image,
    plan: Sequence[Disturbance],
    *,
    seed: int = 0,
    accelerator: str = "tcg",
    on_boot: Callable[[int, Disturbance], None] | None = None,
) -> Verdict:
    """Run a campaign of reboots in one guest and judge it.

    Args:
      image: what the guest boots.
      plan: what is done to each boot; the last is none that ends by itself badly: no hang and no power cut.
      seed: of the moments of the power cuts and what they take.
      accelerator: "tcg" or "kvm".
      on_boot: called as each boot begins, with its number from 1.

    Raises:
      LabError: the lab cannot be made, or the guest does something that no disturbance explains.
    """
    async with guest_lab(image, files=campaign_files(image.kind, len(plan)), sender=SENDER, seed=seed) as lab:
        controller = _Controller(lab, plan, random.Random(seed), accelerator, on_boot)
        await controller.run()
        return _judge(lab, plan, controller)


class _Controller:
    """Disturbs the boots of a plan, one after the other."""

    def __init__(
        self,
        lab: GuestLab,
        plan: Sequence[Disturbance],
        chance: random.Random,
        accelerator: str,
        on_boot: Callable[[int, Disturbance], None] | None,
    ) -> None:
        self.lab, self.plan, self.accelerator = lab, plan, accelerator
        self.n_lost_sectors = 0
        self.hung: set[int] = set()
        self._chance, self._on_boot = chance, on_boot
        self._deaf = deaf_numbers(plan)

    async def run(self) -> None:
        """Boot the guest until the plan is done.

        Raises:
          LabError: the guest does something that no disturbance explains, or its command fails.
        """
        async with beside() as nursery:
            nursery.start_soon(self._watch_failure)
            await self._all()

    async def _watch_failure(self) -> None:
        await self.lab.told.failed.wait()
        raise LabError(f"what the guest runs failed; the console says: {self._console_end()}")

    async def _all(self) -> None:
        """Go through the plan; a new process where the last one cannot go on."""
        at = 0
        while at < len(self.plan):
            disturbance = self.plan[at]
            async with self.lab.power_on(self._hardware(at), is_plugged=disturbance != "slow-switch") as machine:
                at = await self._boots(machine, at)

    async def _boots(self, machine: Machine, at: int) -> int:
        """Go through boots for as long as this process serves them; return which is next."""
        while True:
            disturbance = self.plan[at]
            if self._on_boot is not None:
                self._on_boot(at + 1, disturbance)
            is_last = at + 1 == len(self.plan)
            is_same = not is_last and self._hardware(at) == self._hardware(at + 1)
            with trio.move_on_after(BOOT_LIMIT_S[self.lab.image.kind] + WORK_LIMIT_S) as limit:
                await self._disturb(machine, at, disturbance, since=len(self.lab.told.synced))
                n_before = len(machine.qmp.events)
                if machine.is_cut or disturbance == "hang":
                    return at + 1
                # not earlier: the reset before this boot is two to QEMU, the kernel's by ACPI and the firmware's own
                await machine.stop_at_reboot(not is_same)
                if not is_same:
                    reason = await machine.wait()
                    if reason not in ("guest-reset", "guest-shutdown"):
                        raise LabError(f"the guest ended by itself in boot {at + 1}: {reason}")
                    return at + 1
                await machine.qmp.wait_event("RESET", since=n_before)
            if limit.cancelled_caught:
                raise LabError(f"boot {at + 1} was not over in time; the console says: {self._console_end()}")
            at += 1
            await machine.plug(self.plan[at] != "slow-switch")

    async def _disturb(self, machine: Machine, at: int, disturbance: Disturbance, since: int) -> None:
        number = at + 1 - len(self.hung)
        kind = self.lab.image.kind
        if disturbance == "hang":
            if await self.lab.wait_boot(number, HANG_LIMIT_S) is not None:
                raise LabError(f"boot {at + 1} was to hang and did not")
            self.hung.add(at)
            return
        if await self.lab.wait_boot(number, BOOT_LIMIT_S[kind]) is None:
            raise LabError(f"boot {at + 1} did not come; the console says: {self._console_end()}")
        if disturbance == "slow-switch":
            await self._joined(machine, at)
            await trio.sleep(PORT_DELAY_S)
            await machine.plug()
        elif disturbance == "cut-recording":
            await self._joined(machine, at)
            await trio.sleep(self._chance.uniform(0.1, DURATION_S - 1))
            self.n_lost_sectors += await self.lab.power_cut(machine)
        elif disturbance == "cut-any-time":
            if await self.lab.wait_synced(has_begun, since, WORK_LIMIT_S) is None:
                raise LabError(f"boot {at + 1} wrote no line in its journal")
            await trio.sleep(self._chance.uniform(0, DURATION_S))
            self.n_lost_sectors += await self.lab.power_cut(machine)

    async def _joined(self, machine: Machine, at: int) -> None:
        """Wait until the guest has joined, which its card shows, whether or not the switch hears of it."""
        with trio.move_on_after(WORK_LIMIT_S):
            while not await machine.has_joined(GROUP.partition(":")[0]):  # noqa: ASYNC110 -- QEMU tells of no change
                await trio.sleep(0.05)
            return
        raise LabError(f"boot {at + 1} joined no group")

    def _hardware(self, at: int) -> Hardware:
        disturbance = self.plan[at]
        return Hardware(
            has_spare_card=disturbance == "spare-card",
            hangs=disturbance == "hang",
            deaf=self._deaf,
            accelerator=self.accelerator,
        )

    def _console_end(self) -> str:
        lines = self.lab.console.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return lines[-1][:200]


def _judge(lab: GuestLab, plan: Sequence[Disturbance], controller: _Controller) -> Verdict:
    data = lab.read_back("/campaign")
    found = results(data, lab.told.boots, lab.card.mac)
    rows = [Row(disturbance, result) for disturbance, result in zip(plan, found, strict=False)]
    claims = lab.told.synced
    counts = synced_rows(data, claims)
    problems = [
        *journal_problems(found, lab.told.boots, len(plan)),
        *broken_promises(data, claims),
        *(
            f"recording {name}: {n_told} packets were synced, {n_there} are there"
            for name, (n_told, n_there) in counts.items()
            if n_there < n_told
        ),
        *(
            f"boot {row.result.number} ({row.disturbance}) is {row}, not {told(EXPECTED[row.disturbance])}"
            for row in rows
            if not row.is_right
        ),
    ]
    return Verdict(
        rows=rows,
        problems=problems,
        n_synced=len(claims),
        n_rows_synced=sum(n_told for n_told, _ in counts.values()),
        n_flushes=lab.n_flushes,
        n_lost_sectors=controller.n_lost_sectors,
        n_deaf=lab.told.n_deaf,
    )


def journal_problems(found: list[BootResult], seen: Sequence[BootSeen], n_planned: int) -> list[str]:
    """Return what is wrong with the journal's count: each boot once, in order, under the id that its kernel told."""
    numbers, ids = [one.number for one in found], [one.boot_id for one in found if one.boot_id]
    problems = []
    if numbers != list(range(1, n_planned + 1)):
        problems.append(f"of {n_planned} boots the journal has {len(numbers)}, numbered {numbers}")
    if len(set(ids)) != len(ids):
        problems.append("two boots in the journal share a boot id")
    if ids != [boot.boot_id for boot in seen]:
        problems.append("the boot ids in the journal are not those that the kernels told, in order")
    return problems
