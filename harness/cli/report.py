"""`harness report PATH`: report.html and report.md of a recording, made again; or one file for a bug report."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.bundling import add_bundle_arguments, bundle, refuse_without_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME")
    add_bundle_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Write figures and report from summary.json; analyze first when there is none. With --bundle, the bundle."""
    from harness.conclusion import conclude, report_again
    from harness.store import open_run

    if args.bundle:
        return bundle(args)
    refuse_without_bundle(args)
    run = Path(args.path)
    if open_run(run).summary() is None:
        conclude(run)
    for path in report_again(run):
        print(path)
    return 0
