"""`harness lab`: the catalogue of causes on this machine's namespaces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.analysis_options import add_thresholds, parameters_of
from harness.cli.options import add_json, add_junit, add_no_report, add_output, whole_number
from harness.errors import StorageError, UsageError

if TYPE_CHECKING:
    from harness.matrix.catalogue import Entry
    from harness.model.matrix import Matrix, Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="lab_command", metavar="WHAT", required=True)
    listing = commands.add_parser("list", help="the scenarios: what each provokes, and how long it takes")
    add_json(listing)
    run = commands.add_parser("run", help="run one scenario with its report, or several and print the matrix")
    run.add_argument(
        "scenarios", metavar="SCENARIO", nargs="*", help="names from harness lab list, or files; none: all"
    )
    run.add_argument(
        "--seed", metavar="N", type=whole_number(0, 2**31), default=1, help="of everything random (default 1)"
    )
    run.add_argument("--seeds", metavar="N", type=whole_number(1, 1000), default=1, help="runs of each, from --seed on")
    run.add_argument(
        "--healthy", metavar="N", type=whole_number(1, 10_000), default=0, help="and N healthy runs at random"
    )
    run.add_argument("--pairs", action="store_true", help="and eleven runs with two causes each")
    run.add_argument("--jobs", metavar="N", type=whole_number(1, 64), help="labs side by side (default: 3 a core)")
    run.add_argument(
        "--real-timers", action="store_true", help="stretch all times by 41.7: queries each 125 s, membership 260 s"
    )
    add_thresholds(run)
    add_output(run)
    add_junit(run)
    add_no_report(run)
    add_json(run)
    up = commands.add_parser("up", help="build a scenario's lab and leave it standing until Ctrl-C")
    up.add_argument("scenario", metavar="SCENARIO", help="name from harness lab list, or a file")
    commands.add_parser("down", help="remove what labs left whose programs were killed")


def execute(args: argparse.Namespace) -> int:
    """Do it; exit code 1 when a verdict is not the expected one, or a ledger does not balance."""
    from harness.lab.privilege import enter_lab

    if args.lab_command == "list":
        return _list(args)
    if args.lab_command == "down":
        return _down()
    enter_lab()
    return _up(args) if args.lab_command == "up" else _run(args)


def _list(args: argparse.Namespace) -> int:
    from harness.cli.session import print_json
    from harness.matrix.catalogue import entries
    from harness.matrix.trials import duration_s

    found = entries()
    if args.json:
        keys = ("name", "family", "cause")
        print_json([{key: getattr(entry, key) for key in keys} | {"seconds": duration_s(entry)} for entry in found])
        return 0
    names = {entry.name for entry in found}
    print(f"{'SCENARIO':<20} {'PROVOKES':<29} {'IP':<6} {'TAKES':<6} WHAT HAPPENS")
    for entry in found:
        if entry.name.removesuffix("-v6") in names and entry.name.endswith("-v6"):
            continue  # the same file
        families = "v4 v6" if f"{entry.name}-v6" in names else f"v{entry.family}"
        what = f"{families:<6} {f'{duration_s(entry):.0f} s':<6} {entry.scenario.description}"
        print(f"{entry.name:<20} {entry.cause:<29} {what}")
    print(
        f"\nharness lab run NAME runs one and reports, harness lab run all {len(found)}; NAME-v6 is the same over IPv6."
    )
    return 0


def _down() -> int:
    from harness.lab.journal import leftovers, remove

    found = leftovers()
    for leftover in found:
        names = remove(leftover)
        print(f"harness: removed {leftover.token}: {', '.join(names) or 'nothing was left of it'}", file=sys.stderr)
    if not found:
        print("harness: no lab was left behind", file=sys.stderr)
    return 0


def _up(args: argparse.Namespace) -> int:
    import tempfile

    import trio

    from harness.lab.topology import open_lab
    from harness.matrix.catalogue import find_entry
    from harness.run.in_lab import until_told

    scenario = find_entry(args.scenario).scenario

    async def stand() -> None:
        with tempfile.TemporaryDirectory(prefix="harness-lab-") as folder:
            async with open_lab(scenario, Path(folder)) as topology:
                for owner, namespace in topology.layout.namespaces.items():
                    ends = ", ".join(
                        f"{end.interface} {' '.join(end.addresses)}".strip() for end in topology.layout.ends_of(owner)
                    )
                    print(f"{owner:<12} ip netns exec {namespace} bash   # {ends}")
                print("harness: the lab stands; Ctrl-C takes it down", file=sys.stderr)
                await trio.sleep_forever()

    try:
        until_told(stand)
    except KeyboardInterrupt:
        print("harness: the lab is down", file=sys.stderr)
    return 0


def _run(args: argparse.Namespace) -> int:
    import msgspec

    from harness.cli.session import perform_and_conclude
    from harness.matrix.catalogue import HEALTHY, entries, find_entry
    from harness.matrix.variants import PAIRS

    chosen = [find_entry(name) for name in args.scenarios] or entries()
    further = [find_entry(f"{HEALTHY}~{number}") for number in range(1, args.healthy + 1)]
    further += [find_entry("+".join(pair)) for pair in PAIRS] if args.pairs else []
    if further:
        return _run_many(args, chosen, further)
    if len(chosen) > 1 or args.seeds > 1:
        return _run_many(args, chosen)
    (entry,) = chosen
    scenario = msgspec.structs.replace(entry.scenario, seed=args.seed)
    return perform_and_conclude(scenario, args, parameters_of(args), entry.path.parent, real_timers=args.real_timers)


def _run_many(args: argparse.Namespace, chosen: list[Entry], further: Sequence[Entry] = ()) -> int:
    from harness.cli.session import print_json
    from harness.matrix.table import format_matrix
    from harness.matrix.trials import default_jobs, plan_trials, run_trials
    from harness.run import RESULTS
    from harness.store import fresh_run_path

    if args.junit:
        raise UsageError("--junit is for one scenario; the matrix goes to matrix.json")
    output = Path(args.output) if args.output else fresh_run_path(RESULTS, "lab")
    jobs = plan_trials(chosen, args.seeds, args.seed, output) + plan_trials(further, 1, args.seed, output)
    try:
        output.mkdir(parents=True)
    except OSError as exc:
        raise StorageError(f"cannot make {output}: {exc.strerror}; name a directory that is not there yet") from exc
    print(f"harness: {len(jobs)} runs to {output}; Ctrl-C ends them and keeps what is done", file=sys.stderr)
    matrix = run_trials(jobs, n_jobs=args.jobs or default_jobs(), real_timers=args.real_timers, on_trial=_tell)
    _write(output, matrix)
    if args.json:
        print_json(matrix)
    else:
        print(format_matrix(matrix))
        print(f"matrix: {output / 'matrix.json'}")
    return 0 if matrix.n_right == len(jobs) else 1


def _tell(trial: Trial, n_done: int, n_all: int) -> None:
    state = "ok" if trial.is_right else trial.error or f"{trial.first or 'no verdict'} instead of {trial.expected}"
    if trial.error is None and trial.is_named and not trial.is_balanced:
        state = "ledger not balanced"
    name = trial.scenario + (f" seed {trial.seed}" if trial.seed != 1 else "")
    print(f"harness: {n_done:>3}/{n_all} {name}: {state} ({trial.seconds:.0f} s)", file=sys.stderr, flush=True)


def _write(output: Path, matrix: Matrix) -> None:
    from harness.matrix.table import format_matrix
    from harness.plots.matrix import matrix_figure
    from harness.plots.style import encode
    from harness.store import write_document
    from harness.store.atomic import write_whole

    write_document(output / "matrix.json", matrix)
    write_whole(output / "matrix.txt", f"{format_matrix(matrix)}\n".encode())
    write_whole(output / "matrix.png", encode(matrix_figure(matrix), "png"))
