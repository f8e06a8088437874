"""What a campaign will do: its boots in their seeded order, the recordings of a boot, and how long all of it takes."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import ScenarioError
from harness.model.campaign import (
    Campaign,
    Command,
    Doctor,
    Join,
    Leave,
    Note,
    Reboot,
    Receive,
    Reopen,
    ReproducedWhen,
    Sleep,
    Step,
    Wait,
    WaitForLink,
)
from harness.model.campaign_text import combinations, filled, is_timed, parse_campaign, step_kind
from harness.model.scenario import Expect, Receiver, Scenario, TimedEvent
from harness.model.scenario_text import check_scenario, parse_scenario
from harness.model.witness import WITNESS_KINDS
from harness.units import NS_PER_S, parse_duration

LINK_NS, DOCTOR_NS, ANALYSIS_NS, COMMAND_NS = 5 * NS_PER_S, NS_PER_S, 2 * NS_PER_S, NS_PER_S
"""What steps are taken to last in the estimate, where the file does not say."""
_SLACK_NS = 120 * NS_PER_S
"""Beyond what its steps may take by themselves, a boot has this long before it counts as hung."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign with the scenario files that it names inside, so that it means the same wherever it is resumed.

    Attributes:
      folder: where relative names inside the scenarios (schedules, schemas, profiles) start from.
    """

    campaign: Campaign
    scenarios: dict[str, Scenario] = {}
    folder: str = "."


@dataclass(frozen=True, slots=True)
class Recording:
    """One receive step with the timed steps below it, as a scenario."""

    scenario: Scenario
    witnesses: tuple[str, ...]


def load(path: Path) -> Resolved:
    """Read a campaign file and every scenario that it names.

    Raises:
      ScenarioError: one of them cannot be read, or says what cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ScenarioError(f"campaign {path} cannot be read: {exc}") from exc
    campaign = parse_campaign(text, path.name)
    resolved = Resolved(campaign=campaign, scenarios=_scenarios(campaign, path), folder=str(path.parent.resolve()))
    sign = campaign.reproduced_when
    for values in combinations(campaign):
        steps = filled(campaign.step, values)
        for place, step in enumerate(steps):
            if isinstance(step, Receive):
                recording = recording_of(resolved, steps, place)
                if sign == ReproducedWhen() and recording.scenario.expect == Expect():
                    raise ScenarioError(
                        f"{path.name}: step {place + 1}: nothing says what the fault looks like; give its scenario "
                        'limits in [expect], or add [reproduced_when] with first_packet_after = "10s"'
                    )
    return resolved


def _scenarios(campaign: Campaign, path: Path) -> dict[str, Scenario]:
    found: dict[str, Scenario] = {}
    for values in combinations(campaign):
        for number, step in enumerate(filled(campaign.step, values), 1):
            name = step.scenario if isinstance(step, Receive) else None
            if not isinstance(name, str) or name in found:
                continue
            file = path.parent / name
            try:
                found[name] = parse_scenario(file.read_text(encoding="utf-8"), name)
            except (OSError, UnicodeDecodeError) as exc:
                raise ScenarioError(f"{path.name}: step {number}: scenario {file} cannot be read: {exc}") from exc
    return found


def digest(resolved: Resolved) -> str:
    """Return the SHA-256 of what a campaign says; comments, order of keys and its place do not matter."""
    said = msgspec.json.encode((resolved.campaign, resolved.scenarios), order="deterministic")
    return hashlib.sha256(said).hexdigest()


def ordered(campaign: Campaign) -> list[dict[str, str]]:
    """Return the values of every boot of the plan: each combination once a block, shuffled, `repeats` blocks.

    A campaign that stops early has thus tried all combinations about equally often.
    """
    plan: list[dict[str, str]] = []
    for block in range(campaign.repeats):
        chosen = combinations(campaign)
        random.Random(f"{campaign.seed}-{block}").shuffle(chosen)
        plan += chosen
    return plan


def recording_of(resolved: Resolved, steps: list[Step], place: int) -> Recording:
    """Return the recording of the receive step at a place (from 0) and of the timed steps below it.

    Args:
      resolved: the campaign.
      steps: of a boot, with its variables filled in.
      place: of the receive step.

    Raises:
      ScenarioError: the scenario and what the steps add do not go together.
    """
    step = steps[place]
    assert isinstance(step, Receive)
    if isinstance(step.scenario, Scenario):
        scenario = step.scenario
    elif step.scenario is not None:
        scenario = resolved.scenarios[step.scenario]
    else:
        receiver = Receiver(groups=step.groups, interface=step.interface, protocol=step.protocol)
        scenario = Scenario(name="receive", receiver=[receiver])
    names = [receiver.name for receiver in scenario.receiver]
    kinds = [name for name in step.witnesses if name in WITNESS_KINDS]
    others = [name for name in step.witnesses if name not in WITNESS_KINDS]
    where = f"step {place + 1}"
    for name in others:
        if name not in names:
            known = ", ".join((*filter(None, names), *WITNESS_KINDS))
            raise ScenarioError(f"{where}: witness {name!r} is no receiver of the scenario and no kind ({known})")
    if kinds:
        chosen = [
            receiver if receiver.name in others else msgspec.structs.replace(receiver, witnesses=kinds)
            for receiver in scenario.receiver
        ]
        scenario = msgspec.convert(
            msgspec.to_builtins(msgspec.structs.replace(scenario, receiver=chosen)), Scenario
        )  # converted, since the kinds are checked only then
    subjects = [name for name in names if name not in others]
    events = [*scenario.event]
    for timed in steps[place + 1 :]:
        if not is_timed(timed):
            break
        events += _events(timed, subjects if others else [""])
    scenario = msgspec.structs.replace(scenario, duration=step.duration, event=events)
    check_scenario(scenario, where)
    return Recording(scenario, tuple(others))


def _events(step: Step, subjects: list[str]) -> list[TimedEvent]:
    """Return a timed step as events; one that names no receiver means all that are no witnesses."""
    if isinstance(step, Note):
        return [TimedEvent(at=step.at or "0", action="note", text=step.text)]
    assert isinstance(step, Reopen | Leave | Join)
    group = None if isinstance(step, Reopen) else step.group
    action = {Reopen: "reopen", Leave: "leave", Join: "join"}[type(step)]
    receivers = [step.receiver] if step.receiver else subjects
    return [
        msgspec.convert({"at": step.at, "action": action, "receiver": receiver, "group": group}, TimedEvent)
        for receiver in receivers
    ]


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long something takes: as far as can be foreseen, and at most, when every limit is used up."""

    likely_ns: int = 0
    most_ns: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.likely_ns + other.likely_ns, self.most_ns + other.most_ns)


def step_time(campaign: Campaign, step: Step) -> Estimate:
    """Return how long a step takes."""
    if isinstance(step, WaitForLink):
        limit = parse_duration(step.timeout)
        return Estimate(min(LINK_NS, limit), limit)
    if isinstance(step, Doctor):
        return Estimate(DOCTOR_NS, 10 * DOCTOR_NS)
    if isinstance(step, Receive):
        lasts = parse_duration(step.duration)
        return Estimate(lasts + ANALYSIS_NS, lasts + lasts // 2 + 30 * ANALYSIS_NS)
    if isinstance(step, Command):
        limit = 0 if step.keep else parse_duration(step.timeout)
        return Estimate(min(COMMAND_NS, limit), limit)
    if isinstance(step, Wait | Sleep):
        lasts = parse_duration(step.duration)
        return Estimate(lasts, lasts + (60 * NS_PER_S if isinstance(step, Sleep) else 0))
    if isinstance(step, Reboot):
        wait = parse_duration(campaign.countdown)
        return Estimate(wait + parse_duration(campaign.boot_time), wait + parse_duration(campaign.back_within))
    return Estimate()


def boot_limit_ns(campaign: Campaign) -> int:
    """Return after how long a boot hangs: as the file says, or the most that its steps may take, and some slack."""
    if campaign.boot_limit is not None:
        return parse_duration(campaign.boot_limit)
    steps = (
        step_time(campaign, step).most_ns
        for values in combinations(campaign)[:1]
        for step in filled(campaign.step, values)
        if not isinstance(step, Reboot)
    )
    return sum(steps) + _SLACK_NS


def boot_time(campaign: Campaign, values: dict[str, str], *, is_last: bool) -> Estimate:
    """Return how long a boot takes; nothing is rebooted after the last one."""
    steps = [step for step in filled(campaign.step, values) if not (is_last and isinstance(step, Reboot))]
    return sum((step_time(campaign, step) for step in steps), Estimate())


def step_text(step: Step) -> str:
    """Return a step in a few words.

    >>> step_text(WaitForLink(interface="eth1", timeout="5s"))
    'wait_for_link eth1'
    """
    words = [step_kind(step)]
    if isinstance(step, WaitForLink | Doctor):
        words.append(step.interface)
    elif isinstance(step, Receive):
        named = step.scenario.name if isinstance(step.scenario, Scenario) else step.scenario
        words += [named or " ".join(step.groups), step.duration]
    elif isinstance(step, Command):
        words.append(" ".join(step.run))
    elif isinstance(step, Wait | Sleep):
        words.append(step.duration)
    elif not isinstance(step, Reboot) and step.at is not None:
        words.append(f"at {step.at}")
    return " ".join(words)
