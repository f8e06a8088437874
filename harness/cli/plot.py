"""`harness plot PATH`: the figures of a recording that was analyzed before."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import RecordError

FORMATS = ("png", "svg", "pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME")
    parser.add_argument("--output", metavar="DIR", help="where the figures go (default: PATH/plots)")
    parser.add_argument(
        "--format",
        metavar="EXT",
        action="append",
        choices=FORMATS,
        help="png, svg, pdf; repeatable (default png and svg)",
    )


def execute(args: argparse.Namespace) -> int:
    """Draw from summary.json; nothing is computed."""
    from harness.conclusion import PLOTS
    from harness.plots import plot_summary
    from harness.store import open_run

    run = Path(args.path)
    summary = open_run(run).summary()
    if summary is None:
        raise RecordError(f"{run} has no summary.json yet; run harness analyze {run} first")
    target = Path(args.output) if args.output else run / PLOTS
    for path in plot_summary(summary, target, formats=tuple(args.format or ("png", "svg"))):
        print(path)
    return 0
