"""A campaign in words and tables: the plan before it, its state during it, its verdict after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from harness.campaign.plan import Estimate, Resolved, boot_limit_ns, boot_time, ordered, step_text
from harness.campaign.state import State, remaining
from harness.campaign.statistics import format_p
from harness.model.boots import BootMeasures, CampaignSummary, JournalRecord
from harness.units import format_duration

MOST_ROWS = 60
"""Rows of boots that are shown; the rest is in campaign.json."""
_MOST_CHANGES = 10


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return text cells under each other, the first `left` columns flush left.

    >>> print(grid(["boot", "lost"], [["1", "0"], ["22", "305"]]))
    boot  lost
    1        0
    22     305
    """
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    lines = []
    for row in [columns, *rows]:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def estimate(resolved: Resolved) -> Estimate:
    """Return how long the whole plan takes."""
    plan = ordered(resolved.campaign)
    times = (boot_time(resolved.campaign, values, is_last=number == len(plan)) for number, values in enumerate(plan, 1))
    return sum(times, Estimate())


def format_plan(resolved: Resolved) -> str:
    """Return the plan: steps, boots in their order, and the time that it will take."""
    campaign = resolved.campaign
    plan = ordered(campaign)
    takes = estimate(resolved)
    lines = [f"{campaign.name}: {len(plan)} boots", *([campaign.description] if campaign.description else []), ""]
    lines += [f"step {number}  {step_text(step)}" for number, step in enumerate(campaign.step, 1)]
    names = list(campaign.matrix)
    rows = [
        [
            str(number),
            *(values[name] for name in names),
            format_duration(boot_time(campaign, values, is_last=number == len(plan)).likely_ns),
        ]
        for number, values in enumerate(plan[:MOST_ROWS], 1)
    ]
    lines += ["", grid(["boot", *names, "time"], rows, left=1 + len(names))]
    if len(plan) > MOST_ROWS:
        lines.append(f"and {len(plan) - MOST_ROWS} more, in blocks of {len(plan) // campaign.repeats}")
    likely, most = format_duration(takes.likely_ns), format_duration(takes.most_ns)
    lines += ["", f"It will take about {likely}, and {most} when every time limit is used up."]
    if campaign.has_reboot:
        where = f"host {campaign.host[0].name}" if campaign.host else "this machine"
        lines.append(
            f"Assumed: {campaign.boot_time} from the reboot to the next step (boot_time), of {where}; "
            f"a boot hangs that is not back within {_back_within(resolved)}."
        )
    lines.append(f"Assumed: recordings last as long as they say, and 2 s to analyze; boot_limit {_limit(resolved)}.")
    return "\n".join(lines)


def _back_within(resolved: Resolved) -> str:
    campaign = resolved.campaign
    return campaign.host[0].back_within if campaign.host else campaign.back_within


def _limit(resolved: Resolved) -> str:
    return format_duration(boot_limit_ns(resolved.campaign))


def phase(state: State, is_running: bool) -> str:
    """Return where a campaign stands, in a few words."""
    if state.finished is not None:
        return f"finished: {state.finished}"
    if state.open is not None:
        said = f"boot {state.open.number}, step {state.open.step}"
        return said if is_running else f"{said}, and nobody runs it: it was cut short"
    if state.rebooting is not None:
        return f"rebooting for boot {state.next_number}"
    if state.pause:
        return f"paused ({state.pause}) before boot {state.next_number}"
    return f"before boot {state.next_number}" + ("" if is_running else ", and nobody runs it")


def format_status(
    state: State, records: Sequence[JournalRecord], resolved: Resolved, *, is_running: bool, last: int = 8
) -> str:
    """Return where a campaign stands, what is left of it, and the last lines of its journal."""
    campaign = resolved.campaign
    left = remaining(state, campaign, ordered(campaign))
    outcomes = Counter(boot.outcome for boot in state.settled)
    counted = ", ".join(f"{outcome} {n}" for outcome, n in sorted(outcomes.items())) or "none yet"
    takes = sum((boot_time(campaign, values, is_last=False) for values in left), Estimate())
    lines = [
        f"{campaign.name}: {phase(state, is_running)}",
        f"boots: {len(state.settled)} ({counted}); {len(left)} to come, about {format_duration(takes.likely_ns)}",
    ]
    return "\n".join([*lines, *(format_record(record) for record in records[-last:])])


def format_record(record: JournalRecord) -> str:
    """Return a line of the journal for people."""
    moment = datetime.fromtimestamp(record.t_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    words = [record.kind.replace("_", " ")]
    if record.boot is not None:
        words.append(f"boot {record.boot}" + (f" step {record.step}" if record.step is not None else ""))
    words += [str(word) for word in (record.arrival, record.outcome, record.pause) if word]
    words += [f"{name} = {value}" for name, value in record.values.items()]
    return f"{moment}  {', '.join(words)}" + (f": {record.text}" if record.text else "")


def format_summary(summary: CampaignSummary) -> str:
    """Return a campaign's verdict and its boots."""
    found = summary.statistics
    outcomes = ", ".join(f"{outcome} {n}" for outcome, n in found.outcomes.items()) or "none yet"
    ended = summary.ended or "still under way"
    lines = [
        f"{summary.name}: {found.sentence}",
        f"boots: {len(summary.boots)} made ({outcomes}), {summary.planned} planned; {ended}",
        *(test.sentence for test in found.variables),
        *([found.further] if found.further else []),
    ]
    if found.changes:
        lines += ["", "What failing boots show and good ones lack, against the last good boot:"]
        rows = [
            [
                change.text,
                f"{change.failing} of {change.n_failing}",
                f"{change.good} of {change.n_good}",
                format_p(change.p_adjusted).removeprefix("= "),
            ]
            for change in found.changes[:_MOST_CHANGES]
        ]
        lines.append(grid(["change", "failing", "good", "p"], rows))
    names = list(dict.fromkeys(name for boot in summary.boots for name in boot.values))
    shown = summary.boots[-MOST_ROWS:]
    if shown:
        columns = ["boot", *names, "outcome", "boot to first", "join to first", "lost", "windows", "witness", "cured"]
        lines += ["", grid(columns, [_row(boot, names) for boot in shown], left=2 + len(names))]
        if len(shown) < len(summary.boots):
            lines.append(f"the last {len(shown)} of {len(summary.boots)} boots; all are in campaign.json")
    reasons = [f"boot {boot.boot}: {boot.outcome}: {boot.reason}" for boot in shown if boot.reason]
    return "\n".join([*lines, *([""] if reasons else []), *reasons, *summary.notes])


def _row(boot: BootMeasures, names: Sequence[str]) -> list[str]:
    hearing = [witness.is_hearing for witness in boot.witnesses if witness.is_hearing is not None]
    cured = {None: "-", True: format_duration(boot.cure_ns or 0), False: "no"}[boot.is_cured]
    lost = "-" if boot.lost is None else f"{boot.lost:,}"
    return [
        str(boot.boot),
        *(boot.values.get(name, "") for name in names),
        boot.outcome,
        _time(boot.boot_to_first_ns),
        _time(boot.join_to_first_ns),
        lost,
        str(len(boot.dropouts)) if boot.is_counted else "-",
        f"{sum(hearing)} of {len(hearing)}" if hearing else "-",
        cured,
    ]


def _time(ns: int | None) -> str:
    return "-" if ns is None else format_duration(ns)
