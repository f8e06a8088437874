"""`harness report PATH`: report.html and report.md of a recording, made again from disk."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME")


def execute(args: argparse.Namespace) -> int:
    """Write figures and report from summary.json; analyze first when there is none."""
    from harness.conclusion import conclude, report_again
    from harness.store import open_run

    run = Path(args.path)
    if open_run(run).summary() is None:
        conclude(run)
    for path in report_again(run):
        print(path)
    return 0
