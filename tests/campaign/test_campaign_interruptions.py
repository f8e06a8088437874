"""What happened between two starts of the program is told from the boot ids, and each cause has one outcome."""

from collections.abc import Callable

import msgspec
import pytest
from campaign_helpers import ForgetfulDisk, PowerCut, SimulatedWorld, campaign_of, run_to_the_end, start

from harness.campaign.journal import Journal
from harness.campaign.state import State
from harness.errors import RecordError, StorageError
from harness.model.boots import JournalRecord, Pause
from harness.model.campaign import Stop
from harness.units import NS_PER_S


def fresh() -> SimulatedWorld:
    return SimulatedWorld(ForgetfulDisk())


def sessions(world: SimulatedWorld) -> list[str | None]:
    return [record.arrival for record in world.disk.records() if record.kind == "session"]


def ends(world: SimulatedWorld) -> list[tuple[int | None, str | None]]:
    return [(record.boot, record.outcome) for record in world.disk.records() if record.kind == "boot_end"]


def cut_in_boot(world: SimulatedWorld) -> None:
    """Start the program and end it in the second step of the boot."""
    boot = world.boot

    def dies(action: object, on_step: Callable[[int, str], None]) -> object:
        on_step(1, "note")
        world.boot = boot  # type: ignore[method-assign] # the next boot lives
        raise PowerCut

    world.boot = dies  # type: ignore[assignment, method-assign] # this one does not
    with pytest.raises(PowerCut):
        start(campaign_of(2), world)


def test_undisturbed_campaign_makes_every_boot_once_each_in_its_own_boot() -> None:
    world = fresh()
    assert run_to_the_end(campaign_of(3), world).end == "finished"
    assert [made.number for made in world.made] == [1, 2, 3, 4, 5, 6]
    assert len({made.boot_id for made in world.made}) == 6
    assert sessions(world) == ["started", *["resumed"] * 5]
    assert [outcome for _, outcome in ends(world)] == ["ok", "ok", "reproduced"] * 2


def test_program_killed_in_a_boot_is_a_crash_and_the_machine_is_rebooted_before_the_next() -> None:
    world = fresh()
    cut_in_boot(world)
    assert start(campaign_of(2), world).end == "rebooting"
    assert sessions(world) == ["started", "crashed"]
    assert ends(world) == [(1, "crashed")]
    assert len(world.made) == 0


def test_power_lost_in_a_boot_is_told_and_the_new_boot_is_used_at_once() -> None:
    world = fresh()
    cut_in_boot(world)
    world.boot_anew()
    assert start(campaign_of(2), world).end == "rebooting"
    assert sessions(world) == ["started", "power_lost"]
    assert ends(world) == [(1, "crashed"), (2, "ok")]
    assert "step 1" in world.disk.records()[4].text


def test_machine_silent_for_longer_than_a_boot_may_last_hung() -> None:
    world = fresh()
    cut_in_boot(world)
    world.boot_anew(11 * 60 * NS_PER_S)
    start(campaign_of(2), world)
    assert sessions(world)[-1] == "hung"
    assert ends(world)[0] == (1, "hung")


@pytest.mark.parametrize(("after_s", "arrival", "first"), [(290, "resumed", "ok"), (310, "hung", "hung")])
def test_boot_that_comes_back_too_late_hung_and_counts_as_such(after_s: int, arrival: str, first: str) -> None:
    world = fresh()
    assert start(campaign_of(2), world).end == "rebooting"
    world.boot_anew(after_s * NS_PER_S)
    start(campaign_of(2), world)
    assert sessions(world)[-1] == arrival
    assert ends(world)[1] == (2, first)
    if arrival == "hung":
        assert ends(world)[2][0] == 3, "the boot that came back is used for the next number"


def test_crash_while_a_hang_is_settled_does_not_charge_it_twice() -> None:
    for n in range(1, 9):
        world = fresh()
        start(campaign_of(2), world)
        world.boot_anew(3600 * NS_PER_S)
        world.disk.n_left = n
        try:
            start(campaign_of(2), world)
        except PowerCut:
            world.disk.n_left = -1
        world.disk.n_left = -1
        run_to_the_end(campaign_of(2), world)
        assert [outcome for _, outcome in ends(world)].count("hung") == 1, n
        assert [number for number, _ in ends(world)] == [1, 2, 3, 4]


def test_clock_without_battery_that_starts_in_the_past_is_no_hang() -> None:
    world = fresh()
    start(campaign_of(1), world)
    world.boot_anew(-900_000 * NS_PER_S)
    start(campaign_of(1), world)
    assert sessions(world)[-1] == "resumed"


def test_reboot_that_never_came_is_tried_three_times_and_then_given_up() -> None:
    world = fresh()
    world.rebooted = "failed"
    ending = start(campaign_of(2), world)
    assert ending.end == "paused"
    assert "3 tries" in ending.text
    assert [record.kind for record in world.disk.records()].count("rebooting") == 3
    world.is_unattended = True
    assert start(campaign_of(2), world).end == "held"


def test_program_started_again_in_the_boot_that_was_to_end_reboots_again() -> None:
    world = fresh()
    assert start(campaign_of(2), world).end == "rebooting"
    assert start(campaign_of(2), world).end == "rebooting"
    assert sessions(world) == ["started", "not_rebooted"]
    assert len(world.made) == 1


@pytest.mark.parametrize(("is_rebooted", "arrival"), [(False, "continued"), (True, "by_hand")])
def test_clean_pause_then_the_same_boot_or_one_by_hand(is_rebooted: bool, arrival: str) -> None:
    world = fresh()
    world.pause_in_boot = "interrupted"
    assert start(campaign_of(2), world).end == "paused"
    if is_rebooted:
        world.boot_anew()
    assert run_to_the_end(campaign_of(2), world).end == "finished"
    assert sessions(world)[1] == arrival
    assert ends(world)[0] == (1, "not_run")
    assert len(ends(world)) == 5, "a boot that the user broke off is made again"


@pytest.mark.parametrize(
    ("pause", "is_held"), [("cancelled", True), ("interrupted", True), ("trouble", True), ("terminated", False)]
)
def test_unattended_start_leaves_alone_what_its_user_has_paused(pause: Pause, is_held: bool) -> None:
    world = fresh()
    world.cancel = pause
    assert start(campaign_of(2), world).end == "paused"
    world.boot_anew()
    world.is_unattended = True
    n_records = len(world.disk.records())
    ending = start(campaign_of(2), world)
    assert (ending.end == "held") is is_held
    assert (len(world.disk.records()) == n_records) is is_held


def test_cancelled_countdown_means_no_reboot() -> None:
    world = fresh()
    world.cancel = "cancelled"
    start(campaign_of(2), world)
    assert "rebooting" not in [record.kind for record in world.disk.records()]


def test_host_that_does_not_come_back_costs_one_boot_and_pauses() -> None:
    world = fresh()
    world.rebooted = "hung"
    assert start(campaign_of(2), world).end == "paused"
    assert ends(world) == [(1, "ok"), (2, "hung")]
    world.rebooted = "back"
    world.boot_anew()
    assert start(campaign_of(2), world).end == "finished"
    assert [number for number, _ in ends(world)] == [1, 2, 3, 4]


def test_controller_that_stays_up_goes_on_in_one_session() -> None:
    world = fresh()
    world.rebooted = "back"
    assert start(campaign_of(2), world).end == "finished"
    assert len({made.boot_id for made in world.made}) == 4


def test_full_disk_stops_before_the_next_step_and_nothing_is_lost() -> None:
    world = fresh()
    world.disk.full_after, world.disk.n_full = 4, 1
    with pytest.raises(StorageError, match="cannot write journal: ENOSPC"):
        start(campaign_of(2), world)
    assert len(world.made) == 0
    assert run_to_the_end(campaign_of(2), world).end == "finished"
    assert [number for number, _ in ends(world)] == [1, 2, 3, 4]


def test_too_little_room_pauses_before_a_boot_is_begun() -> None:
    world = fresh()
    world.trouble = "only 3 MB free"
    assert start(campaign_of(2), world).text == "only 3 MB free"
    assert ends(world) == []


def test_other_launcher_leaves_the_boot_and_writes_nothing() -> None:
    campaign = msgspec.structs.replace(campaign_of(2), matrix={"launcher": ["agent", "daemon"]})
    world = fresh()
    first = None
    for _ in range(40):
        world.launcher = "agent" if world.launcher == "daemon" else "daemon"
        ending = start(campaign, world)
        first = first or (world.launcher if world.made else None)
        if ending.end == "rebooting":
            world.boot_anew()
        if ending.end == "finished":
            break
    assert [made.number for made in world.made] == [1, 2, 3, 4]
    assert first == world.made[0].values["launcher"]


@pytest.mark.parametrize(
    ("stop", "n_boots", "words"),
    [
        (Stop(first_reproduction=True), 3, "reproduced"),
        (Stop(reproductions=2), 6, "2 times"),
        (Stop(boots=4), 4, "4 boots"),
        (Stop(time="100s"), 4, "100s"),
    ],
)
def test_stop_rules(stop: Stop, n_boots: int, words: str) -> None:
    world = fresh()
    ending = run_to_the_end(campaign_of(10, stop=stop), world)
    assert len(world.made) == n_boots
    assert words in ending.text


def test_boots_that_tell_nothing_are_made_up_for_as_often_as_allowed() -> None:
    world = fresh()
    world.outcomes = lambda number: "not_run" if number in (1, 3, 4) else "ok"
    run_to_the_end(campaign_of(3, replacements=2), world)
    assert len(world.made) == 8
    assert [outcome for _, outcome in ends(world)].count("not_run") == 3


def test_note_left_meanwhile_is_journalled_once() -> None:
    world = fresh()
    world.waiting = ["cable moved"]
    run_to_the_end(campaign_of(1), world)
    assert [record.text for record in world.disk.records() if record.kind == "note"] == ["cable moved"]


def test_campaign_without_reboot_makes_all_boots_at_once() -> None:
    world = fresh()
    assert start(campaign_of(2, has_reboot=False), world).end == "finished"
    assert len({made.boot_id for made in world.made}) == 1


def test_finished_campaign_writes_nothing_more() -> None:
    world = fresh()
    run_to_the_end(campaign_of(1), world)
    before = world.disk.durable
    assert start(campaign_of(1), world).end == "finished"
    assert world.disk.durable == before


def test_damaged_line_with_good_ones_behind_it_is_refused_by_its_number() -> None:
    world = fresh()
    run_to_the_end(campaign_of(1), world)
    lines = world.disk.durable.split(b"\n")
    lines[3] = lines[3].replace(b"boot", b"bOot", 1)
    world.disk.durable = b"\n".join(lines)
    with pytest.raises(RecordError, match=r"journal: line 4 is damaged"):
        Journal(world.disk, world.clock_ns)


def test_zeros_that_a_file_system_left_behind_are_a_torn_tail() -> None:
    world = fresh()
    run_to_the_end(campaign_of(1), world)
    whole = world.disk.durable
    world.disk.durable += b"\0" * 4096
    assert Journal(world.disk, world.clock_ns).torn == 4096
    assert world.disk.durable == whole


@pytest.mark.parametrize("kind", ["step", "boot_end", "reboot_failed", "created"])
def test_record_that_cannot_follow_is_refused(kind: str) -> None:
    state = State()
    state.apply(JournalRecord(seq=1, t_ns=1, kind="created"))
    with pytest.raises(RecordError, match="record 2"):
        state.apply(JournalRecord(seq=2, t_ns=2, kind=kind, boot=1, outcome="ok"))  # type: ignore[arg-type] # any kind


def test_missing_record_is_refused() -> None:
    state = State()
    state.apply(JournalRecord(seq=1, t_ns=1, kind="created"))
    with pytest.raises(RecordError, match="record 3 follows on record 1"):
        state.apply(JournalRecord(seq=3, t_ns=2, kind="note"))
