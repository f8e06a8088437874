"""What `send`, `receive` and `run` have in common: perform a scenario, then analyze, plot, report and judge it."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.conclusion import Conclusion
    from harness.model import Parameters, Summary
    from harness.model.scenario import Expect, Scenario
    from harness.run import DistributedRun, Run

COMMAND_NAME = "harness"


def command_line() -> list[str]:
    """Return the command that repeats this one, with the program's name instead of its path."""
    return [COMMAND_NAME, *sys.argv[1:]]


def asked(args: argparse.Namespace) -> dict[str, object]:
    """Return the arguments as given, as JSON values."""
    return {name: value for name, value in vars(args).items() if value is not None and name != "command"}


def perform_and_conclude(
    scenario: Scenario,
    args: argparse.Namespace,
    parameters: Parameters,
    folder: Path = Path(),
    *,
    real_timers: bool = False,
) -> int:
    """Run a scenario with the live line, write its results, print them, and return the exit code."""
    from harness.cli.progress import Progress
    from harness.model.scenario_lab import is_lab
    from harness.run import is_distributed, perform

    def announce(run: Run) -> None:
        what = ", ".join(
            [f"send {sending.plan.group}" for sending in run.sendings]
            + [f"receive {membership}" for receiving in run.receivings for membership in receiving.plan.memberships][:5]
        )
        print(f"harness: recording to {run.writer.path}: {what}; Ctrl-C ends it and keeps the data", file=sys.stderr)
        for note in run.plan.notes:
            print(f"harness: note: {note}", file=sys.stderr)
        if run.receivings:
            run.on_ready = lambda: print("harness: joined and listening", file=sys.stderr, flush=True)

    def announce_hosts(run: DistributedRun) -> None:
        hosts = ", ".join(f"{side.name} ({side.host.kind} {side.host.where}".rstrip() + ")" for side in run.sides)
        print(
            f"harness: recording to {run.outcome.path} on {hosts}; Ctrl-C ends it and keeps the data", file=sys.stderr
        )
        for side in run.sides:
            for note in side.notes:
                print(f"harness: note: {side.name}: {note}", file=sys.stderr)

    output = Path(args.output) if args.output else None
    with Progress() as progress:
        if is_lab(scenario) or is_distributed(scenario):
            from harness.run import perform_over_hosts

            over_hosts = perform_over_hosts
            if is_lab(scenario):
                from harness.run.in_lab import perform_in_lab

                over_hosts = functools.partial(perform_in_lab, real_timers=real_timers)
            outcome = over_hosts(
                scenario,
                output=output,
                command=command_line(),
                asked=asked(args),
                folder=folder,
                on_progress=progress.update_hosts,
                on_start=announce_hosts,
            )
        else:
            outcome = perform(
                scenario,
                output=output,
                command=command_line(),
                asked=asked(args),
                folder=folder,
                on_progress=progress.update,
                on_start=announce,
                parameters=parameters,
            )
    code = analyze_and_print(outcome.path, args, parameters)
    if is_lab(scenario) and not check_ledger(outcome.path):
        code = 1
    if outcome.error is not None:
        print(f"harness: {outcome.error}", file=sys.stderr)
        return 2
    if outcome.reason == "timeout":
        print("harness: nothing was received within the timeout", file=sys.stderr)
        return 1
    return code


def check_ledger(path: Path) -> bool:
    """Balance the ledger of a run in the lab, tell it, and return whether every packet is accounted for."""
    from harness.matrix.accounts import account, ledger_lines

    ledgers = account(path)
    for line in ledger_lines(ledgers):
        print(f"harness: {line}", file=sys.stderr)
    return all(ledger.is_balanced for ledger in ledgers)


def analyze_and_print(
    path: Path,
    args: argparse.Namespace,
    parameters: Parameters,
    *,
    sender_run: Path | None = None,
    expect: Expect | None = None,
) -> int:
    """Analyze a recording, showing progress, write and print what was found; return the exit code."""
    from harness.cli.progress import AnalysisProgress
    from harness.conclusion import conclude

    with AnalysisProgress(str(path)) as progress:
        conclusion = conclude(
            path,
            parameters,
            sender_run=sender_run,
            expect=expect,
            has_report=not args.no_report,
            on_progress=progress.update,
        )
    return conclude_and_print(conclusion, args)


def conclude_and_print(conclusion: Conclusion, args: argparse.Namespace) -> int:
    """Print what was found, then write --junit; return 1 when a limit failed, 2 when a result could not be written."""
    if args.json:
        print_json(conclusion.summary)
    else:
        from harness.report import format_table

        print(format_table(conclusion.summary))
        if conclusion.report is not None:
            print(f"report: {conclusion.report}")
    if getattr(args, "junit", None):
        _write_junit(conclusion, args)
    if conclusion.error is not None:
        print(f"harness: {conclusion.error}", file=sys.stderr)
        return 2
    if conclusion.summary.unreadable:
        print(
            f"harness: {conclusion.path} is damaged: {conclusion.summary.unreadable:,} packet records cannot be read; "
            "take it from a backup",
            file=sys.stderr,
        )
        return 2
    return 0 if is_passed(conclusion.summary) else 1


def _write_junit(conclusion: Conclusion, args: argparse.Namespace) -> None:
    from harness.limits import write_junit

    if not conclusion.summary.limits:
        print("harness: no limit was asked for: --junit is an empty suite; add --profile default", file=sys.stderr)
    profile = getattr(args, "profile", None) or ""
    path = str(conclusion.path)
    write_junit(Path(args.junit), conclusion.summary, conclusion.expect, path=path, profile=profile)


def is_passed(summary: Summary) -> bool:
    """Whether no limit failed."""
    return all(limit.is_passed is not False for limit in summary.limits)


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    import msgspec

    is_ascii = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    sys.stdout.write(json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=is_ascii) + "\n")
