"""What a campaign found: its journal's records, the measures of each boot, and the statistics over all of them.

Undefined is None, never 0. Times are integer nanoseconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.evidence_change import Change

JOURNAL_VERSION = 1
MEASURES_VERSION = 1
CAMPAIGN_VERSION = 1

Outcome = Literal["ok", "reproduced", "not_run", "hung", "crashed"]
"""How a boot ended: without the fault, with it, prevented by something else, over its time limit, cut short."""

RecordKind = Literal[
    "created", "accepted", "session", "boot_begin", "step", "boot_end", "rebooting", "reboot_failed", "paused", "note",
    "finished",
]  # fmt: skip

Arrival = Literal[
    "started", "continued", "resumed", "by_hand", "not_rebooted", "crashed", "power_lost", "hung", "same_boot",
]  # fmt: skip
"""How a session, or a boot, came about.

"started" the first; "continued" after a clean pause; "resumed" by the campaign's own reboot; "by_hand" a clean pause,
then somebody's reboot; "not_rebooted" the reboot did not come; "crashed" no clean end, still the same boot;
"power_lost" no clean end, another boot; "hung" the machine was silent for longer than it may; "same_boot" no reboot
between two boots.
"""

Pause = Literal["", "cancelled", "interrupted", "terminated", "trouble"]
"""Why a campaign paused: a reboot called off, Ctrl-C, told to end by the system, something that a person must see to.
Only after "terminated" an unattended start goes on."""


class JournalRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the journal: a transition, written before it is done.

    Attributes:
      seq: 1, 2, 3...; t_ns: realtime; boot_id: of the machine that is rebooted.
      boot: the number of the boot concerned; values: its variables.
      arrival: of a session and of a boot. pause: of a pause. outcome: of a boot's end.
      is_void: the boot ended by the user's word, and its place in the plan is still to be filled.
      step: place of a step, from 1.
      sha256: of what the campaign says, in "created" and "accepted". source: the campaign file's path.
      text: for people.
    """

    seq: int
    t_ns: int
    kind: RecordKind
    boot_id: str = ""
    boot: int | None = None
    values: dict[str, str] = {}
    arrival: Arrival | None = None
    pause: Pause = ""
    outcome: Outcome | None = None
    is_void: bool = False
    step: int | None = None
    sha256: str = ""
    source: str = ""
    version: int | None = None
    text: str = ""


class StepResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of a step: `error` None when it did what it should. `run` is the recording's folder in the boot's."""

    kind: str
    begin_ns: int
    end_ns: int
    error: str | None = None
    run: str | None = None
    witnesses: list[str] = []
    link_up_ns: int | None = None


class BootFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`boot.json`: what the campaign itself knows of a boot.

    Attributes:
      booted_ns: when the machine started, realtime minus uptime; None where the system does not tell.
      is_fresh: whether it was rebooted for this boot; times from boot mean little otherwise.
    """

    version: int = MEASURES_VERSION
    boot: int
    boot_id: str
    values: dict[str, str] = {}
    arrival: Arrival = "started"
    began_ns: int
    booted_ns: int | None = None
    is_fresh: bool = False
    steps: list[StepResult] = []
    error: str | None = None


class BootDropout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drop-out window of a boot's recording; `kind` is its class."""

    kind: str = msgspec.field(name="class")
    receiver: str
    group: str
    start_ns: int
    end_ns: int
    packets: int | None = None


class WitnessHeard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a witness heard anything while the receiver beside it was in a drop-out window.

    `is_hearing` None: there was no window, or the witness could not listen.
    """

    name: str
    packets: int
    is_hearing: bool | None = None


class RasterSpan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of a boot's row in the raster; what it leaves out was not observed."""

    kind: Literal["delivered", "lost", "silent"]
    start_ns: int
    end_ns: int


class RasterMark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A moment in a boot's row."""

    kind: Literal["join", "leave", "reopen", "cure"]
    t_ns: int


class BootMeasures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`measures.json`: what was measured on one boot.

    Attributes:
      origin_ns: time 0 of the row, the start of the boot's first recording; None without one.
      boot_to_first_ns, link_to_first_ns, join_to_first_ns: from boot, link up and join to the first packet.
      expected, received, lost: over all streams of the receivers that are no witnesses.
      reopened_ns: when the sockets were first opened anew. is_cured: whether a receiver that was silent then heard
        again; None when it was not silent or nothing was reopened. cure_ns: how long after.
      first_send_errno: name of the errno of the first refused send; None when none was refused.
      changes_previous, changes_good: against the boot before and against the last good one; None when there is none.
    """

    version: int = MEASURES_VERSION
    boot: int
    boot_id: str
    values: dict[str, str] = {}
    arrival: Arrival = "started"
    outcome: Outcome
    reason: str = ""
    began_ns: int
    origin_ns: int | None = None
    end_ns: int | None = None
    boot_to_first_ns: int | None = None
    link_to_first_ns: int | None = None
    join_to_first_ns: int | None = None
    expected: int | None = None
    received: int = 0
    lost: int | None = None
    dropouts: list[BootDropout] = []
    witnesses: list[WitnessHeard] = []
    reopened_ns: int | None = None
    is_cured: bool | None = None
    cure_ns: int | None = None
    first_send_errno: str | None = None
    spans: list[RasterSpan] = []
    marks: list[RasterMark] = []
    changes_previous: list[Change] | None = None
    changes_good: list[Change] | None = None
    notes: list[str] = []

    @property
    def is_counted(self) -> bool:
        """Whether the boot can tell of the fault at all."""
        return self.outcome in ("ok", "reproduced")


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the fault was seen; `low` and `high` bound the rate (Clopper-Pearson), all None without a boot.

    `value` is the variable's, "" for all boots together; `not_run` counts boots that tell nothing.
    """

    value: str = ""
    reproduced: int
    ran: int
    not_run: int = 0
    rate: float | None = None
    low: float | None = None
    high: float | None = None


class VariableTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the fault depends on a variable: the exact test over its values, corrected for the number of variables.

    Attributes:
      p_value: of the Fisher-Freeman-Halton test; None where nothing can be tested. p_adjusted: by Holm.
      needed: boots of each of the two values farthest apart at which a difference as large as the one seen would be
        significant in four of five campaigns; None when it is, when there is none, or beyond reckoning.
      sentence: the result in words.
    """

    variable: str
    rates: list[Rate]
    p_value: float | None = None
    p_adjusted: float | None = None
    is_significant: bool | None = None
    needed: int | None = None
    sentence: str


class CommonChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change in the evidence, and how many of the failing and of the good boots show it."""

    key: str
    text: str
    failing: int
    n_failing: int
    good: int
    n_good: int
    p_value: float
    p_adjusted: float


class CampaignStatistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict over all boots.

    Attributes:
      total: over every boot that ran. outcomes: number of boots by outcome.
      variables: in the order of the file. changes: what failing boots have in common, the most telling first.
      sentence: the finding. further: how many more boots a claim would need.
    """

    confidence: float
    alpha: float
    total: Rate
    outcomes: dict[str, int]
    variables: list[VariableTest]
    changes: list[CommonChange]
    sentence: str
    further: str


class CampaignSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`campaign.json`: a campaign so far, whole; plots and reports are made from it alone.

    Attributes:
      planned: boots of the plan. ended: why it ended; None while it goes on.
      sessions: how often each kind of start happened.
    """

    version: int = CAMPAIGN_VERSION
    name: str
    description: str = ""
    planned: int
    boots: list[BootMeasures]
    statistics: CampaignStatistics
    sessions: dict[str, int] = {}
    ended: str | None = None
    notes: list[str] = []
