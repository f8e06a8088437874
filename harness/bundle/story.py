"""What a bug report says, as facts with their figures: title, environment, steps, expected, actual."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from harness.bundle.around import window_of
from harness.bundle.repeats import Repeats, is_seen
from harness.model import Manifest, StreamSummary, Summary, Verdict
from harness.model.scenario import Scenario
from harness.plots.wording import (
    UNDEFINED,
    clock,
    count,
    duration,
    percent,
    plain,
    plural,
    senders_finding,
    sentence,
    stream_finding,
    thresholds,
    worst_first,
)
from harness.report import only_sent, tables
from harness.report.facts import Fact, facts_of
from harness.report.headline import finding

SCENARIO = "scenario.toml"
_MOST_STREAMS, _MOST_VERDICTS = 10, 5
_ON_PURPOSE = ("stall", "deafen", "impair")


@dataclass(frozen=True, slots=True)
class Step:
    """A step to reproduce: what to do, and the command that does it, "" where there is none."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Story:
    """The report's content; all texts are plain, and escaped where they are shown.

    Attributes:
      occurred: when the worst window began, or None.
      actual: sentences; tables: the figures behind them; warnings: what speaks against taking them at face value.
    """

    title: str
    headline: str
    occurred: str | None
    system: str
    environment: list[Fact]
    versions: list[Fact]
    steps: list[Step]
    command: str
    expected: list[str]
    actual: list[str]
    tables: list[tables.Table]
    verdicts: list[Verdict]
    warnings: list[str]
    notes: list[str]
    thresholds: str
    repeats: Repeats


def tell(
    summary: Summary,
    manifest: Manifest,
    environment: dict[str, Any] | None,
    scenario: Scenario | None,
    repeats: Repeats,
    most: int = 20,
) -> Story:
    """Return the content of the report on a run; `most` rows of each table at most."""
    known = environment or {}
    facts = facts_of(summary, manifest, environment)
    worst = window_of(summary)
    shown = [
        tables.windows_table(summary, most, naming=tables.by_number),
        tables.streams_table(summary, most),
        tables.losses_table(summary, most),
        tables.attribution_table(summary, most, tables.by_number),
        tables.senders_table(summary, most),
        tables.limits_table(summary),
    ]
    system = manifest.versions.get("system") or "an unknown system"
    return Story(
        title=title_of(summary, system) + (f", on {repeats.short}" if repeats.short else ""),
        headline=sentence(finding(summary)),
        occurred=None if worst is None else f"{clock(worst.start_ns, date=True)} UTC",
        system=system,
        environment=facts.where + _interfaces(manifest, known) + _launch(known),
        versions=facts.versions,
        steps=_steps(manifest, scenario),
        command=shlex.join(manifest.command),
        expected=_expected(summary),
        actual=_actual(summary),
        tables=tables.filled(shown),
        verdicts=[verdict for verdict in summary.verdicts if verdict.name != "ok"][:_MOST_VERDICTS],
        warnings=_warnings(summary, scenario),
        notes=tables.notes_of(summary, most),
        thresholds=thresholds(summary.parameters),
        repeats=repeats,
    )


def title_of(summary: Summary, system: str) -> str:
    """Return one line that tells this report from others: group, what happened, how much, on what."""
    if only_sent(summary):
        what = senders_finding(summary.senders)
    elif not summary.streams:
        what = "no stream was received"
    else:
        stream = worst_first(summary.streams)[0]
        what = f"{stream.group or stream.label}: {stream_finding(stream)}"
    return plain(f"{what} on {system}", 200)


def _steps(manifest: Manifest, scenario: Scenario | None) -> list[Step]:
    command = shlex.join(manifest.command)
    if scenario is None:
        return [Step("Install multicast-harness, then repeat the command of this run:", command)]
    version = manifest.versions.get("multicast-harness", "")
    steps = [Step(f"Install multicast-harness {version}".strip() + " (Python 3.11 or later) and unpack this bundle.")]
    named = sorted({name for name in _interfaces_of(scenario) if name is not None})
    if named:
        where = ", ".join(named)
        steps.append(Step(f"If the interfaces are not called {where} on your machine, change them in {SCENARIO}."))
    steps.append(Step("Run the scenario:", f"harness run {SCENARIO}"))
    for stream in scenario.stream:
        bounds = [f"{stream.count:,} packets"] if stream.count else []
        bounds += [f"for {stream.duration}"] if stream.duration else []
        on = f" on {stream.interface}" if stream.interface else ""
        steps.append(Step(f"It sends {stream.size} bytes to {stream.group}{on} at {stream.rate}, {' '.join(bounds)}."))
    for receiver in scenario.receiver:
        on = f" on {receiver.interface}" if receiver.interface else ""
        source = f" from {receiver.source}" if receiver.source else ""
        steps.append(Step(f"It receives {', '.join(receiver.groups[:10])}{source}{on}, protocol {receiver.protocol}."))
    for event in scenario.event:
        words = [event.action, event.group or "", event.receiver, event.text]
        steps.append(Step(f"At {event.at}: {' '.join(filter(None, words))}."))
    if scenario.receiver and not scenario.stream:
        steps.append(Step("The source is not part of the scenario and has to be sending."))
    return steps


def _interfaces_of(scenario: Scenario) -> list[str | None]:
    return [stream.interface for stream in scenario.stream] + [receiver.interface for receiver in scenario.receiver]


def _expected(summary: Summary) -> list[str]:
    found = [_expectation(stream) for stream in worst_first(summary.streams)[:_MOST_STREAMS]]
    found += [
        f"All {count(sender.scheduled)} packets of stream {sender.stream_id} to {sender.group} leave this host."
        for sender in summary.senders[:_MOST_STREAMS]
        if only_sent(summary)
    ]
    bounds = {"max": "at most ", "min": "at least "}
    found += [f"{limit.name} is {bounds.get(limit.name[:3], '')}{limit.limit}." for limit in summary.limits]
    return found or ["The groups that were joined are received."]


def _expectation(stream: StreamSummary) -> str:
    schedule = stream.schedule
    if stream.expected is None:
        return f"{stream.label} is received without interruption."
    every = f", one every {duration(schedule.interval_ns)}" if schedule.interval_ns else ""
    known = "" if schedule.source in ("probe", "log", "given") else ", by the numbers that were received"
    return f"All {count(stream.expected)} packets of {stream.label} are received{every}{known}."


def _actual(summary: Summary) -> list[str]:
    found = []
    for stream in worst_first(summary.streams)[:_MOST_STREAMS]:
        text = f"{stream.label}: {count(stream.received)} received"
        if stream.expected is not None:
            text += f" of {count(stream.expected)}, {count(stream.lost)} lost ({percent(stream.loss_ratio)})"
        text += f", {plural(len(stream.windows), 'drop-out window')}" if stream.windows else ", no drop-out window"
        if stream.first_rx_ns is not None and stream.last_rx_ns is not None:
            first, last = clock(stream.first_rx_ns, date=True), clock(stream.last_rx_ns)
            text += f"; first packet at {first}, last at {last} UTC"
        found.append(text + ".")
    rest = len(summary.streams) - len(found)
    return found + ([f"{plural(rest, 'more stream')} in summary.json."] if rest > 0 else [])


def _warnings(summary: Summary, scenario: Scenario | None) -> list[str]:
    """Return what a reader has to know before he believes the rest."""
    found = [] if is_seen(summary) else ["This run shows no fault."]
    for stream in scenario.stream if scenario else []:
        if stream.impair is not None:
            impair = stream.impair
            found.append(
                f"The scenario impairs the stream to {stream.group} itself, on purpose: loss {impair.loss}, "
                f"{plural(len(impair.dropouts), 'drop-out')}, duplicates {impair.duplicate}, reorder {impair.reorder}."
            )
    disturbed = [event for event in scenario.event if event.action in _ON_PURPOSE] if scenario else []
    found += [f"At {event.at} the scenario disturbs the run itself, on purpose: {event.action}." for event in disturbed]
    if summary.unreadable:
        found.append(f"The recording is damaged: {plural(summary.unreadable, 'packet record')} cannot be read.")
    return found


def _interfaces(manifest: Manifest, environment: dict[str, Any]) -> list[Fact]:
    """Return state and addresses of the interfaces that the run used."""
    states = environment.get("interfaces")
    used = {item.interface for item in manifest.receivers} | {item.interface for item in manifest.senders}
    if not isinstance(states, dict):
        return []
    found: list[Fact] = []
    for name in sorted(name for name in used if name is not None and name in states):
        state = states[name]
        if not isinstance(state, dict):
            continue
        addresses = [str(entry.get("address")) for entry in state.get("addresses") or [] if isinstance(entry, dict)]
        words = [", ".join(addresses) or "no address", f"MTU {state.get('mtu', UNDEFINED)}"]
        words.append("up" if state.get("is_up") else "down")
        flags = state.get("flags")
        words += [flags if isinstance(flags, str) else " ".join(map(str, flags))] if flags else []
        found.append((f"interface {name}", "; ".join(words)))
    return found


def _launch(environment: dict[str, Any]) -> list[Fact]:
    """Return who started the program, and how long the machine had been up."""
    found: list[Fact] = []
    boot, launch = environment.get("boot"), environment.get("launch")
    if isinstance(boot, dict) and isinstance(boot.get("uptime_ns"), int):
        found.append(("up since boot", duration(boot["uptime_ns"])))
    if isinstance(launch, dict):
        parents = [str(item.get("name")) for item in launch.get("parents") or [] if isinstance(item, dict)]
        user = f"user {launch.get('user', UNDEFINED)}"
        found.append(("started by", f"{user}, under {' < '.join(parents) or UNDEFINED}"))
    return found
