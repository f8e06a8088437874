"""Whatever moment the power goes, the program dies or the disk fills: every boot is settled once, and made once."""

from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
from campaign_helpers import ForgetfulDisk, PowerCut, SimulatedWorld, campaign_of, run_to_the_end, start
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.campaign.imitate import Imitated, hold, imitate
from harness.campaign.plan import ordered
from harness.campaign.state import State
from harness.errors import StorageError
from harness.model.boots import Outcome, Pause
from harness.model.campaign import Campaign
from harness.units import NS_PER_S

PAUSES: list[Pause] = ["cancelled", "interrupted", "terminated"]


class CrashingCampaign(RuleBasedStateMachine):
    """A campaign whose program is started again and again, and ended at any write or sync of its journal."""

    @initialize(repeats=st.integers(1, 4), replacements=st.integers(0, 2), has_reboot=st.booleans())
    def begin(self, repeats: int, replacements: int, has_reboot: bool) -> None:
        self.campaign: Campaign = campaign_of(repeats, replacements=replacements, has_reboot=has_reboot)
        self.world = SimulatedWorld(ForgetfulDisk())
        self.promised: dict[int, Outcome] = {}
        self._is_dead = False

    def _start(self) -> None:
        disk, world = self.world.disk, self.world
        n_made = len(world.made)
        try:
            ending = start(self.campaign, world)
        except (PowerCut, StorageError):
            self._is_dead = True
        else:
            self._is_dead = False
            if ending.end == "rebooting":
                world.boot_anew()
        assert len(world.made) >= n_made
        for record in disk.records():
            if record.kind == "boot_end" and record.boot is not None and record.outcome is not None:
                before = self.promised.setdefault(record.boot, record.outcome)
                assert before == record.outcome

    @rule()
    def runs_undisturbed(self) -> None:
        self._start()

    @rule(n=st.integers(1, 25), part=st.floats(0, 1))
    def program_is_killed(self, n: int, part: float) -> None:
        self._killed(n, part)

    @rule(n=st.integers(1, 25), part=st.floats(0, 1), kept=st.floats(0, 1), after_s=st.sampled_from([1, 100, 100_000]))
    def power_is_cut(self, n: int, part: float, kept: float, after_s: int) -> None:
        if self._killed(n, part):
            self.world.disk.lose_power(kept)
            self.world.boot_anew(after_s * NS_PER_S)

    def _killed(self, n: int, part: float) -> bool:
        self.world.disk.n_left, self.world.disk.part = n, part
        self._start()
        self.world.disk.n_left = -1
        return self._is_dead

    @rule(n=st.integers(1, 4), at=st.integers(1, 12), part=st.floats(0, 1))
    def disk_is_full(self, n: int, at: int, part: float) -> None:
        disk = self.world.disk
        disk.part, disk.full_after, disk.n_full = part, at, n
        self._start()
        disk.full_after = disk.n_full = 0

    @rule(pause=st.sampled_from(PAUSES), where=st.sampled_from(["pause", "pause_in_boot", "cancel"]))
    def somebody_pauses(self, pause: Pause, where: str) -> None:
        setattr(self.world, where, pause)
        self._start()
        setattr(self.world, where, "")

    @rule()
    def somebody_reboots(self) -> None:
        self.world.boot_anew()

    @rule()
    def machine_hangs_on_its_way(self) -> None:
        self.world.boot_anew(3_600 * NS_PER_S)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        world = self.world
        assert all(n == 1 for n in Counter(made.number for made in world.made).values()), "a boot was made twice"
        if self.campaign.has_reboot:
            assert all(n == 1 for n in Counter(made.boot_id for made in world.made).values()), "two boots in one"
        records = world.disk.records()
        ends = Counter(record.boot for record in records if record.kind == "boot_end")
        assert all(n == 1 for n in ends.values())
        n_hung = sum(record.kind == "boot_end" and record.outcome == "hung" for record in records)
        assert n_hung <= world.n_silences, "a silence was charged to two boots"
        settled = {record.boot: record for record in records if record.kind == "boot_end"}
        for made in world.made:
            record = settled.get(made.number)
            assert record is None or record.outcome in (made.ended, "crashed", "hung", "not_run")
        assert set(self.promised) <= set(settled), "a boot that was settled is gone"

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        ending = run_to_the_end(self.campaign, self.world)
        assert ending.end == "finished"
        self.nothing_is_lost_or_doubled()
        state = State()
        for record in self.world.disk.records():
            state.apply(record)
        assert [boot.number for boot in state.settled] == list(range(1, len(state.settled) + 1))
        n_telling_nothing = sum(boot.outcome in ("crashed", "hung") for boot in state.settled if not boot.is_void)
        n_made_up_for = min(self.campaign.replacements, n_telling_nothing)
        filled = Counter(boot.values["address"] for boot in state.settled if not boot.is_void)
        planned = Counter(values["address"] for values in ordered(self.campaign))
        assert filled.total() - n_made_up_for == planned.total()
        assert sum((filled - planned).values()) <= n_made_up_for


TestCrashingCampaign = CrashingCampaign.TestCase
TestCrashingCampaign.settings = settings(max_examples=120, stateful_step_count=15, deadline=None)


def test_every_operation_of_a_whole_campaign_survives_a_cut_at_every_quarter_of_its_bytes() -> None:
    reference = SimulatedWorld(ForgetfulDisk())
    campaign = campaign_of(2)
    run_to_the_end(campaign, reference)
    for part in (0.0, 0.25, 0.75, 1.0):
        for n in range(1, 40):
            for is_power in (False, True):
                world = SimulatedWorld(ForgetfulDisk())
                world.disk.n_left, world.disk.part = n, part
                while True:
                    try:
                        ending = start(campaign, world)
                    except PowerCut:
                        if is_power:
                            world.disk.lose_power(part)
                            world.boot_anew()
                        continue
                    if ending.end == "finished":
                        break
                    world.boot_anew()
                numbers = [record.boot for record in world.disk.records() if record.kind == "boot_end"]
                assert numbers == [1, 2, 3, 4], (n, part, is_power)
                assert len({made.number for made in world.made}) == len(world.made)


def test_sixty_imitated_boots_on_a_real_disk_lose_none_and_double_none(tmp_path: Path) -> None:
    result = imitate(tmp_path, boots=60, seed=7)
    assert result.is_passed, result
    assert sum(result.outcomes.values()) == 60
    assert result.kills["program"] > 5
    assert result.kills["machine"] > 5


def test_ledger_notices_a_journal_that_lost_a_boot(tmp_path: Path) -> None:
    """The comparison at the end of an imitated campaign can fail."""
    folder = tmp_path
    assert imitate(folder, boots=8, seed=3).is_passed
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    ends = [place for place, line in enumerate(lines) if '"boot_end"' in line]
    journal.write_text("".join(lines[: ends[3]] + lines[ends[3] + 1 :]))
    missing = Imitated(planned=8)
    hold(missing, journal, folder / "ledger.jsonl")
    assert not missing.is_passed
    assert missing.lost
    journal.write_text("".join([*lines[: ends[3]], lines[ends[3]], *lines[ends[3] :]]))
    double = Imitated(planned=8)
    hold(double, journal, folder / "ledger.jsonl")
    assert double.double
