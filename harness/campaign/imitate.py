"""An imitated campaign: the real loop and the real journal on a real disk, killed again and again at random moments.

    python -m harness.campaign.imitate --boots 1000

Each start of the program is a child process. It is killed by SIGKILL from outside after a random time, or by itself in
the middle of a write, and started again: in the same boot (a crash), in another one (a power cut, which may leave a
torn line), or late (a boot that hung). A ledger beside the journal says what was really done; at the end the two are
held against each other, line by line. What a disk forgets that was not synced, no kill can show; that is for the tests
with a simulated disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.campaign.driver import BootResult, Driver
from harness.campaign.journal import FileMedium, Journal
from harness.campaign.state import Begin, Presence
from harness.model.boots import Outcome, Pause
from harness.model.campaign import Campaign, Note, Reboot
from harness.units import NS_PER_S

FINISHED, REBOOTING, PAUSED = 0, 10, 11
_LATE_NS = 3_600 * NS_PER_S


def campaign_of(boots: int) -> Campaign:
    """Return a campaign of so many boots that does nothing but be there."""
    return Campaign(
        name="imitated",
        allow_reboot=True,
        countdown="0",
        boot_limit="10min",
        repeats=boots // 2,
        matrix={"address": ["dhcp", "static"]},
        step=[Note(text="one"), Note(text="two"), Reboot()],
    )


@dataclass
class Here:
    """The machine as it is imitated: its boot, and how far its clock is ahead of the real one."""

    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    ahead_ns: int = 0
    booted_ns: int = field(default_factory=time.time_ns)

    def now_ns(self) -> int:
        """Return the time there."""
        return time.time_ns() + self.ahead_ns

    def boot_anew(self, late_ns: int = 0) -> None:
        """Be in another boot, after a silence."""
        self.boot_id = str(uuid.uuid4())
        self.ahead_ns += late_ns
        self.booted_ns = self.now_ns()


class MortalMedium(FileMedium):
    """A file whose writer dies in the middle of its n-th operation."""

    def __init__(self, path: Path, n_left: int, chance: random.Random) -> None:
        super().__init__(path)
        self._n_left, self._chance = n_left, chance

    def append(self, data: bytes) -> None:
        """Write, or a part of it, and die."""
        if self._is_last():
            super().append(data[: self._chance.randrange(len(data) + 1)])
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(data)

    def sync(self) -> None:
        """Wait for the medium, or die."""
        if self._is_last():
            os.kill(os.getpid(), signal.SIGKILL)
        super().sync()

    def _is_last(self) -> bool:
        self._n_left -= 1
        return self._n_left == 0


class Imitation:
    """The world of an imitated campaign; what it really does goes to the ledger."""

    def __init__(self, here: Here, ledger: Path, chance: random.Random) -> None:
        self._here, self._ledger, self._chance = here, ledger, chance

    def presence(self) -> Presence:
        """Return the imitated boot and time."""
        now_ns = self._here.now_ns()
        return Presence(self._here.boot_id, now_ns, now_ns - self._here.booted_ns, is_unattended=True)

    def room(self) -> str:
        """Return that there is room."""
        return ""

    def boot(self, action: Begin, on_step: Callable[[int, str], None]) -> BootResult:
        """Be there for a moment."""
        self._say("begin", action.number, values=action.values)
        for step in (1, 2):
            on_step(step, "note")
            time.sleep(self._chance.random() * 0.001)
        pause: Pause = "terminated" if self._chance.random() < 0.02 else ""
        outcome: Outcome = "not_run" if pause else self._chance.choice(("ok", "ok", "reproduced"))
        self._say("end", action.number, outcome=outcome)
        return BootResult(outcome, "", pause)

    def countdown(self, number: int) -> Pause:
        """Go on at once, or let the system end the program before the reboot is announced."""
        return "terminated" if number % 97 == 0 and self._chance.random() < 0.5 else ""

    def reboot(self) -> Literal["gone", "back", "failed", "hung"]:
        """Go down."""
        return "gone"

    def pause_asked(self) -> Pause:
        """Seldom ask for a pause."""
        return "terminated" if self._chance.random() < 0.02 else ""

    def notes(self) -> list[str]:
        """Return nothing."""
        return []

    def _say(self, kind: str, number: int, **more: object) -> None:
        line = json.dumps({"kind": kind, "boot": number, "boot_id": self._here.boot_id, **more}) + "\n"
        descriptor = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@dataclass
class Imitated:
    """What came of it.

    Attributes:
      planned: boots of the plan. kills: by how. lost, double: numbers of boots that the journal lacks, or has twice.
      wrong: where journal and ledger contradict each other, as sentences.
      outcomes: of the boots, by the journal. starts: of the program.
    """

    planned: int
    starts: int = 0
    boot_ids: int = 1
    kills: Counter[str] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    double: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    void: int = 0

    @property
    def is_passed(self) -> bool:
        """Whether no boot was lost and none counted twice."""
        return not (self.lost or self.double or self.wrong)


def imitate(folder: Path, boots: int, seed: int, kill_ratio: float = 0.5) -> Imitated:
    """Run a campaign of so many boots in an empty folder, killing its program at random; return what came of it.

    Args:
      folder: for journal and ledger, on a real disk.
      boots: of the plan, an even number.
      seed: of everything random but the kernel's own timing.
      kill_ratio: share of the starts that are killed.
    """
    chance = random.Random(seed)
    campaign = campaign_of(boots)
    here, result = Here(), Imitated(planned=boots)
    journal, ledger = folder / "journal.jsonl", folder / "ledger.jsonl"
    most = 20 * boots + 100
    while result.starts < most:
        result.starts += 1
        is_doomed = chance.random() < kill_ratio
        n_left = chance.randrange(1, 16) if is_doomed and chance.random() < 0.6 else -1
        pid = os.fork()
        if pid == 0:
            _child(campaign, here, journal, ledger, n_left, chance.randrange(1 << 30))
        if is_doomed and n_left < 0:
            time.sleep(chance.random() * 0.012)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            _after_kill(here, journal, chance, result)
        elif os.WEXITSTATUS(status) == FINISHED:
            break
        elif os.WEXITSTATUS(status) == REBOOTING:
            is_late = chance.random() < 0.02
            result.kills["hung"] += is_late
            here.boot_anew(_LATE_NS if is_late else 0)
            result.boot_ids += 1
        elif os.WEXITSTATUS(status) == PAUSED:
            if chance.random() < 0.5:
                here.boot_anew()
                result.boot_ids += 1
        else:
            result.wrong.append(f"start {result.starts} ended with {os.WEXITSTATUS(status)}")
            break
    else:
        result.wrong.append(f"no end after {most} starts")
    hold(result, journal, ledger)
    return result


def _child(campaign: Campaign, here: Here, journal: Path, ledger: Path, n_left: int, seed: int) -> None:
    """Run one session and end the process."""
    code = 1
    try:
        chance = random.Random(seed)
        opened = Journal(MortalMedium(journal, n_left, chance), here.now_ns)
        if not opened.state.seq:
            opened.write(boot_id=here.boot_id, kind="created", sha256="0" * 64, source="", text=campaign.name)
        ending = Driver(campaign, opened, Imitation(here, ledger, chance)).run()
        code = {"finished": FINISHED, "rebooting": REBOOTING}.get(ending.end, PAUSED)
    finally:
        os._exit(code)


def _after_kill(here: Here, journal: Path, chance: random.Random, result: Imitated) -> None:
    """Imitate what the killing was: of the program, or of the machine, with or without a torn line."""
    if chance.random() < 0.5:
        result.kills["program"] += 1
        return
    result.kills["machine"] += 1
    if chance.random() < 0.5 and journal.exists():
        result.kills["torn"] += 1
        line = b'{"crc":"00000000","seq":7,"t_ns":1,"kind":"boot_end","boot":1,"outcome":"ok"}\n'
        with journal.open("ab") as out:
            out.write(line[: chance.randrange(1, len(line) + 1)])
    here.boot_anew()
    result.boot_ids += 1


def hold(result: Imitated, journal: Path, ledger: Path) -> None:
    """Hold the journal against the ledger; both are read here in the plainest way, not by the code under test."""
    ends: dict[int, list[dict[str, object]]] = {}
    begins: Counter[int] = Counter()
    for line in journal.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["kind"] == "boot_end":
            ends.setdefault(record["boot"], []).append(record)
        elif record["kind"] == "boot_begin":
            begins[record["boot"]] += 1
    void = {number for number, records in ends.items() if any(record.get("is_void") for record in records)}
    result.void = len(void)
    result.outcomes.update(str(records[0]["outcome"]) for number, records in ends.items() if number not in void)
    result.double = sorted(number for number, records in ends.items() if len(records) > 1 or begins[number] > 1)
    result.lost = sorted(set(range(1, max(ends, default=0) + 1)) - set(ends))
    if len(ends) - len(void) != result.planned:
        result.wrong.append(f"{len(ends) - len(void)} boots settled, {result.planned} planned")
    begun: Counter[int] = Counter()
    used: Counter[str] = Counter()
    for line in ledger.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        number, told = entry["boot"], ends.get(entry["boot"], [])
        if entry["kind"] == "begin":
            begun[number] += 1
            used[entry["boot_id"]] += 1
        elif not told or told[0]["outcome"] not in (entry["outcome"], "crashed"):
            result.wrong.append(f"boot {number} was made and ended {entry['outcome']}; the journal says {told}")
    result.wrong += [f"boot {number} was made {n} times" for number, n in begun.items() if n > 1]
    result.wrong += [f"boot id {boot_id} had {n} boots" for boot_id, n in used.items() if n > 1]
    for number in set(ends) - set(begun):
        if ends[number][0]["outcome"] not in ("hung", "crashed"):
            result.wrong.append(f"boot {number} was never made; the journal says {ends[number][0]['outcome']}")


def main() -> int:
    """Run it from the command line; 0 when no boot was lost and none counted twice."""
    parser = argparse.ArgumentParser(prog="python -m harness.campaign.imitate", description=__doc__.split("\n")[0])
    parser.add_argument("--boots", type=int, default=1000, help="boots of the plan (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills (default 1)")
    parser.add_argument("--directory", type=Path, help="where the journal lies (default: a fresh one, removed after)")
    args = parser.parse_args()
    folder = args.directory or Path(tempfile.mkdtemp(prefix="imitated-campaign-", dir="."))
    folder.mkdir(parents=True, exist_ok=True)
    begin_s = time.monotonic()
    try:
        result = imitate(folder, args.boots + args.boots % 2, args.seed)
    finally:
        if args.directory is None:
            shutil.rmtree(folder)
    kills = ", ".join(f"{how} {n}" for how, n in sorted(result.kills.items()))
    outcomes = ", ".join(f"{outcome} {n}" for outcome, n in sorted(result.outcomes.items()))
    sys.stdout.write(
        f"{result.planned} boots planned, {sum(result.outcomes.values())} settled ({outcomes}), {result.void} broken "
        f"off by a pause and made again\n{result.starts} starts, {result.boot_ids} boot ids, kills: {kills}\n"
        f"{len(result.lost)} lost, {len(result.double)} double, {len(result.wrong)} contradictions, "
        f"{time.monotonic() - begin_s:.1f} s\n" + "".join(f"{sentence}\n" for sentence in result.wrong[:20])
    )
    return 0 if result.is_passed else 1


if __name__ == "__main__":
    sys.exit(main())
