"""The state of a campaign, and what comes next: journal records in, decisions out. No I/O, no clock.

`State.apply` folds the journal. `interruption` says what happened since its last record, from the boot ids alone, as
records that settle it. Each of them moves the state by itself, so a crash between two of them leaves the rest to the
next start, and nothing is settled twice. `next_action` says what to do then.

Every number from 1 on stands for one boot and gets exactly one end. A number is given by `boot_begin`; only a boot that
hung before anything ran on it has an end without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import RecordError
from harness.model.boots import Arrival, JournalRecord, Outcome, Pause
from harness.model.campaign import Campaign
from harness.units import format_duration, parse_duration

MOST_REBOOT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Presence:
    """Who looks: the boot that the machine is in, realtime, and the time since it booted; None where nobody knows."""

    boot_id: str
    now_ns: int
    uptime_ns: int | None = None
    launcher: str | None = None
    is_unattended: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """A boot that is over."""

    number: int
    values: dict[str, str]
    outcome: Outcome
    boot_id: str
    is_void: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class OpenBoot:
    """A boot that has begun."""

    number: int
    values: dict[str, str]
    boot_id: str
    began_ns: int
    step: int = 0


@dataclass(slots=True)
class State:
    """What a journal says.

    Attributes:
      seq, last_ns, last_boot_id: of the last record.
      sha256, source: of what the campaign says now, and where its file lies.
      created_ns: when the campaign began.
      settled: boots that are over, in the order of their numbers. open: the one that has begun.
      ran_on: the boot id on which the latest boot ran, since the machine is to be rebooted before the next one;
        None when the present boot, whichever it is, has not been used.
      rebooting: the boot id in which a reboot was announced; None when none is under way. rebooting_ns: when.
      n_reboot_tries: announcements since the last boot.
      pause: of a campaign that paused in order. finished: why it is over.
      arrivals: how many sessions came about in each way. arrival: the latest.
    """

    seq: int = 0
    last_ns: int = 0
    last_boot_id: str = ""
    sha256: str = ""
    source: str = ""
    created_ns: int = 0
    settled: list[Settled] = field(default_factory=list)
    open: OpenBoot | None = None
    ran_on: str | None = None
    rebooting: str | None = None
    rebooting_ns: int = 0
    n_reboot_tries: int = 0
    pause: Pause = ""
    finished: str | None = None
    arrivals: Counter[str] = field(default_factory=Counter)
    arrival: Arrival = "started"

    @property
    def next_number(self) -> int:
        """The number of the boot that comes next, or that is open."""
        return len(self.settled) + 1

    def apply(self, record: JournalRecord) -> None:
        """Take the next record.

        Raises:
          RecordError: it cannot follow on what came before: the journal was edited, or damaged.
        """
        if record.seq != self.seq + 1:
            raise RecordError(f"record {record.seq} follows on record {self.seq}; records are missing or doubled")
        if (record.kind == "created") != (self.seq == 0):
            raise RecordError(f"record {record.seq} is {record.kind!r}; a journal begins with 'created', once")
        getattr(self, f"_{record.kind}")(record)
        self.seq, self.last_ns, self.last_boot_id = record.seq, record.t_ns, record.boot_id

    def _created(self, record: JournalRecord) -> None:
        self.sha256, self.source, self.created_ns = record.sha256, record.source, record.t_ns

    def _accepted(self, record: JournalRecord) -> None:
        self.sha256, self.source = record.sha256, record.source or self.source
        self.finished = None  # the plan may be longer now

    def _session(self, record: JournalRecord) -> None:
        self.arrivals[str(record.arrival)] += 1
        self.arrival = record.arrival or "started"
        if record.boot_id != self.rebooting:
            self.rebooting, self.n_reboot_tries = None, 0
        self.pause = ""

    def _boot_begin(self, record: JournalRecord) -> None:
        if self.open is not None or record.boot != self.next_number:
            raise RecordError(f"record {record.seq}: boot {record.boot} begins where boot {self.next_number} stands")
        self.open = OpenBoot(self.next_number, record.values, record.boot_id, record.t_ns)
        self.ran_on, self.rebooting, self.n_reboot_tries = record.boot_id, None, 0

    def _step(self, record: JournalRecord) -> None:
        if self.open is None or record.boot != self.open.number:
            raise RecordError(f"record {record.seq}: a step of boot {record.boot}, which is not open")
        was = self.open
        self.open = OpenBoot(was.number, was.values, was.boot_id, was.began_ns, record.step or 0)

    def _boot_end(self, record: JournalRecord) -> None:
        if record.boot != self.next_number or record.outcome is None:
            raise RecordError(f"record {record.seq}: boot {record.boot} ends where boot {self.next_number} stands")
        if self.open is None:  # it hung before anything of it ran
            if self.rebooting is None:
                raise RecordError(f"record {record.seq}: boot {record.boot} ends and was never begun nor rebooted for")
            self.rebooting, self.n_reboot_tries, self.ran_on = None, 0, None
        values = self.open.values if self.open is not None else record.values
        boot_id = self.open.boot_id if self.open is not None else ""
        self.settled.append(Settled(self.next_number, values, record.outcome, boot_id, record.is_void, record.text))
        self.open = None

    def _rebooting(self, record: JournalRecord) -> None:
        if self.open is not None:
            raise RecordError(f"record {record.seq}: a reboot while boot {self.open.number} is open")
        self.rebooting, self.rebooting_ns = record.boot_id, record.t_ns
        self.n_reboot_tries += 1

    def _reboot_failed(self, record: JournalRecord) -> None:
        if self.rebooting is None:
            raise RecordError(f"record {record.seq}: a reboot failed that was never announced")

    def _paused(self, record: JournalRecord) -> None:
        self.pause = record.pause or "trouble"
        self.rebooting, self.n_reboot_tries = None, 0

    def _note(self, record: JournalRecord) -> None:
        pass

    def _finished(self, record: JournalRecord) -> None:
        self.finished = record.text


Draft = dict[str, Any]
"""Fields of a record that is to be written; number and time are given by the journal."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a boot may be silent: from its begin to its end, and from the reboot to the next boot."""

    boot_ns: int
    back_ns: int


def limits_of(campaign: Campaign, boot_ns: int) -> Limits:
    """Return the limits of a campaign, of which `boot_ns` follows from its steps."""
    host = campaign.host[0] if campaign.host else None
    return Limits(boot_ns, parse_duration(host.back_within if host else campaign.back_within))


def interruption(state: State, who: Presence, limits: Limits, upcoming: Mapping[str, str] | None) -> list[Draft]:
    """Return the records that settle what happened between the journal's last record and this start.

    Args:
      state: of the journal.
      who: of this start.
      limits: of the campaign.
      upcoming: the values of the boot that comes next; None when the plan is over.
    """
    opened = state.open
    if opened is not None:
        arrival, text = _cut_short(opened, state, who, limits)
        outcome: Outcome = "hung" if arrival == "hung" else "crashed"
        return [
            {"kind": "boot_end", "boot": opened.number, "outcome": outcome, "text": f"{text}, in step {opened.step}"},
            {"kind": "session", "arrival": arrival, "text": text},
        ]
    arrival, text = _between_boots(state, who, limits)
    session: Draft = {"kind": "session", "arrival": arrival, "text": text}
    if arrival == "hung" and upcoming is not None:
        hung = {"kind": "boot_end", "boot": state.next_number, "values": dict(upcoming), "outcome": "hung"}
        return [hung | {"text": text}, session]
    return [session]


def _cut_short(opened: OpenBoot, state: State, who: Presence, limits: Limits) -> tuple[Arrival, str]:
    """Return what happened to a boot that has no end."""
    if opened.boot_id == who.boot_id:
        return "crashed", "the program was killed or crashed; the machine never went down"
    silent_ns = _silence(state.last_ns, who)
    if silent_ns is not None and silent_ns > limits.boot_ns:
        return "hung", f"silent for {format_duration(silent_ns)} before the machine booted anew: hung, or without power"
    return "power_lost", "another boot, and no reboot was announced: power lost, panic or reset"


def _between_boots(state: State, who: Presence, limits: Limits) -> tuple[Arrival, str]:
    if not state.arrivals:
        return "started", "the campaign starts"
    is_same = who.boot_id == state.last_boot_id
    if state.rebooting is not None:
        if who.boot_id == state.rebooting:
            return "not_rebooted", "a reboot was announced and the machine never went down"
        silent_ns = _silence(state.rebooting_ns, who)
        if silent_ns is not None and silent_ns > limits.back_ns:
            return "hung", f"back {format_duration(silent_ns)} after the reboot, later than it may be"
        return "resumed", "back after the campaign's own reboot"
    if state.pause:
        return ("continued", "after a pause") if is_same else ("by_hand", "after a pause and a reboot by hand")
    if is_same:
        return "crashed", "the program was killed or crashed between two boots"
    return "power_lost", "another boot, and no reboot was announced: power lost, panic or reset between two boots"


def _silence(since_ns: int, who: Presence) -> int | None:
    """Return the time from a record to the start of the present boot; None when clock or uptime cannot tell."""
    if who.uptime_ns is None:
        return None
    return who.now_ns - who.uptime_ns - since_ns


def remaining(state: State, campaign: Campaign, plan: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the boots of a plan that are still to be made, in its order.

    Boots are held against the plan by their values, so that a plan that was changed on the way counts what was made.
    A void boot fills no place, nor do the first `replacements` boots that tell nothing.
    """
    allowance = campaign.replacements
    made: Counter[tuple[tuple[str, str], ...]] = Counter()
    for boot in state.settled:
        if boot.is_void:
            continue
        if boot.outcome not in ("ok", "reproduced") and allowance > 0:
            allowance -= 1
            continue
        made[_key(boot.values)] += 1
    left = []
    for values in plan:
        if made[_key(values)] > 0:
            made[_key(values)] -= 1
        else:
            left.append(values)
    return left


def _key(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


@dataclass(frozen=True, slots=True)
class Begin:
    """Make a boot."""

    number: int
    values: dict[str, str]
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Restart:
    """Reboot, for the boot with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Pause, because of trouble that a person must see to."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The campaign is over; `is_new` when the journal does not say so yet."""

    reason: str
    is_new: bool = True


Action = Begin | Restart | GiveUp | Finish


def next_action(state: State, campaign: Campaign, plan: list[dict[str, str]], who: Presence) -> Action:
    """Return what to do next, once no boot is open and the last interruption is settled."""
    if state.finished is not None:
        return Finish(state.finished, is_new=False)
    reason = stop_reason(state, campaign, who.now_ns)
    left = remaining(state, campaign, plan)
    if reason is None and not left:
        reason = "every boot of the plan was made"
    if reason is not None:
        return Finish(reason)
    if campaign.has_reboot and state.ran_on == who.boot_id:
        if state.n_reboot_tries >= MOST_REBOOT_TRIES:
            return GiveUp(f"the machine did not reboot in {MOST_REBOOT_TRIES} tries; see the journal")
        return Restart(state.next_number)
    return Begin(state.next_number, left[0], _arrival(state, who))


def _arrival(state: State, who: Presence) -> Arrival:
    """Return how the boot that begins now came about."""
    if not state.settled:
        return "started"
    return "same_boot" if state.ran_on == who.boot_id else state.arrival


def stop_reason(state: State, campaign: Campaign, now_ns: int) -> str | None:
    """Return which stop rule holds; None for none."""
    stop = campaign.stop
    reproduced = sum(boot.outcome == "reproduced" for boot in state.settled)
    if stop.first_reproduction and reproduced:
        return "the fault was reproduced"
    if stop.reproductions is not None and reproduced >= stop.reproductions:
        return f"the fault was reproduced {reproduced} times"
    if stop.boots is not None and len(state.settled) >= stop.boots:
        return f"{len(state.settled)} boots were made"
    if stop.time is not None and now_ns - state.created_ns >= parse_duration(stop.time):
        return f"{stop.time} have passed since the start"
    return None


def is_held(state: State, who: Presence) -> str | None:
    """Return why an unattended start leaves the campaign alone; None when it goes on.

    Whoever called a reboot off, or pressed Ctrl-C, wants the machine for himself until he says otherwise.
    """
    if not who.is_unattended or state.pause in ("", "terminated"):
        return None
    return {
        "cancelled": "its reboot was called off",
        "interrupted": "it was interrupted by its user",
        "trouble": "it met with trouble",
    }[state.pause]
