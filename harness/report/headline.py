"""The verdict of a Summary in one sentence, the same in the terminal, the page and the Markdown."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Literal

from harness.model import Summary, Verdict, Window
from harness.plots.wording import clock, count, longest, plain, plural, summary_finding, zone_name

Status = Literal["failed", "passed", "undecided", "nothing", "sent", "found", "clean"]
"""failed, passed, undecided: by the limits that were asked for; without limits: nothing received, sent, found, clean.

A damaged recording leaves everything undecided."""

CANNOT_TELL = "cannot-tell"
"""Verdict of a diagnosis without evidence: its sentence says why."""

STATUS_WORDS: dict[Status, str] = {
    "failed": "Failed",
    "passed": "Passed",
    "undecided": "Undecided",
    "nothing": "Nothing received",
    "sent": "Sent",
    "found": "Found",
    "clean": "No fault found",
}


def status(summary: Summary) -> Status:
    """Return what a Summary amounts to; limits decide where there are any."""
    outcomes = [limit.is_passed for limit in summary.limits]
    if summary.unreadable:
        return "undecided"
    if False in outcomes:
        return "failed"
    if only_sent(summary) and not outcomes:
        return "sent" if all(sender.sent == sender.scheduled for sender in summary.senders) else "found"
    if not any(stream.received for stream in summary.streams):
        return "undecided" if outcomes else "nothing"
    if outcomes:
        return "undecided" if None in outcomes else "passed"
    is_faulty = any(
        stream.windows or stream.lost or stream.reordered or stream.duplicates or stream.corrupt
        for stream in summary.streams
    )
    return "found" if is_faulty or _refused(summary) else "clean"


def only_sent(summary: Summary) -> bool:
    """Whether a run sent and had nothing to receive: no windows and no pictures then, but the sender's account."""
    return bool(summary.senders) and not summary.streams


def worst_window(summary: Summary) -> Window | None:
    """Return the longest window of all streams that were heard at all."""
    return longest([window for stream in summary.streams if stream.received for window in stream.windows])


def headline(summary: Summary, *, zone: tzinfo = UTC) -> str:
    """Return the verdict: status, what was found and since when, the limits that failed, the likely cause."""
    return f"{STATUS_WORDS[status(summary)]}: {finding(summary, zone=zone)}"


def _shares(summary: Summary) -> str:
    """Return what of the loss is known not to be the network's, "; 442 of them never sent"; "" for none."""
    accounts = [stream.attribution for stream in summary.streams]
    lost = sum(stream.lost or 0 for stream in summary.streams)
    known = (
        (sum(account.own_buffer for account in accounts), "dropped by this host's own receive buffer"),
        (sum(account.not_sent for account in accounts), "never sent"),
        (sum(account.late for account in accounts), "later than Tmax"),
    )
    return "".join(f"; {'all' if n == lost else count(n)} of them {what}" for n, what in known if n)


def _refusals(summary: Summary) -> str:
    """Return "; 6 packets refused at sending (ENOBUFS)", unless the shares of the loss say it already."""
    refused, not_sent = _refused(summary), sum(stream.attribution.not_sent for stream in summary.streams)
    if not refused or refused == not_sent or only_sent(summary):
        return ""
    names = sorted({name for sender in summary.senders for name in sender.errnos})
    return f"; {plural(refused, 'packet')} refused at sending ({plain(', '.join(names), 60)})"


def _refused(summary: Summary) -> int:
    return sum(sender.refused for sender in summary.senders)


def finding(summary: Summary, *, zone: tzinfo = UTC) -> str:
    """Return the verdict without its first word, for a place where a badge says that."""
    word = status(summary)
    text = summary_finding(summary)
    if summary.unreadable:
        text = f"the recording is damaged, {plural(summary.unreadable, 'packet record')} cannot be read; {text}"
    text += _shares(summary)
    worst = worst_window(summary)
    if worst is not None:
        lead = "it began" if sum(len(stream.windows) for stream in summary.streams) == 1 else "the longest began"
        when = clock(worst.start_ns, zone, date=True)
        text += f"; {lead} at {when} {zone_name(worst.start_ns, zone)}"
    elif word in ("clean", "passed") and len(summary.streams) == 1:
        text += f", {count(summary.streams[0].received)} packets received"
    text += _refusals(summary)
    broken = [limit for limit in summary.limits if limit.is_passed is False]
    if broken:
        first = broken[0]
        text += f"; {plain(first.name, 40)} is {plain(first.measured, 40)}, limit {plain(first.limit, 40)}"
        text += f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    unjudged = sum(limit.is_passed is None for limit in summary.limits)
    if word == "undecided" and unjudged:
        text += f"; {unjudged} of {len(summary.limits)} limits cannot be judged"
    return text + "." + _cause(summary)


def _cause(summary: Summary) -> str:
    """Return " Likely cause: ..." of the first verdict; "" where there is none, or no fault."""
    first = summary.verdicts[0] if summary.verdicts else None
    if first is None or first.name == "ok":
        return ""
    sentence = plain(first.sentence, 200).rstrip(".")
    return f" {sentence}." if first.name == CANNOT_TELL else f" Likely cause: {sentence}."


def causes(summary: Summary) -> list[Verdict]:
    """Return the verdicts that name a cause: all but "ok"."""
    return [verdict for verdict in summary.verdicts if verdict.name != "ok"]
