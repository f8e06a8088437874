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
from harness.lab.guest.outcome import BootResult, Outcome, broken_promises, synced_rows
from harness.lab.guest.roots import Kind
from harness.lab.guest.workers import BACK_WITHIN_S, DURATION_S, GROUP, STAND_IN, Disturbance, Worker

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
    """One boot of the table: what was done, what was found; `result` None for a boot that never came."""

    attempt: int
    disturbance: Disturbance
    expected: Outcome
    outcome: Outcome
    result: BootResult | None

    @property
    def is_right(self) -> bool:
        """Whether the outcome tells what was done."""
        return self.outcome == self.expected


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
    worker: Worker = STAND_IN,
    seed: int = 0,
    accelerator: str = "tcg",
    on_boot: Callable[[int, Disturbance], None] | None = None,
) -> Verdict:
    """Run a campaign of reboots in one guest and judge it.

    Args:
      image: what the guest boots.
      plan: what is done to each boot; the last is none that ends by itself badly: no hang and no power cut.
      worker: what runs in the guest.
      seed: of the moments of the power cuts and what they take.
      accelerator: "tcg" or "kvm".
      on_boot: called as each boot begins, with its number from 1.

    Raises:
      LabError: the lab cannot be made, or the guest does something that no disturbance explains.
    """
    n_boots = len([one for one in plan if worker.counts_hung or one != "hang"])
    async with guest_lab(image, files=worker.files(image.kind, n_boots), sender=SENDER, seed=seed) as lab:
        controller = _Controller(lab, plan, worker, random.Random(seed), accelerator, on_boot)
        await controller.run()
        return _judge(lab, plan, worker, controller)


class _Controller:
    """Disturbs the boots of a plan, one after the other."""

    def __init__(
        self,
        lab: GuestLab,
        plan: Sequence[Disturbance],
        worker: Worker,
        chance: random.Random,
        accelerator: str,
        on_boot: Callable[[int, Disturbance], None] | None,
    ) -> None:
        self.lab, self.plan, self.worker, self.accelerator = lab, plan, worker, accelerator
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
            if await self.lab.wait_synced(self.worker.has_begun, since, WORK_LIMIT_S) is None:
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


def _judge(lab: GuestLab, plan: Sequence[Disturbance], worker: Worker, controller: _Controller) -> Verdict:
    data = lab.read_back("/campaign")
    found = worker.results(data, lab.told.boots, lab.card.mac)
    rows, waiting = [], list(found)
    for at, disturbance in enumerate(plan):
        expected = worker.expected[disturbance]
        if at in controller.hung and not worker.counts_hung:
            rows.append(Row(at + 1, disturbance, expected, "hung", None))
        elif waiting:
            result = waiting.pop(0)
            rows.append(Row(at + 1, disturbance, expected, result.outcome, result))
    claims = lab.told.synced
    counts = synced_rows(data, claims)
    problems = [
        *_journal_problems(found, lab.told.boots, len(rows), len(plan)),
        *broken_promises(data, claims),
        *(
            f"recording {name}: {told} packets were synced, {now} are there"
            for name, (told, now) in counts.items()
            if now < told
        ),
        *(
            f"boot {row.attempt} ({row.disturbance}) is {row.outcome}, not {row.expected}"
            for row in rows
            if not row.is_right
        ),
    ]
    n_rows_synced = sum(told for told, _ in counts.values())
    return Verdict(
        rows=rows,
        problems=problems,
        n_synced=len(claims),
        n_rows_synced=n_rows_synced,
        n_flushes=lab.n_flushes,
        n_lost_sectors=controller.n_lost_sectors,
        n_deaf=lab.told.n_deaf,
    )


def _journal_problems(found: list[BootResult], seen: Sequence[BootSeen], n_rows: int, n_planned: int) -> list[str]:
    """Return what is wrong with the journal's count: each boot once, in order, under the id that its kernel told."""
    numbers, ids = [one.number for one in found], [one.boot_id for one in found if one.boot_id]
    problems = []
    if n_rows != n_planned or numbers != list(range(1, len(found) + 1)):
        problems.append(f"of {n_planned} boots the journal has {n_rows}, numbered {numbers}")
    if len(set(ids)) != len(ids):
        problems.append("two boots in the journal share a boot id")
    if ids != [boot.boot_id for boot in seen]:
        problems.append("the boot ids in the journal are not those that the kernels told, in order")
    return problems
