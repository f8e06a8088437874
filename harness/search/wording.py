"""The result of a search for people: one sentence, and the table of its trials."""

from __future__ import annotations

from harness.model.search import SearchResult, SearchTrial, TrialVerdict
from harness.units import NS_PER_S, format_duration, format_scaled

_LIMITS: dict[TrialVerdict, str] = {
    "loss": "the network lost packets",
    "own-buffer": "this host's receive buffer dropped packets, so the network's limit was not reached",
    "sender-limited": "this sender fell behind, so the network's limit was not reached",
}
_ENDS = {
    "trials": "broken off after the allowed number of trials",
    "time": "broken off after the allowed time",
    "interrupted": "interrupted",
    "error": "ended by an error",
}
RFC2544_TRIAL_NS = 60 * NS_PER_S


def finding(result: SearchResult) -> str:
    """Return what was found in one sentence."""
    free = "no loss" if not result.loss_tolerance else f"at most {result.loss_tolerance:.3g} loss"
    upper = result.upper_bound_pps
    limit = f"at {pps(upper)} {_LIMITS.get(result.limited_by or 'loss')}" if upper is not None else ""
    if result.throughput_pps is None:
        found = f"no load passed; {limit}" if limit else "no load was tried to its end"
    elif result.end == "highest passed":
        found = f"{free} up to {pps(result.throughput_pps)}, the highest load searched"
    else:
        found = f"{free} up to {pps(result.throughput_pps)}" + (f"; {limit}" if limit else "")
    return found + (f" ({_ENDS[result.end]})" if result.end in _ENDS else "")


def format_search(result: SearchResult) -> str:
    """Return the sentence, the trials and what they rest on, as plain text."""
    rows = [
        ("trial", "asked", "offered", "sent", "received", "lost", "ratio", "own buffer", "latest", "verdict"),
        *(_row(trial) for trial in result.trials),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    method = "RFC 2544 26.1" if result.method == "rfc2544" else "MLRsearch"
    basis = (
        f"{method}, {pps(result.lowest_pps)} to {pps(result.highest_pps)}, resolution {pps(result.resolution_pps)},"
        f" trials of {format_duration(result.trial_ns)}, {result.size} B"
    )
    if result.error:
        lines += ["", f"Error: {result.error}"]
    sentence = finding(result)
    notes = [f"Note: {note}" for note in result.notes]
    return "\n".join([sentence[0].upper() + sentence[1:] + ".", "", *lines, "", basis + ".", *notes])


def trial_line(trial: SearchTrial) -> str:
    """Return one trial as a line of progress."""
    offered = f"offered {pps(trial.offered_pps)}, " if trial.verdict == "sender-limited" and trial.offered_pps else ""
    return (
        f"trial {trial.number}: {pps(trial.asked_pps)}, {offered}sent {trial.sent:,}, lost {trial.lost:,}:"
        f" {trial.verdict}"
    )


def pps(value: float) -> str:
    """Return a rate."""
    return format_scaled(value, "pps")


def _row(trial: SearchTrial) -> tuple[str, ...]:
    return (
        str(trial.number),
        pps(trial.asked_pps),
        "n/a" if trial.offered_pps is None else pps(trial.offered_pps),
        f"{trial.sent:,}",
        f"{trial.received:,}",
        f"{trial.lost:,}",
        "n/a" if trial.loss_ratio is None else f"{trial.loss_ratio * 100:.3g} %",
        "n/a" if trial.own_buffer is None else f"{trial.own_buffer:,}",
        "n/a" if trial.late_max_ns is None else format_duration(trial.late_max_ns),
        trial.verdict,
    )
