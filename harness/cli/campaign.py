"""`harness campaign check|start|resume|status|note|cancel|report|install|uninstall`: runs across reboots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import add_json

if TYPE_CHECKING:
    from harness.campaign.driver import Ending

ACTIONS = {
    "check": "print the plan, and how long it will take",
    "start": "begin a campaign",
    "resume": "go on with a campaign after a pause, a crash or a reboot",
    "status": "where a campaign stands; it may be under way",
    "note": "write a sentence into a campaign's journal",
    "cancel": "call off the next reboot, and pause",
    "report": "reproduction rates, tests and figures of a campaign so far",
    "install": "have the system resume a campaign after each boot; shows what it would write",
    "uninstall": "undo install",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    made = {
        name: actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        for name, text in ACTIONS.items()
    }
    for name in ("check", "start", "install"):
        made[name].add_argument("file", metavar="FILE", help="the campaign's TOML file")
    for name in ("resume", "status", "note", "cancel", "report"):
        made[name].add_argument("directory", metavar="DIR", help="the campaign's directory, results/NAME")
    for name in ("start", "install"):
        made[name].add_argument("--output", metavar="DIR", help="the campaign's directory (default: results/NAME)")
    _add_resume(made["resume"])
    made["note"].add_argument("text", metavar="TEXT", nargs="+", help="what to note")
    made["report"].add_argument("--no-plots", action="store_true", help="tables only")
    made["report"].add_argument("--again", action="store_true", help="measure every boot anew, from its recording")
    _add_install(made["install"], made["uninstall"])
    for name in ("check", "status", "report"):
        add_json(made[name])


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-change", action="store_true", help="go on although the campaign file has changed; journalled"
    )
    parser.add_argument(
        "--launcher", metavar="NAME", help="run only boots whose variable launcher has this value, and wait otherwise"
    )
    parser.add_argument(
        "--unattended", action="store_true", help="as a unit: leave a campaign alone that its user has paused"
    )


def _add_install(install: argparse.ArgumentParser, uninstall: argparse.ArgumentParser) -> None:
    uninstall.add_argument("name", metavar="NAME", help="the campaign's name, or its TOML file")
    for parser in (install, uninstall):
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--system", action="store_true", help="for the system: systemd unit, LaunchDaemon (default)")
        where.add_argument("--user", action="store_true", help="for this user: systemd user unit, LaunchAgent")
        where.add_argument(
            "--both", action="store_true", help="both, as launchers system and user, to compare what they may receive"
        )
        parser.add_argument("--yes", action="store_true", help="do it; without, only show what would be done")
    install.add_argument("--launcher", metavar="NAME", help="what the matrix calls this unit (with --both: by itself)")


def execute(args: argparse.Namespace) -> int:
    """Do what the action says."""
    do: dict[str, Callable[[argparse.Namespace], int]] = {
        "check": _check, "start": _start, "resume": _resume, "status": _status, "note": _note, "cancel": _cancel,
        "report": _report, "install": _install, "uninstall": _uninstall,
    }  # fmt: skip
    return do[args.action](args)


def _say(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr, flush=True)


def _default_directory(name: str) -> Path:
    from harness.run import RESULTS

    return RESULTS / name


def _check(args: argparse.Namespace) -> int:
    from harness.campaign.plan import load, ordered
    from harness.campaign.text import estimate, format_plan
    from harness.cli.session import print_json

    resolved = load(Path(args.file))
    if args.json:
        takes = estimate(resolved)
        plan = [{"boot": number, "values": values} for number, values in enumerate(ordered(resolved.campaign), 1)]
        said = {"campaign": resolved.campaign, "boots": plan}
        print_json(said | {"likely_ns": takes.likely_ns, "most_ns": takes.most_ns})
    else:
        print(format_plan(resolved))
    return 0


def _start(args: argparse.Namespace) -> int:
    from harness.campaign import create, load

    source = Path(args.file)
    directory = Path(args.output) if args.output else _default_directory(load(source).campaign.name)
    create(source, directory)
    _say(f"campaign in {directory}; Ctrl-C pauses it, harness campaign resume {directory} goes on")
    return _run(directory)


def _resume(args: argparse.Namespace) -> int:
    from harness.campaign import directory as layout

    directory = Path(args.directory)
    if args.unattended and not (directory / layout.JOURNAL).exists():
        _say(f"no campaign was begun in {directory}; nothing to do")
        return 0
    return _run(
        directory,
        accepts_change=args.accept_change,
        launcher=args.launcher,
        is_unattended=args.unattended,
    )


def _run(
    directory: Path, *, accepts_change: bool = False, launcher: str | None = None, is_unattended: bool = False
) -> int:
    from harness.campaign import Asked, go_on
    from harness.cli.session import command_line

    ending = go_on(
        Asked(
            directory,
            command_line(),
            _say,
            launcher=launcher,
            is_unattended=is_unattended,
            accepts_change=accepts_change,
        )
    )
    _say(f"{ending.end}: {ending.text}" if ending.text else ending.end)
    return 0 if is_unattended else _exit_code(directory, ending)


def _exit_code(directory: Path, ending: Ending) -> int:
    """Return 1 for a campaign that ended with the fault reproduced; a unit would take that for a failure of its own."""
    from harness.campaign import directory as layout
    from harness.campaign import read_state

    if ending.end != "finished":
        return 0
    state, _ = read_state(directory / layout.JOURNAL)
    return int(any(boot.outcome == "reproduced" for boot in state.settled))


def _status(args: argparse.Namespace) -> int:
    from harness.campaign import directory as layout
    from harness.campaign import read_state
    from harness.campaign.lock import is_held
    from harness.campaign.text import format_status, phase
    from harness.cli.session import print_json

    directory = Path(args.directory)
    layout.check_is_campaign(directory)
    state, records = read_state(directory / layout.JOURNAL)
    resolved = layout.stored(directory, state.sha256)
    is_running = is_held(directory / layout.LOCK)
    if args.json:
        boots = [{"boot": boot.number, "values": boot.values, "outcome": boot.outcome} for boot in state.settled]
        print_json({"name": resolved.campaign.name, "phase": phase(state, is_running), "boots": boots})
    else:
        print(format_status(state, records, resolved, is_running=is_running))
    return 0


def _note(args: argparse.Namespace) -> int:
    import time

    from harness.campaign import directory as layout

    directory = Path(args.directory)
    layout.check_is_campaign(directory)
    layout.leave_note(directory, " ".join(args.text), time.time_ns())
    return 0


def _cancel(args: argparse.Namespace) -> int:
    from harness.campaign import directory as layout
    from harness.campaign.lock import is_held
    from harness.errors import UsageError

    directory = Path(args.directory)
    layout.check_is_campaign(directory)
    if not is_held(directory / layout.LOCK):
        raise UsageError(f"nobody runs {directory}, so there is no reboot to call off")
    layout.ask_to_cancel(directory)
    return 0


def _report(args: argparse.Namespace) -> int:
    from harness.campaign import directory as layout
    from harness.campaign.summarise import summarise, write_summary
    from harness.campaign.text import format_summary
    from harness.cli.session import print_json

    directory = Path(args.directory)
    layout.check_is_campaign(directory)
    summary = summarise(directory, measures_again=args.again)
    write_summary(directory, summary)
    if args.json:
        print_json(summary)
    else:
        print(format_summary(summary))
    if not args.no_plots:
        from harness.plots.campaign import plot_campaign

        for path in plot_campaign(summary, directory / layout.PLOTS):
            if not args.json and path.suffix == ".png":
                print(path)
    return 0


def _install(args: argparse.Namespace) -> int:
    from harness.campaign.install import plan_install, put
    from harness.campaign.plan import load

    source = Path(args.file)
    campaign = load(source).campaign
    directory = Path(args.output) if args.output else _default_directory(campaign.name)
    plan = plan_install(campaign.name, directory.resolve(), _scopes(args), launcher=args.launcher)
    print(plan.text())
    if not args.yes:
        _say("nothing was done; add --yes to do it")
        return 0
    put(plan)
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    from harness.campaign.install import plan_install, take_away
    from harness.campaign.plan import load

    name = load(Path(args.name)).campaign.name if args.name.endswith(".toml") else args.name
    plan = plan_install(name, _default_directory(name).resolve(), _scopes(args))
    print(plan.text(is_removal=True))
    if not args.yes:
        _say("nothing was done; add --yes to do it")
        return 0
    take_away(plan)
    return 0


def _scopes(args: argparse.Namespace) -> list[str]:
    return ["system", "user"] if args.both else ["user"] if args.user else ["system"]
