"""A campaign that never was, for figures and tables: deaf after some boots with a static address until reopened."""

import random

from harness.campaign.statistics import statistics
from harness.model.boots import (
    BootDropout,
    BootMeasures,
    CampaignSummary,
    Outcome,
    RasterMark,
    RasterSpan,
    WitnessHeard,
)
from harness.model.evidence_change import Change
from harness.units import NS_PER_S

S = NS_PER_S


def sample_boots(n: int, seed: int = 1) -> list[BootMeasures]:
    """Return n boots of 60 s; a third with a static address is deaf until the sockets are reopened at 30 s."""
    chance = random.Random(seed)
    boots = []
    for number in range(1, n + 1):
        values = {"address": ("dhcp", "static")[number % 2], "launcher": ("daemon", "agent")[number // 2 % 2]}
        origin = 1_000_000 * S * number
        outcome: Outcome = "ok"
        if chance.random() < 0.06:
            outcome = chance.choice(("not_run", "hung", "crashed"))
        elif values["address"] == "static" and chance.random() < 0.4:
            outcome = "reproduced"
        boots.append(_boot(number, values, outcome, origin, chance))
    return boots


def _boot(number: int, values: dict[str, str], outcome: Outcome, origin: int, chance: random.Random) -> BootMeasures:
    if outcome in ("not_run", "hung"):
        return BootMeasures(
            boot=number, boot_id=f"b{number}", values=values, outcome=outcome, reason="no link", began_ns=origin
        )
    is_deaf = outcome == "reproduced"
    first = (31 * S + chance.randrange(S)) if is_deaf else chance.randrange(S // 10, 2 * S)
    end = (20 if outcome == "crashed" else 60) * S
    spans = [RasterSpan(kind="delivered", start_ns=origin + first, end_ns=origin + end)]
    marks = [RasterMark(kind="join", t_ns=origin), RasterMark(kind="reopen", t_ns=origin + 30 * S)]
    dropouts = []
    if is_deaf:
        spans.insert(0, RasterSpan(kind="lost", start_ns=origin, end_ns=origin + first))
        marks.append(RasterMark(kind="cure", t_ns=origin + first))
        dropouts.append(
            BootDropout(kind="late_start", receiver="", group="g", start_ns=origin, end_ns=origin + first, packets=310)
        )
    index = Change(kind="interface", subject="en0", field="index", before="4", after="5", text="en0: index 4 to 5")
    return BootMeasures(
        boot=number,
        boot_id=f"b{number}",
        values=values,
        arrival="resumed",
        outcome=outcome,
        reason="max_dropout 31 s, limit 2 s" if is_deaf else "",
        began_ns=origin - 20 * S,
        origin_ns=origin,
        end_ns=origin + end,
        boot_to_first_ns=first + 24 * S,
        join_to_first_ns=first,
        expected=600,
        received=290 if is_deaf else 600,
        lost=310 if is_deaf else 0,
        dropouts=dropouts,
        witnesses=[WitnessHeard(name="second-socket", packets=600, is_hearing=True if is_deaf else None)],
        reopened_ns=origin + 30 * S,
        is_cured=True if is_deaf else None,
        cure_ns=first - 30 * S if is_deaf else None,
        spans=spans,
        marks=marks,
        changes_good=[index] if is_deaf or chance.random() < 0.1 else [],
        changes_previous=[],
    )


def sample_summary(n: int, seed: int = 1) -> CampaignSummary:
    boots = sample_boots(n, seed)
    return CampaignSummary(
        name="stage-deaf-after-reboot",
        planned=n,
        boots=boots,
        statistics=statistics(boots, ["address", "launcher"]),
        sessions={"started": 1, "resumed": n - 1},
        ended="every boot of the plan was made",
    )
